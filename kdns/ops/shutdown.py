"""Shutdown and reload requests: signals become events."""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, Final

LOG: Final = logging.getLogger("kdns.server")


class Stop:
    """A request to end: by SIGTERM with lameduck, by SIGINT without, at once by SIGQUIT or a second signal."""

    def __init__(self) -> None:
        self.asked, self.at_once = asyncio.Event(), asyncio.Event()
        self.reload = asyncio.Event()
        """SIGUSR1 came; cleared once the Corefile has been read."""
        self.gently = False
        """Queries are to be answered for the lameduck time."""
        self.status = 0
        """The exit status: 0, or 128 + the number of the second signal, or 1 after a fatal mistake."""

    def signal(self, number: int) -> None:
        """A signal came."""
        if self.asked.is_set():
            self.status = 128 + number
            self.at_once.set()
            return
        self.gently = number == signal.SIGTERM
        if number == signal.SIGQUIT:
            self.at_once.set()
        self.asked.set()

    def fail(self, message: str) -> None:
        """What no server may go on with: tell it, and end at once with 1."""
        LOG.critical("%s", message)
        self.status = 1
        self.at_once.set()
        self.asked.set()

    def install(self, *, hangup_ends: bool = False) -> None:
        """Take the process's signals. HUP and USR2, of which CoreDNS makes nothing here, are ignored.

        ``hangup_ends``: a terminal that is closed ends what was started in it, unless nohup had HUP ignored.
        """
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
        if hangup_ends and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            numbers.append(signal.SIGHUP)
        else:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in numbers:
            loop.add_signal_handler(number, self.signal, number)
        loop.add_signal_handler(signal.SIGUSR1, self.reload.set)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)


async def any_of(seconds: float, *events: asyncio.Event, every: Sequence[asyncio.Event] = ()) -> bool:
    """True as soon as one of the events is set, or all of ``every``; False when the time is over."""
    waiting: list[asyncio.Task[bool]] = [asyncio.create_task(_all((event,))) for event in events]
    if every:
        waiting.append(asyncio.create_task(_all(every)))
    done, late = await asyncio.wait(waiting, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    return bool(done)


async def _all(events: Sequence[asyncio.Event]) -> bool:
    for event in events:
        await event.wait()
    return True


async def unless_asked(stop: Stop, work: Coroutine[Any, Any, None]) -> bool:
    """Do something that may take long; False: we were asked to stop meanwhile, and it was given up."""
    working, asked = asyncio.create_task(work), asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return not stop.asked.is_set()
        return False
    finally:
        for task in (working, asked):
            task.cancel()
        await asyncio.gather(working, asked, return_exceptions=True)
