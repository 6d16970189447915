"""All endpoints of a slice with their conditions, nodes and hints, packed in columns. Pure."""

import sys
from collections.abc import Callable, Sequence
from typing import Final

from kdns.base.objects import READY, SERVING, TERMINATING, EndpointStates
from kdns.watch.decode.schema import ApiHint, ApiRoutedEndpoint, ApiStates

SHARED_HINTS_LIMIT: Final = 4096

SharedHints = dict[tuple[str, ...], tuple[str, ...]]
"""Equal hints of many endpoints become one tuple; the same dictionary is handed to each `keep_states`."""


def keep_states(
    endpoints: Sequence[ApiRoutedEndpoint | None], pack: Callable[[str], bytes | None], shared: SharedHints
) -> EndpointStates:
    """A row for each endpoint that has a first address; `pack` gives None for one that is left out.

    Further addresses of an endpoint are not used, as the API says ("consumers may use the first only").
    """
    addresses, conditions = bytearray(), bytearray()
    nodes: list[str] = []
    zone_hints: list[tuple[str, ...]] = []
    node_hints: list[tuple[str, ...]] = []
    for endpoint in endpoints:
        first = endpoint.addresses[0] if endpoint is not None and endpoint.addresses else None
        if endpoint is None or first is None or (packed := pack(first)) is None:
            continue
        addresses += packed
        conditions.append(_conditions(endpoint.conditions))
        nodes.append(sys.intern(endpoint.node_name or ""))
        hints = endpoint.hints
        zone_hints.append(_names(hints.for_zones, shared) if hints else ())
        node_hints.append(_names(hints.for_nodes, shared) if hints else ())
    return EndpointStates(
        bytes(addresses),
        bytes(conditions),
        tuple(nodes),
        tuple(zone_hints) if any(zone_hints) else (),
        tuple(node_hints) if any(node_hints) else (),
    )


def _conditions(conditions: ApiStates | None) -> int:
    if conditions is None:
        return READY | SERVING
    return (
        (READY if conditions.ready is not False else 0)
        | (SERVING if conditions.serving is not False else 0)
        | (TERMINATING if conditions.terminating else 0)
    )


def _names(hints: Sequence[ApiHint | None] | None, shared: SharedHints) -> tuple[str, ...]:
    if not hints:
        return ()
    names = tuple(sys.intern(hint.name) for hint in hints if hint is not None and hint.name)
    if len(shared) >= SHARED_HINTS_LIMIT:
        shared.clear()  # only sharing is lost
    return shared.setdefault(names, names)
