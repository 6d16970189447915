"""A packet on its way through a node, and what rules can ask of it. Pure."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.explain.kernel.model import Rule
from kdns.proxy.model import LOOPBACK, Family


class Unsure(Exception):
    """The evidence does not say whether a rule matches; the message says what is not known."""


class Packet(Struct, frozen=True):
    """The first packet of a connection, where it is now, and what was done to it."""

    protocol: str
    """tcp, udp, sctp, icmp or ipv6-icmp."""
    saddr: bytes
    daddr: bytes
    dport: int
    iif: str | None = ""
    """Came in here; empty: a process of the node sent it; None: by some interface whose name is not known."""
    oif: str | None = ""
    """Goes out here; empty: it is not routed yet, or stays on the node."""
    mark: int = 0
    tracked: bool = True
    translated: bool = False
    """Its destination was changed: `dnat`."""
    masqueraded: bool = False
    share: float = 1.0
    """Of all packets like it."""
    trail: "Step | None" = None
    """The last rule that did something to it; each step knows the one before."""
    sticky: tuple[str, ...] = ()
    """Affinity lists and sets that were asked; a client with a history goes to one of their endpoints."""

    @property
    def family(self) -> Family:
        """By its addresses."""
        return Family.IPV4 if len(self.daddr) == 4 else Family.IPV6


class Step(Struct, frozen=True):
    """A rule that a packet met and that did something to it."""

    chain: str
    table: str
    rule: Rule
    says: str
    translates: bool = False
    before: "Step | None" = None

    def all(self) -> list["Step"]:
        """From the first to this one."""
        steps: list[Step] = []
        step: Step | None = self
        while step is not None:
            steps.append(step)
            step = step.before
        return steps[::-1]


class Place(Struct, frozen=True):
    """What is known of the node that a packet is on."""

    addresses: frozenset[bytes] = frozenset()
    """All that its interfaces have."""
    complete: bool = False
    """`addresses` are all there are, as ``ip addr`` lists them, and not what the Node object says."""

    def local(self, address: bytes) -> bool:
        """It is an address of this node, loopback among them."""
        family = Family.IPV4 if len(address) == 4 else Family.IPV6
        return address in self.addresses or address in LOOPBACK[family]


def value_of(packet: Packet, field: str, place: Place) -> object:
    """What a field of a rule is for this packet. Raises Unsure if that is not known; None: the packet has no such."""
    read = FIELDS.get(field)
    if read is None:
        raise Unsure(field)
    return read(packet, place)


def _interface(name: str | None, way: str) -> str:
    if name is None:
        raise Unsure(f"the interface by which the packet {way}")
    return name


def _of_family(address: bytes, width: int) -> bytes | None:
    return address if len(address) == width else None


def _port(packet: Packet, *protocols: str) -> int | None:
    return packet.dport if packet.protocol in protocols else None


FIELDS: Final[Mapping[str, Callable[[Packet, Place], object]]] = {
    "saddr": lambda packet, _: packet.saddr,
    "daddr": lambda packet, _: packet.daddr,
    "ip saddr": lambda packet, _: _of_family(packet.saddr, 4),
    "ip daddr": lambda packet, _: _of_family(packet.daddr, 4),
    "ip6 saddr": lambda packet, _: _of_family(packet.saddr, 16),
    "ip6 daddr": lambda packet, _: _of_family(packet.daddr, 16),
    "l4proto": lambda packet, _: packet.protocol,
    "dport": lambda packet, _: _port(packet, "tcp", "udp", "sctp"),
    "tcp dport": lambda packet, _: _port(packet, "tcp"),
    "udp dport": lambda packet, _: _port(packet, "udp"),
    "sctp dport": lambda packet, _: _port(packet, "sctp"),
    "dport of protocol": lambda packet, _: f"{packet.protocol}:{packet.dport}",
    "mark": lambda packet, _: packet.mark,
    "ct mark": lambda _, __: 0,
    "nfproto": lambda packet, _: "ipv4" if packet.family is Family.IPV4 else "ipv6",
    "iifname": lambda packet, _: _interface(packet.iif, "comes in"),
    "oifname": lambda packet, _: _interface(packet.oif, "leaves"),
    "ct state": lambda packet, _: "new" if packet.tracked else "untracked",
    "ct direction": lambda _, __: "original",
    "ct status": lambda packet, _: "dnat" if packet.translated else "none",
    "fib saddr type": lambda packet, place: _type(packet.saddr, place),
    "fib daddr type": lambda packet, place: _type(packet.daddr, place),
}
"""What rules may ask for, and how it is read."""


def _type(address: bytes, place: Place) -> str:
    if place.local(address):
        return "local"
    parsed = ip_address(address)
    return "multicast" if parsed.is_multicast else "unicast"


def merged(packets: list[Packet]) -> list[Packet]:
    """Packets that are the same but for their trail and share, as one."""
    if len(packets) < 2:
        return packets
    by_state: dict[tuple[object, ...], Packet] = {}
    for packet in packets:
        state = _state(packet)
        known = by_state.get(state)
        by_state[state] = packet if known is None else replace(known, share=known.share + packet.share)
    return list(by_state.values())


def unchanged(before: Packet, after: Packet) -> bool:
    """Nothing was done to it; it may be a part of what it was."""
    return _state(before) == _state(after)


def _state(packet: Packet) -> tuple[object, ...]:
    return (
        packet.daddr, packet.dport, packet.iif, packet.oif, packet.mark, packet.tracked, packet.translated,
        packet.masqueraded,
    )  # fmt: skip
