"""The policy: what becomes of connections, as tables in the words of `tests.proxy.walk`."""

from typing import NamedTuple

import pytest

from kdns.base.objects import READY, SERVING, TERMINATING, Service
from kdns.proxy.model import LocalDetector
from kdns.proxy.rules import Policy
from tests.build import State, network, proxied, tcp
from tests.proxy.walk import NODE, OTHER, lined, policy, rules_of, walks

HERE, HERE_2, THERE, THERE_2 = "10.244.0.5", "10.244.0.6", "10.244.1.5", "10.244.1.6"
BOTH = (State(HERE, NODE), State(THERE, OTHER))
AWAY = (State(THERE, OTHER),)
WEB = proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),))


def everywhere(etp: str = "Cluster", **more: object) -> Service:
    """A Service with every way in."""
    return proxied(
        "shop/web",
        ("10.96.0.9",),
        (tcp(80, "http", 30080),),
        lb=("198.51.100.20",),
        external_ips=("203.0.113.5",),
        etp=etp,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


STANDARD = policy()


class Case(NamedTuple):
    title: str
    service: Service
    endpoints: tuple[State, ...]
    walks: str
    policy: Policy = STANDARD


CASES = (
    Case(
        "a cluster IP: pods keep their address, everyone else is masqueraded",
        WEB,
        BOTH,
        """
        pod       10.96.0.9:80 -> 10.244.0.5 10.244.1.5
        far pod   10.96.0.9:80 -> 10.244.0.5 10.244.1.5
        host      10.96.0.9:80 -> 10.244.0.5 10.244.1.5 +M
        client    10.96.0.9:80 -> 10.244.0.5 10.244.1.5 +M
        pod       10.96.0.9:81 -> untouched
        pod       10.96.0.8:80 -> untouched
        """,
    ),
    Case(
        "masqueradeAll masquerades pods, too",
        WEB,
        AWAY,
        "pod 10.96.0.9:80 -> 10.244.1.5 +M",
        policy(masquerade_all=True),
    ),
    Case(
        "without a detector nobody is masqueraded on the way to a cluster IP",
        WEB,
        AWAY,
        """
        pod    10.96.0.9:80 -> 10.244.1.5
        client 10.96.0.9:80 -> 10.244.1.5
        """,
        policy(detector=None),
    ),
    Case(
        "pods told by the interface they come in through",
        WEB,
        AWAY,
        """
        pod     10.96.0.9:80 -> 10.244.1.5
        far pod 10.96.0.9:80 -> 10.244.1.5 +M
        """,
        policy(LocalDetector("prefix", interface="veth")),
    ),
    Case(
        "from outside, policy Cluster: always masqueraded, pods included",
        everywhere(),
        BOTH,
        """
        pod       172.18.0.2:30080  -> 10.244.0.5 10.244.1.5 +M
        client    172.18.0.2:30080  -> 10.244.0.5 10.244.1.5 +M
        client    10.244.0.1:30080  -> 10.244.0.5 10.244.1.5 +M
        host      198.51.100.20:80  -> 10.244.0.5 10.244.1.5 +M
        client    198.51.100.20:80  -> 10.244.0.5 10.244.1.5 +M
        client    203.0.113.5:80    -> 10.244.0.5 10.244.1.5 +M
        client    203.0.113.5:30080 -> untouched
        client    172.18.0.2:80     -> untouched
        localhost 127.0.0.1:30080   -> 10.244.0.5 10.244.1.5 +M
        """,
    ),
    Case(
        "from outside, policy Local: clients keep their address and stay on the node, others go anywhere",
        everywhere("Local"),
        BOTH,
        """
        pod       172.18.0.2:30080 -> 10.244.0.5 10.244.1.5
        far pod   198.51.100.20:80 -> 10.244.0.5 10.244.1.5
        host      203.0.113.5:80   -> 10.244.0.5 10.244.1.5 +M
        client    172.18.0.2:30080 -> 10.244.0.5
        client    198.51.100.20:80 -> 10.244.0.5
        client    203.0.113.5:80   -> 10.244.0.5
        localhost 127.0.0.1:30080  -> 10.244.0.5 10.244.1.5 +M
        pod       10.96.0.9:80     -> 10.244.0.5 10.244.1.5
        """,
    ),
    Case(
        "from outside, policy Local, none here: silence for clients, the short way for others",
        everywhere("Local"),
        AWAY,
        """
        pod    172.18.0.2:30080 -> 10.244.1.5
        host   198.51.100.20:80 -> 10.244.1.5 +M
        client 172.18.0.2:30080 -> DROP
        client 198.51.100.20:80 -> DROP
        client 10.96.0.9:80     -> 10.244.1.5 +M
        """,
    ),
    Case(
        "policy Local without a detector: pods are clients like others",
        everywhere("Local"),
        AWAY,
        """
        pod  172.18.0.2:30080 -> DROP
        host 172.18.0.2:30080 -> 10.244.1.5 +M
        """,
        policy(detector=None),
    ),
    Case(
        "no endpoints at all: refused, whatever the way",
        everywhere("Local"),
        (),
        """
        pod    10.96.0.9:80     -> REJECT
        host   10.96.0.9:80     -> REJECT
        client 172.18.0.2:30080 -> REJECT
        host   172.18.0.2:30080 -> REJECT
        client 198.51.100.20:80 -> REJECT
        host   198.51.100.20:80 -> untouched
        """,
    ),
    Case(
        "internal policy Local keeps cluster IP traffic on the node; ways from outside go their own",
        everywhere(itp="Local"),
        BOTH,
        """
        pod    10.96.0.9:80     -> 10.244.0.5
        host   10.96.0.9:80     -> 10.244.0.5 +M
        client 172.18.0.2:30080 -> 10.244.0.5 10.244.1.5 +M
        """,
    ),
    Case(
        "internal policy Local, none here: silence, since somewhere there is one",
        proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),), itp="Local"),
        AWAY,
        """
        pod  10.96.0.9:80 -> DROP
        host 10.96.0.9:80 -> DROP
        """,
    ),
    Case(
        "internal policy Local, none anywhere: refused",
        proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),), itp="Local"),
        (State(HERE, NODE, 0),),
        "pod 10.96.0.9:80 -> REJECT",
    ),
    Case(
        "unready endpoints get nothing, also when they still serve",
        WEB,
        (State(HERE, NODE), State(HERE_2, NODE, 0), State(THERE, OTHER, SERVING)),
        "pod 10.96.0.9:80 -> 10.244.0.5",
    ),
    Case(
        "terminating endpoints that serve are used only when none is ready",
        WEB,
        (State(HERE, NODE, SERVING | TERMINATING), State(THERE, OTHER, TERMINATING)),
        "pod 10.96.0.9:80 -> 10.244.0.5",
    ),
    Case(
        "a terminating endpoint that is ready (publishNotReadyAddresses) is a ready one",
        WEB,
        (State(HERE, NODE, READY | SERVING | TERMINATING), State(THERE, OTHER, SERVING | TERMINATING)),
        "pod 10.96.0.9:80 -> 10.244.0.5",
    ),
    Case(
        "the local set falls back to terminating ones by itself",
        everywhere("Local"),
        (State(HERE, NODE, SERVING | TERMINATING), State(THERE, OTHER)),
        """
        client 172.18.0.2:30080 -> 10.244.0.5
        pod    172.18.0.2:30080 -> 10.244.1.5
        pod    10.96.0.9:80     -> 10.244.1.5
        """,
    ),
    Case(
        "hints for our zone are followed when every ready endpoint has some",
        WEB,
        (State(HERE, NODE, zones=("a",)), State(THERE, OTHER, zones=("a", "b")), State(THERE_2, OTHER, zones=("b",))),
        "pod 10.96.0.9:80 -> 10.244.0.5 10.244.1.5",
    ),
    Case(
        "hints for our node go before those for our zone",
        WEB,
        (State(HERE, NODE, zones=("a",), nodes=(NODE,)), State(THERE, OTHER, zones=("a",), nodes=(OTHER,))),
        "pod 10.96.0.9:80 -> 10.244.0.5",
    ),
    Case(
        "hints for other nodes only: those for the zone decide",
        WEB,
        (State(THERE, OTHER, zones=("a",), nodes=(OTHER,)), State(THERE_2, OTHER, zones=("b",), nodes=(OTHER,))),
        "pod 10.96.0.9:80 -> 10.244.1.5",
    ),
    Case(
        "one ready endpoint without hints, or none for us: hints are not followed",
        WEB,
        (State(HERE, NODE, zones=("b",)), State(THERE, OTHER, zones=("b",)), State(HERE_2, NODE, 0)),
        "pod 10.96.0.9:80 -> 10.244.0.5 10.244.1.5",
    ),
    Case(
        "an unready endpoint without hints does not matter",
        WEB,
        (State(HERE, NODE, zones=("a",)), State(THERE, OTHER, zones=("b",)), State(HERE_2, NODE, 0)),
        "pod 10.96.0.9:80 -> 10.244.0.5",
    ),
    Case(
        "hints never narrow a local set, nor the terminating fallback",
        everywhere("Local"),
        (State(HERE, NODE, SERVING | TERMINATING, zones=("b",)), State(THERE, OTHER, SERVING | TERMINATING, ("a",))),
        """
        client 172.18.0.2:30080 -> 10.244.0.5
        pod    10.96.0.9:80     -> 10.244.0.5 10.244.1.5
        """,
    ),
    Case(
        "source ranges are for load balancer IPs alone",
        everywhere(ranges=("192.0.2.0/26",)),
        BOTH,
        """
        client    198.51.100.20:80 -> 10.244.0.5 10.244.1.5 +M
        neighbour 198.51.100.20:80 -> DROP
        pod       198.51.100.20:80 -> DROP
        host      198.51.100.20:80 -> DROP
        neighbour 203.0.113.5:80   -> 10.244.0.5 10.244.1.5 +M
        neighbour 172.18.0.2:30080 -> 10.244.0.5 10.244.1.5 +M
        neighbour 10.96.0.9:80     -> 10.244.0.5 10.244.1.5 +M
        """,
    ),
    Case(
        "ranges with the node in them let the load balancer's own address in",
        everywhere(ranges=("172.18.0.0/16",)),
        AWAY,
        """
        host                198.51.100.20:80 -> 10.244.1.5 +M
        198.51.100.20       198.51.100.20:80 -> 10.244.1.5 +M
        client              198.51.100.20:80 -> DROP
        """,
    ),
    Case(
        "ranges of the other family alone are no ranges",
        everywhere(ranges=("2001:db8::/32",)),
        AWAY,
        "neighbour 198.51.100.20:80 -> 10.244.1.5 +M",
    ),
    Case(
        "policy Local is nothing to a ClusterIP Service without external IPs",
        proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),), lb=("198.51.100.20",), type="ClusterIP", etp="Local"),
        AWAY,
        "client 198.51.100.20:80 -> 10.244.1.5 +M",
    ),
    Case(
        "policy Local counts for a ClusterIP Service with external IPs",
        proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),), external_ips=("203.0.113.5",), etp="Local"),
        AWAY,
        "client 203.0.113.5:80 -> DROP",
    ),
    Case(
        "node ports on chosen addresses only; without endpoints iptables refuses on all of them",
        everywhere(),
        (),
        """
        client 172.18.0.2:30080 -> REJECT
        client 10.244.0.1:30080 -> REJECT
        """,
        policy(node_port_addresses=(b"\xac\x12\0\2",)),
    ),
    Case(
        "node ports on chosen addresses only",
        everywhere(),
        AWAY,
        """
        client 172.18.0.2:30080 -> 10.244.1.5 +M
        client 10.244.0.1:30080 -> untouched
        """,
        policy(node_port_addresses=(b"\xac\x12\0\2",)),
    ),
    Case(
        "localhost takes no node ports where that is switched off",
        everywhere(),
        AWAY,
        "localhost 127.0.0.1:30080 -> untouched",
        policy(localhost_node_ports=False),
    ),
    Case(
        "external IPs can be switched off",
        everywhere(),
        AWAY,
        """
        client 203.0.113.5:80   -> untouched
        client 198.51.100.20:80 -> 10.244.1.5 +M
        """,
        policy(external_ips=False),
    ),
    Case(
        "both policies Local, none here: silence, but for the short way from pods and the node to what is outside",
        everywhere("Local", itp="Local"),
        AWAY,
        """
        pod    10.96.0.9:80     -> DROP
        host   10.96.0.9:80     -> DROP
        client 10.96.0.9:80     -> DROP
        pod    172.18.0.2:30080 -> 10.244.1.5
        host   172.18.0.2:30080 -> 10.244.1.5 +M
        client 172.18.0.2:30080 -> DROP
        client 203.0.113.5:80   -> DROP
        """,
    ),
    Case(
        "both policies Local, terminating here and ready elsewhere: those here serve who must stay here",
        everywhere("Local", itp="Local"),
        (State(HERE, NODE, SERVING | TERMINATING), State(THERE, OTHER)),
        """
        pod    10.96.0.9:80     -> 10.244.0.5
        client 172.18.0.2:30080 -> 10.244.0.5
        pod    172.18.0.2:30080 -> 10.244.1.5
        """,
    ),
    Case(
        "both policies Local, the last one terminates elsewhere: that is not nowhere",
        everywhere("Local", itp="Local"),
        (State(THERE, OTHER, SERVING | TERMINATING),),
        """
        pod    10.96.0.9:80     -> DROP
        client 172.18.0.2:30080 -> DROP
        host   172.18.0.2:30080 -> 10.244.1.5 +M
        """,
    ),
    Case(
        "an address that is external and load balancer IP at once keeps the load balancer's source ranges",
        proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),), lb=("198.51.100.20",), ranges=("192.0.2.0/26",),
                external_ips=("198.51.100.20",)),
        AWAY,
        """
        client    198.51.100.20:80 -> 10.244.1.5 +M
        neighbour 198.51.100.20:80 -> DROP
        """,
    ),
    Case(
        "the node's own address as external IP is taken on that port only",
        proxied("shop/web", ("10.96.0.9",), (tcp(80, "http"),), external_ips=("172.18.0.2", "10.96.0.9")),
        AWAY,
        """
        client 172.18.0.2:80 -> 10.244.1.5 +M
        client 172.18.0.2:22 -> untouched
        pod    10.96.0.9:80  -> 10.244.1.5
        """,
    ),
    Case("another proxy's Service", proxied("a/b", ("10.96.0.9",), (tcp(80),), elsewhere=True), AWAY,
         "pod 10.96.0.9:80 -> untouched"),
    Case("a headless Service", proxied("a/b", ("None",), (tcp(80),)), AWAY, "pod 10.244.1.5:80 -> untouched"),
    Case("a Service of the other family", proxied("a/b", ("fd00:10:96::9",), (tcp(80),)), AWAY,
         "pod 10.96.0.9:80 -> untouched"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_where_connections_go(case: Case) -> None:
    """The rules of one Service send each connection where the table says."""
    rules = rules_of(case.service, case.endpoints, case.policy)
    assert lined(case.walks) == walks(rules, "\n".join(lined(case.walks)))


def test_nftables_has_its_own_manner() -> None:
    """An undefined port is refused, an address nobody has is dropped, ranges are asked before endpoints."""
    rules = rules_of(everywhere(ranges=("192.0.2.0/26",)), (), policy(service_cidrs=(network("10.96.0.0/16"),)))
    lines = """
    pod       10.96.0.9:81     -> REJECT
    pod       10.96.0.8:80     -> DROP
    neighbour 198.51.100.20:80 -> DROP
    client    198.51.100.20:80 -> REJECT
    host      203.0.113.5:80   -> REJECT
    """
    assert lined(lines) == walks(rules, "\n".join(lined(lines)), "nftables")
