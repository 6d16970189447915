"""Objects that are spelled oddly, or make no name: what can be served is, and nothing ever raises."""

from typing import NamedTuple

import pytest

from kdns.base.objects import ServicePort, ServiceView
from kdns.config.settings import KubernetesOptions
from kdns.records.answers import Answers
from kdns.records.schema import build_schema
from tests.address_plan import NOW
from tests.build import Endpoint, change, namespace, pod, slice_, tcp, view
from tests.records.zone_text import ask, cluster, expected, parse_question, present

LOUD = view(
    "Shop/WEB",
    ips=("None",),
    ports=(ServicePort("HTTP", "TCP", 80),),
    endpoints=(Endpoint("10.244.1.1", "Pod-A"),),
)
SCTP = view("shop/sig", ips=("10.96.0.9",), ports=(ServicePort("s1", "SCTP", 36412),))
DOUBLE = view("shop/two", ips=("10.96.0.9",), ports=(tcp(53, "dns"), ServicePort("dns", "UDP", 53)))
TWICE_SAME = view("shop/dup", ips=("None",), endpoints=(Endpoint("10.244.1.1", "a"), Endpoint("10.244.1.1", "a")))
BAD_HOST = view(
    "shop/bad",
    ips=("None",),
    endpoints=(Endpoint("10.244.1.1", "h" * 64), Endpoint("10.244.1.2", "münchen"), Endpoint("10.244.1.3", "a.b")),
)


class Case(NamedTuple):
    title: str
    view: ServiceView
    question: str
    answer: str


CASES = (
    Case(
        "names of objects in capitals are folded",
        LOUD,
        "web.shop.svc.cluster.local. A",
        "web.shop.svc.cluster.local. 5 IN A 10.244.1.1",
    ),
    Case(
        "so are hostnames",
        LOUD,
        "pod-a.web.shop.svc.cluster.local. A",
        "pod-a.web.shop.svc.cluster.local. 5 IN A 10.244.1.1",
    ),
    Case(
        "and ports",
        LOUD,
        "_http._tcp.web.shop.svc.cluster.local. SRV",
        """
        _http._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 100 80 pod-a.web.shop.svc.cluster.local.
        ; additional
        pod-a.web.shop.svc.cluster.local. 5 IN A 10.244.1.1
        """,
    ),
    Case(
        "in reverse too",
        LOUD,
        "1.1.244.10.in-addr.arpa. PTR",
        "1.1.244.10.in-addr.arpa. 5 IN PTR pod-a.web.shop.svc.cluster.local.",
    ),
    Case(
        "SCTP is a protocol",
        SCTP,
        "_s1._sctp.sig.shop.svc.cluster.local. SRV",
        """
        _s1._sctp.sig.shop.svc.cluster.local. 5 IN SRV 0 100 36412 sig.shop.svc.cluster.local.
        ; additional
        sig.shop.svc.cluster.local. 5 IN A 10.96.0.9
        """,
    ),
    Case(
        "one port name may be two protocols, and its number is said once",
        DOUBLE,
        "two.shop.svc.cluster.local. SRV",
        """
        two.shop.svc.cluster.local. 5 IN SRV 0 50 53 two.shop.svc.cluster.local.
        ; additional
        two.shop.svc.cluster.local. 5 IN A 10.96.0.9
        """,
    ),
    Case(
        "the same endpoint twice in a slice is one record",
        TWICE_SAME,
        "dup.shop.svc.cluster.local. A",
        "dup.shop.svc.cluster.local. 5 IN A 10.244.1.1",
    ),
    Case(
        "and one PTR",
        TWICE_SAME,
        "1.1.244.10.in-addr.arpa. PTR",
        "1.1.244.10.in-addr.arpa. 5 IN PTR a.dup.shop.svc.cluster.local.",
    ),
    Case(
        "a hostname too long for a label gives way to the address",
        BAD_HOST,
        "10-244-1-1.bad.shop.svc.cluster.local. A",
        "10-244-1-1.bad.shop.svc.cluster.local. 5 IN A 10.244.1.1",
    ),
    Case(
        "one outside ASCII too",
        BAD_HOST,
        "2.1.244.10.in-addr.arpa. PTR",
        "2.1.244.10.in-addr.arpa. 5 IN PTR 10-244-1-2.bad.shop.svc.cluster.local.",
    ),
    Case("an empty externalName is no name", view("shop/e", external=""), "e.shop.svc.cluster.local. A", "NODATA"),
    Case("nor is one with an empty label", view("shop/e", external="a..b"), "e.shop.svc.cluster.local. A", "NODATA"),
    Case("nor one too long", view("shop/e", external="x" * 64), "e.shop.svc.cluster.local. A", "NODATA"),
    Case("nor one outside ASCII", view("shop/e", external="mün.de"), "e.shop.svc.cluster.local. A", "NODATA"),
    Case("nor the root", view("shop/e", external="."), "e.shop.svc.cluster.local. CNAME", "NODATA"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.question}: {case.title}")
def test_odd_objects(case: Case) -> None:
    """This question has exactly this answer."""
    assert present(ask(cluster(case.view), case.question)) == expected(case.answer)


TEXTS = (
    "10\\.244\\.1\\.4",
    "fe80--1\\%eth0",
    "10-244-1-4\\%1",
    "--",
    "-",
    "1-2-3-",
    "-1-2-3",
    "g--1",
    "1--2--3",
    "\\000",
    "\\255-1",
)


@pytest.mark.parametrize("label", TEXTS)
def test_what_spells_no_address_is_no_pod(label: str) -> None:
    """Only dashes are translated, and an address has no scope: anything else is NXDOMAIN, also in mode insecure."""
    answers = cluster(namespace("shop"), options=KubernetesOptions(pods="insecure"))
    assert present(ask(answers, f"{label}.shop.pod.cluster.local. AAAA")) in (["NXDOMAIN"], _unspecified(label))


def _unspecified(label: str) -> list[str]:
    """``--`` alone spells ``::``, which is an address (RFC 4291 section 2.5.2)."""
    return ["--.shop.pod.cluster.local. 5 IN AAAA ::"] if label == "--" else ["NXDOMAIN"]


def test_one_warning_names_a_service_that_points_at_an_address() -> None:
    """An IP literal as externalName is told once, by the key of the Service, and again only when it changes."""
    told: list[str] = []
    answers = Answers(build_schema(("cluster.local.",)), told.append)
    first = view("shop/literal", external="192.0.2.7")
    answers.apply(change(None, first), NOW)
    answers.apply(change(first, view("shop/literal", external="192.0.2.7", endpoints=("10.244.1.1",))), NOW)
    for _ in range(3):
        answers.lookup(*parse_question("literal.shop.svc.cluster.local. A"))
    assert len(told) == 1
    assert "Service shop/literal" in told[0]
    assert "192.0.2.7" in told[0]
    answers.apply(change(None, view("shop/long", external="x" * 5000)), NOW)
    assert len(told[1]) < 200


LONG_ZONE = ".".join(["z" * 49] * 3)
"""A zone of 150 octets leaves 105 for what is left of it."""


def test_names_too_long_for_their_zone_are_left_out() -> None:
    """What fits is served, what does not is nowhere, and neither questions nor changes raise."""
    told: list[str] = []
    fits = view(
        "shop/s", ips=("None",), ports=(tcp(80, "http"),), endpoints=("10.244.1.1", Endpoint("10.244.1.2", "h"))
    )
    tight = view(
        "shop/" + "t" * 63,
        ips=("None",),
        ports=(tcp(80, "http"),),
        endpoints=(Endpoint("10.244.2.1", "h" * 63), Endpoint("10.244.2.2", "i")),
    )
    wide = view("n" * 63 + "/" + "w" * 63, ips=("10.96.0.9",), endpoints=("10.244.3.1",))
    answers = Answers(build_schema((LONG_ZONE, "in-addr.arpa.")), told.append)
    answers.synced = True
    for each in (fits, tight, wide):
        answers.apply(change(None, each), NOW)
    assert present(ask(answers, f"s.shop.svc.{LONG_ZONE} A"))[0].endswith("10.244.1.1")
    assert present(ask(answers, f"{'t' * 63}.shop.svc.{LONG_ZONE} A"))[0].endswith("10.244.2.1")
    for rtype in ("A", "SRV", "PTR", "ANY"):
        for name in (f"{'t' * 63}.shop.svc.{LONG_ZONE}", "1.2.244.10.in-addr.arpa.", "2.2.244.10.in-addr.arpa."):
            assert all(
                len(rdata) <= 261
                for rrset in ask(answers, f"{name} {rtype}").answer
                if rrset.rtype in {33, 12}
                for rdata in rrset.rdatas
            )
    list(answers.records())
    assert ask(answers, "9.0.96.10.in-addr.arpa. PTR").rcode == 3
    answers.apply(change(wide, None), NOW)
    assert any("n" * 63 in line for line in told)


def test_changes_of_names_that_are_no_labels_are_told_and_left_out() -> None:
    """A Service, a Namespace or a slice whose name is no label is one warning; the rest is served."""
    told: list[str] = []
    answers = Answers(build_schema(("cluster.local.", "in-addr.arpa.")), told.append)
    answers.synced = True
    good = view("shop/good", ips=("10.96.0.9",))
    for thing in (view("shop/" + "x" * 300, ips=("10.96.0.1",)), namespace("é" * 3), namespace("y" * 300), good):
        answers.apply(change(None, thing), NOW)
    assert len(told) == 3
    assert present(ask(answers, "good.shop.svc.cluster.local. A")) == ["good.shop.svc.cluster.local. 5 IN A 10.96.0.9"]


def test_any_pod_address_may_be_listed() -> None:
    """Pods with odd addresses do not break the walk over the whole zone."""
    odd = [pod(f"shop/p{n}", text) for n, text in enumerate(("fd00::", "::", "10.244.1.1", "no address", "x" * 99))]
    answers = cluster(namespace("shop"), *odd, options=KubernetesOptions(pods="verified"))
    assert list(answers.records())


def test_slices_that_belong_to_nobody_have_no_names() -> None:
    """A slice without a service label makes no name, in neither direction."""
    loose = ServiceView(None, (slice_("shop/loose", "", ("10.244.1.1",)),))
    answers = cluster(namespace("shop"), loose)
    assert [rrset for rrset in answers.records() if rrset.source is not None] == []
    assert ask(answers, "1.1.244.10.in-addr.arpa. PTR").answer == ()
