"""How often and how many at once requests go to the API server, for clusters that ration it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from kdns.base.clock import Clock


class Pace:
    """A bucket of ``burst`` requests that fills at ``qps`` a second, and at most ``inflight`` waiting for a reply.

    0 is no limit; a burst of 0 is one.
    """

    def __init__(
        self,
        qps: float = 0.0,
        burst: int = 0,
        inflight: int = 0,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._qps, self._burst = qps, max(1, burst)
        self._places = asyncio.Semaphore(inflight) if inflight else None
        self._clock, self._sleep = clock, sleep
        self._free_at = 0.0
        """When the bucket would be full again."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """``async with pace.turn() as waited:`` around sending a request and getting the head of its reply.

        Yields the seconds that it was held back.
        """
        began = now = self._clock()
        if self._qps:
            self._free_at = max(self._free_at, now) + 1 / self._qps
            early = self._free_at - now - self._burst / self._qps
            if early > 0:
                await self._sleep(early)
        if self._places is None:
            yield self._clock() - began
            return
        async with self._places:
            yield self._clock() - began
