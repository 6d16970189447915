"""The numbers of a cache, with the names and labels that they have in CoreDNS."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from kdns.metrics.cells import Cell, Cells

Half = Literal["success", "denial"]


class Registry(Protocol):
    """The part of `kdns.dns.api.plugin.BlockContext` that makes metrics."""

    def cells(self, kind: Literal["counter", "gauge"], name: str, text: str, labels: Sequence[str] = ()) -> Cells:
        """Made once for the process."""


class Hits(Struct, frozen=True):
    """Counts what is served from one half of one cache. Equal to another one with the same labels."""

    requests: Cells
    hits: Cells
    half: Half
    zones: str
    view: str

    def __call__(self, server: str, count: int) -> None:
        """So many more, through one socket: its label."""
        self.requests.labels(server, self.zones, self.view).inc(count)
        self.hits.labels(server, self.half, self.zones, self.view).inc(count)


class ServerCounts(NamedTuple):
    """What is counted without a look-up of its labels, for one socket."""

    requests: Cell
    misses: Cell
    entries: dict[Half, Cell]
    evictions: dict[Half, Cell]


class CacheCounts:
    """All of them, for one cache."""

    def __init__(self, registry: Registry, zones: str, view: str) -> None:
        block, halves = ("server", "zones", "view"), ("server", "type", "zones", "view")
        requests = registry.cells("counter", "coredns_cache_requests", "Questions that a cache was asked.", block)
        hits = registry.cells("counter", "coredns_cache_hits", "Questions that a cache could answer.", halves)
        self.hits: dict[Half, Hits] = {
            "success": Hits(requests, hits, "success", zones, view),
            "denial": Hits(requests, hits, "denial", zones, view),
        }
        self._zones, self._view = zones, view
        self._requests = requests
        self._entries = registry.cells("gauge", "coredns_cache_entries", "Responses that are kept.", halves)
        self._evictions = registry.cells(
            "counter", "coredns_cache_evictions", "Responses that had to make room.", halves
        )
        plain = (
            ("misses", "Questions that a cache could not answer."),
            ("prefetch", "Questions asked again in the background."),
            ("drops", "Responses that were about something else than the question."),
            ("served_stale", "Questions answered with what was over."),
        )
        self._plain = {name: registry.cells("counter", f"coredns_cache_{name}", text, block) for name, text in plain}
        self._servers: dict[str, ServerCounts] = {}

    def start(self, servers: Sequence[str]) -> None:
        """Begin every series at zero, so that rates are right from the first event on."""
        for server in servers:
            for half in self.hits:
                self.hits[half](server, 0)
                self._entries.labels(server, half, self._zones, self._view).set(0)
                self._evictions.labels(server, half, self._zones, self._view).inc(0)
            for family in self._plain.values():
                family.labels(server, self._zones, self._view).inc(0)

    def of(self, server: str) -> ServerCounts:
        """The numbers of one socket, by its label."""
        counts = self._servers.get(server)
        if counts is None:
            zones, view = self._zones, self._view
            halves: tuple[Half, ...] = ("success", "denial")
            counts = self._servers[server] = ServerCounts(
                self._requests.labels(server, zones, view),
                self._plain["misses"].labels(server, zones, view),
                {half: self._entries.labels(server, half, zones, view) for half in halves},
                {half: self._evictions.labels(server, half, zones, view) for half in halves},
            )
        return counts

    def hit(self, server: str, half: Half) -> None:
        """A question that was answered."""
        self.hits[half](server, 1)

    def miss(self, server: str) -> None:
        """A question that was not."""
        counts = self._servers.get(server) or self.of(server)
        counts.requests.value += 1
        counts.misses.value += 1

    def count(self, what: Literal["misses", "prefetch", "drops", "served_stale"], server: str) -> None:
        """One more."""
        self._plain[what].labels(server, self._zones, self._view).inc()

    def kept(self, server: str, half: Half, size: int, evicted: int) -> None:
        """A half has so many entries now, and so many had to go for the last one."""
        counts = self._servers.get(server) or self.of(server)
        counts.entries[half].value = size
        if evicted:
            counts.evictions[half].value += evicted
