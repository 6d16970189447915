"""EndpointSlices of one Service are merged, and what two of them say is said once."""

from itertools import pairwise
from typing import NamedTuple

import pytest

from kdns.base.objects import ServiceView
from tests.build import Endpoint, change, slice_, tcp, udp, view
from tests.records.zone_text import ask, cluster, expected, present

MERGED = view(
    "shop/many",
    ips=("None",),
    ports=(tcp(80, "http"),),
    more=(
        slice_("shop/many-1", "many", (Endpoint("10.244.1.1", "a"), Endpoint("10.244.1.2", "b")), (tcp(80, "http"),)),
        slice_("shop/many-2", "many", (Endpoint("10.244.1.2", "b"), Endpoint("10.244.1.3", "c")), (tcp(80, "http"),)),
        slice_("shop/many-3", "many", (Endpoint("fd00:10:244:1::1", "a"),), (tcp(80, "http"),)),
    ),
)
PORTS = view(
    "shop/ports",
    ips=("None",),
    more=(
        slice_("shop/ports-1", "ports", (Endpoint("10.244.2.1", "a"),), (tcp(8080, "http"),)),
        slice_("shop/ports-2", "ports", (Endpoint("10.244.2.2", "b"),), (tcp(9090, "http"), udp(53, "http"))),
        slice_("shop/ports-3", "ports", (Endpoint("10.244.2.3", "c"),), (tcp(7070),)),
        slice_("shop/ports-4", "ports", (Endpoint("10.244.2.4", "d"),)),
    ),
)
SHARED = view("shop/shared", ips=("None",), endpoints=(Endpoint("10.244.3.1", "x"), Endpoint("10.244.3.2", "x")))
EMPTY_SLICE = view("shop/none", ips=("None",), more=(slice_("shop/none-1", "none", (), (tcp(80, "http"),)),))
HALF_EMPTY = view(
    "shop/half",
    ips=("None",),
    more=(
        slice_("shop/half-1", "half", ("10.244.6.1",), (tcp(80, "http"),)),
        slice_("shop/half-2", "half", (), (udp(53, "dns"),)),
    ),
)


class Case(NamedTuple):
    title: str
    view: ServiceView
    question: str
    answer: str


CASES = (
    Case(
        "an address in two slices is one A record",
        MERGED,
        "many.shop.svc.cluster.local. A",
        """
        many.shop.svc.cluster.local. 5 IN A 10.244.1.1
        many.shop.svc.cluster.local. 5 IN A 10.244.1.2
        many.shop.svc.cluster.local. 5 IN A 10.244.1.3
        """,
    ),
    Case(
        "an endpoint in two slices is one A record of its name",
        MERGED,
        "b.many.shop.svc.cluster.local. A",
        "b.many.shop.svc.cluster.local. 5 IN A 10.244.1.2",
    ),
    Case(
        "a hostname in slices of both families has both",
        MERGED,
        "a.many.shop.svc.cluster.local. AAAA",
        "a.many.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::1",
    ),
    Case(
        "each slice has its own port numbers",
        PORTS,
        "_http._tcp.ports.shop.svc.cluster.local. SRV",
        """
        _http._tcp.ports.shop.svc.cluster.local. 5 IN SRV 0 50 8080 a.ports.shop.svc.cluster.local.
        _http._tcp.ports.shop.svc.cluster.local. 5 IN SRV 0 50 9090 b.ports.shop.svc.cluster.local.
        ; additional
        a.ports.shop.svc.cluster.local. 5 IN A 10.244.2.1
        b.ports.shop.svc.cluster.local. 5 IN A 10.244.2.2
        """,
    ),
    Case(
        "a port only one slice has",
        PORTS,
        "_http._udp.ports.shop.svc.cluster.local. SRV",
        """
        _http._udp.ports.shop.svc.cluster.local. 5 IN SRV 0 100 53 b.ports.shop.svc.cluster.local.
        ; additional
        b.ports.shop.svc.cluster.local. 5 IN A 10.244.2.2
        """,
    ),
    Case(
        "the addresses of a port are those of the slices that have it",
        PORTS,
        "_http._tcp.ports.shop.svc.cluster.local. A",
        """
        _http._tcp.ports.shop.svc.cluster.local. 5 IN A 10.244.2.1
        _http._tcp.ports.shop.svc.cluster.local. 5 IN A 10.244.2.2
        """,
    ),
    Case(
        "all ready addresses are the Service's, with ports or without",
        PORTS,
        "ports.shop.svc.cluster.local. A",
        """
        ports.shop.svc.cluster.local. 5 IN A 10.244.2.1
        ports.shop.svc.cluster.local. 5 IN A 10.244.2.2
        ports.shop.svc.cluster.local. 5 IN A 10.244.2.3
        ports.shop.svc.cluster.local. 5 IN A 10.244.2.4
        """,
    ),
    Case(
        "an endpoint of an unnamed port",
        PORTS,
        "c.ports.shop.svc.cluster.local. SRV",
        """
        c.ports.shop.svc.cluster.local. 5 IN SRV 0 100 7070 c.ports.shop.svc.cluster.local.
        ; additional
        c.ports.shop.svc.cluster.local. 5 IN A 10.244.2.3
        """,
    ),
    Case("an endpoint without ports has no SRV", PORTS, "d.ports.shop.svc.cluster.local. SRV", "NODATA"),
    Case(
        "several addresses may share a hostname",
        SHARED,
        "x.shared.shop.svc.cluster.local. A",
        """
        x.shared.shop.svc.cluster.local. 5 IN A 10.244.3.1
        x.shared.shop.svc.cluster.local. 5 IN A 10.244.3.2
        """,
    ),
    Case(
        "a port that only an empty slice has is none",
        HALF_EMPTY,
        "_dns._udp.half.shop.svc.cluster.local. A",
        "NXDOMAIN",
    ),
    Case("nor is there a protocol above it", HALF_EMPTY, "_udp.half.shop.svc.cluster.local. A", "NXDOMAIN"),
    Case("an empty slice is no endpoint", EMPTY_SLICE, "none.shop.svc.cluster.local. A", "NXDOMAIN"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_slices_are_merged(case: Case) -> None:
    """This question has exactly this answer."""
    assert present(ask(cluster(case.view), case.question)) == expected(case.answer)


def test_an_endpoint_may_move_between_slices() -> None:
    """The controller writes the new slice before it cuts the old one: the endpoint is there all the time, once."""
    old, new = (slice_(f"shop/move-{n}", "move", (Endpoint("10.244.4.4", "m"),)) for n in (1, 2))
    states = [view("shop/move", ips=("None",), more=more) for more in ((old,), (old, new), (new,))]
    answers = cluster(states[0])
    for before, after in pairwise(states):
        answers.apply(change(before, after), 1)
        assert present(ask(answers, "move.shop.svc.cluster.local. A")) == [
            "move.shop.svc.cluster.local. 5 IN A 10.244.4.4"
        ]
        assert present(ask(answers, "4.4.244.10.in-addr.arpa. PTR")) == [
            "4.4.244.10.in-addr.arpa. 5 IN PTR m.move.shop.svc.cluster.local."
        ]


def test_a_hundred_endpoints_weigh_one_each() -> None:
    """The weight of an SRV record is 100 shared by all of them, and never below 1."""
    for count, weight in ((3, 33), (7, 14), (100, 1), (150, 1)):
        crowd = view(
            "shop/crowd", ips=("None",), ports=(tcp(80, "http"),), endpoints=[f"10.244.5.{n}" for n in range(count)]
        )
        result = ask(cluster(crowd), "_http._tcp.crowd.shop.svc.cluster.local. SRV")
        (rrset,) = result.answer
        assert len(rrset.rdatas) == count
        assert {int.from_bytes(rdata[2:4], "big") for rdata in rrset.rdatas} == {weight}
