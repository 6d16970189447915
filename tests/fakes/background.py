"""The fake API server in another process, for loads that would otherwise share a loop with what they measure.

::

    with BackgroundApiServer() as api:
        api.call("put", service("shop", "web", "10.96.0.9"))
        api.crowd(10_000, 10)
        ... api.url ...
"""

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from tests.fakes.api_server import FakeApiServer
from tests.fakes.objects import crowd

READY_WITHIN = 60.0
"""Seconds the process may take to listen."""


class BackgroundApiServer:
    """Starts with ``with``; every method of `FakeApiServer` goes through `call`."""

    def __init__(self, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, options), daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._process.start()
        if not self._ours.poll(READY_WITHIN):
            self._process.terminate()
            raise TimeoutError("the fake API server did not start")
        self.url = self._ours.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._ours.send(("", (), {}))
            self._process.join(10)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Run that method (coroutine or not) of the server there, and return what it returns, or raise what it raises.

        A name without arguments that is no method gives the attribute; ``set_NAME`` with one argument sets it.
        """
        self._ours.send((name, args, options))
        result = self._ours.recv()
        if isinstance(result, Exception):
            raise result
        return result

    def crowd(self, services: int, endpoints_each: int, namespaces: int = 100) -> None:
        """Fill it with `tests.fakes.objects.crowd`, made over there."""
        self.call("crowd", services, endpoints_each, namespaces)


def _run(pipe: Connection, options: dict[str, Any]) -> None:
    asyncio.run(_serve(pipe, options))


async def _serve(pipe: Connection, options: dict[str, Any]) -> None:
    """Do what the pipe says until it says nothing, or closes with the parent."""
    loop = asyncio.get_running_loop()
    async with FakeApiServer(**options) as api:
        pipe.send(api.url)
        while True:
            try:
                name, args, named = await loop.run_in_executor(None, pipe.recv)
            except (EOFError, OSError):
                return
            if not name:
                return
            try:
                result = await _call(api, name, args, named)
            except Exception as error:  # noqa: BLE001 - it is raised again at the other end of the pipe
                result = error
            pipe.send(result)


async def _call(api: FakeApiServer, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if name == "crowd":
        api.state.load(crowd(*args))
        return None
    if name.startswith("set_"):
        setattr(api, name.removeprefix("set_"), args[0])
        return None
    target = getattr(api, name)
    if not callable(target):
        return target
    result = target(*args, **named)
    return await result if asyncio.iscoroutine(result) else result
