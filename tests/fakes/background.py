"""The fake API server in another process, for loads that would otherwise share a loop with what they measure.

::

    with BackgroundApiServer() as api:
        api.call("put", service("shop", "web", "10.96.0.9"))
        api.crowd(10_000, 10)
        ... api.url ...
"""

import asyncio
import pickle
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from tests.fakes.api_server import FakeApiServer
from tests.fakes.objects import crowd

READY_WITHIN: Final = 60.0
"""Seconds the process may take to listen."""
ENDS_WITHIN: Final = 10.0
ROOT: Final = Path(__file__).parents[2]


class BackgroundApiServer:
    """Starts with ``with``; every method of `FakeApiServer` goes through `call`."""

    def __init__(self, **options: Any) -> None:
        self.url = ""
        self._options = options
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            (sys.executable, "-m", "tests.fakes.background"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        self._send(self._options)
        if not select.select([self._replies], [], [], READY_WITHIN)[0]:
            self._process.kill()
            self._process.wait()
            raise TimeoutError("the fake API server did not start")
        self.url = pickle.load(self._replies)
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._replies.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """The process is no more."""
        return self._process.poll() is not None

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Run that method (coroutine or not) of the server there, and return what it returns, or raise what it raises.

        The name of an attribute gives its value; ``set_NAME`` with one argument sets it.
        """
        self._send((name, args, options))
        result = pickle.load(self._replies)
        if isinstance(result, Exception):
            raise result
        return result

    def crowd(self, services: int, endpoints_each: int, namespaces: int = 100) -> None:
        """Fill it with `tests.fakes.objects.crowd`, made over there."""
        self.call("crowd", services, endpoints_each, namespaces)

    @property
    def _orders(self) -> BinaryIO:
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    @property
    def _replies(self) -> BinaryIO:
        assert self._process.stdout is not None
        return self._process.stdout  # type: ignore[return-value]

    def _send(self, order: object) -> None:
        pickle.dump(order, self._orders)
        self._orders.flush()


async def serve(orders: BinaryIO, replies: BinaryIO) -> None:
    """Do as ordered, one order after the other, until the orders end (with the parent)."""
    loop = asyncio.get_running_loop()

    def reply(result: object) -> None:
        pickle.dump(result, replies)
        replies.flush()

    async with FakeApiServer(**pickle.load(orders)) as api:
        reply(api.url)
        while True:
            try:
                name, args, options = await loop.run_in_executor(None, pickle.load, orders)
            except EOFError:
                return
            try:
                reply(await _call(api, name, args, options))
            except Exception as error:  # noqa: BLE001 - it is raised again at the other end of the pipe
                reply(error)


async def _call(api: FakeApiServer, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if name == "crowd":
        api.state.load(crowd(*args))
        return None
    if name.startswith("set_"):
        setattr(api, name.removeprefix("set_"), args[0])
        return None
    target = getattr(api, name)
    if not callable(target):
        return target
    result = target(*args, **options)
    return await result if asyncio.iscoroutine(result) else result


if __name__ == "__main__":
    asyncio.run(serve(sys.stdin.buffer, sys.stdout.buffer))
