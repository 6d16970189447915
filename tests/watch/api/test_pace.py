"""Requests to an API server that rations them."""

import asyncio

from kdns.watch.api.pace import Pace
from tests.dns.parts import ManualClock


class Sleeps:
    """A sleep that moves the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.times: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """At once."""
        self.times.append(round(seconds, 6))
        self.clock.now += seconds


async def times(pace: Pace, count: int) -> None:
    """So many requests, one after the other."""
    for _ in range(count):
        async with pace.turn():
            pass


async def test_qps_and_burst() -> None:
    """The burst goes at once, then each request waits for its share of a second; a pause fills the bucket again."""
    clock = ManualClock()
    sleeps = Sleeps(clock)
    pace = Pace(2, 3, clock=clock, sleep=sleeps)
    await times(pace, 5)
    assert sleeps.times == [0.5, 0.5]
    clock.now += 60
    await times(pace, 4)
    assert sleeps.times == [0.5, 0.5, 0.5]


async def test_no_limits() -> None:
    """Nothing waits where nothing is said."""
    clock = ManualClock()
    sleeps = Sleeps(clock)
    await times(Pace(clock=clock, sleep=sleeps), 100)
    assert sleeps.times == []


async def test_in_flight() -> None:
    """At most so many wait for a reply at once."""
    pace, now, most = Pace(inflight=2), 0, 0

    async def request() -> None:
        nonlocal now, most
        async with pace.turn():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(request() for _ in range(6)))
    assert most == 2
