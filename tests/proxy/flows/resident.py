"""An event loop that lives in a part of a lab: what it opens, runs and writes is there, as of a process of a node."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from kdns.lab import namespaces as kernel
from kdns.lab.processes import Part

PATIENCE: Final = 120.0
T = TypeVar("T")


class Resident:
    """The loop and its thread. Close it before the lab."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.loop = asyncio.new_event_loop()
        self._moved = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"in-{part.name}", daemon=True)
        self._thread.start()
        if not self._moved.wait(PATIENCE) or self.loop.is_closed():
            raise RuntimeError(f"nobody could move to {part.name}")

    def _live(self) -> None:
        try:
            kernel.unshare(kernel.OWN_FOLDERS)
            kernel.enter(self._part.mounts, kernel.NEW_MOUNTS)
            kernel.enter(self._part.network, kernel.NEW_NETWORK)
        except OSError:
            self.loop.close()
            raise
        finally:
            self._moved.set()
        self.loop.run_forever()

    def wait_for(self, work: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        """Run something there, and wait in the calling thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(patience)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something there, and wait in the calling loop, which goes on."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def close(self) -> None:
        """Cancel what still runs there, and end."""
        self.wait_for(_end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _end() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
