"""EndpointSlices -> endpoints of each service port, for one address family. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kdns.base.objects import READY, SERVING, TERMINATING, EndpointSlice
from kdns.proxy.model import Backend, Endpoint, Family
from kdns.proxy.reserved import reserved

PortKey = tuple[str, str]
"""A port's name and protocol: how slices and Services find each other; the slice's number is where endpoints listen."""


class Endpoints(NamedTuple):
    """The endpoints of one Service in one family."""

    by_port: Mapping[PortKey, tuple[Endpoint, ...]]
    """Ordered by the text of address and port."""
    reserved: Mapping[bytes, str]
    """Addresses that are left out, and why: see `kdns.proxy.reserved`."""


def endpoints(slices: Iterable[EndpointSlice], family: Family, node: str) -> Endpoints:
    """The endpoints of one Service by port, from all its slices.

    ``node`` is the name of our node. An address and port that several rows have, in whatever slices and order, count
    once: the row with the highest `_rank` stands for all of them.
    """
    by_port: dict[PortKey, dict[Backend, Endpoint]] = {}
    left_out: dict[bytes, str] = {}
    for slice_ in slices:
        if slice_.width == family.width and slice_.states is not None:
            for port in slice_.ports:
                kept = by_port.setdefault((port.name, port.protocol), {})
                for endpoint in _rows(slice_, port.port, node):
                    if reason := reserved(endpoint.backend.address):
                        left_out[endpoint.backend.address] = reason
                        continue
                    duplicate = kept.setdefault(endpoint.backend, endpoint)
                    if duplicate is not endpoint and _rank(endpoint) > _rank(duplicate):
                        kept[endpoint.backend] = endpoint
    return Endpoints({key: tuple(sorted(kept.values(), key=_text)) for key, kept in by_port.items()}, left_out)


def _rank(endpoint: Endpoint) -> tuple[object, ...]:
    """Which of several rows with one address and port is right; the highest is.

    A Pod's address is given to a new Pod while the old one still terminates, perhaps on another node, so the row that
    is not terminating is the newer (kubernetes/kubernetes pull request 135593). Ready, serving and local come next.
    Hints come last, for an order of rows that changes nothing: a row with hints before one without.
    """
    condition = (not endpoint.terminating, endpoint.ready, endpoint.serving, endpoint.local)
    return (*condition, bool(endpoint.nodes), bool(endpoint.zones), endpoint.nodes, endpoint.zones)


def _rows(slice_: EndpointSlice, port: int, node: str) -> Iterable[Endpoint]:
    states = slice_.states
    assert states is not None
    width = slice_.width
    for row, condition in enumerate(states.conditions):
        yield Endpoint(
            Backend(states.addresses[row * width : (row + 1) * width], port),
            bool(states.nodes) and states.nodes[row] == node != "",
            bool(condition & READY),
            bool(condition & SERVING),
            bool(condition & TERMINATING),
            states.zone_hints[row] if states.zone_hints else (),
            states.node_hints[row] if states.node_hints else (),
        )


def _text(endpoint: Endpoint) -> str:
    return str(endpoint.backend)
