"""How traffic for a Service is to go, from the API's spelling."""

from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from kdns.base.objects import UNKNOWN_AGE, Age, Routing, Service
from kdns.watch.decode import packing, schema
from tests.build import proxied, tcp, udp
from tests.fakes.objects import service


def kept(body: dict[str, Any], said: list[str]) -> Service:
    """Decode as a watch line, and pack with its routing."""
    event = schema.watch_decoder("Service").decode(msgspec.json.encode({"type": "ADDED", "object": body}))
    assert isinstance(event, schema.Added)
    found = packing.keeper("Service", routing=True)(event.object, said.append)
    assert isinstance(found, Service)
    return replace(found, selected=False)  # what its selector says is DNS's


def ingress(*ways: object) -> dict[str, Any]:
    """A load balancer's status."""
    return {"loadBalancer": {"ingress": list(ways)}}


class Case(NamedTuple):
    """Fields of spec, the status, the labels, and the Service that is kept."""

    title: str
    spec: dict[str, Any]
    kept: Service
    status: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


IPS, PORTS = ("10.96.0.9",), (tcp(80, "http"),)
LB = {"type": "LoadBalancer"}
AFFINE = {"sessionAffinity": "ClientIP"}
CASES = (
    Case("nothing said is ClusterIP for everyone", {"type": None}, proxied("shop/web", IPS, PORTS)),
    Case("the type", {"type": "NodePort"}, proxied("shop/web", IPS, PORTS, type="NodePort")),
    Case(
        "node ports",
        {"ports": [{"port": 53, "nodePort": 30053}, {"port": 53, "protocol": "UDP", "nodePort": 0}]},
        proxied("shop/web", IPS, (tcp(53, "", 30053), udp(53)), type="ClusterIP"),
    ),
    Case(
        "a node port that is none",
        {"ports": [{"name": "http", "port": 80, "nodePort": 70000}]},
        proxied("shop/web", IPS, PORTS),
        warnings=("nodePort 70000 left out: not 1 to 65535",),
    ),
    Case(
        "external IPs, each once, in their order",
        {"externalIPs": ["203.0.113.2", None, "2001:db8::1", "", "203.0.113.2"]},
        proxied("shop/web", IPS, PORTS, external_ips=("203.0.113.2", "2001:db8::1")),
    ),
    Case(
        "external IPs that are none",
        {"externalIPs": ["nope", "fe80::1%eth0", "203.0.113.2"]},
        proxied("shop/web", IPS, PORTS, external_ips=("203.0.113.2",)),
        warnings=(
            "external IP 'nope' left out: not an address",
            "external IP 'fe80::1%eth0' left out: not an address",
        ),
    ),
    Case(
        "load balancer IPs: those of mode VIP, or of no mode",
        LB,
        proxied("shop/web", IPS, PORTS, lb=("198.51.100.1", "198.51.100.2")),
        status=ingress(
            {"ip": "198.51.100.1"},
            None,
            {"ip": "198.51.100.2", "ipMode": "VIP"},
            {"ip": "198.51.100.3", "ipMode": "Proxy"},
            {"hostname": "lb.example.com"},
        ),
    ),
    Case(
        "a load balancer IP that is none",
        LB,
        proxied("shop/web", IPS, PORTS, type="LoadBalancer"),
        status=ingress({"ip": "198.51.100"}),
        warnings=("load balancer IP '198.51.100' left out: not an address",),
    ),
    Case("a load balancer without a status", LB, proxied("shop/web", IPS, PORTS, type="LoadBalancer"), status=None),
    Case(
        "source ranges, spaces around them, bits behind them",
        {"loadBalancerSourceRanges": [" 10.0.0.0/8 ", "192.0.2.77/24", "2001:db8::/32\t", "010.0.0.0/08"]},
        proxied("shop/web", IPS, PORTS, ranges=("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")),
    ),
    Case(
        "source ranges that are none",
        {"loadBalancerSourceRanges": ["10.0.0.1", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "nope/8", "10.0.0.0/8"]},
        proxied(
            "shop/web",
            IPS,
            PORTS,
            ranges=("10.0.0.0/8",),
            unreadable=("'10.0.0.1'", "'10.0.0.0/33'", "'10.0.0.0/255.0.0.0'", "'nope/8'"),
        ),
        warnings=tuple(
            f"source range '{text}' left out: not a range such as 10.0.0.0/8"
            for text in ("10.0.0.1", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "nope/8")
        ),
    ),
    Case(
        "source ranges that are empty",
        {"loadBalancerSourceRanges": ["", " ", None]},
        proxied("shop/web", IPS, PORTS, unreadable=("''", "' '", "None")),
        warnings=tuple(
            f"source range {text} left out: not a range such as 10.0.0.0/8" for text in ("''", "' '", "None")
        ),
    ),
    Case(
        "external and load balancer IPs with leading zeros, and IPv4-mapped",
        {**LB, "externalIPs": ["010.0.0.5", "::ffff:198.51.100.77"]},
        proxied(
            "shop/web", IPS, PORTS, type="LoadBalancer", external_ips=("10.0.0.5", "198.51.100.77"), lb=("203.0.113.5",)
        ),
        status={"loadBalancer": {"ingress": [{"ip": "203.0.113.005"}, {"ip": "::ffff:cb00:7105"}]}},
    ),
    Case(
        "both policies Local",
        {"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"},
        proxied("shop/web", IPS, PORTS, etp="Local", itp="Local"),
    ),
    Case(
        "both policies Cluster",
        {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"},
        proxied("shop/web", IPS, PORTS),
    ),
    Case("affinity lasts three hours", AFFINE, proxied("shop/web", IPS, PORTS, affinity=10800)),
    Case(
        "affinity with a timeout",
        {**AFFINE, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 30}}},
        proxied("shop/web", IPS, PORTS, affinity=30),
    ),
    Case(
        "a timeout without affinity",
        {"sessionAffinity": "None", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 30}}},
        proxied("shop/web", IPS, PORTS),
    ),
    Case(
        "affinity for nothing",
        {**AFFINE, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
        proxied("shop/web", IPS, PORTS, affinity=10800),
        warnings=("timeoutSeconds 0 is not 1 to 86400: 10800 is taken",),
    ),
    Case(
        "affinity with null config",
        {**AFFINE, "sessionAffinityConfig": {"clientIP": None}},
        proxied("shop/web", IPS, PORTS, affinity=10800),
    ),
    Case(
        "the port of the health check",
        {**LB, "healthCheckNodePort": 30555},
        proxied("shop/web", IPS, PORTS, type="LoadBalancer", health=30555),
    ),
    Case(
        "a Service of another proxy, whatever its label's value",
        {},
        proxied("shop/web", IPS, PORTS, elsewhere=True),
        labels={"service.kubernetes.io/service-proxy-name": ""},
    ),
    Case(
        "the same, with a null for a value, as YAML may have it",
        {},
        proxied("shop/web", IPS, PORTS, elsewhere=True),
        labels={"service.kubernetes.io/service-proxy-name": None},
    ),
    Case("headless", {"clusterIP": "None", "clusterIPs": ["None"]}, proxied("shop/web", ("None",), PORTS)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_routing(case: Case) -> None:
    """What is said is kept, what is absurd is left out with a word, and the rest of the Service stays."""
    body = service("shop", "web", "10.96.0.9") | ({"status": case.status} if case.status else {})
    body["spec"] |= case.spec
    body["metadata"]["labels"] = case.labels
    said: list[str] = []
    assert kept(body, said) == case.kept
    assert tuple(said) == case.warnings


def test_an_external_name_has_no_routing() -> None:
    """Whatever cluster IP or port is left over from before."""
    said: list[str] = []
    found = kept(service("shop", "web", "10.96.0.9", type="ExternalName", externalName="a.example.com"), said)
    assert found.routing is None
    assert (found.external_name, said) == ("a.example.com", [])


def test_equal_routings_are_one() -> None:
    """Ten thousand Services that say nothing special hold one."""
    keep = packing.keeper("Service", routing=True)
    decode = schema.watch_decoder("Service").decode
    found = [
        keep(decode(msgspec.json.encode({"type": "ADDED", "object": service("shop", name, "10.96.0.9")})).object, print)
        for name in ("web", "db")
    ]
    first, second = (one.routing for one in found if isinstance(one, Service))
    assert first == Routing()
    assert first is second


@pytest.mark.parametrize(
    ("metadata", "age"),
    [
        ({}, UNKNOWN_AGE),
        ({"uid": None, "creationTimestamp": None}, UNKNOWN_AGE),
        ({"creationTimestamp": "2026-01-02T03:04:05Z", "uid": "u-1"}, Age("2026-01-02T03:04:05Z", "u-1")),
        ({"uid": "u-1"}, Age(UNKNOWN_AGE.created, "u-1")),
    ],
)
def test_the_age_is_kept(metadata: dict[str, Any], age: Age) -> None:
    """An unknown one sorts behind every known one."""
    body = service("shop", "web", "10.96.0.9")
    for word in ("uid", "creationTimestamp"):
        body["metadata"].pop(word, None)
    body["metadata"] |= metadata
    found = kept(body, [])
    assert found.age == age
    assert Age("9999-12-31T23:59:59Z", "z") < UNKNOWN_AGE
