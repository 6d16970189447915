"""How the slices of a Service become the endpoints of its ports."""

from itertools import permutations

import pytest

from kdns.base.objects import READY, SERVING, TERMINATING, ServicePort
from kdns.proxy.endpoints import endpoints
from kdns.proxy.model import Family
from tests.build import State, states_slice, tcp, udp

NODE, OTHER = "node-1", "node-2"


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


def test_what_several_slices_have_counts_once_and_is_here_if_one_says_so() -> None:
    """While an endpoint moves from one slice to another, it is in both."""
    port: tuple[ServicePort, ...] = (tcp(80),)
    here = states_slice("shop/web-1", (State("10.244.0.5", NODE, SERVING | TERMINATING),), port)
    there = states_slice("shop/web-2", (State("10.244.0.5", OTHER),), port)
    nowhere = states_slice("shop/web-3", (State("10.244.0.5"),), port)
    for order in permutations((here, there, nowhere)):
        (one,) = endpoints(order, Family.IPV4, NODE)["", "TCP"]
        assert (one.local, one.ready, one.terminating) == (True, False, True)


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
