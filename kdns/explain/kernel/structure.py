"""Chains and jumps that every Service needs, and which of them are not there. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from kdns.base.objects import address_text
from kdns.explain.kernel.iptables_text import places
from kdns.explain.kernel.model import Chain, Hook, Jump, Line, Position, SetMark, Snat, Table
from kdns.explain.kernel.packet import Packet
from kdns.proxy.model import Family, Mode

Stage = Literal["dnat", "masquerade", "filter"]


class Broken(NamedTuple):
    """A place that lacks something."""

    says: str
    position: Position | None


class Needed(NamedTuple):
    """A jump from a base chain."""

    stage: Stage
    table: str
    chain: str
    target: str
    own: bool | None
    """True: only what the node itself sends comes by; False: only what comes in; None: both."""


IPTABLES = (
    Needed("dnat", "nat", "PREROUTING", "KUBE-SERVICES", False),
    Needed("dnat", "nat", "OUTPUT", "KUBE-SERVICES", True),
    Needed("masquerade", "nat", "POSTROUTING", "KUBE-POSTROUTING", None),
    Needed("filter", "filter", "FORWARD", "KUBE-SERVICES", False),
    Needed("filter", "filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", False),
    Needed("filter", "filter", "INPUT", "KUBE-EXTERNAL-SERVICES", False),
    Needed("filter", "filter", "OUTPUT", "KUBE-SERVICES", True),
    Needed("filter", "filter", "FORWARD", "KUBE-PROXY-FIREWALL", False),
    Needed("filter", "filter", "INPUT", "KUBE-PROXY-FIREWALL", False),
)
FILLED: dict[Stage, tuple[str, ...]] = {
    "dnat": ("KUBE-SERVICES",),
    "masquerade": ("KUBE-POSTROUTING", "KUBE-MARK-MASQ"),
    "filter": (),
}
"""Chains of nat that are never empty."""
NFT_HOOKS: dict[Stage, tuple[tuple[Hook, bool | None], ...]] = {
    "dnat": (("prerouting", False), ("output", True)),
    "masquerade": (("postrouting", None),),
    "filter": (("input", False), ("forward", False), ("output", True)),
}
NFT_FILLED: dict[Stage, tuple[str, ...]] = {
    "dnat": ("services",),
    "masquerade": ("masquerading", "mark-for-masquerade"),
    "filter": ("service-endpoints-check", "reject-chain"),
}


def broken_places(tables: Sequence[Table], mode: Mode, stage: Stage, *, own: bool, family: Family) -> list[Broken]:
    """What a packet of this sort needs at a stage and does not find. ``own``: the node itself sends it."""
    word = "ip" if family is Family.IPV4 else "ip6"
    here = [table for table in tables if table.family == word]
    if mode == "nftables":
        return list(_nftables([table for table in here if table.name == "kube-proxy"], stage, own))
    return list(_iptables([table for table in here if table.name in ("nat", "filter")], stage, own))


def leading(tables: Sequence[Table], packet: Packet) -> list[Position]:
    """The rules or elements that name the packet's destination, and what they lead to if that is empty."""
    positions: list[Position] = []
    for table in tables:
        kept = table.sets.get("service-ips")
        if kept is not None and table.name == "kube-proxy":
            element = kept.elements.lookup((packet.daddr, packet.protocol, packet.dport))
            positions += [Position(table.file, element.line, element.text)] if element else []
        chain = table.chains.get("KUBE-SERVICES") if table.name == "nat" else None
        asked = f"--dport {packet.dport} "
        for place in places(chain, f"{address_text(packet.daddr)}/{len(packet.daddr) * 8}") if chain else ():
            line = chain.lines[place] if chain else Line(0, "")
            if f"-d {address_text(packet.daddr)}/" in line.text and asked in f"{line.text} ":
                positions.append(Position(table.file, line.number, line.text))
                target = table.chains.get(line.text.rpartition(" -j ")[2])
                positions += [target.position] if target is not None and not target.lines else []
    return positions


def _iptables(tables: Sequence[Table], stage: Stage, own: bool) -> Iterator[Broken]:
    proxied = [table for table in tables if any(name.startswith("KUBE-S") for name in table.chains)]
    origins = {table.origin for table in proxied}
    for table in proxied:
        if table.origin not in origins:
            continue
        for needed in IPTABLES:
            chain = table.chains.get(needed.chain)
            wanted = needed.table == table.name and needed.stage == stage and needed.own in (None, own)
            if wanted and needed.target in table.chains and chain is not None and not _leads(chain, needed.target):
                yield Broken(f"chain {needed.chain} of {table} does not lead to {needed.target}", chain.position)
        if table.name == "nat":
            yield from _empty(table, FILLED[stage])
            if stage == "masquerade":
                yield from _marks(table, "KUBE-MARK-MASQ", "KUBE-POSTROUTING")


def _empty(table: Table, names: Sequence[str]) -> Iterator[Broken]:
    for name in names:
        chain = table.chains.get(name)
        if chain is None:
            yield Broken(f"{table} has no chain {name}", Position(table.file, table.line, f"*{table.name}"))
        elif not chain.lines:
            yield Broken(f"chain {name} of {table} is empty: it was flushed", chain.position)


def _marks(table: Table, marking: str, masquerading: str) -> Iterator[Broken]:
    """The mark that is set must be the one that is looked for."""
    setter, asker = table.chains.get(marking), table.chains.get(masquerading)
    if setter is None or asker is None or not setter.lines or not asker.lines:
        return
    marks = [rule for rule in setter.rules() if any(isinstance(one, SetMark) for one in rule.statements)]
    if not marks:
        yield Broken(f"chain {marking} of {table} sets no mark", setter.position)
    elif not any(isinstance(one, Snat) for rule in asker.rules() for one in rule.statements):
        yield Broken(f"chain {masquerading} of {table} masquerades nothing", asker.position)
    else:
        flips = {one.flip for rule in marks for one in rule.statements if isinstance(one, SetMark)}
        asked = [rule for rule in asker.rules() if "mark" in rule.position.text]
        if asked and not any(f"{flip:x}" in rule.position.text for rule in asked for flip in flips if flip):
            says = f"chain {marking} of {table} sets another mark than {masquerading} looks for"
            yield Broken(says, marks[0].position)
            yield Broken(says, asked[0].position)


def _leads(chain: Chain, target: str) -> bool:
    return any(isinstance(one, Jump) and one.chain == target for rule in chain.rules() for one in rule.statements)


def _nftables(tables: Sequence[Table], stage: Stage, own: bool) -> Iterator[Broken]:
    if not tables:
        yield Broken("the table kube-proxy of this family is missing", None)
    for table in tables:
        for hook, of_own in NFT_HOOKS[stage]:
            if of_own not in (None, own):
                continue
            kind = "filter" if stage == "filter" else "nat"
            bases = [chain for chain in table.bases() if chain.hook == hook and chain.type == kind]
            here = Position(table.file, table.line, f"{table} {{")
            if not bases:
                yield Broken(f"{table} has no {kind} chain at hook {hook}", here)
            elif not any(chain.lines for chain in bases):
                yield Broken(f"chain {bases[0].name} of {table} is empty: it was flushed", bases[0].position)
        yield from _empty(table, NFT_FILLED[stage])
        if stage == "masquerade":
            yield from _marks(table, "mark-for-masquerade", "masquerading")
