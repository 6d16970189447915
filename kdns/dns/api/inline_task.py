"""Runs a coroutine without a task: its steps are taken where what it waits for is done, not one turn of the loop later.

A task costs a forwarded query as much as its way through the chain. What may not be run so is a chain that needs the
current task, such as one with `asyncio.timeout` in it: see `kdns.dns.api.plugin.Built.needs_task`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, Final

SUSPENDED: Final = object()
"""What a coroutine yields where its `InlineTask.step` is called by what it waits for."""

_current: "InlineTask | None" = None


class InlineTask:
    """One coroutine, from `start` to its end or `close`. Must not raise: only the event loop would see it."""

    __slots__ = ("_context", "_done", "_ended", "_work")

    def __init__(self, work: Coroutine[Any, Any, None], done: "Callable[[InlineTask], None]") -> None:
        """``done`` is called once, when the coroutine has ended."""
        self._work, self._done = work, done
        self._context = copy_context()
        self._ended = False

    def step(self, _: object = None) -> None:
        """Go on until it waits for something, or is at its end."""
        global _current  # noqa: PLW0603 - the event loop has one thread
        if self._ended:
            return
        before, _current = _current, self
        try:
            waits = self._context.run(self._work.send, None)
        except StopIteration:
            self._end()
            return
        except BaseException:
            self._end()
            raise
        finally:
            _current = before
        if waits is SUSPENDED:
            return
        if waits is None:  # asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(self.step)
            return
        waits._asyncio_future_blocking = False  # as a task does: the future has seen that it is yielded by `await`
        waits.add_done_callback(self.step)

    def close(self) -> None:
        """Give it up where it waits."""
        if not self._ended:
            self._end()
            self._context.run(self._work.close)

    def _end(self) -> None:
        self._ended = True
        self._done(self)


def wait_inline(wake: list[Callable[[], None]]) -> Generator[Any, Any, None]:
    """Wait until one of the callables of a list is called: it is appended here. ``yield from`` it in ``__await__``.

    Under a `InlineTask` the waiting goes on at once, within that call; under a task in another turn of the loop.
    """
    running = _current
    if running is not None:
        wake.append(running.step)
        yield SUSPENDED
        return
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def awake() -> None:
        if not future.done():
            future.set_result(None)

    wake.append(awake)
    yield from future
