"""Small things for code that waits: a clock to hand in, pauses that grow, and turns that end."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

Clock = Callable[[], float]
"""Seconds since some fixed moment; never goes back."""


class Backoff:
    """Pauses between attempts: the first is short, each further one up to twice as long, and none is the same.

    Jitter is 25 to 100 % of the ceiling, so that replicas which lost one server do not come back in step. A stretch
    of `healthy` seconds in which things went well (`begin` to `pause`) starts the count again.
    """

    FIRST: Final = 0.4
    MOST: Final = 30.0
    HEALTHY: Final = 10.0

    def __init__(
        self,
        *,
        first: float = FIRST,
        most: float = MOST,
        healthy: float = HEALTHY,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Seconds all three; `chance` gives a number from 0 to 1."""
        self._first, self._most, self._healthy = first, most, healthy
        self._clock, self._chance, self._sleep = clock, chance, sleep
        self._failures = 0
        self._began: float | None = None

    def begin(self) -> None:
        """Things go well from now on, until the next pause."""
        self._began = self._clock()

    @property
    def well(self) -> bool:
        """The present stretch has lasted long enough to be called healthy."""
        return self._began is not None and self._clock() - self._began >= self._healthy

    def length(self) -> float:
        """How long the next pause is to be, in seconds; each call counts as a failure."""
        if self.well:
            self._failures = 0
        self._began = None
        ceiling = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return ceiling * (0.25 + 0.75 * self._chance())

    async def pause(self, at_least: float = 0.0) -> None:
        """Wait, at least as long as was asked for; that is lengthened by up to a tenth, against stepping."""
        length = self.length()
        await self._sleep(max(length, at_least * (1.0 + 0.1 * self._chance())))


class TimeSlice:
    """Lets long work give the loop back often: ``if turn.over(): await turn.rest()``."""

    def __init__(self, most: float = 0.002, clock: Clock = time.monotonic) -> None:
        """`most` is how many seconds a turn may last: several streams have theirs one after the other."""
        self._most, self._clock = most, clock
        self._began = clock()

    def over(self) -> bool:
        """It is time that others run."""
        return self._clock() - self._began > self._most

    async def rest(self) -> None:
        """Let the others run, and begin a new turn."""
        await asyncio.sleep(0)
        self._began = self._clock()
