"""Whether a packet matches, and what maps say of it. Pure. What is not known raises Unsure."""

import re
from ipaddress import ip_address
from itertools import product
from typing import Final

from msgspec.structs import replace

from kdns.explain.kernel.model import (
    Dnat,
    Elements,
    KernelSet,
    MapMark,
    MarkMatch,
    Match,
    Random,
    Recent,
    Table,
    Unknown,
)
from kdns.explain.kernel.packet import Packet, Place, Unsure, value_of

NUMGEN: Final = re.compile(r"numgen (\d+) (\d+)")
"""A field that is a random number below the first, plus the second."""

OTHERS: Final = re.compile(r"lo|docker0|docker_gwbridge|br-[0-9a-f]{12}|virbr\d+(-nic)?|lxcbr0|lxdbr0|podman\d+")
"""Loopback, and bridges that Docker, libvirt, LXD and Podman make for themselves."""

__all__ = ["Unsure", "chosen", "mapped_mark", "matched_share", "translated"]


def matched_share(
    statement: Match | MarkMatch | Random | Recent | Unknown, packet: Packet, table: Table, place: Place
) -> tuple[float, Packet]:
    """The share of such packets that match, and the packet, which may know more now. Raises Unsure."""
    match statement:
        case Random(share):
            return share, packet
        case Recent(name):
            return 0.0, _sticky(packet, name)
        case MarkMatch(value, mask, negated, connection):
            mark = 0 if connection else packet.mark
            return float((mark & mask == value) != negated), packet
        case Match(fields, values, negated):
            elements = _elements(values, table)
            if isinstance(elements, KernelSet) and elements.dynamic:
                there = elements.elements.lookup(_values(fields, packet, place)) is not None
                return float(there != negated), _sticky(packet, elements.name)
            kept = elements.elements if isinstance(elements, KernelSet) else elements
            if len(fields) == 1 and _never_of_pods(fields[0], kept, packet):
                return float(negated), packet
            return _share(fields, kept, negated, packet, place), packet
        case Unknown(text):
            raise Unsure(text)


def _never_of_pods(field: str, elements: Elements, packet: Packet) -> bool:
    """The interface is not known, and the rule is about ones that lead to no Pod and to no other node."""
    if (packet.iif, packet.oif)[field == "oifname"] is not None or field not in ("iifname", "oifname"):
        return False
    return all(
        len(element.key) == 1 and isinstance(element.key[0].low, str) and OTHERS.fullmatch(element.key[0].low)
        for element in elements.all
    )


def _sticky(packet: Packet, name: str) -> Packet:
    return packet if name in packet.sticky else replace(packet, sticky=(*packet.sticky, name))


def _share(fields: tuple[str, ...], elements: Elements, negated: bool, packet: Packet, place: Place) -> float:
    """1 or 0; between them where one of the fields is a random number."""
    hits = total = 0
    for values in _all_values(fields, packet, place):
        total += 1
        absent = None in values  # the rule needs a header that the packet does not have
        hits += not absent and (elements.lookup(values) is not None) != negated
    return hits / total


def _values(fields: tuple[str, ...], packet: Packet, place: Place) -> tuple[object, ...]:
    return tuple(value_of(packet, field, place) for field in fields)


def _all_values(fields: tuple[str, ...], packet: Packet, place: Place) -> list[tuple[object, ...]]:
    """The values of the fields, once for each random number that there may be."""
    columns: list[list[object]] = []
    for field in fields:
        random = NUMGEN.fullmatch(field)
        if random:
            columns.append([number + int(random[2]) for number in range(int(random[1]))])
        else:
            columns.append([value_of(packet, field, place)])
    return list(product(*columns))


def _elements(elements: Elements | str, table: Table) -> Elements | KernelSet:
    """A set by its name. Raises Unsure if the evidence has no such set."""
    if isinstance(elements, Elements):
        return elements
    kernel_set = table.sets.get(elements)
    if kernel_set is None:
        raise Unsure(f"the members of set {elements}")
    return kernel_set


def _kept(elements: Elements | str, table: Table) -> Elements:
    kept = _elements(elements, table)
    return kept.elements if isinstance(kept, KernelSet) else kept


def chosen(
    fields: tuple[str, ...], elements: Elements | str, packet: Packet, table: Table, place: Place
) -> list[tuple[float, str | None]]:
    """The values of a map for a packet, each with its share; None: the map has none. Raises Unsure."""
    kept = _kept(elements, table)
    everything = _all_values(fields, packet, place)
    shares: dict[str | None, float] = {}
    for values in everything:
        element = None if None in values else kept.lookup(values)
        value = None if element is None else element.value
        shares[value] = shares.get(value, 0.0) + 1 / len(everything)
    return [(share, value) for value, share in shares.items()]


def mapped_mark(statement: MapMark, packet: Packet, table: Table, place: Place) -> int:
    """The mark that an ipset's member carries; the packet's own if it is not a member. Raises Unsure."""
    element = _kept(statement.name, table).lookup(_values(statement.fields, packet, place))
    return int(element.value, 0) if element is not None and element.value else packet.mark


def translated(statement: Dnat, packet: Packet, table: Table, place: Place) -> list[Packet]:
    """The packet as it is sent on, in parts where a map chooses; not translated if the map has nothing for it."""
    if not statement.fields:
        address = statement.address
        if address == b"":  # REDIRECT: to the node itself
            address = next(iter(sorted(one for one in place.addresses if len(one) == len(packet.daddr))), packet.daddr)
        return [_to(packet, address or packet.daddr, statement.port)]
    moved = []
    for share, value in chosen(statement.fields, statement.elements, packet, table, place):
        part = replace(packet, share=packet.share * share)
        if value is None:
            moved.append(part)
            continue
        address_text, _, port = value.partition(" . ")
        try:
            moved.append(_to(part, ip_address(address_text).packed, int(port) if port else None))
        except ValueError:
            raise Unsure(f"dnat to {value}") from None
    return moved


def _to(packet: Packet, address: bytes, port: int | None) -> Packet:
    return replace(packet, daddr=address, dport=port or packet.dport, translated=True)
