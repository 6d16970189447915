"""One walk over the records of a response that is sent on as it came: is it clean, and what does a cache need to know?

A clean response is one whose octets behind the question mean the same behind any spelling of that question, with any
TTLs, and cut behind any record:

- each pointer leads to the beginning of a label of a name that stands before it, never into other data;
- only types of RFC 1035 have compressed names in their rdata (RFC 3597 section 4), and rdata has its right length;
- an OPT record (RFC 6891), which is not sent on, is the last record; there is no TSIG, which would be wrong then;
- nothing is truncated, and no TTL has its most significant bit set (RFC 2181 section 8).

All others are parsed and composed again (`kdns.wire.message`). The walk accepts less than the parser, never more.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from kdns.wire.compose import Sections
from kdns.wire.name import MAX_NAME
from kdns.wire.numbers import CNAME, HEADER, IN, MX, NS, OPT, PTR, SOA
from kdns.wire.rdata import EXACT, LAYOUT, MAX_WHOLE

_RECORD: Final = struct.Struct("!HHIH")
_OWNED: Final = struct.Struct("!HHHIH")
"""A record with a pointer for its owner."""
_ONE_FIELD: Final[tuple[int, ...]] = (6,)
"""Where the TTL of such a record stands."""
_COUNTS: Final = struct.Struct("!3H")
_TO_QUESTION: Final = 0xC000 | HEADER
_ALIAS: Final = CNAME.to_bytes(2, "big") + IN.to_bytes(2, "big")
_NAMES: Final[dict[int, tuple[int, int, int]]] = {
    NS: (0, 1, 0),
    CNAME: (0, 1, 0),
    PTR: (0, 1, 0),
    MX: (2, 1, 0),
    SOA: (0, 2, 20),
}
"""Types whose rdata is walked: octets before the names, how many names, octets behind them."""
MOST_LED: Final = 64
"""Records of an answer section with aliases: longer ones are parsed."""
_PARSED: Final = (LAYOUT.keys() - _NAMES.keys()) | {OPT, 250}
"""Types with names in their rdata that should not be compressed, or that are seldom, a misplaced OPT, and TSIG (RFC
8945): those responses are parsed."""


class Facts(NamedTuple):
    """What a walk has found."""

    sections: Sections
    """As they came, without OPT."""
    fields: tuple[int, ...]
    """Where the TTL of each record stands in the octets of the sections."""
    lowest: int
    """The lowest TTL in seconds; 0 without records."""
    uncompressed: int
    """Octets of all records if no name were compressed."""
    rtypes: tuple[int, ...]
    """The type of each record."""
    owned: bool
    """Some record of the answer section has the name that was asked for."""
    answering: bool
    """The answer section has the type that was asked for, at the end of the aliases that begin at the name."""
    soa: bool
    """The authority section has an SOA record; for `ns` likewise."""
    ns: bool
    extended: int
    """The upper bits of the rcode, in their place."""
    options: bytes | None
    """EDNS options in wire form; None: no OPT record."""


def with_lowest(facts: Facts, ttl: int) -> Facts:
    """The same with another TTL in each record."""
    sections = Sections(with_ttl(facts, ttl), facts.sections.ends, facts.sections.counts)
    return Facts(sections, facts.fields, ttl, *facts[3:])


def with_ttl(facts: Facts, ttl: int, size: int | None = None) -> bytes:
    """The octets of the sections, or the first of them, whole records, with another TTL in each."""
    seconds = ttl.to_bytes(4, "big")
    if size is None and len(facts.fields) == 1:
        (field,), whole = facts.fields, facts.sections.octets
        return whole[:field] + seconds + whole[field + 4 :]
    octets = bytearray(facts.sections.octets[:size])
    for field in facts.fields:
        if field >= len(octets):
            break
        octets[field : field + 4] = seconds
    return bytes(octets)


def walk(octets: bytes, size: int) -> Facts | None:
    """The facts of a response to a question of class IN, ``size`` octets long; None: it is not clean.

    The question is for a type of records, not for ANY, and not for CNAME, whose answer is not at the end of aliases.
    Its header and its question, which is uncompressed, must have been looked at. Never raises.
    """
    try:
        return _addresses(octets, size) or _walk(octets, size)
    except (IndexError, struct.error):
        return None  # it is cut


def _addresses(octets: bytes, size: int) -> Facts | None:
    """What `_walk` finds of the commonest response: addresses of the name that was asked for, of one type.

    None for all others. It costs a third of the walk.
    """
    answers, authorities, additionals = counts = _COUNTS.unpack_from(octets, 6)
    start = HEADER + size
    if authorities or additionals > 1 or not answers:
        return None
    owner, rtype, rclass, ttl, more = _OWNED.unpack_from(octets, start)
    if more != EXACT.get(rtype) or owner != _TO_QUESTION or ttl >> 31:
        return None
    lowest, unit = ttl, _OWNED.size + more
    end = start + answers * unit
    if answers > 1:
        own = octets[start : start + 6]
        for at in range(start + unit, end, unit):
            _, _, _, ttl, length = _OWNED.unpack_from(octets, at)
            if octets[at : at + 6] != own or length != more or ttl >> 31:
                return None
            lowest = min(lowest, ttl)
    uncompressed = answers * (size - 4 + 10 + more)
    if end > len(octets) or uncompressed > MAX_WHOLE:
        return None
    extended, options = 0, None
    if additionals:
        if octets[end] or octets[end + 1] << 8 | octets[end + 2] != OPT:
            return None
        ends = end + 11 + (octets[end + 9] << 8 | octets[end + 10])
        if ends > len(octets):
            return None
        extended, options = octets[end + 5] << 4, octets[end + 11 : ends]
        counts = (answers, 0, 0)
    if answers == 1:
        sections = Sections(octets[start:end], (unit,), counts)
        fields = _ONE_FIELD
    else:
        sections = Sections(octets[start:end], tuple(range(unit, end - start + 1, unit)), counts)
        fields = tuple(range(6, end - start, unit))
    answering = rclass == IN and octets[start - 4] << 8 | octets[start - 3] == rtype
    rtypes = (rtype,) * answers
    return Facts(sections, fields, lowest, uncompressed, rtypes, True, answering, False, False, extended, options)


def _walk(octets: bytes, size: int) -> Facts | None:
    start = at = HEADER + size
    asked = octets[at - 4 : at]
    known: dict[int, int] = {}
    names: dict[int, bytes] = {}
    counts = answers, authorities, _ = _COUNTS.unpack_from(octets, 6)
    last, before_additional = sum(counts) - 1, answers + authorities
    ends: list[int] = []
    fields: list[int] = []
    ttls: list[int] = []
    rtypes: list[int] = []
    uncompressed = 0
    owned = answering = False
    extended, options = 0, None
    for number in range(last + 1):
        if own := octets[at] << 8 | octets[at + 1] == _TO_QUESTION:
            at, length = at + 2, size - 4
        else:
            owner = at
            at, length = _name(octets, at, known or _question(octets, size, known))
            own = (
                length == size - 4
                and number < answers
                and _folded(octets, owner, names) == _folded(octets, HEADER, names)
            )
        rtype, _, ttl, more = _RECORD.unpack_from(octets, at)
        here = at + 10
        end = here + more
        if rtype == OPT and number == last >= before_additional and length == 1 and end <= len(octets):
            extended, options = ttl >> 24 << 4, octets[here:end]
            counts = (answers, authorities, counts[2] - 1)
            break
        if rtype in _NAMES:
            more = _rdata(octets, here, end, _NAMES[rtype], known or _question(octets, size, known))
        if not at or end > len(octets) or ttl >> 31 or rtype in _PARSED or more != EXACT.get(rtype, more) or more < 0:
            return None
        uncompressed += length + 10 + more
        if number < answers:
            owned |= own
            answering |= own and octets[at : at + 4] == asked
        fields.append(at + 4 - start)
        ttls.append(ttl)
        rtypes.append(rtype)
        at = end
        ends.append(end - start)
    if uncompressed > MAX_WHOLE:
        return None
    sections = Sections(octets[start : start + ends[-1]] if ends else b"", tuple(ends), counts)
    if CNAME in rtypes[:answers]:
        if answers > MOST_LED:
            return None
        answering = _leads(octets, start, (0, *ends[: answers - 1]), fields, names)
    lowest, authority = min(ttls, default=0), rtypes[answers:before_additional]
    return Facts(
        sections, tuple(fields), lowest, uncompressed, tuple(rtypes), owned, answering, SOA in authority,
        NS in authority, extended, options,
    )  # fmt: skip


def _leads(octets: bytes, start: int, begins: Sequence[int], fields: Sequence[int], names: dict[int, bytes]) -> bool:
    """The aliases of a clean answer section begin at the question's name and end at the type that was asked for.

    RFC 2181 section 10.1: a name has one alias, so two different ones lead nowhere; nor do those in a circle.
    ``start``: of the section; ``begins`` and ``fields``: of its records, and of their TTLs, from there on.
    ``names``: see `_folded`.
    """
    asked = octets[start - 4 : start]
    aliases: dict[bytes, bytes] = {}
    twice: set[bytes] = set()
    ends: set[bytes] = set()
    """Owners of records of the type that was asked for."""
    for begin, field in zip(begins, fields, strict=False):
        at = start + field
        kind = octets[at - 4 : at]
        if kind == _ALIAS:
            owner, target = _folded(octets, start + begin, names), _folded(octets, at + 6, names)
            if aliases.setdefault(owner, target) != target:
                twice.add(owner)
        elif kind == asked:
            ends.add(_folded(octets, start + begin, names))
    name = _folded(octets, HEADER, names)
    for _ in range(len(aliases) + 1):
        if name in twice:
            return False
        alias = aliases.get(name)
        if alias is None:
            return name in ends
        name = alias
    return False


def _folded(octets: bytes, at: int, names: dict[int, bytes]) -> bytes:
    """The labels of a clean name, folded, without its end.

    ``names``: those that have been read, by where they stand, also where pointers lead to: each is read once, or a
    response of long names behind pointers would cost a hundred times as much as its octets.
    """
    name = names.get(at)
    if name is not None:
        return name
    labels: list[bytes] = []
    here = at
    while length := octets[here]:
        if length >= 0xC0:
            labels.append(_folded(octets, (length & 0x3F) << 8 | octets[here + 1], names))
            break
        labels.append(octets[here : here + 1 + length])
        here += 1 + length
    name = names[at] = b"".join(labels).lower()  # no length of a label is a letter
    return name


def _question(octets: bytes, size: int, known: dict[int, int]) -> dict[int, int]:
    """Note where the labels of the question's name begin, and how long the name from there on is."""
    at, end = HEADER, HEADER + size - 4
    while at < end:
        known[at] = end - at
        at += 1 + octets[at]
    return known


def _name(octets: bytes, at: int, known: dict[int, int]) -> tuple[int, int]:
    """Where a name ends, and its length uncompressed; (0, 0) for one that is not clean.

    ``known``: where labels of names begin, and how long the name from there on is; those of this one are added.
    """
    begun: list[int] = []
    here = at
    while True:
        octet = octets[here]
        if octet >= 0xC0:
            tail = known.get((octet & 0x3F) << 8 | octets[here + 1], 0)
            if not tail:
                return 0, 0
            length, end = here - at + tail, here + 2
            break
        if octet > 63:
            return 0, 0
        begun.append(here)
        here += 1 + octet
        if not octet:
            length = here - at
            end = here
            break
    if length > MAX_NAME:
        return 0, 0
    for label in begun:
        known[label] = length - (label - at)
    return end, length


def _rdata(octets: bytes, at: int, end: int, layout: tuple[int, int, int], known: dict[int, int]) -> int:
    """How long rdata is uncompressed; -1 for rdata that is not clean."""
    before, names, behind = layout
    length = before + behind
    at += before
    for _ in range(names):
        at, more = _name(octets, at, known)
        if not at or at > end:
            return -1
        length += more
    return length if at + behind == end else -1
