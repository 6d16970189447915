"""One watch request, from its first line to its end, with the streaming list before it if a list is needed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from typing import Final

from kdns.base.clock import Clock, TimeSlice
from kdns.base.errors import ApiError, Expired
from kdns.base.objects import PLURALS
from kdns.metrics.cluster import WatchFreshness
from kdns.watch.api.audit import Audit
from kdns.watch.api.client import Api
from kdns.watch.api.failures import refusal
from kdns.watch.api.position import Position
from kdns.watch.api.reading import ObjectEvent, ObjectReader
from kdns.watch.decode.schema import Bookmark, Failed
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Upserted, Want

LIST_PATIENCE: Final = 10.0
"""Seconds a streaming list may say nothing: some servers (proxies, aggregated ones) take sendInitialEvents for granted,
and never send the bookmark that ends the list. Pages always end."""


class Watch:
    """Reads one watch; `events` raises an ApiError, or just ends with the watch."""

    def __init__(
        self,
        api: Api,
        want: Want,
        reader: ObjectReader,
        position: Position,
        audit: Audit,
        freshness: WatchFreshness,
        *,
        clock: Clock,
        now: Clock,
    ) -> None:
        """Where `position` has no version, the watch begins with a streaming list. `now` is what `freshness` and the
        arrival of events are measured by."""
        self._api, self._want, self._reader, self._position = api, want, reader, position
        self._audit, self._freshness, self._clock, self._now = audit, freshness, clock, now
        self._listing = not position.version
        self._objects: int | None = 0
        """So many of the list's objects were shown; None: unknown."""
        self._arrived = 0.0
        self._limit: asyncio.Timeout | None = None
        self._complete = asyncio.Event()
        """There is no list under way."""

    async def events(self, lines: AsyncIterator[list[bytes]]) -> AsyncGenerator[Event, None]:
        """All that the lines say."""
        if self._listing:
            yield Listing(self._want.kind)
        else:
            self._complete.set()
        self._position.resumed()
        asking = asyncio.ensure_future(self._ask())
        turn = TimeSlice(clock=self._clock)
        try:
            while (batch := await self._next(lines)) is not None:
                self._arrived = self._now()
                for line in batch:
                    for event in self._read(line):
                        yield event
                    if turn.over():
                        await turn.rest()
                if not self._listing:
                    self._freshness.at = self._arrived
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
        if self._listing:
            raise ApiError(0, "lost", "the server ended a streaming list before it was complete")

    def skipped(self, octets: int) -> None:
        """An event was too large to be read, whatever it was."""
        self._uncounted()
        self._reader.warn_once(f"an event of {self._plural} left out: it has more than {octets} octets")

    async def _next(self, lines: AsyncIterator[list[bytes]]) -> list[bytes] | None:
        """The lines that come next; None at the end. While a list streams, with less patience than for a watch."""
        patience = min(LIST_PATIENCE, self._api.watch_timeout / 2) if self._listing else None
        try:
            async with asyncio.timeout(patience) as self._limit:
                self._check()
                return await anext(lines, None)
        except TimeoutError as error:
            self._check()
            raise self._api.refuse_streaming(f"a list of {self._plural} that did not end") from error
        finally:
            self._limit = None

    def _check(self) -> None:
        if self._audit.difference:
            raise Expired(0, "differs", self._audit.difference)

    async def _ask(self) -> None:
        """Ask the server now and then how many objects there are; what differs ends the watch."""
        await self._complete.wait()
        while not self._audit.difference:
            early = self._audit.at - self._clock()
            if early > 0:
                await asyncio.sleep(early)
                continue
            if not self._audit.asks:
                self._audit.late()
                continue
            seen = self._position.version
            try:
                newest, objects = await self._api.newest(self._want)
                self._position.compare(newest, seen)
            except Expired as error:
                self._audit.difference = error.message
            except ApiError:
                self._audit.unanswered()
            else:
                self._audit.answer(newest, objects)
        if self._limit is not None:
            self._limit.reschedule(0.0)

    def _read(self, line: bytes) -> Iterator[Event]:
        """What a line says: mostly one event. Raises an ApiError if it says that the watch is over."""
        match self._reader.line(line):
            case Failed(object=status):
                raise refusal(status, denied=f"may not watch {self._plural}")
            case Bookmark(object=versioned):
                yield from self._bookmark(versioned.metadata)
            case ObjectEvent() as event:
                yield from self._object(event)
            case None:
                self._uncounted()

    def _object(self, event: ObjectEvent) -> Iterator[Event]:
        """The events of a watch come in the order of their versions, those of a streaming list do not."""
        if self._listing:
            if self._objects is not None:
                self._objects += event.change
        else:
            self._audit.before(event.version)
            if not self._position.event(event.version):
                return
            self._position.count(event.change)
            self._audit.after()
        if event.object is not None:
            yield Upserted(event.object) if self._listing else Upserted(event.object, event.triggered, self._arrived)
        elif event.key is not None:
            yield Deleted(event.key, None if self._listing else self._arrived)

    def _bookmark(self, metadata: object) -> Iterator[Event]:
        version = getattr(metadata, "resource_version", None) or ""
        if not self._listing:
            self._position.bookmark(version)
            self._audit.after()
            return
        annotations = getattr(metadata, "annotations", None)
        if annotations is None or annotations.initial_events_end != "true":
            raise self._api.refuse_streaming(f"a list of {self._plural} that ended with a plain bookmark")
        if not version:
            raise ApiError(0, "garbage", f"a list of {self._plural} without a resource version")
        self._listing = False
        self._complete.set()
        self._position.listed(version, self._objects)
        self._audit.begin()
        yield ListComplete(self._want.kind, version)

    def _uncounted(self) -> None:
        """Something came that could not be read: the number of objects is unknown until the next list."""
        self._objects = None
        if not self._listing:
            self._position.objects = None

    @property
    def _plural(self) -> str:
        return PLURALS[self._want.kind]
