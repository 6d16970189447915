"""Many deadlines on one timer: each thing is over, whatever the calls for the others do."""

import asyncio
import time
from typing import Any, Final

from kdns.dns.upstream.deadlines import GRAIN, Deadlines

HELD: Final = 6 * GRAIN


async def test_what_is_added_while_others_are_looked_at_hides_no_deadline() -> None:
    """A loop held up by an answer whose client asks at once for more: what was due meanwhile is over all the same."""
    over: list[str] = []
    ended = asyncio.Event()

    def before() -> None:
        if "later" not in over and not asked:
            time.sleep(HELD)  # the loop is held up
            asked.append(deadlines.add("another", GRAIN))

    def note(thing: str) -> None:
        over.append(thing)
        if len(over) == 3:
            ended.set()

    asked: list[set[str]] = []
    deadlines: Deadlines[str] = Deadlines(before, note)
    deadlines.add("first", 0.0)
    deadlines.add("later", 2 * GRAIN)
    async with asyncio.timeout(120):
        await ended.wait()
    assert sorted(over) == ["another", "first", "later"]
    deadlines.close()


async def test_one_timer_is_enough() -> None:
    """A thing added within a call at a deadline starts no second timer, which would go on beside the first for ever."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def over(thing: int) -> None:
        if not thing:
            ended.set()
            return
        deadlines.add(thing - 1, GRAIN)

    deadlines: Deadlines[int] = Deadlines(lambda: None, over)
    deadlines.add(8, 0.0)
    deadlines.add(-1, 3600.0)
    async with asyncio.timeout(120):
        await ended.wait()
    deadlines.close()
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert [handle for handle in timers if "Deadlines" in repr(handle)] == []


async def test_a_bug_at_one_deadline_leaves_the_others() -> None:
    """An exception out of one call is the event loop's to log; the other things are over all the same."""
    over: list[int] = []
    ended = asyncio.Event()

    def note(thing: int) -> None:
        over.append(thing)
        if len(over) == 3:
            ended.set()
        raise ValueError(thing)

    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    deadlines: Deadlines[int] = Deadlines(lambda: None, note)
    for thing in range(3):
        deadlines.add(thing, 0.0)
    async with asyncio.timeout(120):
        await ended.wait()
    deadlines.close()
    assert sorted(over) == [0, 1, 2]
