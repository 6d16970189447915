"""Pauses and turns."""

import asyncio

import pytest

from kdns.base.clock import Backoff, TimeSlice


class FakeClock:
    """Goes on when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """As long as it says, at once."""
        self.slept.append(seconds)
        self.now += seconds


def backoff(clock: FakeClock, chance: float = 1.0) -> Backoff:
    """With jitter that is always the same."""
    return Backoff(clock=clock, chance=lambda: chance, sleep=clock.sleep)


@pytest.mark.parametrize(
    ("chance", "pauses"),
    [
        (1.0, [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]),
        (0.0, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 7.5, 7.5]),
    ],
)
async def test_pauses_double_up_to_thirty_seconds(chance: float, pauses: list[float]) -> None:
    """The first is quick, the longest 30 s, and jitter takes away up to three quarters."""
    clock = FakeClock()
    growing = backoff(clock, chance)
    for _ in pauses:
        await growing.pause()
    assert clock.slept == [pytest.approx(pause) for pause in pauses]


async def test_any_number_of_failures() -> None:
    """A server that is away for weeks makes no number too large."""
    clock = FakeClock()
    growing = backoff(clock)
    for _ in range(3000):
        await growing.pause()
    assert clock.slept[-1] == 30.0


async def test_a_healthy_stretch_counts_as_a_new_beginning() -> None:
    """Ten seconds of health, not less, make the next pause a first one."""
    clock = FakeClock()
    growing = backoff(clock)
    for lasted, pause in ((0.0, 0.4), (0.0, 0.8), (9.9, 1.6), (10.0, 0.4), (0.0, 0.8)):
        if lasted:
            growing.begin()
            clock.now += lasted
            assert growing.well is (lasted >= 10)
        await growing.pause()
        assert clock.slept[-1] == pytest.approx(pause)


async def test_at_least_what_somebody_asked_for() -> None:
    """A server's Retry-After is a lower bound, lengthened a little so that not all come back in one moment."""
    clock = FakeClock()
    await backoff(clock, 0.5).pause(at_least=60)
    await backoff(clock, 0.5).pause(at_least=0.01)
    assert clock.slept == [pytest.approx(63.0), pytest.approx(0.25)]


async def test_a_turn_ends_after_its_time_and_lets_others_run() -> None:
    """Work that asks at each step holds nobody up for longer than a turn."""
    clock = FakeClock()
    turn = TimeSlice(0.002, clock)
    assert not turn.over()
    clock.now += 0.003
    assert turn.over()
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await turn.rest()
    assert ran.is_set()
    assert not turn.over()
