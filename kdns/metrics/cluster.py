"""What is counted of the cluster: what is asked of its API server, how old the data is, how fast answers change.

None of this is on a path that answers queries, so these are prometheus_client's own objects, shown as Go programs show
theirs; `kdns.metrics.dns.Metrics` has one `ClusterCounts`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from prometheus_client import Counter, Gauge, Histogram, Metric

from kdns.metrics.families import as_go_shows_it, gauge

PROGRAMMING_BUCKETS: Final = tuple(0.001 * 2**k for k in range(20))
"""Seconds: 1 ms doubling up to 524 s."""
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the default of Prometheus' client for Go."""
CLIENT_GO_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds: of the rest_client_ metrics that programs of Kubernetes have."""
NO_CODE: Final = "<error>"
"""The code of a request without a reply, as client-go says it."""

COREDNS_KINDS: Final = ("cluster_ip", "headless_with_selector")
"""Of `ServiceKind`, those in CoreDNS's own metric."""

ServiceKind = Literal["cluster_ip", "headless_with_selector", "headless_without_selector", "external_name"]
Since = Literal["trigger", "arrival"]
"""Where a duration begins: when the slice controller was triggered, or when the event's octets arrived here."""
Cause = Literal[
    "ended", "closed", "expired", "older", "silent", "lost", "refused", "timeout", "dns", "tls", "denied", "throttled",
    "garbage", "streaming", "error", "credentials", "differs",
]  # fmt: skip
"""Why a watch, or the list before it, is started again; all of them are in docs/operating.md."""


class WatchCounts:
    """What following one kind of objects has met."""

    def __init__(self, counts: "ClusterCounts", kind: str) -> None:
        self.last_event: Gauge = counts.last_event.labels(kind)
        """Unix seconds; 0 before the first event."""
        self.relists: Counter = counts.relists.labels(kind)
        """Full lists after the first one."""
        self.losses: Counter = counts.losses.labels(kind)
        """How often the source could not be followed."""
        self.objects: Gauge = counts.objects.labels(kind)
        """How many are kept."""


class WatchFreshness:
    """When something was last heard of one watch: until then, what is known of its kind is complete."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.at: float | None = None
        """Monotonic seconds; None before the first complete list."""


class ClusterCounts:
    """Everything that is counted of the cluster, for all sources."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, request_buckets: Sequence[float] = REQUEST_BUCKETS
    ) -> None:
        """``clock`` is the one that `WatchFreshness.at` is read from; ``request_buckets`` are in seconds."""
        self.clock = clock
        self.last_event = Gauge("kdns_watch_last_event_timestamp_seconds", "Unix time of the last event of each kind.",
                                ("kind",), registry=None)  # fmt: skip
        self.relists = Counter("kdns_watch_relists", "Full lists after the first one.", ("kind",), registry=None)
        self.losses = Counter("kdns_watch_losses", "How often a kind could not be followed.", ("kind",), registry=None)
        self.objects = Gauge("kdns_objects", "Objects kept of each kind.", ("kind",), registry=None)
        self.coredns_programming = Histogram(
            "coredns_kubernetes_dns_programming_duration_seconds",
            "Seconds from a change of a Service's endpoints until its names show it.",
            ("service_kind",), buckets=PROGRAMMING_BUCKETS, registry=None,
        )  # fmt: skip
        """From a change in the cluster (as the slice controller stamps it) until the zone has it."""
        for kind in COREDNS_KINDS:
            self.coredns_programming.labels(kind)  # shown before the first change, too
        self.snapshots: dict[object, float] = {}
        """Unix seconds at which each snapshot was taken that stands in for a cluster, by what serves it."""
        self._watches: dict[str, WatchCounts] = {}
        self._programming = Histogram(
            "kdns_dns_programming_duration_seconds", "Seconds from any change of a Service until its names show it.",
            ("service_kind", "since"), buckets=PROGRAMMING_BUCKETS, registry=None,
        )  # fmt: skip
        self._restarts = Counter("kdns_watch_restarts", "Watches that were started again, by cause.",
                                 ("kind", "reason"), registry=None)  # fmt: skip
        self._freshness: list[WatchFreshness] = []
        by_host = ("verb", "host")
        self._requests = Counter("requests", "Requests to the API server.", ("code", "method", "host"), registry=None)
        self._request_seconds = Histogram("request_duration_seconds", "Seconds until the API server began to reply.",
                                          by_host, buckets=request_buckets, registry=None)  # fmt: skip
        self._waited = Histogram("rate_limiter_duration_seconds", "Seconds that requests to it were held back here.",
                                 by_host, buckets=request_buckets, registry=None)  # fmt: skip

    def watch(self, kind: str) -> WatchCounts:
        """What is counted of one kind."""
        if (counts := self._watches.get(kind)) is None:
            counts = self._watches[kind] = WatchCounts(self, kind)
        return counts

    def programmed(self, kind: ServiceKind, since: Since, seconds: float) -> None:
        """A change of a Service is in the answers, so long after it began."""
        self._programming.labels(kind, since).observe(seconds)
        if since == "trigger" and kind in COREDNS_KINDS:
            self.coredns_programming.labels(kind).observe(seconds)

    def restarted(self, kind: str, cause: Cause) -> None:
        """A watch of a kind is started again."""
        self._restarts.labels(kind, cause).inc()

    def watching(self, kind: str) -> WatchFreshness:
        """A new watch, to be handed back with `ended`."""
        freshness = WatchFreshness(kind)
        self._freshness.append(freshness)
        return freshness

    def ended(self, freshness: WatchFreshness) -> None:
        """The watch has ended; drop its gauge."""
        self._freshness.remove(freshness)

    def waited(self, server: str, method: str, seconds: float) -> None:
        """A request was held back so long by our own limits; ``server`` is the URL."""
        self._waited.labels(method, _host(server)).observe(seconds)

    def requested(self, server: str, method: str, code: int, seconds: float) -> None:
        """A request was answered, or failed with the code 0; until the head of the reply it took so long."""
        host = _host(server)
        self._requests.labels(str(code) if code else NO_CODE, method, host).inc()
        self._request_seconds.labels(method, host).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Every family with what it counts now."""
        now = self.clock()
        yield from as_go_shows_it(self.coredns_programming)
        yield from self.collect_requests("coredns_kubernetes_rest_client")
        yield from as_go_shows_it(self._programming)
        ages: dict[tuple[str, ...], float] = {}
        for freshness in self._freshness:
            if freshness.at is not None:
                ages[freshness.kind,] = max(ages.get((freshness.kind,), 0.0), now - freshness.at)
        yield gauge("kdns_watch_data_age_seconds", "Seconds since the API server was last heard on each kind.",
                    ("kind",), ages)  # fmt: skip
        if self.snapshots:
            age = max(0.0, time.time() - min(self.snapshots.values()))
            yield gauge("kdns_watch_snapshot_age_seconds", "Age of the snapshot served until the cluster is listed.",
                        (), {(): age})  # fmt: skip
        for metric in (self._restarts, self.last_event, self.relists, self.losses, self.objects):
            yield from as_go_shows_it(metric)

    def collect_requests(self, prefix: str) -> Iterator[Metric]:
        """What was asked of the API server, under names that begin with ``prefix``."""
        for metric in (self._request_seconds, self._waited, self._requests):
            yield from as_go_shows_it(metric, f"{prefix}_")


def _host(server: str) -> str:
    """``10.96.0.1:443`` of ``https://10.96.0.1:443/``; what is no URL has none."""
    return urlsplit(server).netloc.rpartition("@")[2]
