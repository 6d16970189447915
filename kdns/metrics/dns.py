"""What is counted, declared once, with the names and labels of CoreDNS.

A precompiled answer cannot afford a ``labels()`` call: sockets count in plain dictionaries whose keys were made when
the answer was compiled, and `Metrics` turns them into metric families when they are scraped.

Names, labels and buckets are those of CoreDNS, so that its dashboards and alerts go on working; what only kdns can
say starts with ``kdns_``.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

from kdns.metrics.cluster import ClusterCounts
from kdns.metrics.families import Durations, counter, cumulated, histogram

DURATION_BUCKETS: Final = tuple(0.00025 * 2**k for k in range(16))
"""Seconds: 0.25 ms doubling up to 8.192 s."""
SIZE_BUCKETS: Final = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)
"""Octets of a message (8291 is CoreDNS's number)."""
HEALTH_BUCKETS: Final = tuple(0.00025 * 10**k for k in range(5))
"""Seconds: 0.25 ms to 2.5 s."""
TYPE_LABELS: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 43: "DS",
    46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY",
}  # fmt: skip
"""Types that are counted by name; all others are ``other``, so that clients cannot make series at will."""
RCODE_LABELS: Final = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE", "DSOTYPENI", "RCODE12", "RCODE13", "RCODE14", "RCODE15", "BADVERS", "BADKEY", "BADTIME", "BADMODE",
    "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE",
)  # fmt: skip
"""Indexed by the (extended) rcode."""
OTHER_RCODE: Final = len(RCODE_LABELS)
"""Stands for every rcode without a label: an upstream can say 4,096 of them, and would make series at will."""
OTHER: Final = "other"

Hit = Callable[[str, int], None]
"""Called at each scrape with how often something was served since the last one: the server's label, and how often."""


class Counted(NamedTuple):
    """Replies that are counted together; all but the length of the query is the same for them."""

    zone: str
    """The server block's zone, or ``dropped`` when the message was answered before any block saw it."""
    rtype: int
    rcode: int
    do: bool
    """The query asked for DNSSEC records (EDNS flag DO)."""
    grow: int
    """Octets of the reply minus octets of the query."""
    plugin: str
    """Who wrote the reply; empty for the server itself."""
    hit: Hit | None = None
    """Who counts them, too. Equal for equal labels, so that a reload makes no new kind."""


class Sizes:
    """A histogram of octets."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SIZE_BUCKETS) + 1)
        """How many had at most as many octets as each bucket and more than the one before; the last is for the rest."""
        self.sum = 0

    def add(self, octets: int, times: int = 1) -> None:
        """Note so many messages of one size."""
        self.counts[bisect_left(SIZE_BUCKETS, octets)] += times
        self.sum += octets * times

    def merge(self, other: "Sizes") -> None:
        """Add what another one has counted."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class SocketCounts:
    """The counters of one socket: written on the hot path, read at scrape."""

    def __init__(self, server: str, proto: str, family: int) -> None:
        self.server, self.proto, self.family = server, proto, family
        self.tallies: defaultdict[Counted, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        """For each kind of compiled reply: octets of the query -> how many."""
        self.others: defaultdict[Counted, tuple[Sizes, Sizes]] = defaultdict(lambda: (Sizes(), Sizes()))
        """Octets of queries and of replies that were made one by one, by kind with nothing in `grow`: such queries
        have any length, and differ from their replies by any, so to tally each difference would grow for ever."""
        self.pairs: defaultdict[Counted, dict[int, int]] = defaultdict(dict)
        """The same, to be sorted into buckets later: octets of the query, times 65,536, plus the reply's -> times."""
        self.durations = [0] * (len(DURATION_BUCKETS) + 1)
        """How many replies took at most as long as each bucket; the last is for everything longer."""
        self.duration_sum = 0.0
        self.panics = 0
        """Bugs met while answering: logged, answered with SERVFAIL, and counted here."""
        self.over_share = 0
        """Connections that were refused or closed since their client had its share of them."""
        self._told: dict[Counted, int] = {}

    def settle(self) -> None:
        """Tell each `Hit` what was served since the last time: there is no time for it while answering."""
        for counted, lengths in self.tallies.items():
            if counted.hit is not None:
                total = sum(lengths.values())
                counted.hit(self.server, total - self._told.get(counted, 0))
                self._told[counted] = total

    def note(self, counted: Counted, query: int, reply: int) -> None:
        """Count a reply that was made for one query, and the octets of both; `grow` is left out."""
        queries, replies = self.others[counted._replace(grow=0) if counted.grow else counted]
        queries.add(query)
        replies.add(reply)

    def fold(self) -> None:
        """Sort `pairs` into the buckets of `others`."""
        for counted, pairs in self.pairs.items():
            queries, replies = self.others[counted]
            for sizes, times in pairs.items():
                queries.add(sizes >> 16, times)
                replies.add(sizes & 0xFFFF, times)
            pairs.clear()

    def timed(self, count: int, seconds: float) -> None:
        """Note that so many replies took this long each."""
        self.durations[bisect_left(DURATION_BUCKETS, seconds)] += count
        self.duration_sum += count * seconds


class Enabled(NamedTuple):
    """A plugin that is on in a server block."""

    server: str
    zone: str
    name: str


class Metrics:
    """All counters of one process; prometheus_client calls `collect` at each scrape.

    The parts write plain attributes from the event loop, where scrapes run as well: no locks.
    """

    def __init__(self, version: str = "", runtime: str = "") -> None:
        self.version, self.runtime = version, runtime
        self.sockets: list[SocketCounts] = []
        self.unreported = ""
        """The zone of the server's own questions, which are not among those of clients."""
        self.enabled: tuple[Enabled, ...] = ()
        self.panics = 0
        """Bugs met outside of sockets."""
        self.health = Durations(HEALTH_BUCKETS)
        self.health_failures = 0
        self.cluster = ClusterCounts()
        """What is counted of the cluster."""

    def registry(self) -> CollectorRegistry:
        """A registry with these metrics and those of the process and the platform."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Every metric family with what it counts now.

        In a registry this must stand before the metrics of plugins, as `registry` has it: some are counted only now.
        """
        for responder in self.sockets:
            responder.settle()
        panics = self.panics + sum(responder.panics for responder in self.sockets)
        yield counter("coredns_panics", "Bugs met and survived; each is logged with its cause.", (), {(): panics})
        build = GaugeMetricFamily(
            "coredns_build_info",
            "Always 1: which version of kdns this is, and the Python that runs it.",
            labels=("version", "revision", "goversion"),
        )
        build.add_metric((self.version, "", self.runtime), 1)
        yield build
        enabled = GaugeMetricFamily(
            "coredns_plugin_enabled",
            "Always 1: the plugins that are on.",
            labels=("server", "zone", "view", "name"),
        )
        for plugin in self.enabled:
            enabled.add_metric((plugin.server, plugin.zone, "", plugin.name), 1)
        yield enabled
        yield from collect_sockets(self.sockets, self.unreported)
        over_share: Counter[tuple[str, ...]] = Counter()
        for responder in self.sockets:
            if responder.proto == "tcp":
                over_share[(responder.server,)] += responder.over_share
        yield counter("kdns_dns_connections_over_share", "Connections refused or closed: their client had its share.",
                       ("server",), over_share)  # fmt: skip
        yield from self._collect_health()
        yield from self.cluster.collect()

    def answered(self) -> int:
        """How many questions of clients were answered so far."""
        sized = (sample for counts in self.sockets for sample in _sized(counts))
        return sum(sum(queries.counts) for counted, queries, _ in sized if counted.zone != self.unreported)

    def _collect_health(self) -> Iterator[Metric]:
        yield histogram("coredns_health_request_duration_seconds", "Seconds each self-probe of /health took.", (),
                        {(): self.health})  # fmt: skip
        yield counter("coredns_health_request_failures", "How many self-probes of /health failed.", (),
                       {(): self.health_failures})  # fmt: skip


def collect_sockets(sockets: Iterable[SocketCounts], unreported: str = "") -> Iterator[Metric]:
    """The DNS metrics of CoreDNS from the plain counters of all sockets, without those of one zone.

    Replies are timed by the batch, which may hold several zones, so durations are those of the server as a whole:
    their zone is ``.``.
    """
    requests: Counter[tuple[str, ...]] = Counter()
    responses: Counter[tuple[str, ...]] = Counter()
    with_do: Counter[tuple[str, ...]] = Counter()
    request_sizes: defaultdict[tuple[str, ...], Sizes] = defaultdict(Sizes)
    response_sizes: defaultdict[tuple[str, ...], Sizes] = defaultdict(Sizes)
    durations: dict[tuple[str, ...], tuple[list[int], float]] = {}
    for responder in sockets:
        server, proto, family = responder.server, responder.proto, str(responder.family)
        sofar, seconds = durations.get((server, ".", ""), ([0] * len(responder.durations), 0.0))
        durations[server, ".", ""] = (
            [a + b for a, b in zip(sofar, responder.durations, strict=True)],
            seconds + responder.duration_sum,
        )
        for counted, queries, replies in _sized(responder):
            zone, count = counted.zone, sum(queries.counts)
            if zone == unreported:
                continue
            requests[server, zone, "", proto, family, TYPE_LABELS.get(counted.rtype, OTHER)] += count
            responses[server, zone, "", _rcode_label(counted.rcode), counted.plugin] += count
            with_do[server, zone, ""] += count if counted.do else 0
            request_sizes[server, zone, "", proto].merge(queries)
            response_sizes[server, zone, "", proto].merge(replies)

    block = ("server", "zone", "view")
    yield counter("coredns_dns_requests", "Questions asked.",
                   (*block, "proto", "family", "type"), requests)  # fmt: skip
    seconds_family = HistogramMetricFamily(
        "coredns_dns_request_duration_seconds",
        "Seconds from a question's arrival until its reply was handed to the kernel.",
        labels=block,
    )
    for labels, (counts, total) in durations.items():
        seconds_family.add_metric(labels, cumulated(DURATION_BUCKETS, counts), total)
    yield seconds_family
    yield _sizes("coredns_dns_request_size_bytes", "Octets of each question's message.", request_sizes)
    yield counter("coredns_dns_do_requests", "Questions that asked for DNSSEC records (EDNS flag DO).", block, with_do)
    yield _sizes("coredns_dns_response_size_bytes", "Octets of each reply.", response_sizes)
    yield counter("coredns_dns_responses", "Replies by rcode and by the plugin that wrote them.",
                   (*block, "rcode", "plugin"), responses)  # fmt: skip


def _sized(responder: SocketCounts) -> Iterator[tuple[Counted, Sizes, Sizes]]:
    """Every kind of reply of a responder, with the octets of its queries and replies."""
    responder.fold()
    for counted, lengths in responder.tallies.items():
        queries, replies = Sizes(), Sizes()
        for length, times in lengths.items():
            queries.add(length, times)
            replies.add(length + counted.grow, times)
        yield counted, queries, replies
    for counted, (queries, replies) in responder.others.items():
        yield counted, queries, replies


def _sizes(name: str, text: str, sizes: dict[tuple[str, ...], Sizes]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("server", "zone", "view", "proto"))
    for labels, size in sizes.items():
        family.add_metric(labels, cumulated(SIZE_BUCKETS, size.counts), size.sum)
    return family


def _rcode_label(rcode: int) -> str:
    return RCODE_LABELS[rcode] if rcode < OTHER_RCODE else OTHER
