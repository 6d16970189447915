"""Zones of ServiceImports: the Services of several clusters (KEP-1645), with the names that CoreDNS gives them."""

import pytest
from msgspec.structs import replace

from kdns.base.objects import ServiceView
from kdns.config.settings import KubernetesOptions
from kdns.records.answers import Answers
from kdns.records.transfer import transfer
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import A
from tests.address_plan import NOW
from tests.build import Endpoint, change, imported, namespace, slice_, tcp, udp, view
from tests.records.zone_text import ask, cluster, expected, present, rr_lines

ZONES = ("cluster.local.", "clusterset.local.", "in-addr.arpa.", "ip6.arpa.")
OPTIONS = KubernetesOptions(zones=ZONES, multicluster=("clusterset.local.",))
HTTP = (tcp(80, "http"),)
WEB = imported(
    "shop/web",
    ("10.112.0.9", "fd00:112::9"),
    (tcp(80, "http"), tcp(443, "https")),
    {"east": (Endpoint("10.1.0.4", "web-0"), "10.1.0.5"), "west": ("10.2.0.4", "fd00:2::4")},
    target_ports=(tcp(8080, "http"),),
)
DB = imported(
    "shop/db",
    ("None",),
    (tcp(5432, "pg"),),
    {"east": (Endpoint("10.1.0.10", "db-0"),), "west": (Endpoint("10.2.0.10", "db-0"), Endpoint("10.2.0.11", "db-1"))},
)
HERE = imported("shop/here", ("None",), HTTP, {"": (Endpoint("10.3.0.1", "one"),)})
"""Its slice does not say which cluster it is from."""
OBJECTS = (
    WEB,
    DB,
    HERE,
    imported("shop/portless", ("10.112.0.10",), (), {"east": ("10.1.0.20",)}),
    imported("shop/bare", ("10.112.0.11",), (tcp(80),)),
    imported("shop/dead", ("None",), HTTP),
    imported("shop/none", (), HTTP),
    imported("shop/dns", ("10.112.0.12",), (udp(53, "dns"),), {"dns": ("10.1.0.30",)}),
    view("shop/web", ("10.96.0.9",), HTTP, (Endpoint("10.0.0.4", "local"),)),
    view("shop/only", ("10.96.0.10",), HTTP, ("10.0.0.5",)),
)
SVC = "shop.svc.clusterset.local."

CASES = (
    (f"web.{SVC} A", f"web.{SVC} 5 IN A 10.112.0.9"),
    (f"web.{SVC} AAAA", f"web.{SVC} 5 IN AAAA fd00:112::9"),
    (f"web.{SVC} SRV", f"""
        web.{SVC} 5 IN SRV 0 25 80 web.{SVC}
        web.{SVC} 5 IN SRV 0 25 443 web.{SVC}
        ; additional
        web.{SVC} 5 IN A 10.112.0.9
        web.{SVC} 5 IN AAAA fd00:112::9"""),
    (f"_https._tcp.web.{SVC} SRV", f"""
        _https._tcp.web.{SVC} 5 IN SRV 0 50 443 web.{SVC}
        ; additional
        web.{SVC} 5 IN A 10.112.0.9
        web.{SVC} 5 IN AAAA fd00:112::9"""),
    (f"web-0.east.web.{SVC} A", f"web-0.east.web.{SVC} 5 IN A 10.1.0.4"),
    (f"10-1-0-5.east.web.{SVC} A", f"10-1-0-5.east.web.{SVC} 5 IN A 10.1.0.5"),
    (f"10-1-0-5.west.web.{SVC} A", "NXDOMAIN"),
    (f"web-0.web.{SVC} A", "NXDOMAIN"),
    (f"east.web.{SVC} A", "NODATA"),
    (f"north.web.{SVC} A", "NXDOMAIN"),
    (f"x.web-0.east.web.{SVC} A", "NXDOMAIN"),
    (f"web-0.east.web.{SVC} SRV", f"""
        web-0.east.web.{SVC} 5 IN SRV 0 100 8080 web-0.east.web.{SVC}
        ; additional
        web-0.east.web.{SVC} 5 IN A 10.1.0.4"""),
    (f"db.{SVC} A", f"""
        db.{SVC} 5 IN A 10.1.0.10
        db.{SVC} 5 IN A 10.2.0.10
        db.{SVC} 5 IN A 10.2.0.11"""),
    (f"_pg._tcp.db.{SVC} SRV", f"""
        _pg._tcp.db.{SVC} 5 IN SRV 0 33 5432 db-0.east.db.{SVC}
        _pg._tcp.db.{SVC} 5 IN SRV 0 33 5432 db-0.west.db.{SVC}
        _pg._tcp.db.{SVC} 5 IN SRV 0 33 5432 db-1.west.db.{SVC}
        ; additional
        db-0.east.db.{SVC} 5 IN A 10.1.0.10
        db-0.west.db.{SVC} 5 IN A 10.2.0.10
        db-1.west.db.{SVC} 5 IN A 10.2.0.11"""),
    (f"db-0.west.db.{SVC} A", f"db-0.west.db.{SVC} 5 IN A 10.2.0.10"),
    (f"pg.tcp.db.{SVC} A", "NXDOMAIN"),  # without an underscore: endpoint `pg` of cluster `tcp`
    (f"_pg.tcp.db.{SVC} A", f"""
        _pg.tcp.db.{SVC} 5 IN A 10.1.0.10
        _pg.tcp.db.{SVC} 5 IN A 10.2.0.10
        _pg.tcp.db.{SVC} 5 IN A 10.2.0.11"""),
    (f"one.here.{SVC} A", f"one.here.{SVC} 5 IN A 10.3.0.1"),
    (f"_http._tcp.here.{SVC} SRV", f"""
        _http._tcp.here.{SVC} 5 IN SRV 0 100 80 one.here.{SVC}
        ; additional
        one.here.{SVC} 5 IN A 10.3.0.1"""),
    (f"portless.{SVC} A", "NXDOMAIN"),
    (f"10-1-0-20.east.portless.{SVC} A", "NXDOMAIN"),
    (f"bare.{SVC} A", f"bare.{SVC} 5 IN A 10.112.0.11"),
    (f"bare.{SVC} SRV", f"""
        bare.{SVC} 5 IN SRV 0 100 80 bare.{SVC}
        ; additional
        bare.{SVC} 5 IN A 10.112.0.11"""),
    (f"dead.{SVC} A", "NXDOMAIN"),
    (f"none.{SVC} A", "NXDOMAIN"),
    (f"dns.dns.{SVC} A", "NODATA"),
    (f"10-1-0-30.dns.dns.{SVC} A", f"10-1-0-30.dns.dns.{SVC} 5 IN A 10.1.0.30"),
    (f"only.{SVC} A", "NXDOMAIN"),
    (f"{SVC} A", "NODATA"),
    ("nope.svc.clusterset.local. A", "NXDOMAIN"),
    ("dns-version.clusterset.local. TXT", 'dns-version.clusterset.local. 28800 IN TXT "1.1.0"'),
    ("web.shop.svc.cluster.local. A", "web.shop.svc.cluster.local. 5 IN A 10.96.0.9"),
    ("local.web.shop.svc.cluster.local. A", "local.web.shop.svc.cluster.local. 5 IN A 10.0.0.4"),
    ("db.shop.svc.cluster.local. A", "NXDOMAIN"),
    ("9.0.112.10.in-addr.arpa. PTR", "NXDOMAIN"),
    ("10.0.1.10.in-addr.arpa. PTR", "NXDOMAIN"),
    ("9.0.96.10.in-addr.arpa. PTR", "9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local."),
)  # fmt: skip


@pytest.mark.parametrize(("question", "lines"), CASES)
def test_names(question: str, lines: str) -> None:
    """ServiceImports have names in their zone and no reverse names; Services have theirs, and none of the others'."""
    assert present(ask(cluster(*OBJECTS, options=OPTIONS), question)) == expected(lines)


def test_a_zone_of_imports_before_the_others() -> None:
    """Reverse names lead into the cluster's own zone wherever it stands in the list."""
    options = replace(OPTIONS, zones=("clusterset.local.", "cluster.local.", "in-addr.arpa."))
    result = ask(cluster(*OBJECTS, options=options), "9.0.96.10.in-addr.arpa. PTR")
    assert present(result) == ["9.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local."]


@pytest.mark.parametrize(
    ("changes", "question", "lines"),
    [
        ({"ignore_empty_service": True}, f"bare.{SVC} A", "NXDOMAIN"),
        ({"ignore_empty_service": True}, f"dns.{SVC} A", f"dns.{SVC} 5 IN A 10.112.0.12"),
        ({"namespaces": ("other",)}, f"web.{SVC} A", "NXDOMAIN"),
        ({"zonal": True}, f"a.pin._zone.db.{SVC} A", "NXDOMAIN"),
        ({"pods": "insecure"}, "10-0-0-4.shop.pod.clusterset.local. A",
         "10-0-0-4.shop.pod.clusterset.local. 5 IN A 10.0.0.4"),
        ({"multicluster": ()}, f"web.{SVC} A", f"web.{SVC} 5 IN A 10.96.0.9"),
    ],
)  # fmt: skip
def test_other_options(changes: dict[str, object], question: str, lines: str) -> None:
    """What they mean for ServiceImports."""
    assert present(ask(cluster(*OBJECTS, options=replace(OPTIONS, **changes)), question)) == expected(lines)


def test_name_servers() -> None:
    """This server is an endpoint of a Service, which has no name in a zone of ServiceImports."""
    kube_dns = view("kube-system/kube-dns", ("10.96.0.10",), (udp(53, "dns"),), ("10.0.0.53",))
    answers = cluster(*OBJECTS, kube_dns, options=OPTIONS, own=("10.0.0.53",))
    name = "kube-dns.kube-system.svc.cluster.local."
    glue = f"; additional\n{name} 5 IN A 10.96.0.10"
    assert present(ask(answers, "clusterset.local. NS")) == expected(f"clusterset.local. 5 IN NS {name}\n{glue}")
    alone = cluster(*OBJECTS, options=replace(OPTIONS, zones=("clusterset.local.",)), own=("10.0.0.53",))
    own = "ns.dns.clusterset.local. 5 IN A 10.0.0.53"
    lines = expected(f"clusterset.local. 5 IN NS ns.dns.clusterset.local.\n; additional\n{own}")
    assert present(ask(alone, "clusterset.local. NS")) == lines
    assert present(ask(alone, "ns.dns.clusterset.local. A")) == [own]


def test_a_slice_of_both() -> None:
    """A slice with both labels is of a Service and of a ServiceImport, each with its own names."""
    both = replace(slice_("shop/api-1", "api", (Endpoint("10.0.0.7", "api-0"),), HTTP), imported="api", cluster="east")
    own = view("shop/api", ("None",), HTTP, more=(both,))
    theirs = ServiceView(imported("shop/api", ("None",), HTTP).service, (both,))
    answers = cluster(own, theirs, options=OPTIONS)
    for name in ("api-0.api.shop.svc.cluster.local.", "api-0.east.api.shop.svc.clusterset.local."):
        assert present(ask(answers, f"{name} A")) == [f"{name} 5 IN A 10.0.0.7"]
    assert present(ask(answers, "api-0.east.api.shop.svc.cluster.local. A")) == ["NXDOMAIN"]
    assert present(ask(answers, "7.0.0.10.in-addr.arpa. PTR")) == [
        "7.0.0.10.in-addr.arpa. 5 IN PTR api-0.api.shop.svc.cluster.local."
    ]


def serial(answers: Answers, zone: str) -> int:
    """Of its SOA record."""
    return int.from_bytes(ask(answers, f"{zone} SOA").answer[0].rdatas[0][-20:-16], "big")


def test_serials_of_their_own() -> None:
    """A ServiceImport changes the serial of its zones, a Service that of the others, and a Namespace both."""
    answers = cluster(namespace("shop"), options=OPTIONS)
    zones = ("cluster.local.", "in-addr.arpa.", "clusterset.local.")
    assert [serial(answers, zone) for zone in zones] == [NOW, NOW, NOW]
    answers.apply(change(None, WEB), NOW)
    assert [serial(answers, zone) for zone in zones] == [NOW, NOW, NOW + 1]
    answers.apply(change(None, view("shop/web", ("10.96.0.9",), HTTP)), NOW + 60)
    assert [serial(answers, zone) for zone in zones] == [NOW + 60, NOW + 60, NOW + 1]
    answers.apply(change(None, namespace("other")), NOW + 70)
    assert [serial(answers, zone) for zone in zones] == [NOW + 70] * 3


def test_a_change_drops_its_answers_only() -> None:
    """Compiled answers for ServiceImports live until theirs changes."""
    answers = cluster(WEB, DB, options=OPTIONS)
    web, db = (answers.find(parse_name(f"{name}.{SVC}"), A) for name in ("web", "db"))
    assert web is not None
    assert db is not None
    answers.apply(change(DB, replace(DB, slices=DB.slices[:1])), NOW)
    assert (web.live, db.live) == (True, False)
    assert present(ask(answers, f"db.{SVC} A")) == [f"db.{SVC} 5 IN A 10.1.0.10"]
    answers.apply(change(DB, None), NOW)
    assert present(ask(answers, f"db.{SVC} A")) == ["NXDOMAIN"]


def test_the_whole_zone() -> None:
    """What is copied to other servers, and what `kdns records` prints."""
    answers = cluster(DB, view("shop/only", ("10.96.0.10",), HTTP), options=OPTIONS)
    addresses = ("10.1.0.10", "10.2.0.10", "10.2.0.11")
    lines = [
        *(f"{name}.{SVC} 5 IN A {address}" for name in ("db", "_pg._tcp.db") for address in addresses),
        *(f"{name}.db.{SVC} 5 IN A {address}" for name, address in
          (("db-0.east", "10.1.0.10"), ("db-0.west", "10.2.0.10"), ("db-1.west", "10.2.0.11"))),
    ]  # fmt: skip
    for rrsets in (transfer(answers.zone, parse_name("clusterset.local")), answers.records()):
        found = {line for line in rr_lines(list(rrsets)) if " IN A " in line and line.split()[0].endswith(SVC)}
        assert found == set(lines)


def test_a_service_alone_proves_its_namespace() -> None:
    """Where Namespaces cannot be listed, a ServiceImport shows that its Namespace exists."""
    answers = cluster(WEB, options=OPTIONS, spaces=False)
    assert present(ask(answers, f"web.{SVC} A")) == [f"web.{SVC} 5 IN A 10.112.0.9"]
    assert name_text(answers.schema.zones[-1]) == "clusterset.local."
