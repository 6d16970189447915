"""One kind of object, followed for ever: list, watch, resume, list again.

::

                 ┌──────── 410, a version from the past or the future, silence ────────┐
                 v                                                                     │
    list ──> Listing, Upserted..., ListComplete ──> watch ──> Upserted, Deleted... ──> ends ┤
                                                      ^                                │
                                                      └─ pause, maybe compare versions, resume

A streaming list (KEP-3157) and the watch after it are one request; where the server cannot do that, the list comes in
pages. What goes wrong is told as Lost, and nothing that is known is forgotten meanwhile.

Versions are compared as numbers, which KEP-5504 (Kubernetes 1.35) made official and etcd always had. It shows what
nobody says otherwise: a server that was restored from a backup knows less than we do, accepts our version without
a word, and would never tell what vanished.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from kdns.base.clock import Backoff, Clock, TimeSlice
from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.base.objects import ObjectKey
from kdns.metrics.cluster import ClusterCounts, WatchFreshness
from kdns.watch.api.causes import cause_of
from kdns.watch.api.client import RESOURCES, Api, StreamingRefused, WatchTimeout, reason_of, refusal
from kdns.watch.decode.packing import keeper
from kdns.watch.decode.schema import (
    Added,
    Bookmark,
    Failed,
    Metadata,
    Modified,
    Versioned,
    WatchEvent,
    key_of,
    named_decoder,
    trigger_time,
    watch_decoder,
    wire_type,
)
from kdns.watch.decode.schema import (
    Deleted as WireDeleted,
)
from kdns.watch.decode.spelling import Warn
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Skipped, Upserted, Want

WATCH_SECONDS: Final = (300, 600)
"""A watch is asked to last so long, at random so that they do not all end together (client-go: 5 to 10 minutes)."""
LIST_PATIENCE: Final = 10.0
"""Seconds a streaming list may say nothing: some servers (proxies, aggregated ones) take sendInitialEvents for granted,
and never send the bookmark that ends the list. Pages always end."""
WAIVED_PAUSE: Final = 300.0
"""Seconds until a kind that we were forbidden to list, and can do without, is asked for again."""
WARNED_LIMIT: Final = 1000
"""Warnings remembered, so that a relist does not repeat them."""


class Reflector:
    """Follows one kind; `events` is the endless stream."""

    def __init__(
        self,
        api: Api,
        want: Want,
        *,
        warn: Warn,
        backoff: Backoff | None = None,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
        counts: ClusterCounts | None = None,
    ) -> None:
        """`warn` is told each object or line that was left out, once; `counts` why the watch begins anew."""
        self._counts = counts or ClusterCounts()
        self._arrived = 0.0
        """When the lines that are being read came, by the clock of `counts`."""
        self._api, self._want, self._clock, self._chance = api, want, clock, chance
        self._backoff = backoff or Backoff(clock=clock, chance=chance)
        self._warn_once = _Once(warn)
        self._keep = keeper(
            want.kind,
            pod_names=want.pod_names,
            external=want.external,
            zones=want.zones,
            routing=want.routing,
            named=want.named,
            imports=want.imports,
            labels=want.labels,
        )
        self._decode = watch_decoder(want.kind, routing=want.routing)
        self._decode_named = named_decoder()
        self._decode_object: Decoder[Any] = Decoder(wire_type(want.kind, routing=want.routing))
        self._version = ""
        """Of the newest event; empty: a list is needed."""
        self._resumed = 0
        """The number of the version that the present watch began with; what is older comes from another past."""
        self._listing = False
        self._lost = ""
        self._waived = False
        self._doubtful = False
        """The connection broke, or ended early: the server may be another one now."""
        self._pages_next = False
        """A server failed at a streaming list: try once without."""
        self._not_found = False
        """It failed with 404: it knows no streaming lists, if it knows the kind."""
        self._expired_at: float | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Every event, for ever; the caller closes it. Raises nothing that a server or a network can cause."""
        heard = self._counts.watching(self._want.kind)
        try:
            async with aclosing(self._events(heard)) as events:
                async for event in events:
                    yield event
        finally:
            self._counts.ended(heard)

    async def _events(self, heard: WatchFreshness) -> AsyncGenerator[Event, None]:
        while True:
            try:
                async with aclosing(self._attempt(heard)) as events:
                    async for event in events:
                        yield event
                continue
            except ApiError as error:
                self._counts.restarted(self._want.kind, cause_of(error))
                if isinstance(error, Expired) and not self._expired_lately():
                    self._version = ""
                    continue  # list again at once
                said = self._note(error)
                at_least = error.after if isinstance(error, Throttled) else WAIVED_PAUSE if self._waived else 0.0
            if said is not None:
                yield said
            await self._backoff.pause(at_least)

    def _note(self, error: ApiError) -> Lost | Skipped | None:
        """What an error makes of our state, and what is to be said about it; nothing twice in a row."""
        if isinstance(error, Expired | WatchTimeout):
            self._version = ""  # what was missed, nobody knows: only a list tells what vanished
        self._doubtful = self._doubtful or error.code == 0
        self._pages_next = not self._version and error.code >= 500
        reason = reason_of(error)
        if self._waived or reason == self._lost:
            return None
        missing = not self._want.installed and error.code == 404
        if missing or (self._want.optional and error.code in {403, 404}):  # 404: older than the kind
            self._waived, self._lost = True, ""
            return Skipped(self._want.kind, f"{reason} (not installed)" if missing else reason)
        self._lost = reason
        return Lost(self._want.kind, reason)

    async def _attempt(self, heard: WatchFreshness) -> AsyncGenerator[Event, None]:
        """Once through the picture above, until a watch ends; what goes wrong is raised as an ApiError."""
        if self._version and self._doubtful:
            await self._compare()
        if not self._version and (self._pages_next or not self._api.streams_lists):
            async with aclosing(self._list_pages()) as events:
                async for event in events:
                    yield event
            heard.at = self._counts.clock()
        try:
            async with aclosing(self._watch(heard)) as events:
                async for event in events:
                    yield event
        except StreamingRefused as error:
            self._pages_next, self._not_found = True, error.code == 404
            self._counts.restarted(self._want.kind, "streaming")
            return  # the next attempt asks for pages
        except Denied as error:
            if self._version or error.code != 403:
                raise
            # To be forbidden to watch is no reason not to list: say so with what is known.
            async with aclosing(self._list_pages()) as events:
                async for event in events:
                    yield event

    async def _compare(self) -> None:
        """After an outage: a server that is behind us was restored, or is another one. Then only a list will do."""
        newest = await self._api.newest(self._want)
        if 0 < _number(newest) < _number(self._version):
            raise Expired(0, "older", f"the server is at version {newest}, we have seen {self._version}")
        self._doubtful = False

    async def _list_pages(self) -> AsyncGenerator[Event, None]:
        yield self._begin_list()
        turn = TimeSlice(clock=self._clock)
        version = ""
        async with aclosing(self._api.pages(self._want)) as pages:
            async for page in pages:
                version = page.version
                for item in page.items or ():
                    if (kept := self._read_item(bytes(item))) is not None:
                        yield kept
                    if turn.over():
                        await turn.rest()
        yield self._end_list(version)
        if self._not_found:
            self._not_found = self._api.streams_lists = False

    async def _watch(self, heard: WatchFreshness) -> AsyncGenerator[Event, None]:
        """One watch request, with the streaming list before it if a list is needed."""
        shortest, longest = WATCH_SECONDS
        seconds = round(shortest + (longest - shortest) * self._chance())
        until = self._clock() + seconds
        since = self._version
        async with self._api.watch(self._want, since=since, seconds=seconds, skipped=self._skipped) as lines:
            self._backoff.begin()
            self._resumed = _number(since)
            if not since:
                yield self._begin_list()
            elif self._lost:
                self._lost = ""
                yield Resumed(self._want.kind)
            turn = TimeSlice(clock=self._clock)
            while (batch := await self._next(lines)) is not None:
                self._arrived = self._counts.clock()
                for line in batch:
                    for event in self._read_line(line):
                        yield event
                    if turn.over():
                        await turn.rest()
                if not self._listing:
                    heard.at = self._arrived
        if self._listing:
            raise ApiError(0, "lost", "the server ended a streaming list before it was complete")
        early = self._clock() < until - 1
        self._counts.restarted(self._want.kind, "closed" if early else "ended")
        if early:
            # Earlier than asked: it is shutting down, or something between us gives up idle connections.
            self._doubtful = True
            if not self._backoff.well:
                await self._backoff.pause()

    async def _next(self, lines: AsyncIterator[list[bytes]]) -> list[bytes] | None:
        """The lines that come next; None at the end. While a list streams, with less patience than for a watch."""
        patience = min(LIST_PATIENCE, self._api.watch_timeout / 2) if self._listing else None
        try:
            async with asyncio.timeout(patience):
                return await anext(lines, None)
        except TimeoutError as error:
            raise self._api.refuse_streaming(f"a list of {self._plural} that did not end") from error

    def _read_line(self, line: bytes) -> list[Event]:
        """What a line of a watch says: mostly one event. Raises an ApiError if it says that the watch is over."""
        try:
            return self._read_event(self._decode.decode(line))
        except ValidationError as error:
            return self._read_unusable(line, error)
        except (DecodeError, UnicodeDecodeError) as error:
            self._warn_once(f"a line of the watch on {self._plural} is no JSON: {error}")
            raise ApiError(0, "garbage", f"a line of the watch on {self._plural} is no JSON: {error}") from error

    def _read_event(self, event: WatchEvent) -> list[Event]:
        match event:
            case Failed(object=status):
                raise refusal(status, denied=f"may not watch {self._plural}")
            case Bookmark(object=Versioned(metadata=metadata)):
                return self._read_bookmark(metadata)
            case _:
                metadata = event.object.metadata
                if not self._is_news(metadata):
                    return []
                return self._read_object(event, metadata)

    def _read_object(
        self, event: Added[Any] | Modified[Any] | WireDeleted[Any], metadata: Metadata | None
    ) -> list[Event]:
        key: ObjectKey | None = None
        try:
            key = key_of(self._want.kind, metadata)
            if isinstance(event, WireDeleted):
                return [self._gone(key)]
            kept = self._keep(event.object, lambda text: self._warn_once(f"{key}: {text}"))
        except ValueError as error:
            self._warn_once(f"{key or self._want.kind} left out: {error}")
            kept = None
        if kept is not None:
            if self._listing:
                return [Upserted(kept)]
            return [Upserted(kept, trigger_time(metadata), self._arrived)]
        return [] if key is None else [self._gone(key)]  # it cannot be served any more, as it would not be after a list

    def _read_unusable(self, line: bytes, error: ValidationError) -> list[Event]:
        """An object with a field of the wrong type: name it, and go on behind it."""
        try:
            event = self._decode_named.decode(line)
            if isinstance(event, Bookmark | Failed):
                return self._read_event(event)
            metadata = event.object.metadata
            key = key_of(self._want.kind, metadata)
        except ValueError:
            self._warn_once(f"an event of {self._plural} left out: {error}")
            return []
        if not self._is_news(metadata):
            return []
        if not isinstance(event, WireDeleted):
            self._warn_once(f"{key} left out: {error}")
        return [self._gone(key)]

    def _gone(self, key: ObjectKey) -> Deleted:
        return Deleted(key, None if self._listing else self._arrived)

    def _read_item(self, item: bytes) -> Upserted | None:
        """An object of a list page; None if it is left out."""
        try:
            wire = self._decode_object.decode(item)
        except ValueError as error:
            name: object = self._want.kind
            with suppress(ValueError):  # nameless too: then the warning says all there is
                name = key_of(self._want.kind, _VERSIONED.decode(item).metadata)
            self._warn_once(f"{name} left out: {error}")
            return None
        found = self._read_object(Added(wire), wire.metadata)
        return found[0] if found and isinstance(found[0], Upserted) else None

    def _read_bookmark(self, metadata: Metadata | None) -> list[Event]:
        version = (metadata.resource_version if metadata else None) or ""
        number = _number(version)
        if self._listing:
            annotations = metadata.annotations if metadata else None
            if annotations is not None and annotations.initial_events_end == "true":
                self._resumed = number
                return [self._end_list(version)]
            raise self._api.refuse_streaming(f"a list of {self._plural} that ended with a plain bookmark")
        if 0 < number < self._resumed:
            raise Expired(0, "older", f"the server is at version {version}, we have seen {self._version}")
        if number >= _number(self._version):
            self._version = version
        return []

    def _is_news(self, metadata: Metadata | None) -> bool:
        """Take note of an event's version; False for a duplicate. The events of a watch come in order, those of a
        streaming list do not."""
        version = (metadata.resource_version if metadata else None) or ""
        number = _number(version)
        if self._listing:
            return True
        if 0 < number < self._resumed:
            raise Expired(0, "older", f"an event has version {version}, we had resumed at {self._resumed}")
        if 0 < number <= _number(self._version):
            return False
        self._version = version or self._version
        return True

    def _begin_list(self) -> Listing:
        self._listing = True
        return Listing(self._want.kind)

    def _end_list(self, version: str) -> ListComplete:
        if not version:
            raise ApiError(0, "garbage", f"a list of {self._plural} without a resource version")
        self._listing, self._version = False, version
        self._lost, self._waived, self._doubtful, self._pages_next = "", False, False, False
        return ListComplete(self._want.kind, version)

    def _expired_lately(self) -> bool:
        """Note that our version has expired; True if it has just before: a server that forgets so fast gets pauses."""
        before, self._expired_at = self._expired_at, self._clock()
        return before is not None and self._expired_at - before < Backoff.HEALTHY

    def _skipped(self, octets: int) -> None:
        self._warn_once(f"an event of {self._plural} left out: it has more than {octets} octets")

    @property
    def _plural(self) -> str:
        return RESOURCES[self._want.kind].plural


_VERSIONED = Decoder(Versioned)


class _Once:
    """Passes each warning on once, as far back as a bounded memory goes."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._said: dict[str, None] = {}

    def __call__(self, text: str) -> None:
        if text in self._said:
            return
        if len(self._said) >= WARNED_LIMIT:
            self._said.clear()
        self._said[text] = None
        self._warn(text)


def _number(version: str) -> int:
    """A resource version as a number; 0 for none, or for a server that counts otherwise: then nothing is compared."""
    return int(version) if version.isascii() and version.isdigit() else 0
