"""What the plugins of a server block get from the server, and what all blocks share through all reloads.

::

    ServerContext            metrics by name, clusters, the routers by socket, reports of bugs
     └─ RunningBlockContext  `kdns.dns.api.plugin.BlockContext` for one block: its tasks, and what its plugins offer
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Final, Literal, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram

from kdns.base.clock import Clock
from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import DirectiveContext
from kdns.dns.query.router import Router
from kdns.dns.query.top import Top, TopMetrics, who_by
from kdns.dns.server.clusters import Clusters
from kdns.dns.transport.listeners import label
from kdns.metrics.cells import Cells, DurationCells
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers

LOG: Final = logging.getLogger("kdns.dns.server.context")
DEEPEST: Final = 8
"""Lookups within lookups; more is a circle of CNAMEs or of templates."""
QUIET: Final = 1.0
"""Seconds in which a plugin's further bugs are counted but not logged."""

M = TypeVar("M", Counter, Gauge, Histogram, Cells, DurationCells)
T = TypeVar("T")
_DEPTH: ContextVar[int] = ContextVar("lookups", default=0)


class Listener(NamedTuple):
    """One place that is listened on, as the Corefile says it."""

    scheme: str
    address: str
    """Empty: every address of both families."""
    port: int
    """0: whatever the system gives."""


class ServerContext:
    """What all server blocks share."""

    def __init__(
        self,
        metrics: Metrics,
        registry: CollectorRegistry,
        clusters: Clusters,
        fatal: Callable[[str], None],
        *,
        clock: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self.metrics, self.registry, self.clusters, self.fatal = metrics, registry, clusters, fatal
        self.clock = clock
        self.random = chance or random.SystemRandom()
        self.top = Top()
        """Who asks what, once a plugin wants to know."""
        self._top_metrics = TopMetrics(self.top)
        registry.register(self._top_metrics)
        self.routers: dict[str, Router] = {}
        """What is served now, by the label of its socket."""
        self.labels: dict[Listener, str] = {}
        """The label of each listener, once it is open."""
        self.forget: Callable[[], None] = lambda: None
        """Drops what sockets remember; set by who has the sockets."""
        self.is_local: Callable[[str], bool] = lambda address: False
        """Whether an address may be bound though no interface has it: a route makes it local."""
        self.lasting: dict[str, Any] = {}
        """What plugins keep through reloads, by key."""
        self._made: dict[str, Counter | Gauge | Histogram | Cells | DurationCells] = {}
        self._told: dict[str, float] = {}
        self._runtime: GCCollector | None = None

    def label(self, listener: Listener) -> str:
        """``dns://:53``, with the real port if it is known."""
        return self.labels.get(listener) or label(listener.address, listener.port, listener.scheme)

    def made(self, name: str, kind: type[M], make: Callable[[], M]) -> M:
        """The metric of that name, made now if there is none."""
        value = self._made.get(name)
        if value is None:
            value = self._made[name] = make()
        if not isinstance(value, kind):
            raise TypeError(f"metric {name} is a {type(value).__name__} already")
        return value

    def watch_top(self, *, on: bool, metrics: int) -> None:
        """Count who asks what from now on, or no longer; ``metrics``: how many of each kind are metrics."""
        top = self.top
        top.on, self._top_metrics.most = on, metrics if on else 0
        answers = self.clusters.all_answers()
        top.zones = tuple(zone for cluster_answers in answers for zone in cluster_answers.schema.zones)
        top.who = who_by(
            [cluster_answers.zone.cluster.clients for cluster_answers in answers if cluster_answers.schema.by_client]
        )

    def collect_runtime(self) -> None:
        """Python's own numbers are among the metrics from now on."""
        self._runtime = self._runtime or GCCollector(self.registry)

    def failed(self, name: str, error: BaseException, request: Request | None) -> None:
        """A plugin has a bug: see `kdns.dns.query.guard.Incidents`."""
        self.metrics.panics += 1
        self._counter("kdns_plugin_failures", "Bugs met in each plugin.").labels(name).inc()
        now = self.clock()
        if now - self._told.get(name, -QUIET) >= QUIET:
            self._told[name] = now
            question = f" while answering {request.query.question.hex()}" if request is not None else ""
            LOG.error("plugin %s has a bug%s: %s", name, question, error or type(error).__name__, exc_info=error)

    def slow(self, name: str, seconds: float) -> None:
        """A plugin held the loop: see `kdns.dns.query.guard.Incidents`."""
        self._counter("kdns_plugin_slow", "How often each plugin held up all others for over 50 ms.").labels(name).inc()
        now = self.clock()
        if now - self._told.get(f"{name} slow", -QUIET) >= QUIET:
            self._told[f"{name} slow"] = now
            LOG.warning(
                "plugin %s held up the server for %.0f ms; it should await what takes long", name, seconds * 1e3
            )

    def _counter(self, name: str, text: str) -> Counter:
        return self.made(name, Counter, lambda: Counter(name, text, ("plugin",), registry=self.registry))


class RunningBlockContext:
    """`kdns.dns.api.plugin.Parts` for one server block."""

    def __init__(self, context: ServerContext, place: DirectiveContext, listeners: Sequence[Listener]) -> None:
        self.place = place
        self.listeners = tuple(listeners)
        self.answers: list[Answers] = []
        """What `cluster` gave."""
        self.warnings: list[ConfigError] = []
        """What `warn` was called with."""
        self._context = context
        self._offers: dict[str, object] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def clock(self) -> Clock:
        """Monotonic seconds."""
        return self._context.clock

    @property
    def random(self) -> random.Random:
        """The operating system's: unguessable."""
        return self._context.random

    @property
    def servers(self) -> Sequence[str]:
        """The labels of the block's sockets; with port 0 the real ones only once they are open."""
        return [self._context.label(listener) for listener in self.listeners]

    @property
    def lookup(self) -> Handler:
        """A fresh query through the whole server that the request came to, or the block's first one."""
        return self._lookup

    async def _lookup(self, request: Request) -> Response:
        depth = _DEPTH.get()
        if depth >= DEEPEST:
            raise UpstreamError(f"more than {DEEPEST} lookups within lookups")
        router = self._context.routers.get(request.server) or self._context.routers.get(self.servers[0])
        if router is None:
            raise UpstreamError("nothing is served yet")
        token = _DEPTH.set(depth + 1)
        try:
            return (await router.handle(request))[0]
        finally:
            _DEPTH.reset(token)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something until the block is closed; what it raises is logged and counted."""
        task = asyncio.get_running_loop().create_task(self._beside(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except (Exception, SystemExit) as error:  # noqa: BLE001 - logged, and no reason to end
            self._context.failed(name, error, None)

    async def close(self) -> None:
        """End what was spawned."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def clusters(self) -> Clusters:
        """Those of the whole server."""
        return self._context.clusters

    def forget(self) -> None:
        """Drop what sockets remember."""
        self._context.forget()

    def fatal(self, message: str) -> None:
        """End the process."""
        self._context.fatal(message)

    def cluster(self, options: KubernetesOptions) -> Answers:
        """The answers of that cluster."""
        answers = self._context.clusters.answers(options)
        self.answers.append(answers)
        return answers

    def sibling(self, name: str) -> object | None:
        """What a plugin of this block offers."""
        return self._offers.get(name)

    def restricted(self, name: bytes, below: bool = False) -> bool:
        """What all acls that are served say."""
        return any(router.has_policies and router.restricted(name, below) for router in self._context.routers.values())

    def offered(self, prefix: str) -> Sequence[object]:
        """What the plugins of this block offer under such names."""
        return [what for name, what in self._offers.items() if name.startswith(prefix)]

    def offer(self, name: str, what: object) -> None:
        """For plugins of this block."""
        self._offers[name] = what

    def warn(self, warning: ConfigError) -> None:
        """Kept for who builds the block."""
        self.warnings.append(warning)

    def lasting(self, key: str, make: Callable[[], T]) -> T:
        """Made once for the process."""
        if key not in self._context.lasting:
            self._context.lasting[key] = make()
        value: T = self._context.lasting[key]
        return value

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Made once for the process."""
        return self._context.made(name, Counter, lambda: Counter(name, text, labels, registry=self._context.registry))

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """Made once for the process."""
        return self._context.made(name, Gauge, lambda: Gauge(name, text, labels, registry=self._context.registry))

    def histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        """Made once for the process."""
        return self._context.made(
            name, Histogram, lambda: Histogram(name, text, labels, buckets=buckets, registry=self._context.registry)
        )

    def cells(self, kind: Literal["counter", "gauge"], name: str, text: str, labels: Sequence[str] = ()) -> Cells:
        """Made once for the process."""
        return self._context.made(name, Cells, lambda: Cells(kind, name, text, labels, self._context.registry))

    def durations(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> DurationCells:
        """Made once for the process."""
        return self._context.made(
            name, DurationCells, lambda: DurationCells(name, text, labels, buckets, self._context.registry)
        )
