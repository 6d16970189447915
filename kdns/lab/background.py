"""An event loop in a thread of its own, for what serves as long as a lab does, whatever its makers wait for."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

PATIENCE: Final = 30.0
"""Seconds that one piece of work may take."""
T = TypeVar("T")


class Background:
    """The loop and its thread. Close it, after those that use it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="lab-loop", daemon=True)
        self._thread.start()

    def wait_for(self, work: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        """Run something in the loop, and wait for it in the calling thread, which must be another one."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(patience)

    def close(self) -> None:
        """Cancel what still runs, and end the thread."""
        self.wait_for(_cancel_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
