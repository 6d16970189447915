"""An event loop that calls some readers where it waits: a datagram then costs one turn less of asyncio.

::

    epoll ── a direct reader's socket ──> the reader, at once; then it waits on
        └── the epoll of asyncio ──> back to asyncio: transports, timers, signals, other threads

Where queries come one at a time, each wakes the process up with cold caches, and the rest of a turn (events made into
handles, handles into calls, timers looked at) costs a fifth of the whole answer.
"""

import asyncio
import select
import selectors
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final, TypeVar

T = TypeVar("T")

Reader = Callable[[], bool]
"""Reads what is there. True: it has scheduled nothing in the loop, which may wait on without a look at itself."""

_FOREVER: Final = -1.0


class DirectSelector(selectors.EpollSelector):
    """The selector of asyncio, inside another epoll that has the direct readers, too."""

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._epoll.register(self.fileno(), select.EPOLLIN)
        self._readers: dict[int, Reader] = {}

    def add_reader(self, fd: int, reader: Reader) -> None:
        """Call it whenever there is something to read."""
        self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = reader

    def remove_reader(self, fd: int) -> None:
        """Call it no more."""
        del self._readers[fd]
        self._epoll.unregister(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors.BaseSelector.select`: waits, and meanwhile calls the readers.

        Returns early, with nothing, if a reader may have given the loop something to do.
        """
        readers = self._readers
        if not readers:
            return super().select(timeout)
        until = None if timeout is None else monotonic() + timeout
        wait, poll = _FOREVER if timeout is None else max(timeout, 0.0), self._epoll.poll
        while True:
            try:
                events = poll(wait)
            except InterruptedError:
                return []
            others, idle = not events, True
            for fd, _ in events:
                reader = readers.get(fd)
                if reader is None:
                    others = True  # asyncio's, or of a reader that another one has removed meanwhile
                elif not reader():
                    idle = False
            if others:
                return super().select(0) if events else []
            if not idle:
                return []
            if until is not None:
                wait = until - monotonic()
                if wait <= 0:
                    return []

    def close(self) -> None:
        """Close both."""
        self._epoll.close()
        super().close()


class DirectLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with direct readers beside all that it has."""

    def __init__(self) -> None:
        self._direct = DirectSelector()
        super().__init__(self._direct)

    def add_direct_reader(self, fd: int, reader: Reader) -> None:
        """Call it whenever there is something to read; what it raises is handed to the loop's exception handler."""

        def guarded() -> bool:
            try:
                return reader()
            except Exception as error:  # noqa: BLE001 - as asyncio does with the callbacks of other readers
                self.call_exception_handler({"message": f"error in a direct reader of {fd}", "exception": error})
                return False

        self._direct.add_reader(fd, guarded)

    def remove_direct_reader(self, fd: int) -> None:
        """Call it no more."""
        self._direct.remove_reader(fd)


def run(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in a `DirectLoop`."""
    with asyncio.Runner(loop_factory=DirectLoop) as runner:
        return runner.run(work)
