"""One kind of object, followed for ever: the table of `states` walked, and what comes of it as events.

::

    reflector   walks the table: one attempt after the other, with pauses between those that fail
      states      what is asked next, and what can come of it, pure
      standing    what the other rooms hear of failures, pure
      watching    one watch, with the streaming list before it
        position    resource versions, and how many objects there are, pure
        audit       now and then: is that all there is?, pure
      reading     lines and items -> objects, pure

What goes wrong is reported as Lost, and nothing that is known is forgotten meanwhile: only an event, or a complete list
that does not mention it, removes an object.
"""

import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from kdns.base.clock import Backoff, Clock, TimeSlice
from kdns.base.errors import ApiError
from kdns.base.objects import PLURALS
from kdns.metrics.cluster import ClusterCounts, WatchFreshness
from kdns.watch.api.audit import INTERVALS, Audit, Intervals
from kdns.watch.api.causes import cause_of
from kdns.watch.api.client import Api
from kdns.watch.api.position import Position
from kdns.watch.api.reading import ObjectReader
from kdns.watch.api.standing import Standing
from kdns.watch.api.states import TRANSITIONS, Outcome, State, outcome_of
from kdns.watch.api.watching import Watch
from kdns.watch.decode.spelling import Warn
from kdns.watch.source import Event, ListComplete, Listing, Lost, Skipped, Upserted, Want

WATCH_SECONDS: Final = (300, 600)
"""A watch is asked to last so long, at random so that they do not all end together (client-go: 5 to 10 minutes)."""


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
        audits: Intervals = INTERVALS,
    ) -> None:
        """`warn` is called once for each object or line that was left out; `counts` counts why watches restart;
        `audits` says how often the server is asked whether the watch shows all there is."""
        self._counts = counts or ClusterCounts()
        self._api, self._want, self._clock, self._chance, self._warn = api, want, clock, chance, warn
        self._backoff = backoff or Backoff(clock=clock, chance=chance)
        self._reader = ObjectReader(want, warn)
        self._standing = Standing(want)
        self._position = Position()
        self._audit = Audit(self._position, clock, chance, audits)
        self._state = State.LISTING
        self._ended: Outcome | None = None
        """What came of an attempt that did not fail; None: a list, which has moved us on."""
        self._stream_unknown = False
        """Streaming lists were refused with 404, as by a server that does not know them, if it knows the kind."""
        self._stale_at: float | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Every event, for ever; the caller closes it. Raises nothing that a server or a network can cause."""
        freshness = self._counts.watching(self._want.kind)
        try:
            while True:
                async with aclosing(self._attempt(freshness)) as events:
                    async for event in events:
                        yield event
        finally:
            self._counts.ended(freshness)

    async def _attempt(self, freshness: WatchFreshness) -> AsyncGenerator[Event, None]:
        """Once through the table: act as the state says, move on, and pause if that is called for."""
        report: Lost | Skipped | None = None
        at_least = 0.0
        try:
            async with aclosing(self._act(freshness)) as events:
                async for event in events:
                    if isinstance(event, ListComplete):
                        self._listed()
                    yield event
            outcome = self._result()
            pauses = outcome is Outcome.CLOSED and not self._backoff.well
        except ApiError as error:
            outcome = outcome_of(self._state, error)
            self._counts.restarted(self._want.kind, cause_of(error))
            self._stream_unknown = outcome is Outcome.UNSUPPORTED and error.code == 404
            if pauses := self._waits_after(outcome):
                report, at_least = self._standing.failed(error), self._standing.pause(error)
            elif error.reason == "differs":
                self._warn(f"the watch of {PLURALS[self._want.kind]} is not right: {error.message}; listing them again")
        if outcome is not None:
            self._move(outcome)
        if report is not None:
            yield report
        if pauses:
            await self._backoff.pause(at_least)

    def _move(self, outcome: Outcome) -> None:
        self._state = TRANSITIONS[self._state, outcome]
        if self._state is State.LISTING:
            self._position.version = ""
            self._audit.begin()

    def _result(self) -> Outcome | None:
        ended, self._ended = self._ended, None
        return ended

    def _waits_after(self, failure: Outcome) -> bool:
        """Whether the next attempt has to wait, and the failure is to be reported."""
        if failure is Outcome.STALE:
            # At once, or what vanished would be served still; a server that forgets so fast again gets pauses.
            before, self._stale_at = self._stale_at, self._clock()
            return before is not None and self._stale_at - before < Backoff.HEALTHY
        return failure not in {Outcome.UNSUPPORTED, Outcome.LIST_ONLY}

    def _listed(self) -> None:
        self._standing.listed()
        if self._stream_unknown:
            self._stream_unknown = self._api.streams_lists = False
        self._move(Outcome.LISTED)

    async def _act(self, freshness: WatchFreshness) -> AsyncGenerator[Event, None]:
        """Do what the state says; what goes wrong is raised as an ApiError."""
        match self._state:
            case State.COMPARING:
                newest, _ = await self._api.newest(self._want)
                self._position.compare(newest, self._position.version)
                self._ended = Outcome.SAME
            case State.LISTING if not self._api.streams_lists:
                self._ended = Outcome.UNSUPPORTED
            case State.PAGING:
                async with aclosing(self._list_pages()) as events:
                    async for event in events:
                        yield event
                freshness.at = self._counts.clock()
            case _:
                async with aclosing(self._watch(freshness)) as events:
                    async for event in events:
                        yield event

    async def _list_pages(self) -> AsyncGenerator[Event, None]:
        yield Listing(self._want.kind)
        turn = TimeSlice(clock=self._clock)
        version, objects = "", 0
        async with aclosing(self._api.pages(self._want)) as pages:
            async for page in pages:
                version = page.version
                for item in page.items or ():
                    objects += 1
                    if (kept := self._reader.item(item).object) is not None:
                        yield Upserted(kept)
                    if turn.over():
                        await turn.rest()
        if not version:
            raise ApiError(0, "garbage", f"a list of {PLURALS[self._want.kind]} without a resource version")
        self._position.listed(version, objects)
        self._audit.begin()
        yield ListComplete(self._want.kind, version)

    async def _watch(self, freshness: WatchFreshness) -> AsyncGenerator[Event, None]:
        shortest, longest = WATCH_SECONDS
        seconds = round(shortest + (longest - shortest) * self._chance())
        until = self._clock() + seconds
        watch = Watch(
            self._api,
            self._want,
            self._reader,
            self._position,
            self._audit,
            freshness,
            clock=self._clock,
            now=self._counts.clock,
        )
        async with self._api.watch(
            self._want, since=self._position.version, seconds=seconds, skipped=watch.skipped
        ) as lines:
            self._backoff.begin()
            if self._state is State.WATCHING and (resumed := self._standing.resumed()) is not None:
                yield resumed
            async with aclosing(watch.events(lines)) as events:
                async for event in events:
                    yield event
        early = self._clock() < until - 1
        self._ended = Outcome.CLOSED if early else Outcome.ENDED
        self._counts.restarted(self._want.kind, "closed" if early else "ended")
