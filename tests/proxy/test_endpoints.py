"""How the slices of a Service become the endpoints of its ports."""

from collections.abc import Iterable, Mapping
from itertools import permutations

import pytest

from kdns.base.objects import READY, SERVING, TERMINATING, EndpointSlice
from kdns.proxy.endpoints import PortKey
from kdns.proxy.endpoints import endpoints as all_endpoints
from kdns.proxy.model import Endpoint, Family
from tests.build import State, packed, states_slice, tcp, udp

NODE, OTHER = "node-1", "node-2"


def endpoints(slices: Iterable[EndpointSlice], family: Family, node: str) -> Mapping[PortKey, tuple[Endpoint, ...]]:
    """By port, where nothing is left out."""
    by_port, left_out = all_endpoints(slices, family, node)
    assert not left_out
    return by_port


def test_a_port_is_found_by_name_and_protocol() -> None:
    """And its number is the slice's, which may differ between slices."""
    first = states_slice("shop/web-1", (State("10.244.0.5", NODE),), (tcp(8080, "http"), udp(53, "dns")))
    second = states_slice("shop/web-2", (State("10.244.1.5", OTHER),), (tcp(9090, "http"), tcp(53, "dns")))
    found = endpoints((first, second), Family.IPV4, NODE)
    assert {key: [str(one.backend) for one in some] for key, some in found.items()} == {
        ("http", "TCP"): ["10.244.0.5:8080", "10.244.1.5:9090"],
        ("dns", "UDP"): ["10.244.0.5:53"],
        ("dns", "TCP"): ["10.244.1.5:53"],
    }


UP, BUSY, NOT_READY, ENDING, DEAD, STARTING = (
    READY | SERVING,
    READY | SERVING | TERMINATING,
    SERVING,
    SERVING | TERMINATING,
    TERMINATING,
    0,
)
"""Conditions; BUSY is a terminating Pod of a Service with publishNotReadyAddresses."""


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([(NODE, DEAD), (OTHER, UP)], (OTHER, UP)),
        ([(OTHER, DEAD), (OTHER, UP)], (OTHER, UP)),
        ([(NODE, DEAD), (NODE, UP)], (NODE, UP)),
        ([(NODE, ENDING), (OTHER, UP)], (OTHER, UP)),
        ([(NODE, BUSY), (OTHER, UP)], (OTHER, UP)),
        ([(NODE, ENDING), (OTHER, STARTING)], (OTHER, STARTING)),
        ([(NODE, NOT_READY), (OTHER, UP)], (OTHER, UP)),
        ([(NODE, STARTING), (OTHER, UP)], (OTHER, UP)),
        ([(NODE, STARTING), (OTHER, NOT_READY)], (OTHER, NOT_READY)),
        ([(NODE, DEAD), (OTHER, ENDING)], (OTHER, ENDING)),
        ([(OTHER, UP), (NODE, UP)], (NODE, UP)),
        ([("", UP), (NODE, UP)], (NODE, UP)),
        ([(NODE, DEAD), (OTHER, UP), (NODE, STARTING)], (OTHER, UP)),
        ([(NODE, ENDING), (OTHER, DEAD), (OTHER, UP)], (OTHER, UP)),
        ([(NODE, UP), (OTHER, UP), (OTHER, DEAD)], (NODE, UP)),
    ],
)
@pytest.mark.parametrize("address", ["10.244.0.9", "fd00:10:244::9"])
def test_duplicates_are_ranked_whatever_their_order(
    rows: list[tuple[str, int]], winner: tuple[str, int], address: str
) -> None:
    """Not terminating before terminating, then ready, serving, local (kubernetes/kubernetes pull request 135593).

    It must not matter whether the rows are in one slice or in several (a mirrored one beside the controller's), nor in
    which order. Without the losing rows nothing changes.
    """
    family, port = (Family.IPV6 if ":" in address else Family.IPV4), (tcp(80),)
    alone = endpoints([states_slice("shop/web", (State(address, *winner),), port)], family, NODE)
    assert len(alone["", "TCP"]) == 1
    for order in permutations(State(address, *row) for row in rows):
        one_slice = [states_slice("shop/web", order, port)]
        several = [states_slice(f"shop/web-{number}", (row,), port) for number, row in enumerate(order)]
        assert endpoints(one_slice, family, NODE) == alone
        assert endpoints(several, family, NODE) == alone


@pytest.mark.parametrize(
    ("rows", "zones", "nodes"),
    [
        ([State("10.244.0.9", NODE, DEAD, ("z1",), (NODE,)), State("10.244.0.9", OTHER, UP, ("z2",))], ("z2",), ()),
        ([State("10.244.0.9", NODE, DEAD, ("z1",)), State("10.244.0.9", OTHER, UP)], (), ()),
        ([State("10.244.0.9", OTHER), State("10.244.0.9", OTHER, UP, ("z1",))], ("z1",), ()),
    ],
)
def test_the_hints_are_those_of_the_row_that_counts(
    rows: list[State], zones: tuple[str, ...], nodes: tuple[str, ...]
) -> None:
    """The hints of an old Pod say nothing of the new one; of equal rows the one with hints counts."""
    for order in permutations(rows):
        (endpoint,) = endpoints([states_slice("shop/web", order, (tcp(80),))], Family.IPV4, NODE)["", "TCP"]
        assert (endpoint.zones, endpoint.nodes) == (zones, nodes)


@pytest.mark.parametrize(("family", "expected"), [(Family.IPV4, "10.244.0.5:80"), (Family.IPV6, "[fd00::5]:80")])
def test_each_family_has_its_own(family: Family, expected: str) -> None:
    """Slices are of one family, and so is a proxier."""
    slices = [
        states_slice("shop/web-1", (State("10.244.0.5"),), (tcp(80),)),
        states_slice("shop/web-2", (State("fd00::5"),), (tcp(80),)),
    ]
    assert [str(one.backend) for one in endpoints(slices, family, NODE)["", "TCP"]] == [expected]


def test_no_name_is_nobodys_node() -> None:
    """An endpoint without a nodeName is not here, even where our own name is not known."""
    slices = [states_slice("shop/web-1", (State("10.244.0.5", "", READY | SERVING),), (tcp(80),))]
    (one,) = endpoints(slices, Family.IPV4, "")["", "TCP"]
    assert not one.local


@pytest.mark.parametrize(
    ("family", "address", "reason"),
    [
        (Family.IPV4, "127.0.0.1", "loopback"),
        (Family.IPV4, "127.255.0.1", "loopback"),
        (Family.IPV4, "169.254.169.254", "link-local"),
        (Family.IPV4, "0.0.0.0", "unspecified"),
        (Family.IPV4, "224.0.0.1", "multicast"),
        (Family.IPV4, "239.1.2.3", "multicast"),
        (Family.IPV4, "255.255.255.255", "broadcast"),
        (Family.IPV6, "::1", "loopback"),
        (Family.IPV6, "::", "unspecified"),
        (Family.IPV6, "fe80::1", "link-local"),
        (Family.IPV6, "febf::1", "link-local"),
        (Family.IPV6, "ff02::1", "multicast"),
    ],
)
def test_reserved_addresses_are_left_out_with_their_reason(family: Family, address: str, reason: str) -> None:
    """A Pod must not reach what the node has for itself (the API's own validation refuses such endpoints)."""
    good = "10.244.0.5" if family is Family.IPV4 else "fd00::5"
    slices = [states_slice("shop/web", (State(address, NODE), State(good, NODE)), (tcp(80, "a"), tcp(81, "b")))]
    by_port, left_out = all_endpoints(slices, family, NODE)
    assert [len(some) for some in by_port.values()] == [1, 1]
    assert left_out == {packed(address): reason}


@pytest.mark.parametrize(
    "address", ["126.255.255.255", "128.0.0.1", "169.253.0.1", "1.0.0.1", "240.0.0.1", "::2", "fec0::1", "fd00::1"]
)
def test_what_is_beside_a_reserved_range_is_an_endpoint(address: str) -> None:
    """IANA's special-purpose registries end the ranges there."""
    family = Family.IPV6 if ":" in address else Family.IPV4
    assert endpoints([states_slice("shop/web", (State(address),), (tcp(80),))], family, NODE)["", "TCP"]
