"""Coroutines without tasks: they go on where what they wait for is done, and may wait for all that tasks wait for."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from kdns.dns.api.inline_task import InlineTask, wait_inline


class Bell:
    """Wakes who waits for it."""

    def __init__(self) -> None:
        self.wake: list[Callable[[], None]] = []

    def __await__(self) -> Generator[Any, Any, None]:
        yield from wait_inline(self.wake)

    def ring(self) -> None:
        """Wake all."""
        for wake in self.wake:
            wake()


async def test_it_goes_on_within_the_call_that_wakes_it() -> None:
    """Under a InlineTask no turn of the loop passes between what is waited for and what follows; a task needs one."""
    bell, seen, ended = Bell(), list[str](), list[InlineTask]()

    async def work(name: str) -> None:
        await bell
        seen.append(name)

    InlineTask(work("driven"), ended.append).step()
    task = asyncio.create_task(work("task"))
    await asyncio.sleep(0)
    bell.ring()
    assert seen == ["driven"]
    assert len(ended) == 1
    await task
    assert seen == ["driven", "task"]


async def test_it_waits_for_what_tasks_wait_for() -> None:
    """Futures, sleeping, and other tasks, whose errors are raised in it."""
    done: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()

    async def fail() -> None:
        raise ValueError("from a task")

    async def work() -> None:
        found: list[object] = [await asyncio.sleep(0, "slept"), await asyncio.sleep(0.001, "slept longer")]
        with pytest.raises(ValueError, match="from a task"):
            await asyncio.create_task(fail())
        done.set_result(found)

    InlineTask(work(), lambda _: None).step()
    assert await done == ["slept", "slept longer"]


async def test_it_has_a_context_of_its_own() -> None:
    """What one sets in a context variable is neither seen by others nor lost while it waits."""
    depth: ContextVar[int] = ContextVar("depth", default=0)
    bell, seen = Bell(), list[int]()

    async def work(number: int) -> None:
        token = depth.set(number)
        await bell
        seen.append(depth.get())
        depth.reset(token)

    for number in (1, 2):
        InlineTask(work(number), lambda _: None).step()
    assert depth.get() == 0
    bell.ring()
    assert seen == [1, 2]


async def test_it_is_given_up_where_it_waits() -> None:
    """After `close` its cleanup has run, and what wakes it later does nothing."""
    bell, seen = Bell(), list[str]()

    async def work() -> None:
        try:
            await bell
            seen.append("went on")
        finally:
            seen.append("cleaned up")

    drive = InlineTask(work(), lambda _: seen.append("done"))
    drive.step()
    drive.close()
    bell.ring()
    assert sorted(seen) == ["cleaned up", "done"]
