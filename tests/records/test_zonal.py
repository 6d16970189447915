"""Names for the endpoints of a headless Service in one topology zone; answers as CoreDNS gives them."""

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.records.present import rdata_text
from kdns.wire.name import parse_name
from kdns.wire.numbers import A
from tests.address_plan import NOW
from tests.build import Endpoint, change, tcp, view
from tests.records.zone_text import ask, cluster, present

HTTP = (tcp(80, "http"),)
HDLS = view(
    "shop/hdls",
    ips=("None",),
    ports=HTTP,
    endpoints=(
        Endpoint("10.0.0.1", zone="a"),
        Endpoint("10.0.0.2", "two", zone="b"),
        Endpoint("10.0.0.3", zone="b"),
        Endpoint("10.0.0.4", zone="eu.b"),
        "10.0.0.5",
        Endpoint("fd00::1", zone="a"),
    ),
)
OBJECTS = (
    HDLS,
    view("shop/dead", ips=("None",), ports=HTTP),
    view("shop/web", ips=("10.96.0.9",), ports=HTTP, endpoints=(Endpoint("10.0.0.9", zone="a"),)),
    view("shop/out", external="www.example.com"),
)
ALL = [f"10.0.0.{host}" for host in range(1, 6)]

CASES = (
    # name left of shop.svc.cluster.local, type, data of the answer or the kind of "no"
    ("a.pin._zone.hdls", "A", ["10.0.0.1"]),
    ("a.pin._zone.hdls", "AAAA", ["fd00::1"]),
    ("A.Pin._Zone.hdls", "A", ["10.0.0.1"]),
    ("b.pin._zone.hdls", "A", ["10.0.0.2", "10.0.0.3"]),
    ("eu.b.pin._zone.hdls", "A", ["10.0.0.4"]),
    ("b.prefer._zone.hdls", "A", ["10.0.0.2", "10.0.0.3"]),
    ("b.pin._zone.hdls", "SRV",
     ["0 50 80 two.hdls.shop.svc.cluster.local.", "0 50 80 10-0-0-3.hdls.shop.svc.cluster.local."]),
    ("b.pin._zone.hdls", "AAAA", "NODATA"),
    ("b.pin._zone.hdls", "TXT", "NODATA"),
    ("c.pin._zone.hdls", "A", "NODATA"),
    ("c.pin._zone.hdls", "SRV", "NODATA"),
    ("c.prefer._zone.hdls", "A", ALL),
    ("eu.prefer._zone.hdls", "A", ALL),
    ("a.near._zone.hdls", "A", "NXDOMAIN"),
    ("a.pin._place.hdls", "A", "NXDOMAIN"),
    ("a.pin._zone.dead", "A", "NXDOMAIN"),
    ("a.pin._zone.web", "A", "NXDOMAIN"),
    ("a.pin._zone.out", "A", "NXDOMAIN"),
    ("a.pin._zone.nope", "A", "NXDOMAIN"),
    ("_zone.hdls", "A", "NODATA"),
    ("pin._zone.hdls", "A", "NODATA"),
    ("near._zone.hdls", "A", "NXDOMAIN"),
    ("hdls", "A", ALL),
)  # fmt: skip


@pytest.mark.parametrize(("left", "rtype", "found"), CASES)
def test_names(left: str, rtype: str, found: list[str] | str) -> None:
    """pin is the zone's endpoints and no others, prefer falls back to all; other Services have no such names."""
    answers = cluster(*OBJECTS, options=KubernetesOptions(zonal=True))
    result = ask(answers, f"{left}.shop.svc.cluster.local. {rtype}")
    if isinstance(found, str):
        assert present(result) == [found]
    else:
        assert [rdata_text(each.rtype, rdata) for each in result.answer for rdata in each.rdatas] == found


@pytest.mark.parametrize("left", ["a.pin._zone.hdls", "a.prefer._zone.hdls", "_zone.hdls", "pin._zone.hdls"])
def test_off(left: str) -> None:
    """Without the option there is none of it."""
    assert present(ask(cluster(*OBJECTS), f"{left}.shop.svc.cluster.local. A"))[0].startswith("NXDOMAIN")


def test_an_endpoint_that_moves() -> None:
    """Compiled answers go with the change of a zone alone."""
    answers = cluster(*OBJECTS, options=KubernetesOptions(zonal=True))
    name = parse_name("a.pin._zone.hdls.shop.svc.cluster.local.")
    before = answers.find(name, A)
    assert before is not None
    moved = view("shop/hdls", ips=("None",), ports=HTTP, endpoints=(Endpoint("10.0.0.1", zone="b"),))
    answers.apply(change(HDLS, moved), NOW)
    after = answers.find(name, A)
    assert not before.live
    assert after is not None
    assert not after.sections.counts[0]
