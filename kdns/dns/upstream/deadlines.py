"""Many deadlines on one timer: what has to be over by a certain time, in slots of a few milliseconds.

A timer of the event loop for each query costs more than the rest of its bookkeeping, and nearly all are cancelled.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

GRAIN: Final = 0.005
"""Seconds: how late a deadline may be noticed on an idle loop."""


class Deadlines(Generic[T]):
    """Calls ``over`` with each thing that is still there at its deadline, and ``before`` once ahead of them.

    A thing is taken out by `discard` of the set that `add` returned.
    """

    def __init__(self, before: Callable[[], None], over: Callable[[T], None]) -> None:
        self._before, self._over = before, over
        self._slots: dict[int, set[T]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    def add(self, thing: T, seconds: float, now: float | None = None) -> set[T]:
        """Its deadline is so many seconds from now; ``now``: the loop's time, for callers who have just read it."""
        if now is None:
            now = asyncio.get_running_loop().time()
        number = int((now + seconds if seconds > 0 else now) / GRAIN) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            if self._timer is None:
                self._next = int(now / GRAIN)
                self._timer = asyncio.get_running_loop().call_later(GRAIN, self._tick)
        slot.add(thing)
        return slot

    def _tick(self) -> None:
        """Calls may add things: until all are made the timer counts as running, and what is due stays in its slot."""
        loop = asyncio.get_running_loop()
        present = int(loop.time() / GRAIN)
        try:
            if any(number in self._slots for number in range(self._next, present + 1)):
                self._before()
            while self._next <= present:
                slot = self._slots.get(self._next)
                while slot:
                    self._over(slot.pop())
                self._slots.pop(self._next, None)
                self._next += 1
        finally:
            self._timer = loop.call_later(GRAIN, self._tick) if self._slots else None

    def close(self) -> None:
        """Forget all of them."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
