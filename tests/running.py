"""A real kdns process, for tests that are about the whole of it."""

import asyncio
import logging
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from kdns.demo.ask import Question, Reply, ask

PATIENCE = 120.0
"""Seconds for anything that must happen; a loaded machine is slow."""
LOOPBACK = ("--listen", "127.0.0.1", "--port", "0")
HTTP = ("--health", "127.0.0.1:0", "--ready", "127.0.0.1:0", "--metrics", "127.0.0.1:0")

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{name: http, port: 80, protocol: TCP}]}
"""
WEB = Question("web.shop.svc.cluster.local", "A")
NOBODY = Question("nobody.shop.svc.cluster.local", "A")


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that others bring about, `PATIENCE` seconds at most."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it is about what others do
            await asyncio.sleep(0.01)


def folder(path: Path) -> str:
    """A folder of manifests with one Service."""
    (path / "shop.yaml").write_text(SHOP)
    return str(path)


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Undo what `kdns.ops.logs.set_up` does, which is meant for a whole process."""
    root, ours = logging.getLogger(), logging.getLogger("kdns")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        ours.setLevel(our_level)


class Kdns:
    """``async with Kdns("serve", ...) as kdns``; the process is killed at the end if it still runs."""

    def __init__(self, *arguments: str, within: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> None:
        """``within``: a command that runs ours; ``environ``: instead of our own environment."""
        self._command = (*within, sys.executable, "-u", "-m", "kdns", *arguments)
        self._environ = environ
        self._process: Process
        self.out: list[str] = []
        """Lines on stdout so far, without their ends."""
        self._news = asyncio.Condition()
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=PIPE, stderr=PIPE, env=self._environ
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._news:
                self.out.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def line(self, pattern: str) -> re.Match[str]:
        """The first line of stdout in which the pattern is found, now or later."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                while True:
                    for line in self.out:
                        if found := re.search(pattern, line):
                            return found
                    assert not self._reader.done(), f"no {pattern!r} in {self.out}"
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} within {PATIENCE} s in {self.out}") from None

    async def port(self) -> int:
        """The port it answers DNS on; waits until it does."""
        found = await self.line(r"^cluster\.local\.:(\d+)")
        await self.line(r"^linux/")  # the last of the start-up lines
        return int(found[1])

    async def ask(self, question: Question) -> Reply:
        """What it answers."""
        return await ask(question, "127.0.0.1", await self.port())

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages."""
        found = await self.line(rf"{path} on (\S+)$")
        async with aiohttp.ClientSession() as session, session.get(f"http://{found[1]}{path}") as response:
            return response.status, await response.text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Its exit status, and all of stderr."""
        assert self._process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            errors = await self._process.stderr.read()
            return await self._process.wait(), errors.decode()
