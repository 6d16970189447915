"""loadBalancerSourceRanges that cannot be read: they close a load balancer IP, and never open it."""

import pytest

from kdns.proxy.model import Family, LocalDetector, NodeRules
from kdns.proxy.render.iptables.service import dispatch, own_chains
from kdns.proxy.render.ipvs.virtual_servers import here, port_state
from kdns.proxy.render.nftables.service import render as nftables
from kdns.proxy.rules import Policy, rule_set, service_rules
from tests.build import State, network, proxied, tcp
from tests.proxy.walk import OTHER, policy, view_of, walks

ENDPOINTS = (State("10.244.1.5", OTHER),)


def lines(ranges: tuple[str, ...], unreadable: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What two clients get, in the modes iptables and nftables; and what is reported."""
    service = proxied(
        "shop/web", ("10.96.0.9",), (tcp(80, "", 30080),), lb=("198.51.100.20",), ranges=ranges, unreadable=unreadable
    )
    decided = service_rules(view_of(service, ENDPOINTS), policy())
    rules = rule_set(decided.ports, policy().node)
    asked = "client 198.51.100.20:80\nneighbour 198.51.100.20:80\nclient 172.18.0.2:30080\npod 10.96.0.9:80"
    in_iptables, in_nftables = walks(rules, asked), walks(rules, asked, "nftables")
    assert in_iptables == in_nftables
    return [line.partition(" -> ")[2] for line in in_iptables], [left_out.message for left_out in decided.left_out]


CLOSED_NOTE = "; no client may use its IPv4 load balancer IPs"
OPEN, CLOSED, NODE_PORT, CLUSTER_IP = "10.244.1.5 +M", "DROP", "10.244.1.5 +M", "10.244.1.5"


@pytest.mark.parametrize(
    ("ranges", "unreadable", "client", "neighbour", "reported"),
    [
        ((), (), OPEN, OPEN, []),
        (("192.0.2.0/26",), (), OPEN, CLOSED, []),
        (("fd00::/8",), (), OPEN, OPEN, []),
        (
            (),
            ("'nope'",),
            CLOSED,
            CLOSED,
            ["source ranges 'nope' left out: not readable; no client may use its IPv4 load balancer IPs"],
        ),
        (("192.0.2.0/26",), ("'nope'",), OPEN, CLOSED, ["source ranges 'nope' left out: not readable"]),
        (
            ("fd00::/8",),
            ("'10.0.0.0/33'",),
            CLOSED,
            CLOSED,
            ["source ranges '10.0.0.0/33' left out: not readable; no client may use its IPv4 load balancer IPs"],
        ),
        (
            (),
            ("'a'", "'b'", "'c'", "'d'", "'e'"),
            CLOSED,
            CLOSED,
            [f"source ranges 'a', 'b', 'c' and 2 more left out: not readable{CLOSED_NOTE}"],
        ),
    ],
)
def test_who_may_come(
    ranges: tuple[str, ...], unreadable: tuple[str, ...], client: str, neighbour: str, reported: list[str]
) -> None:
    """Ranges of the other family alone are no limit (as in kube-proxy); node ports and cluster IPs have none."""
    verdicts, messages = lines(ranges, unreadable)
    assert verdicts == [client, neighbour, NODE_PORT, CLUSTER_IP]
    assert messages == reported


def test_a_node_in_no_range_does_not_open_it() -> None:
    """Where nobody may come, the load balancer's own addresses may not, either."""
    service = proxied("shop/web", ("fd00:96::9",), (tcp(80),), lb=("2001:db8::20",), unreadable=("'nope'",))
    six = Policy(NodeRules(Family.IPV6, detector=LocalDetector("CIDR", network("fd00:244::/48"))))
    (port,) = service_rules(view_of(service, (State("fd00:244::5"),)), six).ports
    sources = [entry.sources for entry in port.entries if entry.frontend.way == "load balancer IP"]
    assert sources == [()]


def test_every_mode_writes_a_closed_limit() -> None:
    """A rule that drops, and none that lets anyone in."""
    service = proxied("shop/web", ("10.96.0.9",), (tcp(80),), lb=("198.51.100.20",), unreadable=("'nope'",))
    node = policy().node
    (port,) = service_rules(view_of(service, ENDPOINTS), policy()).ports
    (chain,) = (rules for name, rules in nftables(port, node).chains.items() if name.startswith("firewall-"))
    assert chain == ("drop",)
    ((name, rules),) = (chain for chain in own_chains(port, node).items() if chain[0].startswith("KUBE-FW-"))
    assert [" -j " in rule for rule in rules] == [False]
    drops = [rule.body for rule in dispatch(port, node) if rule.chain == "KUBE-PROXY-FIREWALL"]
    assert len(drops) == 1
    assert drops[0].endswith("-j DROP")
    assert name in drops[0]
    members = {member[0] for member in port_state(port, node, here(node, ()), "rr", 1).members}
    assert "KUBE-LOAD-BALANCER-FW" in members
    assert "KUBE-LOAD-BALANCER-SOURCE-CIDR" not in members
