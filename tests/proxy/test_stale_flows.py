"""Which flows are stale when backends come and go."""

from ipaddress import ip_address
from typing import NamedTuple

import pytest

from kdns.proxy.model import Backend, Entry, Family, Frontend, Path, ServicePortName, ServicePortRules
from kdns.proxy.stale_flows import FlowMemory, StaleFlows

DNS = ServicePortName("kube-system", "kube-dns", "dns", "UDP")
CLUSTER_IP = "10.96.0.10:53"


def packed(text: str) -> bytes:
    return ip_address(text).packed if text else b""


def port_rules(
    frontends: str, backends: str = "", local: str = "", name: ServicePortName = DNS, verdict: str = "cluster"
) -> ServicePortRules:
    """``10.96.0.10:53 :30053`` and ``10.244.0.5 10.244.1.6``."""
    entries = []
    for text in frontends.split():
        address, _, port = text.rpartition(":")
        way = "cluster IP" if address else "node port"
        path = Path("any", "cluster" if verdict == "cluster" else "reject")
        entries.append(Entry(Frontend(way, packed(address.strip("[]")), int(port)), (path,)))  # type: ignore[arg-type]
    cluster, near = (tuple(Backend(packed(one), 5353) for one in text.split()) for text in (backends, local))
    return ServicePortRules(name, tuple(entries), cluster, near)


class Case(NamedTuple):
    title: str
    before: ServicePortRules | None
    endpoints_before: tuple[str, ...]
    after: ServicePortRules | None
    endpoints_after: tuple[str, ...]
    stale: tuple[str, ...]
    """``frontend keep keep``."""
    family: Family = Family.IPV4


A, B, C = "10.244.0.5", "10.244.1.6", "10.244.1.7"
CASES = (
    Case("nothing changed", port_rules(CLUSTER_IP, f"{A} {B}"), (A, B), port_rules(CLUSTER_IP, f"{A} {B}"), (A, B), ()),
    Case(
        "one of two is gone",
        port_rules(CLUSTER_IP, f"{A} {B}"),
        (A, B),
        port_rules(CLUSTER_IP, A),
        (A,),
        (f"{CLUSTER_IP} {A}",),
    ),
    Case("one more harms nobody", port_rules(CLUSTER_IP, A), (A,), port_rules(CLUSTER_IP, f"{A} {B}"), (A, B), ()),
    Case(
        "all others than before",
        port_rules(CLUSTER_IP, A),
        (A,),
        port_rules(CLUSTER_IP, f"{B} {C}"),
        (B, C),
        (f"{CLUSTER_IP} {B} {C}",),
    ),
    Case("N to 0: nobody may go on", port_rules(CLUSTER_IP, A), (A,), port_rules(CLUSTER_IP), (), (CLUSTER_IP,)),
    Case(
        "0 to N: flows that began without a backend end",
        port_rules(CLUSTER_IP),
        (),
        port_rules(CLUSTER_IP, A),
        (A,),
        (f"{CLUSTER_IP} {A}",),
    ),
    Case("a new Service", None, (), port_rules(CLUSTER_IP, A), (A,), (f"{CLUSTER_IP} {A}",)),
    Case("the Service is gone", port_rules(CLUSTER_IP, A), (A,), None, (), (CLUSTER_IP,)),
    Case(
        "a pod that terminates but serves keeps its flows",
        port_rules(CLUSTER_IP, f"{A} {B}"),
        (A, B),
        port_rules(CLUSTER_IP, A),
        (A, f"-{B}"),
        (),
    ),
    Case(
        "and loses them when it is gone, though the rules stay the same",
        port_rules(CLUSTER_IP, A),
        (A, f"-{B}"),
        port_rules(CLUSTER_IP, A),
        (A,),
        (f"{CLUSTER_IP} {A}",),
    ),
    Case(
        "a node port, an external IP",
        port_rules(f"{CLUSTER_IP} 203.0.113.9:53 :30053", f"{A} {B}"),
        (A, B),
        port_rules(f"{CLUSTER_IP} 203.0.113.9:53 :30053", A),
        (A,),
        (f":30053 {A}", f"{CLUSTER_IP} {A}", f"203.0.113.9:53 {A}"),
    ),
    Case(
        "one frontend less",
        port_rules(f"{CLUSTER_IP} :30053", A),
        (A,),
        port_rules(CLUSTER_IP, A),
        (A,),
        (":30053",),
    ),
    Case(
        "one frontend more",
        port_rules(CLUSTER_IP, A),
        (A,),
        port_rules(f"{CLUSTER_IP} :30053", A),
        (A,),
        (f":30053 {A}",),
    ),
    Case(
        "IPv6",
        port_rules("[fd00:96::a]:53", "fd00::5"),
        ("fd00::5",),
        port_rules("[fd00:96::a]:53", "fd00::6"),
        ("fd00::6",),
        ("[fd00:96::a]:53 fd00::6",),
        Family.IPV6,
    ),
)


def serving(texts: tuple[str, ...]) -> list[bytes]:
    """Addresses of endpoints that serve; a leading minus, for people: it is terminating."""
    return [packed(text.lstrip("-")) for text in texts]


def expected(case: Case) -> list[StaleFlows]:
    found = []
    for text in case.stale:
        frontend, *keep = text.split()
        address, _, port = frontend.rpartition(":")
        kept = frozenset(map(packed, keep))
        found.append(StaleFlows(case.family, packed(address.strip("[]")) or None, int(port), kept))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_flows_that_lead_to_the_dead(case: Case) -> None:
    """Exactly these flows are named, with those that may stay."""
    memory = FlowMemory(case.family)
    memory.update(DNS, case.before, serving(case.endpoints_before))
    assert memory.update(DNS, case.after, serving(case.endpoints_after)) == expected(case)


def test_tcp_is_left_alone() -> None:
    """A TCP connection to a dead endpoint ends by itself."""
    name = DNS._replace(protocol="TCP")
    memory = FlowMemory(Family.IPV4)
    assert memory.update(name, port_rules(CLUSTER_IP, A, name=name), serving((A,))) == []
    assert memory.update(name, None) == []
