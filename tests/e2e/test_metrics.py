"""Every metric of a running server: names, types, labels and buckets as CoreDNS has them, and nothing besides.

One process has all the plugins that count; questions and events move the counters; then its page is compared with a
table, which was written from CoreDNS's metrics and not from our code.
"""

import asyncio
import socket
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest
from dnslib import EDNS0, DNSRecord
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from kdns.demo.ask import Question, ask
from kdns.dns.transport.https import CONTENT_TYPE
from tests.dns.secure import query, trusting
from tests.dns.server.test_corefile_served import Served
from tests.fakes.api_server import FakeApiServer
from tests.fakes.certificates import SERVER
from tests.fakes.faults import Close
from tests.fakes.objects import Json, endpoint_slice, namespace, pod, service
from tests.fakes.upstream import FakeUpstream
from tests.running import PATIENCE

pytestmark = pytest.mark.e2e

T: Final = "0.00025 0.0005 0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192"
S: Final = "0.00025 0.0025 0.025 0.25 2.5"
B: Final = "0 100 200 300 400 511 1023 2047 4095 8291 16000 32000 48000 64000"
D: Final = "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10"
P: Final = (
    "0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 16.384 32.768 65.536 131.072"
    " 262.144 524.288"
)


class Row(NamedTuple):
    """One family: its name without ``coredns_``, type, labels in the order of the alphabet, buckets."""

    name: str
    kind: str
    labels: str = ""
    buckets: str = ""
    moved: bool = True
    """What the test does must show in it."""


COREDNS: Final = (
    Row("build_info", "gauge", "goversion revision version"),
    Row("panics", "counter", moved=False),
    Row("plugin_enabled", "gauge", "name server view zone"),
    Row("dns_requests", "counter", "family proto server type view zone"),
    Row("dns_request_duration_seconds", "histogram", "server view zone", T),
    Row("dns_request_size_bytes", "histogram", "proto server view zone", B),
    Row("dns_response_size_bytes", "histogram", "proto server view zone", B),
    Row("dns_do_requests", "counter", "server view zone"),
    Row("dns_responses", "counter", "plugin rcode server view zone"),
    Row("dns_https_responses", "counter", "server status"),
    Row("cache_entries", "gauge", "server type view zones"),
    Row("cache_requests", "counter", "server view zones"),
    Row("cache_misses", "counter", "server view zones"),
    Row("cache_prefetch", "counter", "server view zones"),
    Row("cache_drops", "counter", "server view zones", moved=False),
    Row("cache_served_stale", "counter", "server view zones"),
    Row("cache_hits", "counter", "server type view zones"),
    Row("cache_evictions", "counter", "server type view zones"),
    Row("forward_healthcheck_broken", "counter"),
    Row("forward_max_concurrent_rejects", "counter"),
    Row("proxy_request_duration_seconds", "histogram", "proxy_name rcode to", T),
    Row("proxy_healthcheck_failures", "counter", "proxy_name to"),
    Row("proxy_conn_cache_hits", "counter", "proto proxy_name to"),
    Row("proxy_conn_cache_misses", "counter", "proto proxy_name to"),
    Row("kubernetes_dns_programming_duration_seconds", "histogram", "service_kind", P),
    Row("kubernetes_rest_client_request_duration_seconds", "histogram", "host verb", D),
    Row("kubernetes_rest_client_rate_limiter_duration_seconds", "histogram", "host verb", D),
    Row("kubernetes_rest_client_requests", "counter", "code host method"),
    Row("health_request_duration_seconds", "histogram", "", S),
    Row("health_request_failures", "counter", moved=False),
    Row("reload_failed", "counter"),
    Row("reload_version_info", "gauge", "hash value"),
    Row("hosts_entries", "gauge"),
    Row("hosts_reload_timestamp_seconds", "gauge"),
    Row("acl_blocked_requests", "counter", "server view zone"),
    Row("acl_filtered_requests", "counter", "server view zone"),
    Row("acl_dropped_requests", "counter", "server view zone"),
    Row("acl_allowed_requests", "counter", "server view"),
    Row("autopath_success", "counter", "server"),
    Row("dns64_requests_translated", "counter", "server"),
    Row("template_matches", "counter", "class server type view zone"),
    Row("template_template_failures", "counter", "class section server template type view zone"),
    Row("template_rr_failures", "counter", "class section server template type view zone"),
    Row("local_localhost_requests", "counter"),
)
OURS: Final = (
    Row("kdns_objects", "gauge", "kind"),
    Row("kdns_dns_programming_duration_seconds", "histogram", "service_kind since", P),
    Row("kdns_dns_connections_over_share", "counter", "server", moved=False),
    Row("kdns_forward_client_share_rejects", "counter", moved=False),
    Row("kdns_watch_data_age_seconds", "gauge", "kind"),
    Row("kdns_watch_last_event_timestamp_seconds", "gauge", "kind"),
    Row("kdns_watch_restarts", "counter", "kind reason"),
    Row("kdns_watch_relists", "counter", "kind", moved=False),
    Row("kdns_watch_losses", "counter", "kind", moved=False),
)
ROWS: Final = {row.name: row for row in (*(row._replace(name=f"coredns_{row.name}") for row in COREDNS), *OURS)}

COREFILE: Final = """
.:0 {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:0
    ready 127.0.0.1:0
    prometheus 127.0.0.1:0
    reload 1h
    loop
    local
    loadbalance
    dns64 {{
        allow_ipv4
    }}
    autopath @kubernetes
    acl blocked.test {{
        block
    }}
    acl filtered.test {{
        filter
    }}
    acl dropped.test {{
        drop
    }}
    acl allowed.test {{
        allow
    }}
    cache 60 {{
        success 1024 1 1
        prefetch 1 1m 90%
        serve_stale 1h
    }}
    hosts {hosts} {{
        192.0.2.9 inline.test
        fallthrough
    }}
    template IN A t.test {{
        answer "{{{{ .Name }}}} 60 IN A 192.0.2.8"
    }}
    template IN A run.test {{
        answer "{{{{ index .Name 9999 }}}}"
    }}
    template IN A rr.test {{
        answer "{{{{ .Name }}}} 60 IN A nowhere{{{{ .Type }}}}"
    }}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint {api}
        pods verified
        fallthrough in-addr.arpa ip6.arpa
    }}
    forward down.test 127.0.0.1:9 {{
        health_check 20ms
        max_fails 1
    }}
    forward slow.test {slow} {{
        max_concurrent 1
    }}
    forward . {upstream}
}}
https://.:0 {{
    bind 127.0.0.1
    tls {cert} {key}
    hosts {hosts}
    prometheus 127.0.0.1:0
}}
"""
TRIGGER: Final = "endpoints.kubernetes.io/last-change-trigger-time"


def slice_of(owner: str, address: str) -> Json:
    """A slice with the annotation that the slice controller writes."""
    made = endpoint_slice("shop", f"{owner}-1", owner, (address,))
    made["metadata"]["annotations"] = {TRIGGER: "2026-01-01T00:00:00Z"}
    return made


async def questions(kdns: Served, port: int) -> None:
    """Move everything that questions can move."""
    for name, rtype in (
        ("web.shop.svc.cluster.local", "A"),
        ("www.example.org", "A"),
        ("www.example.org", "A"),
        ("www.example.org", "AAAA"),
        ("www.example.org.shop.svc.cluster.local", "A"),
        ("nobody.example.org", "A"),
        ("localhost.example.org", "A"),
        ("blocked.test", "A"),
        ("filtered.test", "A"),
        ("allowed.test", "A"),
        ("inline.test", "A"),
        ("a.t.test", "A"),
        ("a.run.test", "A"),
        ("a.rr.test", "A"),
        ("a.down.test", "A"),
        ("b.down.test", "A"),
    ):
        await ask(Question(name, rtype), "127.0.0.1", port)
    for name in ("one.example.org", "two.example.org"):
        await ask(Question(name, "A", "tcp"), "127.0.0.1", port)
    await asyncio.gather(*(ask(Question(f"{each}.slow.test", "A", "tcp"), "127.0.0.1", port) for each in "ab"))
    for first in range(0, 1100, 50):  # more names than the smallest cache keeps
        many = (ask(Question(f"n{each}.t.test", "A"), "127.0.0.1", port) for each in range(first, first + 50))
        await asyncio.gather(*many)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        dropped = DNSRecord.question("dropped.test")
        dropped.add_ar(EDNS0(flags="do"))
        await asyncio.get_running_loop().sock_sendto(sock, dropped.pack(), ("127.0.0.1", port))


async def with_everything_down(upstream: FakeUpstream, port: int) -> None:
    """What is over is served, and an upstream that is down is asked all the same."""
    await ask(Question("www.example.org", "A"), "127.0.0.1", port)
    await asyncio.sleep(1.5)
    await upstream.die()
    for name in ("www.example.org", "c.down.test"):
        await ask(Question(name, "A"), "127.0.0.1", port)


async def over_https(kdns: Served) -> None:
    """One question."""
    found = await kdns.line(r"^https://\.:(\d+) on")
    async with aiohttp.ClientSession() as client, client.post(
        f"https://127.0.0.1:{found[1]}/dns-query", data=query("inline.test"), headers={"content-type": CONTENT_TYPE},
        ssl=trusting(),
    ) as response:  # fmt: skip
        assert response.status == 200


async def moved(kdns: Served) -> dict[str, Metric]:
    """The page once everything has moved that should, by family."""
    families: dict[str, Metric] = {}
    missing = ["?"]
    try:
        async with asyncio.timeout(PATIENCE / 2):
            while missing:
                _, text = await kdns.get("/metrics")
                families = {family.name: family for family in text_string_to_metric_families(text)}
                missing = [name for name, row in ROWS.items() if row.moved and not _total(families.get(name))]
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"nothing in {missing}") from None
    return families


def _total(family: Metric | None) -> float:
    return sum(abs(sample.value) for sample in family.samples if not sample.name.endswith("_bucket")) if family else 0


async def test_every_metric(tmp_path: Path) -> None:
    """See above."""
    objects = [
        namespace("shop"),
        service("shop", "web", "10.96.0.9"),
        service("shop", "db", "None"),
        pod("shop", "client", "127.0.0.1"),
    ]
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 one.hosts.test\n")
    async with FakeUpstream() as upstream, FakeUpstream() as slow, FakeApiServer(objects) as api:
        upstream.zone = dict.fromkeys(("www.example.org.", "one.example.org.", "two.example.org."), ("192.0.2.7",))
        slow.delay = 0.3
        corefile = tmp_path / "Corefile"
        text = COREFILE.format(
            api=api.url, upstream=upstream.text, slow=slow.text, hosts=hosts, cert=SERVER.cert, key=SERVER.key
        )
        corefile.write_text(text)
        async with Served(corefile) as kdns:
            port = await kdns.port()
            api.put(slice_of("web", "10.1.0.1"), slice_of("db", "10.1.0.2"))
            await questions(kdns, port)
            await over_https(kdns)
            await with_everything_down(upstream, port)
            api.disturb(Close())
            await kdns.reload(text + "nonsense {\n")
            families = await moved(kdns)
    ours = {name: family for name, family in families.items() if name.startswith(("coredns_", "kdns_"))}
    assert set(ours) == set(ROWS)
    wrong = {name: problem for name, family in ours.items() if (problem := _difference(ROWS[name], family))}
    assert wrong == {}
    assert [sample.value for sample in ours["coredns_panics"].samples] == [0]
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "python_info"} <= set(families)


def _difference(row: Row, family: Metric) -> str:
    """What is not as the row says; empty if nothing is."""
    if family.type != row.kind:
        return f"is a {family.type}"
    labels = {" ".join(sorted(set(sample.labels) - {"le"})) for sample in family.samples}
    if labels != {row.labels}:
        return f"has the labels {labels}"
    bounds: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            rest = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
            bounds.setdefault(rest, []).append(sample.labels["le"])
    expected = [*row.buckets.split(), "+Inf"]
    return next((f"has the buckets {found}" for found in bounds.values() if found != expected), "")
