"""Every option of the kubernetes plugin does what it does in CoreDNS (its grammar and defaults)."""

from typing import NamedTuple

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.records.reasons import OUTSIDE
from kdns.records.schema import build_schema
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import PTR
from tests.address_plan import NOW
from tests.build import Endpoint, Thing, change, namespace, tcp, view
from tests.records.shop import DB, DEAD, IDLE, SHOP, WEB
from tests.records.zone_text import ask, cluster, expected, negative_soa, present, rr_lines

OTHER = view("other/web", ips=("10.96.0.50",), endpoints=("10.244.5.5",))
PODS = view(
    "shop/named",
    ips=("None",),
    ports=(tcp(80, "http"),),
    endpoints=(
        Endpoint("10.244.1.50", pod="named-abc"),
        Endpoint("10.244.1.51", "own-name", "named-def"),
        Endpoint("10.244.1.52", pod="n" * 64),
        Endpoint("10.244.1.53"),
    ),
)


class Case(NamedTuple):
    title: str
    options: KubernetesOptions
    things: tuple[Thing, ...]
    question: str
    answer: str


BOTH = KubernetesOptions(zones=("cluster.local.", "example.org.", "in-addr.arpa."))
ONLY_SHOP = KubernetesOptions(namespaces=("shop",))
PICKY = KubernetesOptions(ignore_empty_service=True)
POD_NAMES = KubernetesOptions(endpoint_pod_names=True)

CASES = (
    Case(
        "ttl",
        KubernetesOptions(ttl=30),
        (WEB,),
        "web.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. 30 IN A 10.96.0.9",
    ),
    Case(
        "ttl, of additional records too",
        KubernetesOptions(ttl=0),
        (WEB,),
        "_http._tcp.web.shop.svc.cluster.local. SRV",
        """
        _http._tcp.web.shop.svc.cluster.local. 0 IN SRV 0 50 80 web.shop.svc.cluster.local.
        ; additional
        web.shop.svc.cluster.local. 0 IN A 10.96.0.9
        web.shop.svc.cluster.local. 0 IN AAAA fd00:10:96::9
        """,
    ),
    Case(
        "ttl, not of the schema version",
        KubernetesOptions(ttl=30),
        (),
        "dns-version.cluster.local. TXT",
        'dns-version.cluster.local. 28800 IN TXT "1.1.0"',
    ),
    Case(
        "zones in mixed case are folded",
        KubernetesOptions(zones=("Cluster.Local",)),
        (WEB,),
        "web.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. 5 IN A 10.96.0.9",
    ),
    Case(
        "a second forward zone has the same names",
        BOTH,
        (WEB,),
        "web.shop.svc.example.org. A",
        "web.shop.svc.example.org. 5 IN A 10.96.0.9",
    ),
    Case(
        "and targets within it",
        BOTH,
        (DB,),
        "_pg._tcp.db.shop.svc.example.org. SRV",
        """
        _pg._tcp.db.shop.svc.example.org. 5 IN SRV 0 33 5432 db-0.db.shop.svc.example.org.
        _pg._tcp.db.shop.svc.example.org. 5 IN SRV 0 33 5432 db-1.db.shop.svc.example.org.
        ; additional
        db-0.db.shop.svc.example.org. 5 IN A 10.244.1.10
        db-0.db.shop.svc.example.org. 5 IN AAAA fd00:10:244:1::a
        db-1.db.shop.svc.example.org. 5 IN A 10.244.2.10
        """,
    ),
    Case("a second zone has its own version", BOTH, (WEB,), "dns-version.example.org. A", "NODATA"),
    Case(
        "reverse names point into the first forward zone",
        BOTH,
        (WEB,),
        "9.0.96.10.in-addr.arpa. PTR",
        "9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local.",
    ),
    Case(
        "also when a reverse zone is listed before it",
        KubernetesOptions(zones=("in-addr.arpa.", "example.org.", "cluster.local.")),
        (WEB,),
        "9.0.96.10.in-addr.arpa. PTR",
        "9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.example.org.",
    ),
    Case(
        "a zone inside another is asked first",
        KubernetesOptions(zones=("local.", "svc.cluster.local.")),
        (WEB,),
        "web.shop.svc.svc.cluster.local. A",
        "web.shop.svc.svc.cluster.local. 5 IN A 10.96.0.9",
    ),
    Case(
        "the root as a zone",
        KubernetesOptions(zones=(".",)),
        (WEB,),
        "web.shop.svc. A",
        "web.shop.svc. 5 IN A 10.96.0.9",
    ),
    Case(
        "namespaces: one that is listed",
        ONLY_SHOP,
        (WEB, OTHER),
        "web.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. 5 IN A 10.96.0.9",
    ),
    Case("namespaces: one that is not", ONLY_SHOP, (WEB, OTHER), "web.other.svc.cluster.local. A", "NXDOMAIN"),
    Case("namespaces: its node", ONLY_SHOP, (WEB, OTHER), "other.svc.cluster.local. A", "NXDOMAIN"),
    Case("namespaces: its cluster IP", ONLY_SHOP, (WEB, OTHER), "50.0.96.10.in-addr.arpa. PTR", "NXDOMAIN"),
    Case("namespaces: its endpoints", ONLY_SHOP, (WEB, OTHER), "5.5.244.10.in-addr.arpa. PTR", "NXDOMAIN"),
    Case(
        "namespaces: its Pods",
        KubernetesOptions(namespaces=("shop",), pods="insecure"),
        (WEB, OTHER),
        "10-244-5-5.other.pod.cluster.local. A",
        "NXDOMAIN",
    ),
    Case("ignore empty_service: no endpoint", PICKY, (IDLE,), "idle.shop.svc.cluster.local. A", "NXDOMAIN"),
    Case(
        "ignore empty_service: no port either",
        PICKY,
        (IDLE,),
        "_http._tcp.idle.shop.svc.cluster.local. SRV",
        "NXDOMAIN",
    ),
    Case(
        "ignore empty_service: one endpoint is enough",
        PICKY,
        (WEB,),
        "web.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. 5 IN A 10.96.0.9",
    ),
    Case(
        "ignore empty_service: an ExternalName needs none",
        PICKY,
        (view("shop/ext", external="example.com"),),
        "ext.shop.svc.cluster.local. CNAME",
        "ext.shop.svc.cluster.local. 5 IN CNAME example.com.",
    ),
    Case(
        "noendpoints: without slices a headless Service has no name",
        KubernetesOptions(endpoints=False),
        (DEAD, WEB),
        "dead.shop.svc.cluster.local. A",
        "NXDOMAIN",
    ),
    Case(
        "noendpoints: a cluster IP has",
        KubernetesOptions(endpoints=False),
        (IDLE,),
        "idle.shop.svc.cluster.local. A",
        "idle.shop.svc.cluster.local. 5 IN A 10.96.0.12",
    ),
    Case(
        "endpoint_pod_names: the Pod's name",
        POD_NAMES,
        (PODS,),
        "named-abc.named.shop.svc.cluster.local. A",
        "named-abc.named.shop.svc.cluster.local. 5 IN A 10.244.1.50",
    ),
    Case(
        "endpoint_pod_names: not the dashed address besides",
        POD_NAMES,
        (PODS,),
        "10-244-1-50.named.shop.svc.cluster.local. A",
        "NXDOMAIN",
    ),
    Case(
        "endpoint_pod_names: a hostname wins",
        POD_NAMES,
        (PODS,),
        "own-name.named.shop.svc.cluster.local. A",
        "own-name.named.shop.svc.cluster.local. 5 IN A 10.244.1.51",
    ),
    Case(
        "endpoint_pod_names: over the Pod's name",
        POD_NAMES,
        (PODS,),
        "named-def.named.shop.svc.cluster.local. A",
        "NXDOMAIN",
    ),
    Case(
        "endpoint_pod_names: a name too long for a label gives way to the address",
        POD_NAMES,
        (PODS,),
        "10-244-1-52.named.shop.svc.cluster.local. A",
        "10-244-1-52.named.shop.svc.cluster.local. 5 IN A 10.244.1.52",
    ),
    Case(
        "endpoint_pod_names: an endpoint without a Pod keeps its address",
        POD_NAMES,
        (PODS,),
        "10-244-1-53.named.shop.svc.cluster.local. A",
        "10-244-1-53.named.shop.svc.cluster.local. 5 IN A 10.244.1.53",
    ),
    Case(
        "endpoint_pod_names: in reverse",
        POD_NAMES,
        (PODS,),
        "50.1.244.10.in-addr.arpa. PTR",
        "50.1.244.10.in-addr.arpa. 5 IN PTR named-abc.named.shop.svc.cluster.local.",
    ),
    Case(
        "without endpoint_pod_names a Pod's name is nobody's",
        KubernetesOptions(),
        (PODS,),
        "named-abc.named.shop.svc.cluster.local. A",
        "NXDOMAIN",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.title}, {case.question}"[:120])
def test_options(case: Case) -> None:
    """With these options this question has exactly this answer."""
    answers = cluster(*case.things, options=case.options)
    assert present(ask(answers, case.question), case.options.ttl) == expected(case.answer)


@pytest.mark.parametrize(("ttl", "shown"), [(0, 0), (30, 30), (300, 300), (3600, 300)])
def test_the_soa_of_a_negative_answer_lives_five_minutes_at_most(ttl: int, shown: int) -> None:
    """Its minimum field is the ttl option, its own TTL at most 300 seconds."""
    result = ask(cluster(WEB, options=KubernetesOptions(ttl=ttl)), "nope.shop.svc.cluster.local. A")
    assert list(rr_lines(result.authority)) == [negative_soa("cluster.local.", ttl)]
    assert result.authority[0].ttl == shown


BAD = (
    ("a ttl below zero", ("cluster.local.",), -1),
    ("a ttl over an hour", ("cluster.local.",), 3601),
    ("only reverse zones", ("in-addr.arpa.", "10.96.0.0/12"), 5),
    ("what is not a zone", ("a..b",), 5),
    ("what is not a network", ("10.96.0.0/33",), 5),
)


@pytest.mark.parametrize(("title", "zones", "ttl"), BAD, ids=[row[0] for row in BAD])
def test_bad_options_are_refused(title: str, zones: tuple[str, ...], ttl: int) -> None:
    """They raise ValueError when the schema is built."""
    with pytest.raises(ValueError, match=r"\S"):
        build_schema(zones, ttl=ttl)


NETWORKS = (
    ("whole octets", "10.96.0.0/16", ("96.10.in-addr.arpa.",)),
    ("half an octet", "10.96.0.0/12", tuple(f"{n}.10.in-addr.arpa." for n in range(96, 112))),
    ("single addresses", "10.96.0.8/31", ("8.0.96.10.in-addr.arpa.", "9.0.96.10.in-addr.arpa.")),
    ("one address", "10.96.0.9/32", ("9.0.96.10.in-addr.arpa.",)),
    ("host bits are ignored", "10.96.3.4/16", ("96.10.in-addr.arpa.",)),
    ("whole nibbles", "fd00:10:96::/48", ("6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.",)),
    ("half a nibble", "fd00::/10", tuple(f"{n}.d.f.ip6.arpa." for n in "0123")),
)


@pytest.mark.parametrize(("title", "cidr", "zones"), NETWORKS, ids=[row[0] for row in NETWORKS])
def test_a_network_stands_for_its_reverse_zones(title: str, cidr: str, zones: tuple[str, ...]) -> None:
    """CIDR notation becomes all the zones on the next octet or nibble boundary."""
    built = build_schema(("cluster.local.", cidr))
    assert sorted(built.reverse_zones) == sorted(map(parse_name, zones))


def test_a_reverse_zone_of_a_network_answers_only_for_it() -> None:
    """What is in the network has a PTR and a SOA of the narrow zone; the address next to it is nobody's."""
    answers = cluster(*SHOP, options=KubernetesOptions(zones=("cluster.local.", "10.96.0.0/12")))
    assert present(ask(answers, "9.0.96.10.in-addr.arpa. PTR")) == [
        "9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local."
    ]
    missing = ask(answers, "200.0.96.10.in-addr.arpa. PTR")
    assert present(missing) == ["NXDOMAIN"]
    assert name_text(missing.zone) == "96.10.in-addr.arpa."
    assert present(ask(answers, "97.10.in-addr.arpa. A")) == ["NODATA"]
    assert answers.lookup(parse_name("1.0.112.10.in-addr.arpa."), PTR) is OUTSIDE
    assert answers.lookup(parse_name("4.1.244.10.in-addr.arpa."), PTR) is OUTSIDE
    assert answers.lookup(parse_name("10.in-addr.arpa."), PTR) is OUTSIDE


def test_a_reverse_zone_of_one_address_has_its_ptr_at_the_apex() -> None:
    """A /32 is a zone whose apex is the reverse name itself: PTR, SOA and NS live there together."""
    answers = cluster(*SHOP, options=KubernetesOptions(zones=("cluster.local.", "10.96.0.9/32")))
    name = "9.0.96.10.in-addr.arpa."
    assert present(ask(answers, f"{name} PTR")) == [f"{name} 5 IN PTR web.shop.svc.cluster.local."]
    assert present(ask(answers, f"{name} SOA")) == [negative_soa(name)]
    assert present(ask(answers, f"x.{name} A")) == ["NXDOMAIN"]


FALLTHROUGH = (
    ("not asked for", None, "nope.shop.svc.cluster.local. A", False),
    ("everywhere", (".",), "nope.shop.svc.cluster.local. A", True),
    ("everywhere, in reverse", (".",), "200.0.96.10.in-addr.arpa. PTR", True),
    ("in this zone", ("in-addr.arpa.",), "200.0.96.10.in-addr.arpa. PTR", True),
    ("in another zone", ("in-addr.arpa.", "ip6.arpa."), "nope.shop.svc.cluster.local. A", False),
    ("NODATA stays here", (".",), "web.shop.svc.cluster.local. TXT", False),
    ("an answer stays here", (".",), "web.shop.svc.cluster.local. A", False),
    ("an empty node stays here", (".",), "10.in-addr.arpa. PTR", False),
    ("below a zone that falls through", ("shop.svc.cluster.local.",), "nope.shop.svc.cluster.local. A", True),
)


@pytest.mark.parametrize(("title", "zones", "question", "falls"), FALLTHROUGH, ids=[row[0] for row in FALLTHROUGH])
def test_fallthrough(title: str, zones: tuple[str, ...] | None, question: str, falls: bool) -> None:
    """Only a name that does not exist, and only in the zones listed, goes on to the next plugin."""
    answers = cluster(*SHOP, options=KubernetesOptions(fallthrough=zones))
    assert ask(answers, question).fallthrough is falls


def test_fallthrough_comes_before_not_being_synced() -> None:
    """Also while we do not know everything, a missing name is the next plugin's where it may fall through."""
    options = KubernetesOptions(fallthrough=("in-addr.arpa.",))
    answers = cluster(*SHOP, options=options, synced=False)
    assert ask(answers, "200.0.96.10.in-addr.arpa. PTR").fallthrough is True


SELECTED = KubernetesOptions(namespace_labels="dns=yes")


def test_namespace_labels_hide_the_services_of_other_namespaces() -> None:
    """A Namespace that the selector does not pick is not there: its names are NXDOMAIN, reverse names stay."""
    answers = cluster(WEB, options=SELECTED, spaces=False)
    for question in (
        "web.shop.svc.cluster.local. A",
        "shop.svc.cluster.local. A",
        "_tcp.web.shop.svc.cluster.local. A",
    ):
        assert present(ask(answers, question)) == ["NXDOMAIN"]
    assert present(ask(answers, "9.0.96.10.in-addr.arpa. PTR")) == [
        "9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local."
    ]


def test_namespace_labels_show_what_they_pick() -> None:
    """As soon as the selector picks the Namespace its Services have names, and no longer than that."""
    answers = cluster(WEB, options=SELECTED, spaces=False)
    answers.apply(change(None, namespace("shop")), NOW)
    assert present(ask(answers, "shop.svc.cluster.local. A")) == ["NODATA"]
    assert present(ask(answers, "web.shop.svc.cluster.local. A")) == ["web.shop.svc.cluster.local. 5 IN A 10.96.0.9"]
    answers.apply(change(namespace("shop"), None), NOW)
    assert present(ask(answers, "web.shop.svc.cluster.local. A")) == ["NXDOMAIN"]


def test_without_a_selector_a_service_vouches_for_its_namespace() -> None:
    """A dump often has Services and no Namespaces: what has a Service exists, what has nothing does not."""
    answers = cluster(WEB, spaces=False)
    assert present(ask(answers, "shop.svc.cluster.local. A")) == ["NODATA"]
    assert present(ask(answers, "empty.svc.cluster.local. A")) == ["NXDOMAIN"]
    answers.apply(change(WEB, None), NOW)
    assert present(ask(answers, "shop.svc.cluster.local. A")) == ["NXDOMAIN"]
