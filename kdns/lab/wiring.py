"""A lab's plan as lines for `ip -batch` and as sysctls of each namespace. Pure.

The lines of a part are run in its namespace; `netns` in a line is the path of the namespace that gets the far end.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from kdns.lab.plan import (
    BALANCERS,
    CLIENT,
    EXTERNAL,
    LINK,
    NODES,
    OUTSIDE,
    ROUTER,
    SERVICES,
    Node,
    Pair,
    Plan,
    Pod,
    Ranges,
)

_QUIET: Final = {
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    "net/ipv6/conf/all/accept_dad": "0",  # an address may be used at once
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
_FORWARDING: Final = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/forwarding": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
PLAIN: Final[Mapping[str, str]] = _QUIET
"""Sysctls (below /proc/sys) of a Pod and of the outside client, before they have links."""
ROUTING: Final[Mapping[str, str]] = _QUIET | _FORWARDING
"""The same for nodes and for the switch."""

_BITS: Final = (32, 128)
_ANY: Final = ("0.0.0.0/0", "::/0")


def switch(plan: Plan, paths: Mapping[str, str]) -> Iterator[str]:
    """The bridge with a port for each node and for the outside client, whose far ends go to ``paths``."""
    yield "link set lo up"
    yield "link add br0 type bridge forward_delay 0 mcast_snooping 0"
    for number, name in enumerate((*(node.name for node in plan.nodes), OUTSIDE)):
        yield f"link add port{number} type veth peer name {LINK} netns {paths[name]}"
        yield f"link set port{number} master br0 up"
    yield "link set br0 up"
    yield from _addresses("br0", ROUTER, NODES)
    for node in plan.nodes:
        for pods, via in zip(node.pods, node.addresses, strict=True):
            yield f"route add {pods} via {via}"
    for everything in _ANY:
        yield f"route add blackhole {everything} metric 4096"


def switch_links(plan: Plan) -> Iterator[str]:
    """The links of the switch: its ports, then its bridge."""
    yield from (f"port{number}" for number in range(len(plan.nodes) + 1))
    yield "br0"


def node(place: Node) -> Iterator[str]:
    """A node's own link; everything that it does not know goes to the router."""
    yield from _member(place.addresses)


def outside(plan: Plan) -> Iterator[str]:
    """The outside client, with the ranges that it reaches through the first node, see `ways`."""
    yield from _member(CLIENT)
    yield from ways(plan.nodes[0])


def ways(through: Node) -> Iterator[str]:
    """For the outside client: Services, external and load balancer IPs are reached through this node."""
    for purpose in (SERVICES, EXTERNAL, BALANCERS):
        for address, via in zip(purpose, through.addresses, strict=True):
            yield f"route replace {address} via {via}"


def pod(place: Pod, gateway: Pair) -> Iterator[str]:
    """Inside a Pod: everything goes to the gateway, also what is meant for a Pod of the same node."""
    yield "link set lo up"
    yield f"link set {LINK} up"
    for address, bits, via, everything in zip(place.addresses, _BITS, gateway, _ANY, strict=True):
        yield f"address add {address}/{bits} dev {LINK}{_nodad(bits)}"
        yield f"route add {via}/{bits} dev {LINK}"
        yield f"route add {everything} via {via} dev {LINK} src {address}"


def pod_on_node(place: Pod, gateway: Pair, path: str) -> Iterator[str]:
    """On a Pod's node: its veth, whose far end goes to ``path``, and the way to it."""
    yield f"link add {place.link} type veth peer name {LINK} netns {path}"
    yield f"link set {place.link} up"
    for address, bits, own in zip(place.addresses, _BITS, gateway, strict=True):
        yield f"address add {own}/{bits} dev {place.link}{_nodad(bits)}"
        yield f"route add {address}/{bits} dev {place.link} src {own}"


def _member(addresses: Pair) -> Iterator[str]:
    yield "link set lo up"
    yield f"link set {LINK} up"
    yield from _addresses(LINK, addresses, NODES)
    for everything, via in zip(_ANY, ROUTER, strict=True):
        yield f"route add {everything} via {via}"


def _addresses(link: str, addresses: Pair, within: Ranges) -> Iterator[str]:
    lengths = within[0].prefixlen, within[1].prefixlen
    for address, length, bits in zip(addresses, lengths, _BITS, strict=True):
        yield f"address add {address}/{length} dev {link}{_nodad(bits)}"


def _nodad(bits: int) -> str:
    return " nodad" if bits == 128 else ""
