"""What is counted of the cluster: what is asked of its API server, how old the data is, how fast answers change.

The watches write plain attributes; `kdns.metrics.dns.Metrics` has one `ClusterCounts` and shows it when somebody
scrapes.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from prometheus_client import Metric

from kdns.metrics.families import Durations, counter, gauge, histogram

PROGRAMMING_BUCKETS: Final = tuple(0.001 * 2**k for k in range(20))
"""Seconds: 1 ms doubling up to 524 s."""
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: what Prometheus' client for Go has where nothing else is said."""
CLIENT_GO_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds: of the rest_client_ metrics that programs of Kubernetes have."""
NO_CODE: Final = "<error>"
"""The code of a request without a reply, as client-go says it."""

ServiceKind = Literal["cluster_ip", "headless_with_selector", "headless_without_selector", "external_name"]
Since = Literal["trigger", "arrival"]
"""Where a duration begins: when the slice controller was triggered, or when the event's octets arrived here."""
Cause = Literal[
    "ended", "closed", "expired", "older", "silent", "lost", "refused", "timeout", "dns", "tls", "denied", "throttled",
    "garbage", "streaming", "error", "credentials", "differs",
]  # fmt: skip
"""Why a watch, or the list before it, begins anew; all of them are in docs/operating.md."""


class WatchCounts:
    """What following one kind of objects has met."""

    def __init__(self) -> None:
        self.last_event = 0.0
        """Unix seconds; 0 before the first event."""
        self.relists = 0
        """Full lists after the first one."""
        self.losses = 0
        """How often the source could not be followed."""
        self.objects = 0
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
        self._request_buckets = request_buckets
        self.watches: defaultdict[str, WatchCounts] = defaultdict(WatchCounts)
        """By kind."""
        self.coredns_programming: dict[tuple[str, ...], Durations] = {
            ("cluster_ip",): Durations(PROGRAMMING_BUCKETS),
            ("headless_with_selector",): Durations(PROGRAMMING_BUCKETS),
        }
        """From a change in the cluster (as the slice controller stamps it) until the zone has it: CoreDNS's kinds."""
        self.snapshots: dict[object, float] = {}
        """Unix seconds at which each snapshot was taken that stands in for a cluster, by what serves it."""
        self._programming: dict[tuple[str, ...], Durations] = {}
        self._restarts: Counter[tuple[str, ...]] = Counter()
        self._heard: list[WatchFreshness] = []
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._request_seconds: dict[tuple[str, ...], Durations] = {}
        self._waited: dict[tuple[str, ...], Durations] = {}

    def programmed(self, kind: ServiceKind, since: Since, seconds: float) -> None:
        """A change of a Service is in the answers, so long after it began."""
        self._programming.setdefault((kind, since), Durations(PROGRAMMING_BUCKETS)).observe(seconds)
        if since == "trigger" and (durations := self.coredns_programming.get((kind,))) is not None:
            durations.observe(seconds)

    def restarted(self, kind: str, cause: Cause) -> None:
        """A watch of a kind begins anew."""
        self._restarts[kind, cause] += 1

    def watching(self, kind: str) -> WatchFreshness:
        """A new watch, to be handed back with `ended`."""
        heard = WatchFreshness(kind)
        self._heard.append(heard)
        return heard

    def ended(self, heard: WatchFreshness) -> None:
        """Nobody follows it any more."""
        self._heard.remove(heard)

    def waited(self, server: str, method: str, seconds: float) -> None:
        """A request was held back so long by our own limits; ``server`` is the URL."""
        self._waited.setdefault((method, _host(server)), Durations(self._request_buckets)).observe(seconds)

    def requested(self, server: str, method: str, code: int, seconds: float) -> None:
        """A request was answered, or failed with the code 0; until the head of the reply it took so long."""
        host = _host(server)
        self._requests[str(code) if code else NO_CODE, method, host] += 1
        self._request_seconds.setdefault((method, host), Durations(self._request_buckets)).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Every family with what it counts now."""
        now = self.clock()
        yield histogram(
            "coredns_kubernetes_dns_programming_duration_seconds",
            "Seconds from a change of a Service's endpoints until its names show it.",
            ("service_kind",), self.coredns_programming,
        )  # fmt: skip
        yield from self.collect_requests("coredns_kubernetes_rest_client")
        yield histogram("kdns_dns_programming_duration_seconds",
                        "Seconds from any change of a Service until its names show it.",
                        ("service_kind", "since"), self._programming)  # fmt: skip
        ages: dict[tuple[str, ...], float] = {}
        for heard in self._heard:
            if heard.at is not None:
                ages[heard.kind,] = max(ages.get((heard.kind,), 0.0), now - heard.at)
        yield gauge("kdns_watch_data_age_seconds", "Seconds since the API server was last heard on each kind.",
                    ("kind",), ages)  # fmt: skip
        oldest = min(self.snapshots.values(), default=None)
        yield gauge("kdns_watch_snapshot_age_seconds", "Age of the snapshot served until the cluster is listed.",
                    (), {} if oldest is None else {(): max(0.0, time.time() - oldest)})  # fmt: skip
        yield counter("kdns_watch_restarts", "Watches that began anew, by cause.", ("kind", "reason"), self._restarts)
        watches = self.watches.items()
        yield gauge("kdns_watch_last_event_timestamp_seconds", "Unix time of the last event of each kind.", ("kind",),
                    {(kind,): watch.last_event for kind, watch in watches})  # fmt: skip
        yield counter("kdns_watch_relists", "Full lists after the first one.", ("kind",),
                      {(kind,): watch.relists for kind, watch in watches})  # fmt: skip
        yield counter("kdns_watch_losses", "How often a kind could not be followed.", ("kind",),
                      {(kind,): watch.losses for kind, watch in watches})  # fmt: skip
        yield gauge("kdns_objects", "Objects kept of each kind.", ("kind",),
                    {(kind,): watch.objects for kind, watch in watches})  # fmt: skip

    def collect_requests(self, prefix: str) -> Iterator[Metric]:
        """What was asked of the API server, under names that begin with ``prefix``."""
        by_host = ("verb", "host")
        yield histogram(f"{prefix}_request_duration_seconds",
                        "Seconds until the API server began to reply.", by_host, self._request_seconds)  # fmt: skip
        yield histogram(f"{prefix}_rate_limiter_duration_seconds",
                        "Seconds that requests to it were held back here.", by_host, self._waited)  # fmt: skip
        yield counter(f"{prefix}_requests", "Requests to the API server.",
                      ("code", "method", "host"), self._requests)  # fmt: skip


def _host(server: str) -> str:
    """``10.96.0.1:443`` of ``https://10.96.0.1:443/``; what is no URL has none."""
    return urlsplit(server).netloc.rpartition("@")[2]
