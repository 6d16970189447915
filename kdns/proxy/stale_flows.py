"""Which UDP flows lead to endpoints that are gone. Pure.

A UDP client that keeps its source port keeps its flow: the kernel asks the rules only for a flow's first packet. So
when a backend goes, its flows would go on to nowhere, and a flow that began while there was no backend would stay
without one. Such flows are named here and deleted by `kdns.proxy.apply.flow_cleaner`; their next packet meets the
rules.

What is better than kube-proxy's way (facts e): with no backend left every flow is deleted, so clients are refused at
once; flows to a frontend that is gone are deleted, too; and flows that merely use a node port's number elsewhere stay.
"""

from collections.abc import Iterable
from typing import NamedTuple

from kdns.proxy.model import Family, ServicePortName, ServicePortRules


class StaleFlows(NamedTuple):
    """The UDP flows to one frontend that are to be deleted: those whose replies come from nowhere in `keep`."""

    family: Family
    address: bytes | None
    """Where the flow's first packet was sent to; None: any address of this node (a node port)."""
    port: int
    keep: frozenset[bytes]
    """Packed addresses of the endpoints whose flows may go on; empty: none may."""


class Reach(NamedTuple):
    """What matters of one UDP service port: where its flows begin and where they may end."""

    frontends: frozenset[tuple[bytes, int]]
    """Address (empty for a node port) and port."""
    keep: frozenset[bytes]


def reach(rules: ServicePortRules, serving: Iterable[bytes]) -> Reach:
    """Sum up one service port.

    `serving` are the addresses of all its endpoints that serve: they may keep the flows they have, also when no new
    flow should go there: a pod that is terminating, or on another node under a Local policy.
    """
    frontends = frozenset((entry.frontend.address, entry.frontend.port) for entry in rules.entries)
    return Reach(frontends, frozenset(serving).union(backend.address for backend in rules.reachable))


NOWHERE = Reach(frozenset(), frozenset())
"""A service port that is not there."""


def stale(family: Family, before: Reach, after: Reach) -> list[StaleFlows]:
    """What to delete when a service port goes from one reach to another; in an order that is always the same."""
    gone = before.frontends - after.frontends
    suspects = after.frontends
    if before.keep and before.keep <= after.keep:
        # No backend that had flows is gone, and where there were backends no flow began without one.
        suspects = after.frontends - before.frontends
    kept = [(frontend, after.keep) for frontend in suspects] + [(frontend, NOWHERE.keep) for frontend in gone]
    return [StaleFlows(family, address or None, port, keep) for (address, port), keep in sorted(kept, key=_place)]


class FlowMemory:
    """Remembers one family's reaches as the kernel was last given them. Updated after each sync that succeeded."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._reaches: dict[ServicePortName, Reach] = {}

    def update(
        self, name: ServicePortName, rules: ServicePortRules | None, serving: Iterable[bytes] = ()
    ) -> list[StaleFlows]:
        """What to delete now that `name` has these rules (None: it is gone) and these endpoints that serve.

        To be called also when only endpoints have changed and the rules are equal: a terminating pod leaves the rules
        first and keeps its flows until it is gone. What is seen for the first time may have flows from before: from
        when it did not exist, or from a run before this one.
        """
        if name.protocol != "UDP":
            return []
        before = self._reaches.pop(name, NOWHERE)
        after = NOWHERE if rules is None else reach(rules, serving)
        if rules is not None:
            self._reaches[name] = after
        return stale(self.family, before, after)


def _place(frontend: tuple[tuple[bytes, int], frozenset[bytes]]) -> tuple[bytes, int]:
    return frontend[0]
