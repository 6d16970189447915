"""Every frontend of a node's rule set, asked for in the kernel: what is missing, stale or foreign. Pure."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final, NamedTuple

from kdns.base.objects import address_text
from kdns.explain.kernel.difference import Difference, differences
from kdns.explain.kernel.model import Position, Table
from kdns.explain.kernel.node import NodeKernel
from kdns.explain.kernel.packet import Packet, Place
from kdns.proxy.model import LOOPBACK, Entry, Family, Mode, RuleSet
from kdns.proxy.trace import Packet as Traced
from kdns.proxy.trace import trace

OUTSIDE: Final = {Family.IPV4: ip_address("192.0.2.1").packed, Family.IPV6: ip_address("2001:db8::1").packed}
"""A client outside (RFC 5737, RFC 3849)."""
SAVED: Final = re.compile(r"-A KUBE-SERVICES .*?(?<!! )-d (\S+)/(?:32|128) -p (\w+) .*--dport (\d+)")


class Row(NamedTuple):
    """One difference."""

    service: str
    """Service and port, such as ``shop/cart:http``; empty for what no Service asks for."""
    where: str
    """Such as ``10.96.7.7:80/TCP``."""
    source: str
    """Who would notice: a Pod, the node, a client outside."""
    difference: Difference


def rule_differences(rules: RuleSet, kernel: NodeKernel, mode: Mode, addresses: frozenset[bytes]) -> Iterator[Row]:
    """Each difference once, with the first sort of client that meets it."""
    reported: set[tuple[str, str]] = set()
    for name, port in rules.ports.items():
        for entry in port.entries:
            for destination in _destinations(entry, rules, addresses):
                for called, source, interface in _sources(rules, entry, addresses):
                    packet = Packet(name.protocol.lower(), source, destination, entry.frontend.port, interface)
                    traced = Traced(name.protocol, source, destination, entry.frontend.port, interface)
                    wanted = trace(rules, traced, mode, addresses)
                    result = kernel.walk(packet, Place(addresses, bool(kernel.addresses)))
                    tables = kernel.rules(rules.node.family).tables
                    where = f"{address_text(destination)}:{entry.frontend.port}/{name.protocol}"
                    for one in differences(wanted, result, packet, tables, mode):
                        about = "" if one.kind == "broken" else where
                        if (about, one.says) not in reported:
                            reported.add((about, one.says))
                            yield Row(str(name), where, called, one)


def _destinations(entry: Entry, rules: RuleSet, addresses: frozenset[bytes]) -> list[bytes]:
    """The frontend's address; of a node port, one that takes node ports."""
    if entry.frontend.address:
        return [entry.frontend.address]
    width = rules.node.family.width
    taken = rules.node.node_port_addresses
    own = sorted(one for one in (addresses if taken is None else taken) if len(one) == width)
    return [one for one in own if one not in LOOPBACK[rules.node.family]][:1]


def _sources(rules: RuleSet, entry: Entry, addresses: frozenset[bytes]) -> Iterator[tuple[str, bytes, str]]:
    """One of each sort that may come, with the interface it comes by."""
    family, detector = rules.node.family, rules.node.detector
    if detector is not None and detector.network is not None:
        number = int.from_bytes(detector.network.address) + 250
        yield "a Pod", number.to_bytes(family.width), "veth0"
    own = sorted(one for one in addresses if len(one) == family.width and one not in LOOPBACK[family])
    pods = detector.network if detector is not None else None
    own.sort(key=lambda one: pods is not None and one in pods)  # the bridge of the Pods is not what it speaks with
    if own:
        yield "the node", own[0], ""
    if entry.frontend.way != "cluster IP":
        allowed = entry.sources[0].address if entry.sources else OUTSIDE[family]
        yield "a client outside", allowed, "eth0"


def extra_frontends(rules: RuleSet, kernel: NodeKernel) -> Iterator[Row]:
    """Frontends with an address that the kernel serves and no Service asks for."""
    asked = {
        (entry.frontend.address, name.protocol.lower(), entry.frontend.port)
        for name, port in rules.ports.items()
        for entry in port.entries
    }
    for (address, protocol, port), position in _present(kernel, rules.node.family):
        own = len(address) == rules.node.family.width  # nft prints both families
        if own and (address, protocol, port) not in asked:
            where = f"{address_text(address)}:{port}/{protocol.upper()}"
            yield Row(
                "",
                where,
                "everyone",
                Difference("stale", "the kernel serves it, and no Service asks for it", (position,)),
            )


def _present(kernel: NodeKernel, family: Family) -> Iterator[tuple[tuple[bytes, str, int], Position]]:
    for table in kernel.rules(family).tables:
        if table.origin == "nft" and table.name == "kube-proxy":
            yield from _elements(table)
        chain = table.chains.get("KUBE-SERVICES")
        for line in chain.lines if chain is not None and table.name == "nat" else ():
            match = SAVED.match(line.text)
            if match:
                at = ip_address(match[1]).packed, match[2], int(match[3])
                yield at, Position(table.file, line.number, line.text)
    for server in kernel.virtual_servers.servers if kernel.virtual_servers else ():
        own = {address.address for address in kernel.addresses if address.interface != "kube-ipvs0"}
        if len(server.address) == family.width and server.address not in own:  # those of the node are for node ports
            yield (server.address, server.protocol, server.port), server.position


def _elements(table: Table) -> Iterator[tuple[tuple[bytes, str, int], Position]]:
    kept = table.sets.get("service-ips")
    for element in kept.elements.all if kept else ():
        if len(element.key) == 3:
            address, protocol, port = (pattern.low for pattern in element.key)
            if isinstance(address, bytes) and isinstance(protocol, str) and isinstance(port, int):
                yield (address, protocol, port), Position(table.file, element.line, element.text)
