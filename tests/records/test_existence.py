"""Which names exist: NODATA for every node, NXDOMAIN for what is no node, whatever the type (RFC 2308, RFC 8020)."""

from typing import NamedTuple

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.records.reasons import OUTSIDE
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import NOERROR, A
from tests.build import namespace
from tests.records.shop import SHOP
from tests.records.zone_text import ask, cluster, expected, negative_soa, present, rr_lines

NEVER_THERE = ("MX", "HINFO", "HTTPS", "DS", "ANY", "TYPE65280")
"""Types of which kdns has no record anywhere."""


class Node(NamedTuple):
    """A name that exists, and the types it has records of."""

    title: str
    name: str
    rtypes: tuple[str, ...] = ()


NODES = (
    Node("the apex", "cluster.local.", ("SOA", "NS")),
    Node("svc", "svc.cluster.local."),
    Node("pod", "pod.cluster.local."),
    Node("a Namespace with Services", "shop.svc.cluster.local."),
    Node("a Namespace without any object", "empty.svc.cluster.local."),
    Node("dns, above ns.dns", "dns.cluster.local."),
    Node("ns.dns, here without an address", "ns.dns.cluster.local."),
    Node("dns-version", "dns-version.cluster.local.", ("TXT",)),
    Node("a Service with a cluster IP", "web.shop.svc.cluster.local.", ("A", "AAAA", "SRV")),
    Node("a Service without a ready endpoint", "idle.shop.svc.cluster.local.", ("A", "SRV")),
    Node("a headless Service", "db.shop.svc.cluster.local.", ("A", "AAAA", "SRV")),
    Node("an endpoint", "db-1.db.shop.svc.cluster.local.", ("A", "SRV")),
    Node("a port", "_http._tcp.web.shop.svc.cluster.local.", ("A", "AAAA", "SRV")),
    Node("a protocol above ports", "_tcp.web.shop.svc.cluster.local."),
    Node("a protocol of a headless Service", "_udp.anon.shop.svc.cluster.local."),
    Node("a protocol above an unnamed port, which _ alone picks", "_tcp.plain.shop.svc.cluster.local."),
    Node("an ExternalName that is an address", "literal.shop.svc.cluster.local."),
    Node("the apex of IPv4 reverse names", "in-addr.arpa.", ("SOA", "NS")),
    Node("the apex of IPv6 reverse names", "ip6.arpa.", ("SOA", "NS")),
    Node("a reverse node far above an address", "10.in-addr.arpa."),
    Node("a reverse node just above a cluster IP", "0.96.10.in-addr.arpa."),
    Node("a reverse node just above an endpoint", "1.244.10.in-addr.arpa."),
    Node("a nibble above addresses", "d.f.ip6.arpa."),
    Node("a long nibble node", "0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa."),
    Node("a reverse name", "9.0.96.10.in-addr.arpa.", ("PTR",)),
    Node("a reverse name of an orphan endpoint", "3.3.244.10.in-addr.arpa.", ("PTR",)),
)


@pytest.mark.parametrize("node", NODES, ids=lambda node: f"{node.name}: {node.title}")
def test_a_name_that_exists_is_never_nxdomain(node: Node) -> None:
    """For every type without records there it is NODATA, with the SOA of its zone."""
    answers = cluster(*SHOP)
    for rtype in ("A", "AAAA", "SRV", "PTR", "TXT", "SOA", "NS", "CNAME", *NEVER_THERE):
        if rtype not in node.rtypes:
            assert present(ask(answers, f"{node.name} {rtype}")) == ["NODATA"], rtype


@pytest.mark.parametrize("node", [node for node in NODES if node.rtypes], ids=lambda node: node.name)
def test_a_type_that_is_there_is_answered(node: Node) -> None:
    """Every record of the answer has the owner and the type that were asked."""
    answers = cluster(*SHOP)
    for rtype in node.rtypes:
        lines = list(rr_lines(ask(answers, f"{node.name} {rtype}").answer))
        assert lines, rtype
        assert {(line.split()[0], line.split()[3]) for line in lines} == {(node.name, rtype)}


NOWHERE = (
    ("beside svc and pod", "foo.cluster.local."),
    ("a Service where a Namespace should be", "web.svc.cluster.local."),
    ("a Namespace under no svc", "shop.cluster.local."),
    ("under an unknown Namespace", "web.nowhere.svc.cluster.local."),
    ("an unknown Namespace", "nowhere.svc.cluster.local."),
    ("an unknown Service", "nope.shop.svc.cluster.local."),
    ("no wildcard", "*.shop.svc.cluster.local."),
    ("any is a label like others", "any.shop.svc.cluster.local."),
    ("an unknown endpoint", "nope.web.shop.svc.cluster.local."),
    ("the address of somebody else's endpoint", "10-244-1-10.web.shop.svc.cluster.local."),
    ("an unknown port", "_nope._tcp.web.shop.svc.cluster.local."),
    ("the wrong protocol", "_http._udp.web.shop.svc.cluster.local."),
    ("a protocol without ports", "_udp.web.shop.svc.cluster.local."),
    ("a port by its number", "_80._tcp.web.shop.svc.cluster.local."),
    ("the name of a port where there is only an unnamed one", "_http._tcp.plain.shop.svc.cluster.local."),
    ("three labels left of a Service", "x._http._tcp.web.shop.svc.cluster.local."),
    ("three labels left of a headless Service", "a.b.c.db.shop.svc.cluster.local."),
    ("left of an endpoint", "x.db-0.db.shop.svc.cluster.local."),
    ("a port of an endpoint", "_pg._tcp.db-0.db.shop.svc.cluster.local."),
    ("left of dns-version", "x.dns-version.cluster.local."),
    ("left of ns.dns", "x.ns.dns.cluster.local."),
    ("beside ns.dns", "x.dns.cluster.local."),
    ("a Service whose slices alone are left", "gone.shop.svc.cluster.local."),
    ("an endpoint whose Service is gone", "gone-0.gone.shop.svc.cluster.local."),
    ("a search path miss", "www.example.com.shop.svc.cluster.local."),
    ("a shorter search path miss", "www.example.com.cluster.local."),
    ("a network nobody uses", "99.10.in-addr.arpa."),
    ("an address nobody has", "200.0.96.10.in-addr.arpa."),
    ("left of a reverse name", "1.9.0.96.10.in-addr.arpa."),
    ("what is not a number", "x.0.96.10.in-addr.arpa."),
    ("an octet with a leading zero", "09.0.96.10.in-addr.arpa."),
    ("an octet over 255", "256.0.96.10.in-addr.arpa."),
    ("a nibble nobody uses", "e.f.ip6.arpa."),
    ("two nibbles in a label", "fd.ip6.arpa."),
    ("what is no nibble", "g.d.f.ip6.arpa."),
)


@pytest.mark.parametrize(("title", "name"), NOWHERE, ids=[f"{name}: {title}" for title, name in NOWHERE])
def test_a_name_that_does_not_exist_is_nxdomain_for_every_type(title: str, name: str) -> None:
    """With the SOA of its zone, and nothing else."""
    answers = cluster(*SHOP)
    for rtype in ("A", "AAAA", "SRV", "PTR", "TXT", "SOA", "NS", "CNAME", *NEVER_THERE):
        assert present(ask(answers, f"{name} {rtype}")) == ["NXDOMAIN"], rtype


@pytest.mark.parametrize(("title", "name"), NOWHERE, ids=[name for _, name in NOWHERE])
def test_below_nxdomain_there_is_nothing(title: str, name: str) -> None:
    """RFC 8020: what is below a name that does not exist does not exist either."""
    answers = cluster(*SHOP)
    for label in ("_tcp", "_http._tcp", "10-244-1-4", "a.b.c"):
        assert present(ask(answers, f"{label}.{name} A")) == ["NXDOMAIN"], label


def test_zones_inside_a_namespace_exist_beside_its_services() -> None:
    """What is remembered of misses in a Namespace leaves room for zones below it, and for the names above those."""
    inner = ("api.shop.svc.cluster.local.", "x.deep.shop.svc.cluster.local.")
    zone = cluster(*SHOP, options=KubernetesOptions(zones=("cluster.local.", *inner))).zone
    assert zone.services_under(parse_name("shop.svc.cluster.local.")) is None
    assert zone.services_under(parse_name("empty.svc.cluster.local.")) == parse_name("empty.")[:-1]
    assert zone.services_under(parse_name("nowhere.svc.cluster.local.")) == b""
    for name in (*inner, "deep.shop.svc.cluster.local."):
        found = zone.lookup(parse_name(name), A)
        assert found is not None
        assert found.rcode == NOERROR, name


ELSEWHERE = ("example.com.", "local.", ".", "xcluster.local.", "arpa.", "cluster.local.example.com.")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_in_no_zone_is_not_ours_to_answer(name: str) -> None:
    """A lookup outside every zone says so, whatever the rcode would be: another plugin may have the name."""
    assert cluster(*SHOP).lookup(*_question(name)) is OUTSIDE


def _question(name: str) -> tuple[bytes, int]:
    return parse_name(name), 1


APEX = (
    ("the SOA of the zone", "cluster.local. SOA", negative_soa("cluster.local.")),
    ("the SOA of a reverse zone", "in-addr.arpa. SOA", negative_soa("in-addr.arpa.")),
    ("the name server of the zone", "cluster.local. NS", "cluster.local. 5 IN NS ns.dns.cluster.local."),
)


@pytest.mark.parametrize(("title", "question", "answer"), APEX, ids=[row[0] for row in APEX])
def test_the_apex(title: str, question: str, answer: str) -> None:
    """The apex has a SOA and a name server without any Service and without knowing our own address."""
    assert present(ask(cluster(namespace("empty")), question)) == expected(answer)


def test_a_negative_answer_carries_the_soa_of_the_longest_zone() -> None:
    """Forward and reverse names each have their own zone's SOA, and `Result.zone` says which."""
    answers = cluster(*SHOP)
    for question, zone in (
        ("nope.shop.svc.cluster.local. A", "cluster.local."),
        ("200.0.96.10.in-addr.arpa. PTR", "in-addr.arpa."),
        ("e.f.ip6.arpa. PTR", "ip6.arpa."),
    ):
        result = ask(answers, question)
        assert name_text(result.zone) == zone
        assert list(rr_lines(result.authority)) == [negative_soa(zone)]
