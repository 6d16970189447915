"""What is counted of the proxy, declared once, with the names, labels and buckets of kube-proxy.

The objects are prometheus_client's own: no hot path is here. Only what the running mode has is declared. What only kdns
can say starts with ``kdns_``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics import MetricWrapperBase

from kdns.metrics.families import as_go_shows_it, counter

Mode = Literal["iptables", "nftables", "ipvs"]
Policy = Literal["internal", "external"]
Probe = Literal["healthz", "livez"]
Changed = Literal["endpoint", "service"]

SYNC_BUCKETS: Final = tuple(0.001 * 2**k for k in range(15))
"""Seconds: 1 ms doubling up to 16.384 s."""
PROGRAMMING_BUCKETS: Final = (
    0.25, 0.5, *map(float, range(1, 60)), *map(float, range(60, 120, 5)), *map(float, range(120, 301, 30)),
)  # fmt: skip
"""Seconds, up to five minutes."""
PREFIX: Final = "kubeproxy_"
SYNC: Final = f"{PREFIX}sync_proxy_rules_"
FAMILY: Final = ("ip_family",)
INVALID_DROPPED: Final = "iptables_ct_state_invalid_dropped_packets"
LOCALHOST_ACCEPTED: Final = "iptables_localhost_nodeports_accepted_packets"
PACKETS: Final = {
    INVALID_DROPPED: "Packets dropped because they belong to no flow.",
    LOCALHOST_ACCEPTED: "Packets to node ports on a loopback address.",
}
"""What the kernel counts, and what that is."""
CHANGES: Final[Mapping[Changed, str]] = {"endpoint": "EndpointSlices", "service": "Services"}
PROBES: Final[tuple[Probe, ...]] = ("healthz", "livez")


class ProxyMetrics:
    """All counters of one proxy; prometheus_client calls `collect` at each scrape. Families are IPv4 and IPv6."""

    def __init__(
        self, mode: Mode, families: Sequence[str], packets: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        """``packets`` reads the kernel's counters `INVALID_DROPPED` and `LOCALHOST_ACCEPTED`, those that there are."""
        self.mode = mode
        self._packets = packets or dict
        self._sync = _seconds(f"{SYNC}duration_seconds", "Seconds of each sync.")
        self._full = _seconds(f"{PREFIX}sync_full_proxy_rules_duration_seconds", "Seconds of each full sync.")
        self._partial = _seconds(
            f"{PREFIX}sync_partial_proxy_rules_duration_seconds", "Seconds of each sync of what had changed only."
        )
        self._programming = _seconds(
            f"{PREFIX}network_programming_duration_seconds",
            "Seconds from a change in the cluster until it is in force on this node.",
            PROGRAMMING_BUCKETS,
        )
        self._synced = _gauge("last_timestamp_seconds", "Unix time of the last successful sync.", FAMILY)
        self._queued = _gauge("last_queued_timestamp_seconds", "Unix time at which a sync was asked for last.", FAMILY)
        self._pending: dict[Changed, Gauge] = {
            what: _gauge(f"{what}_changes_pending", f"Changes of {of} that are not in force yet.")
            for what, of in CHANGES.items()
        }
        self._changes: dict[Changed, Counter] = {
            what: _counter(f"{SYNC}{what}_changes", f"Changes of {of}.", ()) for what, of in CHANGES.items()
        }
        self._no_local = _gauge(
            "no_local_endpoints_total",
            "Service ports whose traffic is to stay on this node, with endpoints, but none on it.",
            (*FAMILY, "traffic_policy"),
        )
        failures = "nftables_sync_failures" if mode == "nftables" else "iptables_restore_failures"
        self._failures = _counter(SYNC + failures, "Failed syncs.")
        self._partial_failures = _counter(
            f"{SYNC}iptables_partial_restore_failures", "Failed syncs of what had changed only."
        )
        self._cleanup_failures = _counter(f"{SYNC}nftables_cleanup_failures", "Failed removals of what is stale.")
        self._rules_modified = _counter("kdns_proxy_rules_modified", "Times that rules were modified externally.")
        self._rules = _gauge("iptables_total", "Rules in force.", (*FAMILY, "table"))
        self._rules_written = _gauge("iptables_last", "Rules that the last sync wrote.", (*FAMILY, "table"))
        self._flows = _seconds(
            f"{PREFIX}conntrack_reconciler_sync_duration_seconds",
            "Seconds it took to look for UDP flows that lead to endpoints that are gone.",
        )
        self._flows_deleted = _counter(f"{PREFIX}conntrack_reconciler_deleted_entries", "UDP flows deleted.")
        self._probes: dict[Probe, Counter] = {
            page: _counter(f"{PREFIX}proxy_{page}", f"Answers of /{page} by status.", ("code",)) for page in PROBES
        }
        for family in families:
            self._show_zeros(family)

    def _show_zeros(self, family: str) -> None:
        """A rate needs the zero before the first one."""
        for histogram in (self._sync, self._full, self._partial, self._programming, self._flows):
            histogram.labels(family)
        for failures_counter in (self._failures, self._partial_failures, self._cleanup_failures, self._flows_deleted):
            failures_counter.labels(family)
        self._rules_modified.labels(family)
        for policy in ("internal", "external"):
            self._no_local.labels(family, policy)

    def registry(self) -> CollectorRegistry:
        """A registry with these metrics and those of the process and the platform."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry

    def observe_sync(self, family: str, seconds: float, *, full: bool) -> None:
        """A sync took this long, also when it failed."""
        self._sync.labels(family).observe(seconds)
        (self._full if full else self._partial).labels(family).observe(seconds)

    def synced(self, family: str, at: float) -> None:
        """A sync was successful; Unix seconds."""
        self._synced.labels(family).set(at)

    def queued(self, family: str, at: float) -> None:
        """A sync was asked for; Unix seconds."""
        self._queued.labels(family).set(at)

    def failed(self, family: str, *, full: bool) -> None:
        """The kernel has refused a sync."""
        self._failures.labels(family).inc()
        if not full:
            self._partial_failures.labels(family).inc()

    def cleanup_failed(self, family: str) -> None:
        """What a sync had left for later could not be removed."""
        self._cleanup_failures.labels(family).inc()

    def modified(self, family: str) -> None:
        """Others have modified the rules; they are written again."""
        self._rules_modified.labels(family).inc()

    def programmed(self, family: str, seconds: float) -> None:
        """A change is in force so long after the cluster began it."""
        self._programming.labels(family).observe(seconds)

    def changed(self, what: Changed, times: int = 1) -> None:
        """EndpointSlices or Services have changed."""
        self._changes[what].inc(times)

    def pending(self, what: Changed, number: int) -> None:
        """So many of those changes are not in force yet."""
        self._pending[what].set(number)

    def rules(self, family: str, table: str, total: int, written: int) -> None:
        """So many rules are in force in a table, and the last sync wrote so many of them."""
        self._rules.labels(family, table).set(total)
        self._rules_written.labels(family, table).set(written)

    def no_local_endpoints(self, family: str, policy: Policy, number: int) -> None:
        """So many service ports whose traffic is to stay here have endpoints, but none here."""
        self._no_local.labels(family, policy).set(number)

    def flows_cleaned(self, family: str, seconds: float, deleted: int) -> None:
        """UDP flows to endpoints that are gone were looked for, which took so long."""
        self._flows.labels(family).observe(seconds)
        self._flows_deleted.labels(family).inc(deleted)

    def probed(self, page: Probe, status: int) -> None:
        """A probe has asked for /healthz or /livez; see `kdns.proxy.healthcheck.proxy_ports`."""
        self._probes[page].labels(str(status)).inc()

    def collect(self) -> Iterator[Metric]:
        """Every metric family with what it counts now."""
        for metric in self._declared():
            yield from as_go_shows_it(metric)
        if self.mode == "iptables":
            packets = self._packets()
            for name, text in PACKETS.items():
                yield counter(f"{PREFIX}{name}", text, (), {(): packets[name]} if name in packets else {})

    def _declared(self) -> Iterator[MetricWrapperBase]:
        """What the running mode has."""
        yield self._sync
        if self.mode != "ipvs":
            yield from (self._full, self._partial)
        yield from (self._programming, self._synced, self._queued)
        yield from (*self._pending.values(), *self._changes.values())
        yield from (self._no_local, self._failures, self._rules_modified)
        match self.mode:
            case "nftables":
                yield self._cleanup_failures
            case "iptables":
                yield from (self._partial_failures, self._rules, self._rules_written)
        yield from (self._flows, self._flows_deleted, *self._probes.values())


def _seconds(name: str, text: str, buckets: Sequence[float] = SYNC_BUCKETS) -> Histogram:
    return Histogram(name, text, FAMILY, buckets=buckets, registry=None)


def _counter(name: str, text: str, labels: Sequence[str] = FAMILY) -> Counter:
    return Counter(name, text, labels, registry=None)


def _gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(SYNC + name, text, labels, registry=None)
