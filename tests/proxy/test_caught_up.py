"""Who waits for the kernel to have what the cluster has said."""

import asyncio

import pytest

from kdns.proxy.caught_up import CaughtUp
from kdns.proxy.model import Family

V4, V6 = Family.IPV4, Family.IPV6


class Waiting:
    """A wait that began at moment 5."""

    def __init__(self, pending: dict[Family, bool]) -> None:
        self.pending, self.caught_up = pending, CaughtUp(lambda: 5.0)
        self.task = asyncio.create_task(self.caught_up.until(lambda: self.pending))

    async def over(self) -> bool:
        """Whether it is over, once everything else has had its turn."""
        for _ in range(5):
            await asyncio.sleep(0)
        if self.task.done():
            self.task.result()
        return self.task.done()


@pytest.fixture
async def waiting() -> Waiting:
    """Both families have something that is not in force."""
    return Waiting({V4: True, V6: True})


async def test_a_round_of_each_family(waiting: Waiting) -> None:
    """A round that began before is not enough while something is pending; one of each family that knew it all is."""
    waiting.caught_up.note(V4, 4.0)
    waiting.caught_up.note(V6, 6.0)
    assert not await waiting.over()
    waiting.caught_up.note(V4, 5.0)
    assert await waiting.over()


async def test_nothing_is_pending(waiting: Waiting) -> None:
    """Then the last round has it all, if there was one."""
    waiting.pending = {V4: False, V6: False}
    waiting.caught_up.note(V4, 1.0)
    assert not await waiting.over()
    waiting.caught_up.note(V6, 1.0)
    assert await waiting.over()


async def test_rules_of_an_earlier_process(waiting: Waiting) -> None:
    """They stand in as long as the cluster is not listed."""
    waiting.caught_up.stands(V4, True)
    waiting.caught_up.stands(V4, False)
    waiting.caught_up.stands(V6, True)
    assert not await waiting.over()
    waiting.caught_up.stands(V4, True)
    assert await waiting.over()


async def test_families_are_not_known_yet() -> None:
    """Nothing is in force before it is known which families there are."""
    waiting = Waiting({})
    waiting.caught_up.note(V4, 9.0)
    assert not await waiting.over()
    waiting.pending = {V4: True}
    waiting.caught_up.note(V4, 9.0)
    assert await waiting.over()
