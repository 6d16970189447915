"""How long the last changes of Services took to reach the kernel. Pure.

Nothing is noted when a change comes: after each round that was a success, the few changes that the follower remembers
are compared with the moment up to which that round knew the cluster.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from kdns.base.objects import ObjectKey
from kdns.proxy.left_out import LeftOut
from kdns.proxy.model import Family
from kdns.proxy.proxier import Round
from kdns.watch.recent import Recent

REFUSED: Final = "RulesRefused"


class InForce:
    """When each of the last changes was in the kernel, in all families."""

    def __init__(self, recent: Collection[Recent], families: Collection[Family]) -> None:
        """``recent``: the follower's, which goes on changing."""
        self.recent, self._families = recent, frozenset(families)
        self._times: dict[Recent, dict[Family, float]] = {}

    def note(self, family: Family, done: Round, now: float, left_out: Callable[[ObjectKey], Sequence[LeftOut]]) -> None:
        """A round of a family has ended: if it was a success, all that it knew is in force since ``now`` (by the clock
        of the follower's counters), but for Services whose rules the kernel refused."""
        if done.applied is None:
            return
        times = {change: self._times.get(change, {}) for change in self.recent}
        for change, of_change in times.items():
            if family not in of_change and change.applied <= done.known and not _refused(left_out(change.key)):
                of_change[family] = now
        self._times = times

    def seconds(self, change: Recent) -> float | None:
        """From the watch event to the kernel; None: it is not there yet, or when the event came was not measured."""
        times = self._times.get(change, {})
        if change.arrived is None or not times.keys() >= self._families:
            return None
        return max(0.0, max(times.values(), default=change.applied) - change.arrived)


def _refused(left_out: Sequence[LeftOut]) -> bool:
    return any(thing.reason == REFUSED for thing in left_out)
