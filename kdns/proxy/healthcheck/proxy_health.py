"""Whether the proxy keeps up: what /healthz, /livez and health checks of Services say. Pure: clocks are handed in.

A family is well unless something has waited to be written for longer than it may. Nothing waits while nothing changes,
and nothing is late before the first success, so an API server's outage makes no node unhealthy.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Clock = Callable[[], float]


class FamilyHealth(NamedTuple):
    """One address family that was written at least once."""

    updated: float
    """Unix seconds of the last success."""
    healthy: bool


class Health(NamedTuple):
    """What is so at one moment; times are Unix seconds."""

    now: float
    updated: float | None
    """The last success of any family; None before the first one."""
    healthy: bool
    """Every family keeps up; the node's eligibility does not count."""
    families: Mapping[str, FamilyHealth]
    """By name: IPv4, IPv6."""


class _Waiting(NamedTuple):
    oldest: float
    newest: float


class ProxyHealth:
    """What waits and what was written, by address family."""

    def __init__(self, late: float, clock: Clock, wall: Clock) -> None:
        """``late``: seconds that a change may wait, kube-proxy's are twice the sync period.

        ``clock`` is monotonic, ``wall`` gives Unix seconds.
        """
        self._late, self._clock, self._wall = late, clock, wall
        self._waiting: dict[str, _Waiting] = {}
        self._updated: dict[str, float] = {}
        self.node_eligible = True
        """Load balancers may send traffic here (`kdns.base.objects.Node.eligible`); until something else is known."""

    def queued(self, family: str) -> None:
        """Something has changed that is to be written."""
        now = self._clock()
        waiting = self._waiting.get(family)
        self._waiting[family] = _Waiting(waiting.oldest if waiting else now, now)

    def updated(self, family: str, began: float | None = None) -> None:
        """All that was queued before ``began`` (by the monotonic clock; None: until now) is written."""
        self._updated[family] = self._wall()
        waiting = self._waiting.pop(family, None)
        if waiting and began is not None and waiting.newest > began:
            # What came in between may have come right after `began`, so it is not known to be younger.
            self._waiting[family] = _Waiting(max(waiting.oldest, began), waiting.newest)

    @property
    def healthy(self) -> bool:
        """Every family keeps up."""
        return self.report().healthy

    def keeps_up(self, family: str) -> bool:
        """One family does: nothing of it is late, or it was never written yet."""
        return family not in self._updated or not self._is_late(family, self._clock())

    def report(self) -> Health:
        """What is so now."""
        now = self._clock()
        families = {family: FamilyHealth(at, not self._is_late(family, now)) for family, at in self._updated.items()}
        return Health(
            self._wall(),
            max(self._updated.values(), default=None),
            all(family.healthy for family in families.values()),
            families,
        )

    def _is_late(self, family: str, now: float) -> bool:
        waiting = self._waiting.get(family)
        return waiting is not None and now - waiting.oldest >= self._late
