"""The Corefile as chains: each server block, where it is served, and its plugins from the client inwards."""

from collections.abc import Iterator

from msgspec import Struct

from kdns.dns.server.app import App
from kdns.dns.server.block import RunningServerBlock, describe


class Chain(Struct, frozen=True):
    """One server block."""

    places: tuple[str, ...]
    """``dns://*:53 for cluster.local.``"""
    plugins: tuple[str, ...]
    remarks: tuple[str, ...]
    """What takes the fast path, and where plugins of others come from."""
    warnings: tuple[str, ...]


class Chains(Struct, frozen=True):
    """All of them."""

    blocks: tuple[Chain, ...]


def chains(app: App) -> Chains:
    """As they are served now, also where there is no Corefile: flags make chains, too."""
    blocks = []
    for live in app.serving.blocks:
        _, _, *lines = describe([live])
        remarks = tuple(line.strip().replace("fast path  ", "fast path: ") for line in lines)
        names = tuple(step.name for step in live.plan.steps)
        blocks.append(Chain(tuple(places(app, live)), names, remarks, tuple(map(str, live.warnings))))
    return Chains(tuple(blocks))


def places(app: App, live: RunningServerBlock) -> Iterator[str]:
    """Where a block is served, with the real ports, and for which zones."""
    ports = app.serving.ports()
    for listener in live.plan.listeners:
        address = f"{listener.address or '*'}:{ports.get(listener, listener.port)}"
        zones = ", ".join(key.zone for key in live.plan.keys if key.port == listener.port)
        yield f"{listener.scheme}://{address} for {zones}"
