"""SRV records as CoreDNS makes them: which ports, which weight, which once.

One for each pair of port and address that matches, whether the port has a name or not; those with the same target and
port are one record. The weight is 100 divided by the pairs, rounded down, at least 1. A Service or slice without ports
counts as having one in that division, and has no record.
"""

from typing import NamedTuple

import pytest

from kdns.base.objects import ServicePort, ServiceView
from kdns.config.settings import KubernetesOptions
from kdns.records.answers import Answers
from kdns.records.transfer import transfer
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import SRV
from tests.build import Endpoint, imported, slice_, tcp, udp, view
from tests.records.zone_text import ask, cluster, rdata_text

SVC = "svc.cluster.local."
BARE, HTTP, DNS, DNS_TCP = tcp(80), tcp(443, "https"), udp(53, "dns"), tcp(53, "dns-tcp")


def headless(*ports: tuple[ServicePort, ...], rows: int = 2) -> ServiceView:
    """A headless Service ``shop/x`` with a slice for each tuple of ports; endpoints are ``e0``, ``e1`` and so on."""
    parts = (
        slice_(
            f"shop/x-{number}",
            "x",
            [Endpoint(f"10.244.{number}.{row + 1}", f"e{number * rows + row}") for row in range(rows)],
            some,
        )
        for number, some in enumerate(ports)
    )
    return view("shop/x", ips=("None",), more=tuple(parts))


def with_ip(*ports: ServicePort, ips: tuple[str, ...] = ("10.96.0.1",)) -> ServiceView:
    """``shop/x`` with cluster IPs, and two endpoints."""
    return view("shop/x", ips=ips, ports=ports, endpoints=("10.244.0.1", "10.244.0.2"))


class Case(NamedTuple):
    title: str
    view: ServiceView
    left: str
    """Labels left of the Service's name."""
    records: str
    """Weight, port and target of each, the Service's name left out."""


CASES = (
    Case("an unnamed port", with_ip(BARE), "", "100 80 ."),
    Case("an unnamed port beside a named one", with_ip(BARE, HTTP), "", "50 80 . | 50 443 ."),
    Case(
        "each address of a dual-stack Service takes its share",
        with_ip(BARE, ips=("10.96.0.1", "fd00::1")),
        "",
        "50 80 .",
    ),
    Case("three ports: rounded down", with_ip(BARE, HTTP, DNS), "", "33 80 . | 33 443 . | 33 53 ."),
    Case("one port number for two protocols is one record of half the weight", with_ip(DNS, DNS_TCP), "", "50 53 ."),
    Case("a Service without ports has none", with_ip(), "", ""),
    Case(
        "a lone underscore stands for a port without a name, too", with_ip(BARE, HTTP), "_._tcp.", "50 80 . | 50 443 ."
    ),
    Case("and only for those of the protocol", with_ip(BARE, DNS), "_._udp.", "100 53 ."),
    Case("a named port alone", with_ip(BARE, HTTP), "_https._tcp.", "100 443 ."),
    Case("headless, an unnamed port", headless((BARE,)), "", "50 80 e0. | 50 80 e1."),
    Case(
        "headless, named and unnamed ports",
        headless((BARE, HTTP)),
        "",
        "25 80 e0. | 25 443 e0. | 25 80 e1. | 25 443 e1.",
    ),
    Case("headless, a lone underscore", headless((BARE,)), "_._tcp.", "50 80 e0. | 50 80 e1."),
    Case("the rows of a slice without ports take their share", headless((BARE,), ()), "", "25 80 e0. | 25 80 e1."),
    Case("but not where a port is asked for", headless((HTTP,), ()), "_https._tcp.", "50 443 e0. | 50 443 e1."),
    Case("headless without any port", headless(()), "", ""),
    Case("an endpoint's own name", headless((BARE, HTTP)), "e1.", "50 80 e1. | 50 443 e1."),
    Case("an endpoint of a Service with a cluster IP", with_ip(BARE), "10-244-0-2.", "100 80 10-244-0-2."),
    Case("an endpoint without ports", headless((BARE,), ()), "e2.", ""),
)


def srv(answers: Answers, question: str, service: str) -> list[str]:
    """The SRV records at a name, as in `Case.records`."""
    result = ask(answers, f"{question} SRV")
    lines = []
    for rrset in result.answer:
        assert (rrset.rtype, name_text(rrset.owner)) == (SRV, question)
        for rdata in rrset.rdatas:
            priority, weight, port, target = rdata_text(SRV, rdata).split()
            assert priority == "0"
            assert target.endswith(service)
            lines.append(f"{weight} {port} {target.removesuffix(service) or '.'}")
    return sorted(lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_records(case: Case) -> None:
    """Which SRV records there are at a name of a Service, and their weights."""
    service = f"x.shop.{SVC}"
    assert srv(cluster(case.view), case.left + service, service) == sorted(filter(None, case.records.split(" | ")))


@pytest.mark.parametrize(("ports", "weight"), [(34, 2), (100, 1), (101, 1)])
def test_weights_of_many(ports: int, weight: int) -> None:
    """Rounded down, but never 0, which RFC 2782 gives another meaning."""
    answers = cluster(with_ip(*(tcp(1000 + number, f"p{number}") for number in range(ports))))
    (rrset,) = ask(answers, f"x.shop.{SVC} SRV").answer
    assert len(rrset.rdatas) == ports
    assert {int.from_bytes(rdata[2:4], "big") for rdata in rrset.rdatas} == {weight}


def test_targets_are_in_the_additional_section() -> None:
    """Every target of a record has its addresses there; endpoints without ports are no targets."""
    result = ask(cluster(headless((BARE,), ())), f"x.shop.{SVC} SRV")
    assert {name_text(rrset.owner) for rrset in result.additional} == {f"e0.x.shop.{SVC}", f"e1.x.shop.{SVC}"}


def test_transfers_have_them() -> None:
    """A zone is copied with one SRV for each port at the Service's name; ``_port._protocol`` is for named ports."""
    copied = transfer(cluster(with_ip(BARE, HTTP)).zone, parse_name("cluster.local."))
    found = {(name_text(rrset.owner), rdata[4:6]) for rrset in copied if rrset.rtype == SRV for rdata in rrset.rdatas}
    ports = {(name.removesuffix(f"x.shop.{SVC}"), int.from_bytes(port, "big")) for name, port in found}
    endpoints = {(f"10-244-0-{row}.", port) for row in (1, 2) for port in (80, 443)}
    assert ports == {("", 80), ("", 443), ("_https._tcp.", 443)} | endpoints


IMPORTS = (
    imported("shop/x", ("10.112.0.1",), (BARE, HTTP)),
    imported(
        "shop/y", ("None",), (BARE,), {"east": (Endpoint("10.1.0.1", "e0"),), "west": (Endpoint("10.2.0.1", "e1"),)}
    ),
)
OPTIONS = KubernetesOptions(zones=("cluster.local.", "clusterset.local."), multicluster=("clusterset.local.",))


@pytest.mark.parametrize(
    ("left", "service", "records"),
    [
        ("", "x", ["50 443 .", "50 80 ."]),
        ("", "y", ["50 80 e0.east.", "50 80 e1.west."]),
        ("e1.west.", "y", ["100 80 e1.west."]),
    ],
)
def test_multicluster(left: str, service: str, records: list[str]) -> None:
    """A zone of ServiceImports has them likewise, with the cluster of each endpoint in its target."""
    name = f"{service}.shop.svc.clusterset.local."
    assert srv(cluster(*IMPORTS, options=OPTIONS), left + name, name) == records
