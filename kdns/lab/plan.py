"""Where every address, route and link of a lab is. Pure.

::

    outside 172.18.0.100 ─┐                           ┌─ veth ── pod 10.244.0.5
                          ├─ br0 (switch 172.18.0.1) ─┤
    node-1 172.18.0.3 ────┘                     node-0 172.18.0.2 ── veth ── pod 10.244.0.6 ...

The nodes' network is one bridge, and its router is 172.18.0.1: it knows which node has which Pods, and swallows what
has no receiver. A Pod has a veth of its own to its node, which routes (as kind's `ptp` interfaces do): so every
packet between Pods passes the node's rules, also from a Pod to itself.

Same addresses in every lab; two labs are strangers in namespaces of their own.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network
Pair = tuple[IPv4Address, IPv6Address]
"""An address of each family."""
Ranges = tuple[IPv4Network, IPv6Network]
"""A range of each family."""

SWITCH: Final = "switch"
OUTSIDE: Final = "outside"
"""The parts that are neither node nor Pod: the nodes' network with its router, and a client outside the cluster."""
LINK: Final = "eth0"
"""How every part but the switch calls its link."""
LONGEST_LINK: Final = 15
"""Octets of a link's name at most (IFNAMSIZ)."""


def pair(four: str, six: str) -> Pair:
    """Both addresses of a part, from text."""
    return IPv4Address(four), IPv6Address(six)


def ranges(four: str, six: str) -> Ranges:
    """Both ranges of a purpose, from text."""
    return IPv4Network(four), IPv6Network(six)


NODES: Final = ranges("172.18.0.0/16", "fc00:f853:ccd:e793::/64")
PODS: Final = ranges("10.244.0.0/16", "fd00:10:244::/56")
SERVICES: Final = ranges("10.96.0.0/12", "fd00:10:96::/112")
"""Those of `kdns.watch.manifests.addresses`: so a Service has the same address in `kdns records` and in a lab."""
EXTERNAL: Final = ranges("198.51.100.0/24", "2001:db8:1::/64")
"""Where external IPs come from."""
BALANCERS: Final = ranges("203.0.113.0/24", "2001:db8:2::/64")
"""Where load balancer IPs come from."""
ROUTER: Final = pair("172.18.0.1", "fc00:f853:ccd:e793::1")
CLIENT: Final = pair("172.18.0.100", "fc00:f853:ccd:e793::100")
"""The outside client."""


class Node(NamedTuple):
    """A node: its addresses, and the ranges of its Pods (at most 253 of each family are used)."""

    name: str
    addresses: Pair
    pods: Ranges
    zone: str

    @property
    def gateway(self) -> Pair:
        """Where its Pods send everything: the first address of their range, on the node's end of each veth."""
        return self.pods[0][1], self.pods[1][1]

    def pod_addresses(self, number: int) -> Pair:
        """The addresses of the Pod with a number of 2 to 254: 10.244.0.5 and fd00:10:244::5 for 5."""
        if not 2 <= number <= 254:
            raise ValueError(f"a Pod's number is 2 to 254, not {number}")
        return self.pods[0][number], self.pods[1][number]


class Pod(NamedTuple):
    """A Pod with a network of its own; those with hostNetwork are in their node's."""

    name: str
    node: str
    addresses: Pair

    @property
    def link(self) -> str:
        """The node's end of its veth: vethN with the last octet of its address, which no other Pod there has."""
        return f"veth{self.addresses[0].packed[-1]}"


def node(number: int) -> Node:
    """A node by number, from 0: node-0 has 172.18.0.2 and 10.244.0.0/24."""
    return Node(
        f"node-{number}",
        (NODES[0][2 + number], NODES[1][2 + number]),
        ranges(f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64" if number else "fd00:10:244::/64"),
        f"zone-{'abcdefghij'[number]}",
    )


class Plan(NamedTuple):
    """A lab's nodes, and the Pods that it starts with."""

    nodes: tuple[Node, ...] = (node(0), node(1))
    pods: tuple[Pod, ...] = ()

    def node(self, name: str) -> Node:
        """A node by name; KeyError if there is none."""
        return {node.name: node for node in self.nodes}[name]

    def node_of(self, address: Address) -> Node | None:
        """The node whose Pods have addresses of this range."""
        return next((node for node in self.nodes if any(address in pods for pods in node.pods)), None)

    def pod(self, name: str, address: str) -> Pod:
        """A Pod by its IPv4 address, which says the node; its IPv6 address ends in the same number."""
        node = self.node_of(ip_address(address))
        if node is None:
            raise ValueError(f"{address} is in no node's range of Pods")
        return Pod(name, node.name, node.pod_addresses(ip_address(address).packed[-1]))


PLAN: Final = Plan()
"""Two nodes without Pods."""
