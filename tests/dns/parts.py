"""`BlockContext` for the test of one plugin: a clock that stands still, a known random, and everything that was asked
of it.

::

    parts = FakeParts(zones=("cluster.local.",))
    built = cache.build(cache.parse(directives("cache 30"), parts.place), parts)
    handler = chain((built.plugin,), scripted)
    parts.clock.now += 5
    await parts.settled()
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, DirectiveContext
from kdns.dns.plugins.acl import Acl
from kdns.metrics.cells import Cells, DurationCells
from kdns.records.answers import Answers

M = TypeVar("M", Counter, Gauge, Histogram, Cells, DurationCells)
T = TypeVar("T")


class ManualClock:
    """Monotonic seconds that pass when a test says so: ``clock.now += 5``."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The seconds."""
        return self.now


async def nobody(_: Request) -> Response:
    """A lookup that no test expects."""
    raise UpstreamError("this test gave no lookup")


class FakeParts:
    """Fits `kdns.dns.api.plugin.BlockContext`; what a test wants otherwise, it sets."""

    def __init__(
        self,
        *,
        zones: tuple[str, ...] = (".",),
        port: int = 53,
        folder: str = ".",
        servers: Sequence[str] = ("dns://:53",),
        lookup: Handler = nobody,
        cluster: Callable[[KubernetesOptions], Answers] | None = None,
        offers: Mapping[str, object] | None = None,
    ) -> None:
        self.place = DirectiveContext(zones, port, folder)
        self.clock = ManualClock()
        self.random = random.Random(53)
        self.servers = servers
        self.lookup: Handler = self._lookup
        self.looked_up: list[Request] = []
        """What was asked of `lookup`, in order."""
        self.answer_lookup = lookup
        """Answers for `lookup`; a test may put another in its place at any time."""
        self.registry = CollectorRegistry()
        self.tasks: list[asyncio.Task[None]] = []
        """What `spawn` started, by name: ``task.get_name()``."""
        self.forgotten = 0
        """How often `forget` was called."""
        self.fatals: list[str] = []
        self.warnings: list[str] = []
        self.kept: dict[str, Any] = {}
        """What `lasting` made."""
        self.offers: dict[str, object] = dict(offers or {})
        self._cluster = cluster
        self._metrics: dict[str, Counter | Gauge | Histogram | Cells | DurationCells] = {}

    async def _lookup(self, request: Request) -> Response:
        self.looked_up.append(request)
        return await self.answer_lookup(request)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Started in the running loop; what it raises comes out of `settled` and `close`."""
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def settled(self, seconds: float = 10.0) -> None:
        """Wait until everything spawned has ended by itself, and raise what it raised."""
        async with asyncio.timeout(seconds):
            while self.tasks:
                await self.tasks.pop(0)

    async def close(self) -> None:
        """Cancel what was spawned, and raise what it raised before."""
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def turns(self, count: int = 10) -> None:
        """Let others run, so many turns of the loop."""
        for _ in range(count):
            await asyncio.sleep(0)

    def forget(self) -> None:
        """Counted."""
        self.forgotten += 1

    def fatal(self, message: str) -> None:
        """Kept in `fatals`."""
        self.fatals.append(message)

    def cluster(self, options: KubernetesOptions) -> Answers:
        """What the test gave for it."""
        assert self._cluster is not None, "this test gave no cluster"
        return self._cluster(options)

    def sibling(self, name: str) -> object | None:
        """What was offered, or what the test gave as ``offers``."""
        return self.offers.get(name)

    def restricted(self, name: bytes, below: bool = False) -> bool:
        """Only what the test gave as ``acl`` has something to say."""
        found = self.offers.get("acl")
        return isinstance(found, Acl) and found.must_see(name, below)

    def offered(self, prefix: str) -> Sequence[object]:
        """What was offered under such names."""
        return [what for name, what in self.offers.items() if name.startswith(prefix)]

    def offer(self, name: str, what: object) -> None:
        """Kept in `offers`."""
        self.offers[name] = what

    def warn(self, warning: ConfigError) -> None:
        """Kept in `warnings`."""
        self.warnings.append(str(warning))

    def lasting(self, key: str, make: Callable[[], T]) -> T:
        """Made once for these parts."""
        found: T = self.kept.setdefault(key, make())
        return found

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Made once for these parts."""
        return self._made(name, Counter, lambda: Counter(name, text, labels, registry=self.registry))

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """Made once for these parts."""
        return self._made(name, Gauge, lambda: Gauge(name, text, labels, registry=self.registry))

    def histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        """Made once for these parts."""
        return self._made(
            name, Histogram, lambda: Histogram(name, text, labels, buckets=buckets, registry=self.registry)
        )

    def cells(self, kind: Literal["counter", "gauge"], name: str, text: str, labels: Sequence[str] = ()) -> Cells:
        """Made once for these parts."""
        return self._made(name, Cells, lambda: Cells(kind, name, text, labels, self.registry))

    def durations(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> DurationCells:
        """Made once for these parts."""
        return self._made(name, DurationCells, lambda: DurationCells(name, text, labels, buckets, self.registry))

    def _made(self, name: str, kind: type[M], make: Callable[[], M]) -> M:
        found = self._metrics.get(name)
        if found is None:
            found = self._metrics[name] = make()
        assert isinstance(found, kind), f"{name} is declared twice, as different things"
        return found

    def value(self, name: str, **labels: str) -> float | None:
        """A sample as it would be scraped: ``parts.value("coredns_cache_hits_total", type="success")``.

        Labels that are not given do not matter; None if there is no such sample.
        """
        found = [
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


def scripted(*replies: Response | Exception) -> "Script":
    """The end of a chain: gives these replies in order, the last one again and again; exceptions are raised."""
    return Script(replies)


class Script:
    """See `scripted`; ``script.requests`` is what it was asked."""

    def __init__(self, replies: Sequence[Response | Exception]) -> None:
        self._replies = list(replies)
        self.requests: list[Request] = []
        self.before: Callable[[Request], Awaitable[None]] | None = None
        """Awaited before each reply, for tests of what takes long."""

    async def __call__(self, request: Request) -> Response:
        """The next reply."""
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if self.before is not None:
            await self.before(request)
        if isinstance(reply, Exception):
            raise reply
        return reply


def fits(parts: FakeParts) -> BlockContext:
    """For the type checker: the fake has everything that plugins are promised."""
    return parts
