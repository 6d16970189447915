"""One open watch of the fake API server."""

import asyncio
import contextlib
import json
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

from kdns.lab.cluster_state import Collection, Occurred, Stored, View
from tests.fakes.faults import (
    Close,
    Cut,
    Deaf,
    Disturbance,
    Duplicate,
    Error,
    Garbage,
    Mark,
    Oversized,
    Refusal,
    Say,
    Stall,
)

if TYPE_CHECKING:
    from tests.fakes.api_server import FakeApiServer

BURST = 1 << 18
"""Octets of initial events that are written at once."""


class Watcher:
    """Writes the events after `since` to one response, as they occur, and the disturbances as they are ordered."""

    def __init__(
        self,
        server: "FakeApiServer",
        collection: Collection,
        view: View,
        *,
        since: int,
        request: web.Request,
        response: web.StreamResponse,
    ) -> None:
        self.server, self.collection, self.since = server, collection, since
        self.bookmarks = False
        self.wake = asyncio.Event()
        self._sees = view.predicate()
        self._request, self._response = request, response
        self._orders: deque[Disturbance] = deque()
        self._unshown: list[Occurred] = []
        self._last = b""
        self._deaf = False

    def disturb(self, disturbance: Disturbance) -> None:
        """To be done before anything else that is still to be written."""
        self._orders.append(disturbance)
        self.wake.set()

    def keep_unshown(self) -> None:
        """The history is about to be forgotten; an open watch still shows all of it (real servers feed each watch)."""
        self._unshown += self.collection.since(self.since)

    async def run(self, *, initial: bool, announce: bool) -> None:
        """Write until the watch ends.

        `initial`: begin with every object as it is; `announce`: and then say so in a bookmark (streaming list).
        """
        if initial:
            await self._write_initial(announce)
        elif self.since < self.collection.forgotten:
            await self._error(Refusal(410, "Expired", f"too old resource version: {self.since}"))
            return
        while True:
            self.wake.clear()
            while self._orders:
                if not await self._obey(self._orders.popleft()):
                    return
            await self._catch_up()
            if self._orders or self.wake.is_set():
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), self.server.bookmark_every)
            if self.bookmarks and not self.wake.is_set():
                await self._bookmark(self.server.version)

    async def _catch_up(self) -> None:
        unshown, self._unshown = self._unshown, []
        for occurred in (*unshown, *self.collection.since(self.since)):
            if occurred.version > self.since:
                if not self._deaf:
                    await self._show(occurred)
                self.since = occurred.version

    async def _write_initial(self, announce: bool) -> None:
        version = self.server.version
        burst: list[bytes] = []
        size = 0
        for stored in tuple(self.collection.objects.values()):
            if self._sees(stored):
                line = _event("ADDED", stored.raw)
                burst.append(line)
                size += len(line)
            if size > BURST:
                await self._send(b"".join(burst))
                burst, size = [], 0
        await self._send(b"".join(burst))
        self.since = version
        if announce:
            await self._bookmark(version, {"k8s.io/initial-events-end": "true"})

    async def _show(self, occurred: Occurred) -> None:
        """What leaves or enters the view is deleted or added there (as the watch cache does it)."""
        before, after = occurred.before, occurred.after
        saw, sees = self._sees(before), self._sees(after)
        if after is not None and sees:
            self._last = _event("MODIFIED" if saw else "ADDED", after.raw)
        elif before is not None and saw:
            self._last = _event("DELETED", _at(before, occurred.version))
        else:
            return
        await self._send(self._last)

    async def _bookmark(self, version: int, annotations: dict[str, str] | None = None) -> None:
        resource = self.collection.resource
        metadata: dict[str, object] = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        await self._send(_event("BOOKMARK", json.dumps(body).encode()))

    async def _error(self, refusal: Refusal) -> None:
        await self._send(_event("ERROR", json.dumps(refusal.status()).encode()))

    async def _obey(self, order: Disturbance) -> bool:
        """Do as ordered; False: the watch is over."""
        match order:
            case Cut():
                await self._send(b'{"type":"MODIFIED","object":{"metadata":{"name":"cu')
                if (transport := self._request.transport) is not None:
                    await asyncio.sleep(0.01)  # the half line leaves before the reset
                    transport.abort()
                return False
            case Close():
                return False
            case Garbage(line=line) | Say(line=line):
                await self._send(line + b"\n")
            case Oversized(octets=octets):
                await self._send(b'{"type":"ADDED","object":{"metadata":{"name":"big","annotations":{"x":"')
                for _ in range(0, octets, 1 << 16):
                    await self._send(b"x" * (1 << 16))
                await self._send(b'"}}}}\n')
            case Duplicate():
                await self._send(self._last)
            case Deaf():
                self._deaf = True
            case Stall():
                await asyncio.Event().wait()
            case Error(refusal=refusal):
                await self._error(refusal)
                return False
            case Mark(version=None):
                await self._catch_up()  # a bookmark promises that everything before it was shown
                await self._bookmark(self.server.version)
            case Mark(version=int(version)):
                await self._bookmark(version)
        return True

    async def _send(self, octets: bytes) -> None:
        if not octets:
            return
        if self.server.pace is None:
            await self._response.write(octets)
            return
        step, pause = self.server.pace
        for start in range(0, len(octets), step):
            await self._response.write(octets[start : start + step])
            await asyncio.sleep(pause)


def _event(kind: str, raw: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}\n"


def _at(stored: Stored, version: int) -> bytes:
    """A deletion shows the last state under the version of the deletion."""
    body = json.loads(stored.raw)
    body["metadata"]["resourceVersion"] = str(version)
    return json.dumps(body).encode()
