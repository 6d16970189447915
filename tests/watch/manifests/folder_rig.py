"""A source of manifests that is read while a test edits them, and the ways in which files are saved."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kdns.base.objects import Object, ObjectKey, Service
from kdns.watch.manifests.files import FileSource
from kdns.watch.source import Deleted, Event, ListComplete, Upserted, Want

PATIENCE = 120.0
"""Seconds within which an edit must show. It takes a tenth of one; the machine may have other things to do."""
SERVICES = (Want("Service"),)


def service(name: str, address: str = "10.96.0.9") -> str:
    """A manifest of Service shop/NAME."""
    return (
        f"kind: Service\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
    )


class Follower:
    """Reads a source's one stream, and keeps what it says."""

    def __init__(self, source: FileSource, wants: tuple[Want, ...]) -> None:
        self.source = source
        self.events: list[Event] = []
        self.objects: dict[ObjectKey, Object] = {}
        self.ended = False
        self._wants = wants
        self._news = asyncio.Event()

    async def read(self) -> None:
        (stream,) = self.source.streams(self._wants)
        async for event in stream:
            self.events.append(event)
            match event:
                case Upserted(kept):
                    self.objects[kept.key] = kept
                case Deleted(key):
                    del self.objects[key]
            self._news.set()
        self.ended = True
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, event by event; AssertionError if it does not come to that."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def listed(self) -> None:
        await self.until(lambda: sum(isinstance(event, ListComplete) for event in self.events) == len(self._wants))

    async def has(self, **services: str) -> None:
        """Wait until exactly these Services of shop are there, with these addresses."""
        await self.until(lambda: self.addresses() == services)

    def addresses(self) -> dict[str, str]:
        return {
            kept.key.name: ".".join(str(octet) for octet in kept.cluster_ips[0])
            for kept in self.objects.values()
            if isinstance(kept, Service)
        }


@asynccontextmanager
async def following(path: Path | str, wants: tuple[Want, ...] = SERVICES, **more: Any) -> AsyncIterator[Follower]:
    """A source that is read while the body runs, and closed afterwards."""
    follower = Follower(FileSource(path, **more), wants)
    task = asyncio.create_task(follower.read())
    try:
        await follower.listed()
        yield follower
    finally:
        await follower.source.close()
        async with asyncio.timeout(PATIENCE):
            await task


def replace(path: Path, text: str) -> None:
    """As editors save: another file takes the name."""
    other = path.with_name(f".{path.name}.swp")
    other.write_text(text)
    other.rename(path)


def set_aside(path: Path, text: str) -> None:
    """As other editors save: the old file gets another name first."""
    if path.exists():
        path.rename(path.with_name(path.name + "~"))
    path.write_text(text)


def truncate(path: Path, text: str) -> None:
    """As shells write: the file is empty for a moment."""
    with path.open("w") as file:
        file.flush()
        os.fsync(file.fileno())
        file.write(text)


SAVES: tuple[Callable[[Path, str], object], ...] = (Path.write_text, replace, set_aside, truncate)
