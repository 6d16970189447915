"""When a proxier does what. Pure, but for the clock that it is handed.

A round begins at once if the last one ended ``least`` seconds ago, else as soon as that is over. Every ``period`` the
kernel is looked at for what others did to our rules, and every hour all is written again. After a failure the next
round is a full one, after a pause that grows up to the period.
"""

from enum import Enum
from typing import Final

from kdns.base.clock import Backoff, Clock

HOUR: Final = 3600.0
SETTLE: Final = 1.5
"""Seconds after a round that wrote something: what it left for later (`Applier.tidy`) can be done then."""
SOON: Final = 0.25
"""Seconds from a sign that others changed our rules to the look at them."""
RETRY: Final = 1.0
"""Seconds to the first try after a failure; later ones wait longer, up to the period."""


class Step(Enum):
    """What is to be done."""

    ROUND = "round"
    TIDY = "tidy"
    LOOK = "look"


class Schedule:
    """Of one family. All times are of the clock, in seconds."""

    def __init__(self, least: float, period: float, clock: Clock) -> None:
        """``least`` and ``period`` in seconds (minSyncPeriod, syncPeriod)."""
        self._least, self._period, self._clock = least, period, clock
        self._backoff = Backoff(first=RETRY, most=max(period, RETRY), clock=clock)
        self.synced = False
        """All Services and EndpointSlices are known; before that nothing is written."""
        self._full = True
        self._again_at: float | None = None
        self._next_look = self._last_full = self._last_end = float("-inf")
        self._tidy_at: float | None = None

    def want_full(self) -> None:
        """The next round writes everything."""
        self._full = True

    def want_look(self) -> None:
        """Others may have changed something: look soon, and not for each of their changes."""
        self._next_look = min(self._next_look, self._clock() + SOON)

    @property
    def retrying(self) -> bool:
        """The last round failed."""
        return self._again_at is not None

    def delay(self, *, pending: bool) -> float | None:
        """Seconds until there may be something to do; None: not before something changes.

        ``pending``: something is known that the kernel was not given.
        """
        if not self.synced:
            return None
        now, soonest = self._clock(), self._last_end + self._least
        if self._again_at is not None:
            return max(0.0, self._again_at - now, soonest - now)
        at = [self._next_look, max(self._last_full + HOUR, soonest)]
        if self._tidy_at is not None:
            at.append(self._tidy_at)
        if self._full or pending:
            at.append(soonest)
        return max(0.0, min(at) - now)

    def step(self, *, pending: bool) -> Step:
        """What is to be done once the delay is over."""
        now = self._clock()
        if self._round_due(now, pending):
            return Step.ROUND
        if self._tidy_at is not None and now >= self._tidy_at:
            self._tidy_at = None
            return Step.TIDY
        self._next_look = now + self._period
        return Step.LOOK

    def _round_due(self, now: float, pending: bool) -> bool:
        if not self.synced or now < self._last_end + self._least:
            return False
        if self._again_at is not None:
            return now >= self._again_at
        return self._full or pending or now >= self._last_full + HOUR

    def begin(self, began: float) -> bool:
        """A round begins: True if it writes everything. A wish for that from now on is for the next one."""
        full = self._full or began >= self._last_full + HOUR
        self._full = False
        return full

    def succeeded(self, *, full: bool, wrote: bool) -> None:
        """A round has ended."""
        now = self._last_end = self._clock()
        self._again_at = None
        self._backoff.begin()
        if full:
            self._last_full = now
        if wrote:
            self._tidy_at = now + SETTLE
        self._next_look = now + self._period

    def ended(self) -> None:
        """A round has ended, also when it failed."""
        self._last_end = self._clock()

    def retry_now(self) -> None:
        """A full round follows at once."""
        self._full, self._again_at = True, self._clock()

    def retry_later(self) -> float:
        """A full round follows after a pause; its seconds."""
        pause = min(self._backoff.length(), self._period)
        self._full, self._again_at = True, self._clock() + pause
        return pause
