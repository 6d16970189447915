"""The proxy's metrics are kube-proxy's: names, types, labels and buckets, compared with its reference."""

import re
from typing import NamedTuple, get_args

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kdns.metrics.proxy import Mode, ProxyMetrics

TABLE = """
sync_proxy_rules_duration_seconds                         histogram  ip_family                 all
sync_full_proxy_rules_duration_seconds                    histogram  ip_family                 iptables nftables
sync_partial_proxy_rules_duration_seconds                 histogram  ip_family                 iptables nftables
network_programming_duration_seconds                      histogram  ip_family                 all
sync_proxy_rules_last_timestamp_seconds                   gauge      ip_family                 all
sync_proxy_rules_last_queued_timestamp_seconds            gauge      ip_family                 all
sync_proxy_rules_endpoint_changes_pending                 gauge      -                         all
sync_proxy_rules_service_changes_pending                  gauge      -                         all
sync_proxy_rules_endpoint_changes_total                   counter    -                         all
sync_proxy_rules_service_changes_total                    counter    -                         all
sync_proxy_rules_iptables_total                           gauge      ip_family,table           iptables
sync_proxy_rules_iptables_last                            gauge      ip_family,table           iptables
sync_proxy_rules_iptables_restore_failures_total          counter    ip_family                 iptables ipvs
sync_proxy_rules_iptables_partial_restore_failures_total  counter    ip_family                 iptables
sync_proxy_rules_nftables_sync_failures_total             counter    ip_family                 nftables
sync_proxy_rules_nftables_cleanup_failures_total          counter    ip_family                 nftables
sync_proxy_rules_no_local_endpoints_total                 gauge      ip_family,traffic_policy  all
iptables_ct_state_invalid_dropped_packets_total           counter    -                         iptables
iptables_localhost_nodeports_accepted_packets_total       counter    -                         iptables
conntrack_reconciler_sync_duration_seconds                histogram  ip_family                 all
conntrack_reconciler_deleted_entries_total                counter    ip_family                 all
proxy_healthz_total                                       counter    code                      all
proxy_livez_total                                         counter    code                      all
"""


class Row(NamedTuple):
    name: str
    kind: str
    labels: frozenset[str]


def expected(mode: Mode) -> set[Row]:
    """What the table says of a mode."""
    rows = set()
    for line in TABLE.strip().splitlines():
        name, kind, labels, *modes = line.split()
        if mode in modes or modes == ["all"]:
            rows.add(Row(f"kubeproxy_{name}", kind, frozenset(labels.split(",")) - {"-"}))
    return rows


def used(mode: Mode) -> ProxyMetrics:
    """Metrics in which everything has happened at least once."""
    names = ("iptables_ct_state_invalid_dropped_packets", "iptables_localhost_nodeports_accepted_packets")
    metrics = ProxyMetrics(mode, ("IPv4", "IPv6"), lambda: dict.fromkeys(names, 3))
    metrics.observe_sync("IPv4", 0.003, full=True)
    metrics.observe_sync("IPv4", 0.001, full=False)
    metrics.synced("IPv4", 1000.5)
    metrics.queued("IPv4", 1000.0)
    metrics.failed("IPv4", full=True)
    metrics.failed("IPv4", full=False)
    metrics.cleanup_failed("IPv4")
    metrics.modified("IPv4")
    metrics.programmed("IPv6", 61.0)
    metrics.changed("endpoint", 4)
    metrics.pending("service", 2)
    metrics.rules("IPv4", "nat", 120, 7)
    metrics.no_local_endpoints("IPv4", "external", 5)
    metrics.flows_cleaned("IPv4", 0.02, 6)
    metrics.probed("healthz", 200)
    metrics.probed("healthz", 503)
    metrics.probed("livez", 200)
    return metrics


def page(metrics: ProxyMetrics) -> str:
    """What a scrape gets, without the numbers of the process."""
    text = generate_latest(metrics.registry()).decode()
    return "\n".join(line for line in text.splitlines() if "kubeproxy_" in line) + "\n"


@pytest.mark.parametrize("mode", get_args(Mode))
def test_declared(mode: Mode) -> None:
    """Exactly the families of the mode, with their types and labels."""
    found = set()
    for family in text_string_to_metric_families(page(used(mode))):
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        found.add(Row(family.name + "_total" * (family.type == "counter"), family.type, labels))
    assert found == expected(mode)


def lines(mode: Mode) -> set[str]:
    """The samples of a scrape."""
    return {line for line in page(used(mode)).splitlines() if not line.startswith("#")}


VALUES = (
    'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 2.0',
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.001"} 1.0',
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.004"} 2.0',
    'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1.0',
    'kubeproxy_sync_partial_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 0.001',
    'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1000.5',
    'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1000.0',
    'kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv6",le="60"} 0.0',
    'kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv6",le="65"} 1.0',
    "kubeproxy_sync_proxy_rules_endpoint_changes_total 4.0",
    "kubeproxy_sync_proxy_rules_service_changes_total 0.0",
    "kubeproxy_sync_proxy_rules_service_changes_pending 2.0",
    'kubeproxy_sync_proxy_rules_iptables_total{ip_family="IPv4",table="nat"} 120.0',
    'kubeproxy_sync_proxy_rules_iptables_last{ip_family="IPv4",table="nat"} 7.0',
    'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 2.0',
    'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1.0',
    'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv6"} 0.0',
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"} 5.0',
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv6",traffic_policy="internal"} 0.0',
    "kubeproxy_iptables_ct_state_invalid_dropped_packets_total 3.0",
    'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 6.0',
    'kubeproxy_proxy_healthz_total{code="200"} 1.0',
    'kubeproxy_proxy_healthz_total{code="503"} 1.0',
    'kubeproxy_proxy_livez_total{code="200"} 1.0',
)


@pytest.mark.parametrize("line", VALUES)
def test_values(line: str) -> None:
    """What happened is what a scrape tells."""
    assert line in lines("iptables")


def test_nftables_counts_its_own_failures() -> None:
    """Under its own names."""
    found = lines("nftables")
    assert 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 2.0' in found
    assert 'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv4"} 1.0' in found


BUCKETS = {
    "sync_proxy_rules_duration_seconds": [0.001 * 2**n for n in range(15)],
    "network_programming_duration_seconds":
        [0.25, 0.5, *range(1, 60), *range(60, 116, 5), 120, 150, 180, 210, 240, 270, 300],
}  # fmt: skip


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets(name: str) -> None:
    """As kube-proxy has them."""
    pattern = rf'kubeproxy_{name}_bucket{{ip_family="IPv4",le="([^"]+)"}}'
    found = [float(bound) for bound in re.findall(pattern, page(used("iptables")))]
    assert found == [*BUCKETS[name], float("inf")]


def test_counters_that_the_kernel_does_not_have() -> None:
    """A kernel without these counters has no value for them, and nothing fails."""
    text = page(ProxyMetrics("iptables", ("IPv4",)))
    assert "# TYPE kubeproxy_iptables_ct_state_invalid_dropped_packets_total counter" in text
    assert "\nkubeproxy_iptables_ct_state_invalid_dropped_packets_total" not in text


def test_nothing_is_said_of_moments_that_have_not_been() -> None:
    """A timestamp of 0 would be an alert."""
    assert "last_timestamp_seconds{" not in page(ProxyMetrics("iptables", ("IPv4",)))
