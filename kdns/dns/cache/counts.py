"""The numbers of a cache, with the names and labels that they have in CoreDNS."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from msgspec import Struct
from prometheus_client import Counter, Gauge

Half = Literal["success", "denial"]
T = TypeVar("T", Counter, Gauge)


class Registry(Protocol):
    """The part of `kdns.dns.api.plugin.Parts` that makes metrics."""

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Made once for the process."""

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """Made once for the process."""


class Hits(Struct, frozen=True):
    """Counts what is served from one half of one cache. Equal to another one with the same labels."""

    requests: Counter
    hits: Counter
    half: Half
    zones: str
    view: str

    def __call__(self, server: str, count: int) -> None:
        """So many more, through one socket: its label."""
        self.requests.labels(server, self.zones, self.view).inc(count)
        self.hits.labels(server, self.half, self.zones, self.view).inc(count)


class CacheCounts:
    """All of them, for one cache."""

    def __init__(self, registry: Registry, zones: str, view: str) -> None:
        block, halves = ("server", "zones", "view"), ("server", "type", "zones", "view")
        requests = registry.counter("coredns_cache_requests", "Questions that a cache was asked.", block)
        hits = registry.counter("coredns_cache_hits", "Questions that a cache could answer.", halves)
        self.hits: dict[Half, Hits] = {
            "success": Hits(requests, hits, "success", zones, view),
            "denial": Hits(requests, hits, "denial", zones, view),
        }
        self._zones, self._view = zones, view
        self._requests = requests
        self._entries = registry.gauge("coredns_cache_entries", "Responses that are kept.", halves)
        self._evictions = registry.counter("coredns_cache_evictions", "Responses that had to make room.", halves)
        plain = (
            ("misses", "Questions that a cache could not answer."),
            ("prefetch", "Questions asked again in the background."),
            ("drops", "Responses that were about something else than the question."),
            ("served_stale", "Questions answered with what was over."),
        )
        self._series: dict[tuple[object, ...], Counter | Gauge] = {}
        self._plain = {name: registry.counter(f"coredns_cache_{name}", text, block) for name, text in plain}

    def start(self, servers: Sequence[str]) -> None:
        """Begin every series at zero, so that rates are right from the first event on."""
        for server in servers:
            for half in self.hits:
                self.hits[half](server, 0)
                self._entries.labels(server, half, self._zones, self._view).set(0)
                self._evictions.labels(server, half, self._zones, self._view).inc(0)
            for counter in self._plain.values():
                counter.labels(server, self._zones, self._view).inc(0)

    def _of(self, family: T, server: str, *more: str) -> T:
        """One series of a family, which costs ten times as much to find as to count in."""
        key = (family, server, *more)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = family.labels(server, *more, self._zones, self._view)
        return found  # type: ignore[return-value]

    def hit(self, server: str, half: Half) -> None:
        """A question that was answered."""
        self.hits[half](server, 1)

    def miss(self, server: str) -> None:
        """A question that was not."""
        self._of(self._requests, server).inc()
        self.count("misses", server)

    def count(self, what: Literal["misses", "prefetch", "drops", "served_stale"], server: str) -> None:
        """One more."""
        self._of(self._plain[what], server).inc()

    def kept(self, server: str, half: Half, size: int, evicted: int) -> None:
        """A half has so many entries now, and so many had to go for the last one."""
        self._of(self._entries, server, half).set(size)
        if evicted:
            self._of(self._evictions, server, half).inc(evicted)
