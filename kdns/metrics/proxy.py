"""What is counted of the proxy, declared once, with the names, labels and buckets of kube-proxy.

As in `kdns.metrics.dns`, the parts write plain attributes through small methods, and families are made when a client
scrapes. Only what the running mode has is declared. What only kdns can say starts with ``kdns_``.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector

from kdns.metrics.families import Durations, counter, gauge, histogram

Mode = Literal["iptables", "nftables", "ipvs"]
Policy = Literal["internal", "external"]
Probe = Literal["healthz", "livez"]

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


class FamilyCounts:
    """The counters of one address family."""

    def __init__(self) -> None:
        self.sync = Durations(SYNC_BUCKETS)
        self.full = Durations(SYNC_BUCKETS)
        self.partial = Durations(SYNC_BUCKETS)
        self.programming = Durations(PROGRAMMING_BUCKETS)
        self.flows = Durations(SYNC_BUCKETS)
        self.flows_deleted = 0
        self.synced: float | None = None
        self.queued: float | None = None
        """Unix seconds; None before the first one."""
        self.failures = 0
        self.partial_failures = 0
        self.cleanup_failures = 0
        self.rules: dict[str, int] = {}
        """By table: how many are in force."""
        self.rules_written: dict[str, int] = {}
        """By table: how many the last sync wrote."""
        self.no_local: dict[Policy, int] = {"internal": 0, "external": 0}


class ProxyMetrics:
    """All counters of one proxy; prometheus_client calls `collect` at each scrape. Families are IPv4 and IPv6."""

    def __init__(
        self, mode: Mode, families: Sequence[str], packets: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        """``packets`` reads the kernel's counters `INVALID_DROPPED` and `LOCALHOST_ACCEPTED`, those that there are."""
        self.mode = mode
        self._packets = packets or dict
        self._families = {family: FamilyCounts() for family in families}
        self._changes: dict[str, int] = {"endpoint": 0, "service": 0}
        self._pending: dict[str, int] = {"endpoint": 0, "service": 0}
        self._probes: dict[Probe, Counter[int]] = {"healthz": Counter(), "livez": Counter()}

    def registry(self) -> CollectorRegistry:
        """A registry with these metrics and those of the process and the platform."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry

    def observe_sync(self, family: str, seconds: float, *, full: bool) -> None:
        """A sync took this long, be it that it failed."""
        counts = self._families[family]
        counts.sync.observe(seconds)
        (counts.full if full else counts.partial).observe(seconds)

    def synced(self, family: str, at: float) -> None:
        """A sync was successful; Unix seconds."""
        self._families[family].synced = at

    def queued(self, family: str, at: float) -> None:
        """A sync was asked for; Unix seconds."""
        self._families[family].queued = at

    def failed(self, family: str, *, full: bool) -> None:
        """The kernel has refused a sync."""
        counts = self._families[family]
        counts.failures += 1
        counts.partial_failures += not full

    def cleanup_failed(self, family: str) -> None:
        """What a sync had left for later could not be removed."""
        self._families[family].cleanup_failures += 1

    def programmed(self, family: str, seconds: float) -> None:
        """A change is in force so long after the cluster began it."""
        self._families[family].programming.observe(seconds)

    def changed(self, what: Literal["endpoint", "service"], times: int = 1) -> None:
        """EndpointSlices or Services have changed."""
        self._changes[what] += times

    def pending(self, what: Literal["endpoint", "service"], number: int) -> None:
        """So many of those changes are not in force yet."""
        self._pending[what] = number

    def rules(self, family: str, table: str, total: int, written: int) -> None:
        """So many rules are in force in a table, and the last sync wrote so many of them."""
        self._families[family].rules[table] = total
        self._families[family].rules_written[table] = written

    def no_local_endpoints(self, family: str, policy: Policy, number: int) -> None:
        """So many service ports whose traffic is to stay here have endpoints, but none here."""
        self._families[family].no_local[policy] = number

    def flows_cleaned(self, family: str, seconds: float, deleted: int) -> None:
        """UDP flows that led to the dead were looked for, which took so long."""
        self._families[family].flows.observe(seconds)
        self._families[family].flows_deleted += deleted

    def probed(self, page: Probe, status: int) -> None:
        """A client has asked for /healthz or /livez; see `kdns.proxy.healthcheck.proxy_ports`."""
        self._probes[page][status] += 1

    def collect(self) -> Iterator[Metric]:
        """Every metric family with what it counts now."""
        yield self._seconds(f"{SYNC}duration_seconds", "Seconds of each sync.", lambda one: one.sync)
        if self.mode != "ipvs":
            yield self._seconds(
                f"{PREFIX}sync_full_proxy_rules_duration_seconds", "Seconds of each full sync.", lambda one: one.full
            )
            yield self._seconds(
                f"{PREFIX}sync_partial_proxy_rules_duration_seconds",
                "Seconds of each sync of what had changed only.",
                lambda one: one.partial,
            )
        yield self._seconds(
            f"{PREFIX}network_programming_duration_seconds",
            "Seconds from a change in the cluster until it is in force on this node.",
            lambda one: one.programming,
        )
        yield self._moments("last_timestamp_seconds", "Unix time of the last successful sync.", lambda one: one.synced)
        yield self._moments(
            "last_queued_timestamp_seconds", "Unix time at which a sync was asked for last.", lambda one: one.queued
        )
        for what, of in (("endpoint", "EndpointSlices"), ("service", "Services")):
            yield gauge(f"{SYNC}{what}_changes_pending", f"Changes of {of} that are not in force yet.", (),
                        {(): self._pending[what]})  # fmt: skip
            yield counter(f"{SYNC}{what}_changes", f"Changes of {of}.", (), {(): self._changes[what]})
        yield gauge(
            f"{SYNC}no_local_endpoints_total",
            "Service ports whose traffic is to stay on this node, with endpoints, but none on it.",
            (*FAMILY, "traffic_policy"),
            {(family, policy): n for family, one in self._families.items() for policy, n in one.no_local.items()},
        )
        yield from self._collect_mode()
        yield self._seconds(
            f"{PREFIX}conntrack_reconciler_sync_duration_seconds",
            "Seconds it took to look for UDP flows that lead to endpoints that are gone.",
            lambda one: one.flows,
        )
        yield self._count(
            f"{PREFIX}conntrack_reconciler_deleted_entries", "UDP flows deleted.", lambda one: one.flows_deleted
        )
        for page, counts in self._probes.items():
            yield counter(f"{PREFIX}proxy_{page}", f"Answers of /{page} by status.", ("code",),
                          {(str(status),): times for status, times in sorted(counts.items())})  # fmt: skip

    def _collect_mode(self) -> Iterator[Metric]:
        if self.mode == "nftables":
            yield self._count(f"{SYNC}nftables_sync_failures", "Failed syncs.", lambda one: one.failures)
            yield self._count(
                f"{SYNC}nftables_cleanup_failures",
                "Failed removals of what is stale.",
                lambda one: one.cleanup_failures,
            )
            return
        yield self._count(f"{SYNC}iptables_restore_failures", "Failed syncs.", lambda one: one.failures)
        if self.mode != "iptables":
            return
        yield self._count(
            f"{SYNC}iptables_partial_restore_failures",
            "Failed syncs of what had changed only.",
            lambda one: one.partial_failures,
        )
        yield self._tables("iptables_total", "Rules in force.", lambda one: one.rules)
        yield self._tables("iptables_last", "Rules that the last sync wrote.", lambda one: one.rules_written)
        packets = self._packets()
        for name, text in (
            (INVALID_DROPPED, "Packets dropped because they belong to no flow."),
            (LOCALHOST_ACCEPTED, "Packets to node ports on a loopback address."),
        ):
            yield counter(f"{PREFIX}{name}", text, (), {(): packets[name]} if name in packets else {})

    def _seconds(self, name: str, text: str, of: Callable[[FamilyCounts], Durations]) -> Metric:
        return histogram(name, text, FAMILY, {(family,): of(one) for family, one in self._families.items()})

    def _count(self, name: str, text: str, of: Callable[[FamilyCounts], int]) -> Metric:
        return counter(name, text, FAMILY, {(family,): of(one) for family, one in self._families.items()})

    def _moments(self, name: str, text: str, of: Callable[[FamilyCounts], float | None]) -> Metric:
        moments = {family: of(one) for family, one in self._families.items()}
        return gauge(SYNC + name, text, FAMILY, {(family,): at for family, at in moments.items() if at is not None})

    def _tables(self, name: str, text: str, of: Callable[[FamilyCounts], Mapping[str, int]]) -> Metric:
        counts: dict[tuple[str, ...], float] = {
            (family, table): n for family, one in self._families.items() for table, n in of(one).items()
        }
        return gauge(SYNC + name, text, (*FAMILY, "table"), counts)
