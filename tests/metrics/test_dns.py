"""Counters under CoreDNS's names."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kdns.metrics.dns import Counted, Enabled, Metrics, SocketCounts

T = "0.00025 0.0005 0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 +Inf"
B = "0 100 200 300 400 511 1023 2047 4095 8291 16000 32000 48000 64000 +Inf"
S = "0.00025 0.0025 0.025 0.25 2.5 +Inf"
P = (
    "0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 16.384 32.768 65.536 131.072"
    " 262.144 524.288 +Inf"
)

NAMES = (  # name, kind, labels, buckets
    ("coredns_build_info", "gauge", "goversion revision version", ""),
    ("coredns_panics", "counter", "", ""),
    ("coredns_plugin_enabled", "gauge", "name server view zone", ""),
    ("coredns_dns_requests", "counter", "family proto server type view zone", ""),
    ("coredns_dns_request_duration_seconds", "histogram", "server view zone", T),
    ("coredns_dns_request_size_bytes", "histogram", "proto server view zone", B),
    ("coredns_dns_response_size_bytes", "histogram", "proto server view zone", B),
    ("coredns_dns_do_requests", "counter", "server view zone", ""),
    ("coredns_dns_responses", "counter", "plugin rcode server view zone", ""),
    ("coredns_kubernetes_dns_programming_duration_seconds", "histogram", "service_kind", P),
    ("coredns_health_request_duration_seconds", "histogram", "", S),
    ("coredns_health_request_failures", "counter", "", ""),
    ("kdns_watch_last_event_timestamp_seconds", "gauge", "kind", ""),
    ("kdns_watch_relists", "counter", "kind", ""),
    ("kdns_watch_losses", "counter", "kind", ""),
    ("kdns_objects", "gauge", "kind", ""),
    ("process_resident_memory_bytes", "gauge", "", ""),
    ("process_cpu_seconds", "counter", "", ""),
)


@pytest.fixture
def metrics() -> Metrics:
    """Three sockets that have answered something."""
    metrics = Metrics(version="0.1.0", runtime="python3.11")
    metrics.enabled = (Enabled("dns://:53", "cluster.local.", "kubernetes"),)
    metrics.cluster.watch("Service").objects.set(7)
    udp = SocketCounts("dns://:53", "udp", 1)
    udp.tallies[Counted("cluster.local.", 1, 0, False, 16, "kubernetes")] |= {50: 3, 101: 1}
    udp.tallies[Counted("cluster.local.", 1, 3, True, 90, "kubernetes")][61] += 2
    udp.tallies[Counted("cluster.local.", 4711, 0, True, 90, "kubernetes")][61] += 1
    udp.tallies[Counted("dropped", 1, 5, False, 0, "")][40] += 4
    udp.timed(9, 0.0002)
    udp.timed(1, 0.0009)
    second = SocketCounts("dns://:53", "udp", 1)
    second.tallies[Counted("cluster.local.", 1, 0, False, 16, "kubernetes")][50] += 10
    second.timed(10, 99.0)
    second.panics = 2
    tcp = SocketCounts("dns://:53", "tcp", 2)
    tcp.tallies[Counted("cluster.local.", 33, 16, False, 70000, "kubernetes")][50] += 1
    metrics.sockets += [udp, second, tcp]
    metrics.panics = 1
    return metrics


def value(registry: CollectorRegistry, name: str, /, **labels: str) -> float | None:
    """One sample."""
    return registry.get_sample_value(name, labels)


@pytest.mark.parametrize(("name", "kind", "labels", "buckets"), NAMES, ids=[row[0] for row in NAMES])
def test_names(metrics: Metrics, name: str, kind: str, labels: str, buckets: str) -> None:
    """Each family has CoreDNS's name, kind, labels and bucket bounds, spelled as Go spells them."""
    text = generate_latest(metrics.registry()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    family = families[name]
    assert (kind, labels) == (family.type, " ".join(sorted(set(family.samples[0].labels) - {"le"})))
    bounds = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
    assert bounds[: len(buckets.split())] == buckets.split()


BLOCK = {"server": "dns://:53", "zone": "cluster.local.", "view": ""}


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("coredns_dns_requests_total", BLOCK | {"proto": "udp", "family": "1", "type": "A"}, 16),
        ("coredns_dns_requests_total", BLOCK | {"proto": "udp", "family": "1", "type": "other"}, 1),
        ("coredns_dns_requests_total", BLOCK | {"proto": "tcp", "family": "2", "type": "SRV"}, 1),
        ("coredns_dns_requests_total", BLOCK | {"zone": "dropped", "proto": "udp", "family": "1", "type": "A"}, 4),
        ("coredns_dns_responses_total", BLOCK | {"rcode": "NOERROR", "plugin": "kubernetes"}, 15),
        ("coredns_dns_responses_total", BLOCK | {"rcode": "NXDOMAIN", "plugin": "kubernetes"}, 2),
        ("coredns_dns_responses_total", BLOCK | {"rcode": "BADVERS", "plugin": "kubernetes"}, 1),
        ("coredns_dns_responses_total", BLOCK | {"zone": "dropped", "rcode": "REFUSED", "plugin": ""}, 4),
        ("coredns_dns_do_requests_total", BLOCK, 3),
        ("coredns_dns_request_size_bytes_bucket", BLOCK | {"proto": "udp", "le": "100"}, 16),
        ("coredns_dns_request_size_bytes_bucket", BLOCK | {"proto": "udp", "le": "200"}, 17),
        ("coredns_dns_request_size_bytes_sum", BLOCK | {"proto": "udp"}, 13 * 50 + 101 + 3 * 61),
        ("coredns_dns_response_size_bytes_sum", BLOCK | {"proto": "udp"}, 13 * 66 + 117 + 3 * 151),
        ("coredns_dns_response_size_bytes_bucket", BLOCK | {"proto": "tcp", "le": "64000"}, 0),
        ("coredns_dns_response_size_bytes_bucket", BLOCK | {"proto": "tcp", "le": "+Inf"}, 1),
        ("coredns_dns_request_duration_seconds_bucket", BLOCK | {"zone": ".", "le": "0.00025"}, 9),
        ("coredns_dns_request_duration_seconds_bucket", BLOCK | {"zone": ".", "le": "0.001"}, 10),
        ("coredns_dns_request_duration_seconds_bucket", BLOCK | {"zone": ".", "le": "8.192"}, 10),
        ("coredns_dns_request_duration_seconds_count", BLOCK | {"zone": "."}, 20),
        ("coredns_plugin_enabled", BLOCK | {"name": "kubernetes"}, 1),
        ("coredns_panics_total", {}, 3),
        ("kdns_objects", {"kind": "Service"}, 7),
    ],
)
def test_values(metrics: Metrics, name: str, labels: dict[str, str], expected: float) -> None:
    """Sockets of the same server, protocol and family are added up; histograms are cumulative."""
    assert value(metrics.registry(), name, **labels) == expected


def test_a_scrape_changes_nothing(metrics: Metrics) -> None:
    """Two scrapes without a question between them tell the same of DNS."""
    registry = metrics.registry()
    first, second = (
        [line for line in generate_latest(registry).decode().splitlines() if "coredns_" in line] for _ in range(2)
    )
    assert first == second


def test_durations_land_in_the_bucket_that_holds_them(metrics: Metrics) -> None:
    """A duration of exactly a bound belongs to that bound's bucket."""
    metrics.health.observe(0.0025)
    metrics.health.observe(0.0026)
    metrics.cluster.programmed("cluster_ip", "trigger", 1000.0)
    registry = metrics.registry()
    name = "coredns_kubernetes_dns_programming_duration_seconds_bucket"
    assert value(registry, "coredns_health_request_duration_seconds_bucket", le="0.0025") == 1
    assert value(registry, "coredns_health_request_duration_seconds_bucket", le="0.025") == 2
    assert value(registry, name, service_kind="cluster_ip", le="524.288") == 0
    assert value(registry, name, service_kind="cluster_ip", le="+Inf") == 1
