"""The address plan of a lab, and the lines that make its network."""

from ipaddress import ip_address

import pytest

from kdns.lab import wiring
from kdns.lab.plan import LONGEST_LINK, PLAN, node, pair


def test_the_nodes_are_where_kind_puts_them() -> None:
    """172.18.0.2 and .3, Pods in 10.244.0.0/24 and 10.244.1.0/24, and the same in IPv6."""
    first, second = PLAN.nodes
    assert (first.name, first.addresses) == ("node-0", pair("172.18.0.2", "fc00:f853:ccd:e793::2"))
    assert (second.name, second.addresses) == ("node-1", pair("172.18.0.3", "fc00:f853:ccd:e793::3"))
    assert [str(pods) for one in PLAN.nodes for pods in one.pods] == [
        "10.244.0.0/24",
        "fd00:10:244::/64",
        "10.244.1.0/24",
        "fd00:10:244:1::/64",
    ]
    assert first.zone != second.zone


def test_a_pod_s_address_says_its_node() -> None:
    """10.244.1.5 is on node-1, and has fd00:10:244:1::5."""
    pod = PLAN.pod("web", "10.244.1.5")
    assert (pod.node, pod.addresses) == ("node-1", pair("10.244.1.5", "fd00:10:244:1::5"))
    assert PLAN.node_of(ip_address("fd00:10:244:1::77")) == node(1)
    assert PLAN.node_of(ip_address("10.244.7.1")) is None


@pytest.mark.parametrize("address", ["10.244.9.5", "192.0.2.1", "10.244.0.1", "10.244.0.0", "10.244.0.255"])
def test_no_pod_can_have_it(address: str) -> None:
    """Neither another network's address nor the gateway's is a Pod's."""
    with pytest.raises(ValueError, match=address if ".0." not in address[6:] else "number"):
        PLAN.pod("web", address)


def test_links_have_names_that_the_kernel_takes() -> None:
    """Every link of a node has a name of its own, of at most 15 octets."""
    links = [PLAN.pod("x" * 60, f"10.244.0.{number}").link for number in range(2, 255)]
    assert len(set(links)) == len(links)
    assert max(map(len, links)) <= LONGEST_LINK


def test_what_outside_reaches_through_a_node() -> None:
    """Services, external and load balancer IPs of both families go through the node that was chosen."""
    lines = list(wiring.ways(node(1)))
    assert "route replace 10.96.0.0/12 via 172.18.0.3" in lines
    assert "route replace 2001:db8:2::/64 via fc00:f853:ccd:e793::3" in lines
    assert len(lines) == 6
