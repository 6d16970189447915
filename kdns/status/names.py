"""A name's page: what is answered, from which object, by which plugin; or why nothing is. No other server is asked."""

from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from kdns.dns.server.block import RunningServerBlock
from kdns.records.answers import Answers
from kdns.records.present import rdata_text
from kdns.records.reasons import Missing
from kdns.status.parts import Parts
from kdns.wire.name import label_starts, name_text, parse_name, under
from kdns.wire.numbers import AAAA, PTR, SOA, SRV, TXT, A
from kdns.wire.rcodes import rcode_text
from kdns.wire.reverse import reverse_name
from kdns.wire.types import type_text

RTYPES: Final = (A, AAAA, SRV, PTR, TXT, SOA)
"""Types that the cluster's names have."""
LISTED: Final = 100
"""Records of one type that are shown."""


class NameRecord(Struct, frozen=True):
    """One record."""

    name: str
    type: str
    ttl: int
    data: str
    kind: str
    """Of the object that it came from; empty for what the zone itself brings."""
    namespace: str
    object: str


class TypeAnswer(Struct, frozen=True):
    """What is answered for one type."""

    type: str
    rcode: str
    records: tuple[NameRecord, ...]
    total: int
    reason: str
    """Why there is nothing, or nothing at the end of the CNAMEs; empty: there is."""
    code: str
    """As `kdns explain` has it; empty where that has none."""


class NamePage(Struct, frozen=True):
    """All of it."""

    text: str
    """As it was typed."""
    name: str
    """The whole name that was looked up; empty if nothing was."""
    problem: str
    """Why it cannot be looked up; empty: it can."""
    block: str
    """The server block for it, by its zones; empty: there is none."""
    chain: tuple[str, ...]
    """The plugins of that block, from the client inwards."""
    answers: tuple[TypeAnswer, ...]
    passed_on: str
    """Where the question goes if it is not about the cluster; empty: it stays here."""


def name_page(parts: Parts, text: str) -> NamePage:
    """Look a name up; a short name counts from the cluster's zone, an address is its reverse name."""
    typed = text.strip()
    empty = NamePage(typed, "", "", "", (), (), "")
    if not typed:
        return empty
    answers = parts.answers()
    if answers is None:
        return _with(empty, problem="this process answers no names of a cluster")
    try:
        name = _whole(typed, answers)
    except ValueError as error:
        return _with(empty, problem=f"invalid name: {error}")
    block = _block(parts, name)
    chain = tuple(step.name for step in block.plan.steps) if block is not None else ()
    zones = ", ".join(key.zone for key in block.plan.keys) if block is not None else ""
    by_type = tuple(_answer(answers, name, rtype) for rtype in RTYPES)
    ours = answers.zone.apex_of(name, label_starts(name) or ()) is not None
    shown = tuple(answer for answer in by_type if answer.records) or by_type[:1]
    return NamePage(typed, name_text(name), "", zones, chain, shown if ours else (), "" if ours else _beyond(chain))


def _with(page: NamePage, *, problem: str) -> NamePage:
    return NamePage(page.text, "", problem, "", (), (), "")


def _whole(text: str, answers: Answers) -> bytes:
    """The folded name that is meant. Raises ValueError."""
    try:
        return reverse_name(ip_address(text).packed)
    except ValueError:
        pass
    zone = name_text(answers.schema.zones[0])
    name = parse_name(text)
    if text.endswith(".") or any(under(name, apex) for apex in (*answers.schema.zones, *answers.schema.reverse_zones)):
        return name
    count = text.count(".")
    for end in (f"svc.{zone}", zone) if count == 1 else (f"default.svc.{zone}",) if count == 0 else (zone,):
        whole = parse_name(f"{text}.{end}")
        if not isinstance(result := answers.lookup(whole, A), Missing) and (
            result.missing is None or result.missing.exists
        ):
            return whole
    return parse_name(f"{text}.svc.{zone}") if count == 1 else name if count > 1 else whole


def _block(parts: Parts, name: bytes) -> RunningServerBlock | None:
    """The server block with the longest zone that the name is in."""
    best, longest = None, -1
    for live in parts.dns.serving.blocks if parts.dns is not None else ():
        for key in live.plan.keys:
            zone = parse_name(key.zone)
            if under(name, zone) and len(zone) > longest:
                best, longest = live, len(zone)
    return best


def _beyond(chain: tuple[str, ...]) -> str:
    """Who answers what is not the cluster's: plugins behind `kubernetes`, and those in front that have data."""
    others = [name for name in chain if name in {"hosts", "template", "file", "forward", "k8s_external", "whoami"}]
    return " > ".join(others) if others else "no plugin of this server: REFUSED"


def _answer(answers: Answers, name: bytes, rtype: int) -> TypeAnswer:
    result = answers.lookup(name, rtype)
    if isinstance(result, Missing):
        return TypeAnswer(
            type_text(rtype), rcode_text(result.rcode(synced=answers.synced)), (), 0, str(result), result.reason.code
        )
    records: list[NameRecord] = []
    for rrset in result.answer:
        for rdata, source in rrset.each():
            records.append(
                NameRecord(
                    name_text(rrset.owner), type_text(rrset.rtype), rrset.ttl, rdata_text(rrset.rtype, rdata),
                    source.kind if source else "", source.namespace if source else "", source.name if source else "",
                )
            )  # fmt: skip
    missing = result.missing
    return TypeAnswer(
        type_text(rtype), rcode_text(result.rcode), tuple(records[:LISTED]), len(records),
        str(missing) if missing is not None else "", missing.reason.code if missing is not None else "",
    )  # fmt: skip
