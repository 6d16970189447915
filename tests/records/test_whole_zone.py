"""The whole zone as lines: every record of the specification, with the object it came from."""

from typing import NamedTuple

import pytest

from kdns.base.objects import ServiceView
from kdns.config.settings import KubernetesOptions
from tests.build import namespace, pod
from tests.records.shop import ALIAS, DB, DEAD, LITERAL, ORPHAN, PLAIN, WEB
from tests.records.zone_text import blank, cluster, rr_lines


class Case(NamedTuple):
    title: str
    view: ServiceView
    zone: str


CASES = (
    Case(
        "a headless Service in both families",
        DB,
        """
        db.shop.svc.cluster.local. 5 IN A 10.244.1.10  ; Service shop/db
        db.shop.svc.cluster.local. 5 IN A 10.244.2.10  ; Service shop/db
        db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::a  ; Service shop/db
        db.shop.svc.cluster.local. 5 IN SRV 0 33 5432 db-0.db.shop.svc.cluster.local.  ; Service shop/db
        db.shop.svc.cluster.local. 5 IN SRV 0 33 5432 db-1.db.shop.svc.cluster.local.  ; Service shop/db
        _pg._tcp.db.shop.svc.cluster.local. 5 IN A 10.244.1.10  ; Service shop/db
        _pg._tcp.db.shop.svc.cluster.local. 5 IN A 10.244.2.10  ; Service shop/db
        _pg._tcp.db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::a  ; Service shop/db
        _pg._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 33 5432 db-0.db.shop.svc.cluster.local.  ; Service shop/db
        _pg._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 33 5432 db-1.db.shop.svc.cluster.local.  ; Service shop/db
        db-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.10  ; Service shop/db
        db-0.db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::a  ; Service shop/db
        db-0.db.shop.svc.cluster.local. 5 IN SRV 0 50 5432 db-0.db.shop.svc.cluster.local.  ; Service shop/db
        db-1.db.shop.svc.cluster.local. 5 IN A 10.244.2.10  ; Service shop/db
        db-1.db.shop.svc.cluster.local. 5 IN SRV 0 100 5432 db-1.db.shop.svc.cluster.local.  ; Service shop/db
        10.1.244.10.in-addr.arpa. 5 IN PTR db-0.db.shop.svc.cluster.local.  ; EndpointSlice shop/db-v4
        10.2.244.10.in-addr.arpa. 5 IN PTR db-1.db.shop.svc.cluster.local.  ; EndpointSlice shop/db-v4
        a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa. 5 IN PTR db-0.db.shop.svc.cluster.local. ; EndpointSlice shop/db-v6
        """,  # noqa: E501 - zone lines with their source beside them
    ),
    Case(
        "a cluster IP with an unnamed port",
        PLAIN,
        """
        plain.shop.svc.cluster.local. 5 IN A 10.96.0.11  ; Service shop/plain
        plain.shop.svc.cluster.local. 5 IN SRV 0 100 80 plain.shop.svc.cluster.local.  ; Service shop/plain
        10-244-1-30.plain.shop.svc.cluster.local. 5 IN A 10.244.1.30  ; Service shop/plain
        10-244-1-30.plain.shop.svc.cluster.local. 5 IN SRV 0 100 80 10-244-1-30.plain.shop.svc.cluster.local.  ; Service shop/plain
        11.0.96.10.in-addr.arpa. 5 IN PTR plain.shop.svc.cluster.local.  ; Service shop/plain
        30.1.244.10.in-addr.arpa. 5 IN PTR 10-244-1-30.plain.shop.svc.cluster.local.  ; EndpointSlice shop/plain-v4
        """,  # noqa: E501 - zone lines with their source beside them
    ),
    Case(
        "an ExternalName",
        ALIAS,
        "alias.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local. ; Service shop/alias",
    ),
    Case(
        "slices whose Service is gone",
        ORPHAN,
        """
        3.3.244.10.in-addr.arpa. 5 IN PTR gone-0.gone.shop.svc.cluster.local.  ; EndpointSlice shop/gone-abc
        4.3.244.10.in-addr.arpa. 5 IN PTR 10-244-3-4.gone.shop.svc.cluster.local.  ; EndpointSlice shop/gone-abc
        """,
    ),
    Case("a headless Service without a ready endpoint", DEAD, ""),
    Case("an ExternalName that is no name", LITERAL, ""),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_service_puts_exactly_these_records_into_the_zone(case: Case) -> None:
    """Each record once, with the key of the object that must change for it to change."""
    answers = cluster(case.view)
    lines = [
        f"{line} ; {rrset.source}"
        for rrset in answers.records()
        if rrset.source is not None
        for line in rr_lines((rrset,))
    ]
    assert sorted(lines) == sorted(" ".join(line.split()) for line in case.zone.splitlines() if line.strip())


def test_a_zone_without_objects_is_its_apex_and_its_version() -> None:
    """SOA and NS of each zone, and the version of the schema in each forward zone."""
    options = KubernetesOptions(zones=("cluster.local.", "example.org.", "10.96.0.0/16"))
    rrsets = list(blank(options).records())
    assert {(line.split()[0], line.split()[3]) for line in rr_lines(rrsets)} == {
        ("cluster.local.", "SOA"),
        ("cluster.local.", "NS"),
        ("dns-version.cluster.local.", "TXT"),
        ("example.org.", "SOA"),
        ("example.org.", "NS"),
        ("dns-version.example.org.", "TXT"),
        ("96.10.in-addr.arpa.", "SOA"),
        ("96.10.in-addr.arpa.", "NS"),
    }


def test_the_addresses_of_the_name_server_are_listed() -> None:
    """What NS points to has its addresses in the zone."""
    lines = list(rr_lines(list(cluster(own=("192.0.2.1", "2001:db8::1")).records())))
    assert "ns.dns.cluster.local. 5 IN A 192.0.2.1" in lines
    assert "ns.dns.cluster.local. 5 IN AAAA 2001:db8::1" in lines


@pytest.mark.parametrize(("mode", "listed"), [("disabled", 0), ("insecure", 0), ("verified", 2)])
def test_pods_are_listed_where_they_are_verified(mode: str, listed: int) -> None:
    """In mode insecure every address is a name, so none is listed; verified ones come with their Pod."""
    things = (namespace("shop"), pod("shop/a", "10.244.1.1"), pod("shop/b", "fd00:10:244::b"))
    options = {each: KubernetesOptions(pods=each) for each in ("disabled", "insecure", "verified")}[mode]
    rrsets = [rrset for rrset in cluster(*things, options=options).records() if b"\3pod" in rrset.owner]
    assert len(rrsets) == listed
    assert [str(rrset.source) for rrset in rrsets] == ["Pod shop/a", "Pod shop/b"][:listed]


def test_a_hidden_namespace_is_not_listed() -> None:
    """The ``namespaces`` option hides names and reverse names from the walk as from questions."""
    rrsets = cluster(WEB, DB, options=KubernetesOptions(namespaces=("other",))).records()
    assert [rrset for rrset in rrsets if rrset.source is not None] == []
