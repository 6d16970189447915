"""Reverse names: who has an address, told by cluster IPs first and endpoints after that (RFC 1035 section 3.5)."""

from itertools import permutations
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from kdns.base.objects import DerivedFrom
from kdns.config.settings import KubernetesOptions
from kdns.records.present import master_file
from kdns.wire.name import name_text
from tests.build import Endpoint, Thing, change, orphan, slice_, tcp, udp, view
from tests.records.shop import ORPHAN
from tests.records.zone_text import ask, cluster, expected, present, rr_lines

API = view("default/api", ips=("10.96.0.1",), ports=(tcp(443, "https"),), endpoints=("10.244.9.9",))
SAME = view("shop/same", ips=("None",), endpoints=("10.244.9.9",))
HOSTED = view("shop/hosted", ips=("None",), endpoints=(Endpoint("10.244.9.9", "node-a"),))
NODE_PORTS = view("shop/wrapped", ips=("None",), endpoints=("10.96.0.1",))
"""An endpoint at a cluster IP: one service in front of another."""
TWICE = view(
    "shop/twice",
    ips=("None",),
    more=(
        slice_("shop/twice-a", "twice", ("10.244.4.1", "10.244.4.2"), (tcp(80, "http"),)),
        slice_("shop/twice-b", "twice", ("10.244.4.2", "10.244.4.3"), (udp(53, "dns"),)),
    ),
)
TWO_NAMES = view(
    "shop/names",
    ips=("None",),
    more=(
        slice_("shop/names-a", "names", (Endpoint("10.244.6.1", "one"),)),
        slice_("shop/names-b", "names", (Endpoint("10.244.6.1", "two"),)),
    ),
)


class Case(NamedTuple):
    title: str
    things: tuple[Thing, ...]
    question: str
    answer: str


def _ptr(name: str, *targets: str) -> str:
    return "\n".join(f"{name} 5 IN PTR {target}" for target in targets)


CASES = (
    Case(
        "endpoints of several Services share an address: a PTR for each",
        (API, SAME, HOSTED),
        "9.9.244.10.in-addr.arpa. PTR",
        _ptr(
            "9.9.244.10.in-addr.arpa.",
            "10-244-9-9.api.default.svc.cluster.local.",
            "10-244-9-9.same.shop.svc.cluster.local.",
            "node-a.hosted.shop.svc.cluster.local.",
        ),
    ),
    Case(
        "a cluster IP wins over an endpoint at the same address",
        (NODE_PORTS, API),
        "1.0.96.10.in-addr.arpa. PTR",
        _ptr("1.0.96.10.in-addr.arpa.", "api.default.svc.cluster.local."),
    ),
    Case(
        "one endpoint in two slices of its Service is one PTR",
        (TWICE,),
        "2.4.244.10.in-addr.arpa. PTR",
        _ptr("2.4.244.10.in-addr.arpa.", "10-244-4-2.twice.shop.svc.cluster.local."),
    ),
    Case(
        "two names of one address in one Service are two",
        (TWO_NAMES,),
        "1.6.244.10.in-addr.arpa. PTR",
        _ptr("1.6.244.10.in-addr.arpa.", "one.names.shop.svc.cluster.local.", "two.names.shop.svc.cluster.local."),
    ),
    Case(
        "a slice without its Service still has reverse names, by hostname",
        (ORPHAN,),
        "3.3.244.10.in-addr.arpa. PTR",
        _ptr("3.3.244.10.in-addr.arpa.", "gone-0.gone.shop.svc.cluster.local."),
    ),
    Case(
        "and by address",
        (ORPHAN,),
        "4.3.244.10.in-addr.arpa. PTR",
        _ptr("4.3.244.10.in-addr.arpa.", "10-244-3-4.gone.shop.svc.cluster.local."),
    ),
    Case("an address outside is nobody's", (API,), "1.2.0.192.in-addr.arpa. PTR", "NXDOMAIN"),
    Case("other types at a reverse name are NODATA", (API,), "1.0.96.10.in-addr.arpa. TXT", "NODATA"),
    Case("its node above is empty", (API,), "244.10.in-addr.arpa. PTR", "NODATA"),
    Case("a node above nothing is none", (API,), "245.10.in-addr.arpa. PTR", "NXDOMAIN"),
    Case(
        "the beginning of a number is no node",
        (view("a/b", ips=("10.123.0.1",)),),
        "12.10.in-addr.arpa. PTR",
        "NXDOMAIN",
    ),
    Case("a forward name has no PTR", (API,), "api.default.svc.cluster.local. PTR", "NODATA"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_reverse_names(case: Case) -> None:
    """This question has exactly this answer, whichever object came first."""
    for things in (case.things, case.things[::-1]):
        assert present(ask(cluster(*things), case.question)) == expected(case.answer)


DERIVED = view(
    "shop/made",
    ips=("None",),
    more=(
        replace(slice_("shop/made-1", "made", ("10.244.9.9",)), derived_from=DerivedFrom("Service", "shop", "made")),
    ),
)
SOURCES = (
    (
        (API, SAME, HOSTED, DERIVED),
        "9.9.244.10.in-addr.arpa.",
        {
            "10-244-9-9.api.default.svc.cluster.local.": "EndpointSlice default/api-v4",
            "10-244-9-9.made.shop.svc.cluster.local.": "derived from Service shop/made",
            "10-244-9-9.same.shop.svc.cluster.local.": "EndpointSlice shop/same-v4",
            "node-a.hosted.shop.svc.cluster.local.": "EndpointSlice shop/hosted-v4",
        },
    ),
    (
        (TWO_NAMES,),
        "1.6.244.10.in-addr.arpa.",
        {
            "one.names.shop.svc.cluster.local.": "EndpointSlice shop/names-a",
            "two.names.shop.svc.cluster.local.": "EndpointSlice shop/names-b",
        },
    ),
    (
        (TWICE,),
        "2.4.244.10.in-addr.arpa.",
        {"10-244-4-2.twice.shop.svc.cluster.local.": "EndpointSlice shop/twice-a"},
    ),
    ((API, NODE_PORTS), "1.0.96.10.in-addr.arpa.", {"api.default.svc.cluster.local.": "Service default/api"}),
)


@pytest.mark.parametrize(("things", "name", "sources"), SOURCES)
def test_each_record_has_its_own_source(things: tuple[Thing, ...], name: str, sources: dict[str, str]) -> None:
    """Several records of one name may come from as many objects; a slice that kdns derived names what it is from."""
    for order in (things, things[::-1]):
        answers = cluster(*order)
        (rrset,) = ask(answers, f"{name} PTR").answer
        assert {name_text(rdata): str(source) for rdata, source in rrset.each()} == sources
        listed = [line for line in master_file(answers.records()) if line.startswith(name)]
        assert sorted(line.split(" PTR ")[1].strip() for line in listed) == sorted(
            f"{target} ; {source}" for target, source in sources.items()
        )


def test_reverse_nodes_vanish_with_the_last_address_under_them() -> None:
    """When the last address of a network goes, its empty nodes go as well."""
    answers = cluster(API, SAME)
    for gone, left in ((API, "NODATA"), (SAME, "NXDOMAIN")):
        answers.apply(change(gone, None), 1)
        assert present(ask(answers, "9.244.10.in-addr.arpa. A")) == [left]
    assert ask(answers, "10.in-addr.arpa. A").rcode == 3
    assert ask(answers, "in-addr.arpa. A").rcode == 0


def test_each_owner_of_an_address_leaves_alone() -> None:
    """Of three Services with the same endpoint one after the other goes, and the others keep their PTR."""
    targets = {
        API: "10-244-9-9.api.default.svc.cluster.local.",
        SAME: "10-244-9-9.same.shop.svc.cluster.local.",
        HOSTED: "node-a.hosted.shop.svc.cluster.local.",
    }
    for order in permutations(targets):
        answers = cluster(*order)
        left = dict(targets)
        for gone in order:
            answers.apply(change(gone, None), 1)
            del left[gone]
            lines = rr_lines(ask(answers, "9.9.244.10.in-addr.arpa. PTR").answer)
            assert sorted(line.split()[4] for line in lines) == sorted(left.values())


def test_a_service_may_move_to_another_cluster_ip() -> None:
    """The old address is forgotten, the new one answers."""
    answers = cluster(API)
    moved = view("default/api", ips=("10.96.0.2",), endpoints=("10.244.9.9",))
    answers.apply(change(API, moved), 1)
    assert ask(answers, "1.0.96.10.in-addr.arpa. PTR").rcode == 3
    assert present(ask(answers, "2.0.96.10.in-addr.arpa. PTR")) == [
        "2.0.96.10.in-addr.arpa. 5 IN PTR api.default.svc.cluster.local."
    ]


def test_a_deleted_service_leaves_the_reverse_names_of_its_slices() -> None:
    """Its cluster IP is gone at once, its endpoints stay until their slices go."""
    answers = cluster(API)
    left = orphan(*API.slices)
    answers.apply(change(API, left), 1)
    assert ask(answers, "1.0.96.10.in-addr.arpa. PTR").rcode == 3
    assert present(ask(answers, "9.9.244.10.in-addr.arpa. PTR")) == [
        "9.9.244.10.in-addr.arpa. 5 IN PTR 10-244-9-9.api.default.svc.cluster.local."
    ]
    answers.apply(change(left, None), 2)
    assert ask(answers, "9.9.244.10.in-addr.arpa. PTR").rcode == 3


def test_the_spelling_of_the_object_names_the_endpoint() -> None:
    """An IPv6 endpoint is named after its address as the object spells it, in both directions."""
    spelled = view("shop/odd", ips=("None",), endpoints=("fd00:10:244:1:0:0:0:5",))
    answers = cluster(spelled, options=KubernetesOptions())
    name = "fd00-10-244-1-0-0-0-5.odd.shop.svc.cluster.local."
    assert present(ask(answers, f"{name} AAAA")) == [f"{name} 5 IN AAAA fd00:10:244:1::5"]
    assert ask(answers, "fd00-10-244-1--5.odd.shop.svc.cluster.local. AAAA").rcode == 3
    reverse = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa."
    assert present(ask(answers, f"{reverse} PTR")) == [f"{reverse} 5 IN PTR {name}"]
