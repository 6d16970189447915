"""Puts DNS on the cluster's own DNS address together from the parts of DNS, proxy and `kdns.nodelocal`."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Collection

from kdns.base.errors import ConfigError
from kdns.base.objects import address_text
from kdns.cli import local_dns
from kdns.cli.local_dns_rules import choose_rules
from kdns.config.settings import ServeSettings
from kdns.dns.server.app import App
from kdns.dns.server.local_listeners import LocalListeners
from kdns.metrics.local_dns import LocalDnsMetrics
from kdns.nodelocal.app import LocalDns
from kdns.nodelocal.heartbeat import NAME
from kdns.nodelocal.parts import LocalDnsOptions
from kdns.ops.port import Answer
from kdns.ops.shutdown import Stop
from kdns.proxy.machine import kernel_families, own_interfaces
from kdns.proxy.model import Mode


def options(arguments: argparse.Namespace) -> LocalDnsOptions | None:
    """What the flags ask for; None: no local DNS."""
    if not local_dns.wanted(arguments):
        return None
    namespace, _, service = (arguments.local_dns or local_dns.SERVICE).partition("/")
    addresses = tuple(dict.fromkeys(arguments.local_dns_address))
    return LocalDnsOptions(namespace, service, addresses, arguments.local_dns_rules)


def check_mode(mode: Mode, *, dry_run: bool = False) -> None:
    """Raises ConfigError for what of the proxy local DNS does not go with."""
    if dry_run:
        raise ConfigError(
            "--local-dns does not go with --dry-run: it cannot answer without writing a route",
            hint="use kdns proxy --dry-run for the rules of Services",
        )
    if mode == "ipvs":
        raise ConfigError(
            "--local-dns does not go with mode ipvs, whose virtual servers take the questions first",
            hint="use --proxy-mode=nftables or iptables, or leave --local-dns out",
        )


async def build(
    serving: ServeSettings,
    chosen: LocalDnsOptions,
    stop: Stop,
    caught_up: Callable[[], Awaitable[None]],
    site: Callable[[App], Answer] | None = None,
) -> tuple[App, LocalDns]:
    """DNS, and what keeps it in the kernel's way; ``caught_up`` as of `LocalDns`, ``site`` as of `App`.

    Raises ConfigError.
    """
    rules, other = await choose_rules(chosen.rules)
    listeners = LocalListeners(NAME, stop.reload.set, rules.liveness.longest)
    app = App(serving, site, local=listeners)
    metrics = LocalDnsMetrics(app.context.registry)
    server = _Server(app, listeners)
    widths = [family.width for family in kernel_families()]
    local = LocalDns(chosen, rules, server, own_interfaces, metrics, caught_up=caught_up, others=[other], widths=widths)
    return app, local


class _Server:
    """See `kdns.nodelocal.parts.LocalServer`."""

    def __init__(self, app: App, listeners: LocalListeners) -> None:
        self._app, self._listeners = app, listeners

    def ready(self) -> bool:
        return not self._app.unready()

    def listen(self, addresses: Collection[bytes]) -> None:
        self._listeners.listen(tuple(map(address_text, addresses)))


async def serve_once_known(app: App, local: LocalDns, stop: Stop) -> None:
    """Answer once there is an address to answer on."""
    known, asked = asyncio.create_task(local.known.wait()), asyncio.create_task(stop.asked.wait())
    await asyncio.wait((known, asked), return_when=asyncio.FIRST_COMPLETED)
    for task in (known, asked):
        task.cancel()
    if local.known.is_set():
        stop.reload.clear()  # the first addresses are what it starts with
        await app.run(stop)
