"""Whether a watch shows all there is: now and then the server is asked, and the answer compared. Pure.

A watch can be frozen, or lose events, and still send bookmarks; nothing on it shows that. So every ten minutes or so a
list of one object is asked for (``limit=1``), which says how many there are and at which version. Our own count when
the watch passes that version must be the same. If it is not, it is asked once more; if it is not again, what we know
is wrong, and only a list will do. A watch that does not reach the version at all, whatever it sends, is frozen.

A server does not count what label or field selectors leave (``remainingItemCount`` is unset then): of such a watch
only the version is compared.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from kdns.base.clock import Clock
from kdns.watch.api.position import Position, number_of


class Intervals(NamedTuple):
    """Seconds of an audit."""

    every: float = 600.0
    """Between two questions, 20 % more or less at random."""
    settle: float = 150.0
    """What a watch is given to catch up: a bookmark comes each minute, the first after two."""
    frozen: float = 1500.0
    """What a watch is given until its version has caught up. An idle kind of a server whose etcd notifies it only
    each 10 minutes (etcd's default) is that late, and honest."""


class _Question(NamedTuple):
    """What the server has answered, until it is compared."""

    version: int
    objects: int


INTERVALS: Final = Intervals()


class Audit:
    """Of one kind, over all its watches. The watch calls `before` and `after`, and asks at `at`."""

    def __init__(self, position: Position, clock: Clock, chance: Callable[[], float], times: Intervals) -> None:
        self._position, self._clock, self._chance, self._times = position, clock, chance, times
        self.difference = ""
        """One line about what differs, once that is certain; empty before."""
        self._open: _Question | None = None
        self._behind: tuple[int, float] | None = None
        """A version of the server that the watch has not reached yet, and since when it is awaited."""
        self._repeated = False
        self.at = 0.0
        self.begin()

    @property
    def asks(self) -> bool:
        """Whether there is something to ask at `at`; otherwise the time that the watch had to catch up is over."""
        return self._open is None

    def begin(self) -> None:
        """A list begins, or is complete: all that was doubtful is settled."""
        self.difference, self._open, self._behind, self._repeated = "", None, None, False
        self._later()

    def answer(self, newest: str, objects: int | None) -> None:
        """From the server: its newest version, and how many objects there are, if it counts them."""
        version, now = number_of(newest), self._clock()
        if self._behind is not None and self._position.number >= self._behind[0]:
            self._behind = None
        if self._behind is None and version > self._position.number:
            self._behind = version, now
        if self._behind is not None and now - self._behind[1] > self._times.frozen:
            self.difference = (
                f"the server had reached version {self._behind[0]} {now - self._behind[1]:.0f} s ago, "
                f"its watch is still at {self._position.version}"
            )
        if objects is None or self._position.objects is None:
            self._later()
            return
        if 0 < version < self._position.number and objects != self._position.objects:
            self.at = now + self._times.settle  # the watch has overtaken the answer: nothing is known of that version
            return
        self._open, self.at = _Question(version, objects), now + self._times.settle
        self.after()

    def unanswered(self) -> None:
        """It could not be asked: the watch itself will show what is wrong."""
        self._later()

    def before(self, version: str) -> None:
        """An event of that version comes next: what is known now is all up to the version before it."""
        if self._open is not None and number_of(version) > self._open.version > 0:
            self._compare()

    def after(self) -> None:
        """An event or a bookmark has moved the position."""
        if self._open is not None and self._position.number >= self._open.version > 0:
            self._compare()

    def late(self) -> None:
        """The time to catch up is over."""
        if self._open is not None:
            self._compare()

    def _compare(self) -> None:
        question, self._open = self._open, None
        assert question is not None
        shown = self._position.objects
        if shown is None or shown == question.objects:
            self._repeated = False
            self._later()
        elif not self._repeated:
            self._repeated, self.at = True, self._clock()
        else:
            self.difference = f"the server has {question.objects:,} of them, its watch has shown {shown:,}"

    def _later(self) -> None:
        self.at = self._clock() + self._times.every * (0.8 + 0.4 * self._chance())
