"""When a server counts as alive: how often it asks itself, and which answers the kernel counts. Pure."""

from collections import deque
from typing import NamedTuple


class Liveness(NamedTuple):
    """What the rules look at. Times are in seconds."""

    every: float
    """From one own question to the next."""
    within: float
    """An answer counts for so long."""
    enough: int = 1
    """So many answers that count make an address alive."""

    @property
    def longest(self) -> float:
        """After the last answer an address is alive for no longer than this."""
        return self.within - (self.enough - 1) * self.every


class Answers:
    """Those that one address has had to its own questions, as far as they may still count."""

    def __init__(self, liveness: Liveness, now: float) -> None:
        self.last = now
        """When the question was asked that was answered last; at first, when asking began."""
        self._liveness, self._asked = liveness, deque[float](maxlen=liveness.enough)

    def note(self, asked: float) -> None:
        """A question was answered that was asked at this moment; questions are noted in their order."""
        self.last = asked
        self._asked.append(asked)

    def alive(self, now: float) -> bool:
        """Whether enough of them count. Questions leave before their answers do, so the kernel may say yes longer."""
        return len(self._asked) == self._liveness.enough and now - self._asked[0] <= self._liveness.within
