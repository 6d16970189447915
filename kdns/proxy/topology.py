"""Which endpoints serve: the cluster set and the local set, after conditions, hints and fallbacks. Pure.

Terminating endpoints serve only when no ready one does (KEP-1669), and each set falls back by itself: the local one may
be on terminating endpoints while the cluster one has ready ones elsewhere. Hints (KEP-2433, KEP-4444, KEP-3015) are
followed only if every ready endpoint has them and one names us; otherwise not all might be reached.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kdns.proxy.model import Endpoint


class Sets(NamedTuple):
    """What `choose` found."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    somewhere: bool
    """Traffic would arrive somewhere, though perhaps not from this node: refusing would be wrong."""


def choose(endpoints: Sequence[Endpoint], *, cluster: bool, local: bool, node: str = "", zone: str = "") -> Sets:
    """The sets that are used (``cluster``, ``local``), seen from a node and its topology zone."""
    in_cluster: tuple[Endpoint, ...] = ()
    if cluster:
        ready = tuple(endpoint for endpoint in endpoints if endpoint.ready)
        in_cluster = _near(ready, node, zone) or _ending(endpoints)
    if not local:
        return Sets(in_cluster, (), bool(in_cluster))
    here = tuple(endpoint for endpoint in endpoints if endpoint.local)
    in_local = tuple(endpoint for endpoint in here if endpoint.ready) or _ending(here)
    return Sets(in_cluster, in_local, bool(in_cluster) or any(e.ready for e in endpoints) or bool(_ending(endpoints)))


def _ending(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(e for e in endpoints if e.serving and e.terminating and not e.ready)


def _near(ready: tuple[Endpoint, ...], node: str, zone: str) -> tuple[Endpoint, ...]:
    """Those that the hints give to our node, else to our zone, else all."""
    if node and all(endpoint.nodes for endpoint in ready):
        near = tuple(endpoint for endpoint in ready if node in endpoint.nodes)
        if near:
            return near
    if zone and all(endpoint.zones for endpoint in ready):
        near = tuple(endpoint for endpoint in ready if zone in endpoint.zones)
        if near:
            return near
    return ready
