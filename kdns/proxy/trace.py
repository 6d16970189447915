"""What becomes of a packet: a walk through the rule set, for tests, and for people who ask why. Pure.

Only the first packet of a connection meets these rules; the kernel's connection tracking takes the rest the same way.
What the modes do differently is in `MODE_BEHAVIOR`, and nowhere else.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from kdns.base.objects import Network
from kdns.proxy.model import (
    LOOPBACK,
    Backend,
    Entry,
    Family,
    LocalDetector,
    Mode,
    NodeRules,
    Path,
    Protocol,
    RuleSet,
    ServicePortRules,
)


class Packet(NamedTuple):
    """The first packet of a connection, as this node first sees it."""

    protocol: Protocol
    source: bytes
    destination: bytes
    port: int
    interface: str = ""
    """It came in here; empty: a process of this node sent it."""


class Outcome(NamedTuple):
    """What becomes of it."""

    verdict: Literal["dnat", "reject", "drop", "untouched"]
    backends: tuple[Backend, ...] = ()
    """dnat: it reaches one of them."""
    masquerade: bool = False
    """dnat: they see an address of the node instead of the client's; a backend that reaches itself always does."""
    rules: ServicePortRules | None = None
    """Whose rules decided."""
    why: str = ""
    """In words."""


class ModeBehavior(NamedTuple):
    """What a mode does in its own way."""

    unknown_port: Literal["untouched", "reject"]
    """To a cluster IP, at a port that its Service does not have."""
    unknown_address: Literal["untouched", "drop"]
    """To an address of a ServiceCIDR that no Service has."""
    ranges_first: bool
    """Source ranges are asked even when there is no endpoint: dropped, where others refuse."""
    refuses_on_every_address: bool
    """Node ports without endpoints are refused (or dropped) on every address of the node, accepted or not."""
    refuses_own_processes: bool
    """A process of the node is refused, too, when it asks for an external address that has no endpoint."""
    masquerades_itself: bool
    """Whatever a process of the node sends is masqueraded, also where its address is taken for a pod's."""


MODE_BEHAVIOR: Final[Mapping[Mode, ModeBehavior]] = {
    "iptables": ModeBehavior("untouched", "untouched", False, True, False, False),
    "nftables": ModeBehavior("reject", "drop", True, False, True, False),
    "ipvs": ModeBehavior("reject", "untouched", True, False, True, True),
}


def trace(rules: RuleSet, packet: Packet, mode: Mode, addresses: frozenset[bytes]) -> Outcome:
    """Walk a packet through the rules; ``addresses`` are all that this node has on its interfaces."""
    manner, node = MODE_BEHAVIOR[mode], rules.node
    hit = next(_hits(rules, packet, addresses), None)
    if hit is None:
        return _stray(rules, packet, manner, addresses)
    port, entry = hit
    barred = entry.sources is not None and not any(packet.source in network for network in entry.sources)
    if barred and (manner.ranges_first or entry.paths[0].verdict != "reject"):
        return Outcome("drop", rules=port, why="the source is in none of loadBalancerSourceRanges")
    path = next(path for path in entry.paths if _fits(path, packet, node, addresses))
    match path.verdict:
        case "cluster" | "local":
            backends = port.cluster if path.verdict == "cluster" else port.local
            masquerade = (
                path.masquerade == "always"
                or (path.masquerade == "not pod" and not is_pod(node.detector, packet))
                or (manner.masquerades_itself and not packet.interface)
            )
            return Outcome("dnat", backends, masquerade, port, f"{entry.frontend.way}: to the {path.verdict} set")
        case "reject":
            remote = not packet.interface and entry.frontend.way != "cluster IP" and entry.frontend.address
            if remote and packet.destination not in addresses and not manner.refuses_own_processes:
                return Outcome("untouched", rules=port, why="no endpoints, but what leaves the node is not refused")
            return Outcome("reject", rules=port, why="no endpoints")
        case "drop":
            return Outcome("drop", rules=port, why="traffic policy Local, and no endpoint on this node")


def is_pod(detector: LocalDetector | None, packet: Packet) -> bool:
    """The local detector takes the source for a pod."""
    match detector:
        case LocalDetector("CIDR", network=Network() as network):
            return packet.source in network
        case LocalDetector("bridge", interface=name):
            return packet.interface == name
        case LocalDetector("prefix", interface=prefix):
            return packet.interface.startswith(prefix)
    return False


def is_host(packet: Packet, addresses: frozenset[bytes]) -> bool:
    """The source is an address of this node."""
    return packet.source in addresses or any(packet.source in network for network in LOOPBACK.values())


def is_local(address: bytes, family: Family, addresses: frozenset[bytes]) -> bool:
    """It is an address of this node, loopback among them."""
    return address in addresses or address in LOOPBACK[family]


def _fits(path: Path, packet: Packet, node: NodeRules, addresses: frozenset[bytes]) -> bool:
    match path.source:
        case "any":
            return True
        case "pod":
            return is_pod(node.detector, packet)
        case "host":
            return is_host(packet, addresses)


def _hits(rules: RuleSet, packet: Packet, addresses: frozenset[bytes]) -> Iterator[tuple[ServicePortRules, Entry]]:
    """Frontends that the packet is for: those with an address before node ports."""
    node_ports = takes_node_ports(rules.node, packet.destination, addresses)
    later = []
    for port in rules.ports.values():
        if port.name.protocol != packet.protocol:
            continue
        for entry in port.entries:
            if entry.frontend.port == packet.port:
                if entry.frontend.address == packet.destination:
                    yield port, entry
                elif node_ports and entry.frontend.way == "node port":
                    later.append((port, entry))
    yield from later


def takes_node_ports(node: NodeRules, address: bytes, addresses: frozenset[bytes]) -> bool:
    """Node ports are open at this address."""
    if address in LOOPBACK[node.family]:
        return node.localhost_node_ports
    if node.node_port_addresses is not None:
        return address in node.node_port_addresses
    return address in addresses


def _stray(rules: RuleSet, packet: Packet, manner: ModeBehavior, addresses: frozenset[bytes]) -> Outcome:
    """No frontend is meant."""
    own = is_local(packet.destination, rules.node.family, addresses)
    known = False
    for port in rules.ports.values():
        for entry in port.entries:
            at_home = entry.frontend.way == "node port" and own and manner.refuses_on_every_address
            if at_home and (entry.frontend.port, port.name.protocol) == (packet.port, packet.protocol):
                last = entry.paths[-1].verdict
                if last in ("reject", "drop"):
                    return Outcome(last, rules=port, why="node ports without endpoints are refused on every address")
            known = known or (entry.frontend.way == "cluster IP" and entry.frontend.address == packet.destination)
    if known:
        return Outcome(manner.unknown_port, why="no Service of this address has such a port")
    if any(packet.destination in network for network in rules.node.service_cidrs):
        return Outcome(manner.unknown_address, why="no Service has this address")
    return Outcome("untouched", why="no Service's frontend")
