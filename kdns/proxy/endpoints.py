"""EndpointSlices -> endpoints of each service port, for one address family. Pure."""

from collections.abc import Iterable, Mapping

from kdns.base.objects import READY, SERVING, TERMINATING, EndpointSlice
from kdns.proxy.model import Backend, Endpoint, Family

PortKey = tuple[str, str]
"""A port's name and protocol: how slices and Services find each other; the slice's number is where endpoints listen."""


def endpoints(slices: Iterable[EndpointSlice], family: Family, node: str) -> Mapping[PortKey, tuple[Endpoint, ...]]:
    """The endpoints of one Service by port, from all its slices, ordered by the text of address and port.

    ``node`` is the name of our node. An endpoint that several slices have counts once; where they differ, the one that
    is on our node wins.
    """
    found: dict[PortKey, dict[Backend, Endpoint]] = {}
    for slice_ in slices:
        if slice_.width == family.width and slice_.states is not None:
            for port in slice_.ports:
                known = found.setdefault((port.name, port.protocol), {})
                for endpoint in _rows(slice_, port.port, node):
                    before = known.get(endpoint.backend)
                    if before is None or (endpoint.local and not before.local):
                        known[endpoint.backend] = endpoint
    return {key: tuple(sorted(known.values(), key=_text)) for key, known in found.items()}


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
