"""A dialogue with the fake API server, written down: what was asked, and what the streams said."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from kdns.base.clock import Backoff
from kdns.metrics.cluster import ClusterCounts
from kdns.watch.api.audit import INTERVALS, Intervals
from kdns.watch.api.cluster import ApiSource
from kdns.watch.api.credentials import Anonymous, Credentials
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Skipped, Upserted, Want
from kdns.watch.store import Store
from tests.fakes.api_server import Asked, FakeApiServer

PATIENCE = 120.0
"""Seconds a test waits for what must come: much longer than it takes."""

SERVICES = Want("Service")
SLICES = Want("EndpointSlice")


class Following:
    """Streams of an `ApiSource`, read into a `Store`; `said` has one line per event."""

    def __init__(
        self,
        api: FakeApiServer | str,
        *wants: Want,
        credentials: Credentials | None = None,
        watch_timeout: float = 30.0,
        line_limit: int = 1 << 20,
        audits: Intervals = INTERVALS,
    ) -> None:
        url = api if isinstance(api, str) else api.url
        self.store = Store()
        self.events: list[Event] = []
        self.said: list[str] = []
        self.pauses: list[float] = []
        """What the back-off would have waited; the tests wait a hundredth, and 0.1 s at most."""
        self.counts = ClusterCounts()
        self.source = ApiSource(
            credentials or Anonymous(url),
            watch_timeout=watch_timeout,
            line_limit=line_limit,
            backoff=lambda: Backoff(sleep=self._sleep),
            counts=self.counts,
            audits=audits,
        )
        self._wants: Sequence[Want] = wants or (SERVICES,)
        self._heard = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for stream in self.source.streams(self._wants):
            self._tasks.append(asyncio.ensure_future(self._read(stream)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        await self.source.close()

    async def _read(self, stream: object) -> None:
        async for event in stream:  # type: ignore[attr-defined]
            self.events.append(event)
            self.said.append(spelled(event))
            self.store.apply(event)
            self._heard.set()

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(min(seconds / 100, 0.1))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what must come; fails with everything that was said instead."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._heard.clear()
                    try:
                        await asyncio.wait_for(self._heard.wait(), 0.05)
                    except TimeoutError:
                        continue
        except TimeoutError:
            raise AssertionError("it did not come; there was: " + "; ".join(self.said)) from None

    async def until_said(self, line: str, times: int = 1) -> None:
        """Wait until a line was said that often."""
        await self.until(lambda: sum(said.startswith(line) for said in self.said) >= times)

    async def synced(self) -> None:
        """Wait until every kind wanted was listed."""
        await self.until(lambda: all(self.store.synced(want.kind) for want in self._wants))

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of that name now, by the values of their labels in the order of the labels' names."""
        return {
            tuple(text for _, text in sorted(sample.labels.items())): sample.value
            for family in self.counts.collect()
            for sample in family.samples
            if sample.name == name
        }

    def names(self) -> set[str]:
        """``namespace/name`` of every Service that exists."""
        return {f"{key.namespace}/{key.name}" for key, view in self.store.views() if view.service is not None}


def spelled(event: Event) -> str:
    """One line for an event."""
    match event:
        case Listing(kind):
            return f"listing {kind}"
        case ListComplete(kind):
            return f"listed {kind}"
        case Upserted(kept):
            return f"put {kept.key}"
        case Deleted(key):
            return f"gone {key}"
        case Lost(kind, reason):
            return f"lost {kind}: {reason}"
        case Resumed(kind):
            return f"resumed {kind}"
        case Skipped(kind, reason):
            return f"waived {kind}: {reason}"


def asked(api: FakeApiServer) -> list[str]:
    """One line per request: ``stream services``, ``watch services 1002``, ``list services``, ``newest services``."""
    return [_asked(request) for request in api.asked]


def _asked(request: Asked) -> str:
    query = request.query
    if request.verb == "watch" and "sendInitialEvents" in query:
        return f"stream {request.plural}"
    if request.verb == "watch":
        return f"watch {request.plural} {query.get('resourceVersion', '')}"
    if query.get("limit") == "1":
        return f"newest {request.plural}"
    return f"list {request.plural}" + (" more" if "continue" in query else "")
