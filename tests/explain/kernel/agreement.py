"""Whether a walk through rules comes to what the policy says, for every frontend and every sort of source."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from kdns.explain.kernel.iptables_text import parse_tables
from kdns.explain.kernel.ipvs import VirtualServers
from kdns.explain.kernel.model import Table
from kdns.explain.kernel.nft_json import parse_json
from kdns.explain.kernel.nft_text import parse_ruleset
from kdns.explain.kernel.outcome import Result, outcome
from kdns.explain.kernel.packet import Packet, Place
from kdns.explain.kernel.walk import Routes
from kdns.proxy.model import Family, Mode, RuleSet
from kdns.proxy.trace import Outcome, trace
from kdns.proxy.trace import Packet as Traced

NODE = {Family.IPV4: "172.18.0.2", Family.IPV6: "fc00:f853:ccd:e793::2"}
BRIDGE = {Family.IPV4: "10.244.1.1", Family.IPV6: "fd00:10:244:1::1"}
SOURCES = {
    Family.IPV4: (
        ("10.244.1.9", "veth9"), ("172.18.0.2", ""), ("203.0.113.5", "eth0"), ("192.0.2.1", "eth0"), ("127.0.0.1", ""),
        ("10.244.1.7", "veth7"),
    ),
    Family.IPV6: (
        ("fd00:10:244::9", "veth9"), ("fc00:f853:ccd:e793::2", ""), ("2001:db8:1::5", "eth0"),
        ("2001:db8:2::1", "eth0"), ("fd00:10:244::7", "veth7"),
    ),
}  # fmt: skip
"""Pods, the node, clients that source ranges let in and that they do not, and a Pod that is an endpoint."""


def tables_of(name: str, text: str) -> tuple[Table, ...]:
    """Tables of a file, by its name."""
    if name.endswith(".json"):
        return parse_json(text, name).tables
    if name.startswith("nft"):
        return parse_ruleset(text, name).tables
    return parse_tables(text, name, "ip6" if name.startswith("ip6") else "ip", {}, legacy="legacy" in name).tables


def place(family: Family) -> Place:
    """The node that the rules are for."""
    return Place(frozenset(ip_address(text[family]).packed for text in (NODE, BRIDGE)), complete=True)


def walk(tables: Sequence[Table], packet: Packet, virtual: VirtualServers | None = None) -> Result:
    """A packet's outcome on the node."""
    return outcome(tables, Routes(place(packet.family), lambda _: "eth0"), virtual, packet)


def disagreements(tables: Sequence[Table], rules: RuleSet, mode: Mode) -> Iterator[str]:
    """Packets with another outcome than the policy's, a line each."""
    family = rules.node.family
    for port in rules.ports.values():
        for entry in port.entries:
            address = entry.frontend.address or ip_address(NODE[family]).packed
            for source, interface in SOURCES[family]:
                packed = ip_address(source).packed
                packet = Packet(port.name.protocol.lower(), packed, address, entry.frontend.port, interface)
                asked = Traced(port.name.protocol, packed, address, entry.frontend.port, interface)
                wanted = trace(rules, asked, mode, place(family).addresses)
                result = walk(tables, packet)
                if _differs(result, wanted, packed, family):
                    yield f"{port.name} {entry.frontend.way} from {source}: {result.word} {result.shares}, not {wanted}"


def _differs(result: Result, wanted: Outcome, source: bytes, family: Family) -> bool:
    if result.word != wanted.verdict or set(result.shares) != set(wanted.backends):
        return True
    even = all(abs(share - 1 / len(result.shares)) < 1e-6 for share in result.shares.values())
    remote = {backend for backend in wanted.backends if not place(family).local(backend.address)}
    reaches_itself = {end.packet.masqueraded for end in result.ends if end.packet.daddr == source}
    masquerade = wanted.masquerade if remote - {one for one in remote if one.address == source} else None
    return not even or result.masquerade != masquerade or (wanted.verdict == "dnat" and False in reaches_itself)
