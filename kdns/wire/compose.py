"""Resource records become the sections of a message, with names compressed (RFC 1035 section 4.1.4).

Names in rdata are compressed only for the types of RFC 1035 (RFC 3597 section 4), so not in SRV (RFC 2782). The
names of an SOA are compressed against its own owner alone: all "no" answers to questions of one length are then the
same octets, and are made once.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple, Protocol

from kdns.wire.name import under
from kdns.wire.numbers import AAAA, CNAME, HEADER, IN, MX, NS, PTR, SOA, SRV, A
from kdns.wire.rr import RR

_FIRST_NAME: Final = {CNAME: 0, NS: 0, PTR: 0, MX: 2}
"""Types whose rdata ends in one name that may be compressed: where it begins."""
_POINTER_LIMIT: Final = 0x4000
_QNAME: Final = struct.pack("!H", 0xC000 | HEADER)
"""A pointer to the name in the question."""
_FIXED: Final = struct.Struct("!HHI")


class Sections(NamedTuple):
    """Answer, authority and additional section in wire form, to stand right behind one certain question."""

    octets: bytes
    ends: tuple[int, ...]
    """Where each record ends in the octets."""
    counts: tuple[int, int, int]
    """Records in answer, authority, additional; more than ``ends`` where composing stopped at the size of a reply."""

    def cut(self, size: int) -> tuple[int, tuple[int, int, int]]:
        """How many octets of whole records fit into a size, and the counts that are left.

        RFC 2181 section 9: "The TC bit should be set in responses only when an RRSet is required as a part of the
        response, but could not be included in its entirety", and "Where TC is set, the partial RRSet that would not
        completely fit may be left in the response."
        """
        if size >= len(self.octets):
            return len(self.octets), self.counts
        left = bisect_right(self.ends, size)
        answer, authority, additional = self.counts
        counts = (
            min(left, answer),
            max(0, min(left - answer, authority)),
            max(0, min(left - answer - authority, additional)),
        )
        return (self.ends[left - 1] if left else 0), counts


class Records(Protocol):
    """Records of one owner and type, such as an RRset."""

    @property
    def owner(self) -> bytes:
        """Folded and uncompressed."""

    @property
    def rtype(self) -> int:
        """See `kdns.wire.numbers`."""

    @property
    def ttl(self) -> int:
        """Seconds."""

    @property
    def rdatas(self) -> Sequence[bytes]:
        """Uncompressed."""


def compose_rrsets(
    qname: bytes,
    answer: Iterable[Records] = (),
    authority: Iterable[Records] = (),
    additional: Iterable[Records] = (),
    room: int | None = None,
) -> Sections:
    """The sections behind a question for a folded name, from whole RRsets of class IN.

    With ``room``, composing stops at the first record that ends beyond so many octets, but in a set of addresses: those
    cost next to nothing, and take turns.
    """
    writer = _Writer(qname, room)
    counts = []
    for section in (answer, authority, additional):
        before = len(writer.ends)
        for rrset in section:
            writer.add(rrset.owner, rrset.rtype, IN, rrset.ttl, rrset.rdatas)
        counts.append(len(writer.ends) - before)
    return Sections(b"".join(writer.parts), tuple(writer.ends), (counts[0], counts[1], counts[2]))


def compose_sections(
    qname: bytes,
    answer: Sequence[RR] = (),
    authority: Sequence[RR] = (),
    additional: Sequence[RR] = (),
    room: int | None = None,
) -> Sections:
    """The sections behind a question for a folded name, from single records.

    With ``room``, no record is composed behind the first one that ends beyond so many octets: `Sections.cut` then
    gives what it would give of all of them, for that size and any smaller one.
    """
    writer = _Writer(qname, room)
    for rr in chain(answer, authority, additional):
        if room is not None and writer.size > room:
            break
        writer.add(rr.owner, rr.rtype, rr.rclass, rr.ttl, (rr.rdata,))
    counts = (len(answer), len(authority), len(additional))
    return Sections(b"".join(writer.parts), tuple(writer.ends), counts)


class _Writer:
    """Appends records and remembers where names stand."""

    def __init__(self, qname: bytes, room: int | None = None) -> None:
        self._room = room
        self.parts: list[bytes] = []
        self.ends: list[int] = []
        self.start = HEADER + len(qname) + 4
        self.size = 0
        self.last = (qname, _QNAME if len(qname) > 1 else qname)  # an owner and its compressed form: RRsets repeat it
        self._qname = qname
        self._known: dict[bytes, int] = {}  # names and where they stand; most answers name nothing but the question

    def add(self, owner: bytes, rtype: int, rclass: int, ttl: int, rdatas: Sequence[bytes]) -> None:
        """Append records of one owner and type."""
        fixed = _FIXED.pack(rtype, rclass, ttl)
        for number, rdata in enumerate(rdatas):
            if self._room is not None and self.size > self._room:
                return
            name = self._owner(owner)
            if number and rtype in {A, AAAA}:  # from the second one on all are alike, but for the address
                self._append_alike(name + fixed + len(rdata).to_bytes(2, "big"), rdatas[number:])
                return
            at = self.start + self.size + len(name) + 10
            compressed = self._rdata(owner, rtype, rdata, at)
            self._append(name + fixed + len(compressed).to_bytes(2, "big") + compressed)

    def _append(self, octets: bytes) -> None:
        self.parts.append(octets)
        self.size += len(octets)
        self.ends.append(self.size)

    def _append_alike(self, before: bytes, rdatas: Sequence[bytes]) -> None:
        self.parts.append(b"".join([before + rdata for rdata in rdatas]))
        unit = len(before) + len(rdatas[0])
        self.ends.extend(range(self.size + unit, self.size + unit * len(rdatas) + 1, unit))
        self.size += unit * len(rdatas)

    def _owner(self, owner: bytes) -> bytes:
        if owner != self.last[0]:
            self.last = (owner, b"")
            return self._name(owner, self.start + self.size)
        if not self.last[1]:  # its second record: now it is known where it stands
            self.last = (owner, self._name(owner, self.start + self.size))
        return self.last[1]

    def _rdata(self, owner: bytes, rtype: int, rdata: bytes, at: int) -> bytes:
        """Rdata as it stands at an offset, the names in it compressed where that is allowed."""
        if rtype == SOA:
            return self._soa(owner, rdata)
        if rtype == SRV:
            self._note(rdata[6:], at + 6)
            return rdata
        first = _FIRST_NAME.get(rtype)
        if first is None:
            return rdata
        return rdata[:first] + self._name(rdata[first:], at + first)

    @property
    def offsets(self) -> dict[bytes, int]:
        """Where names stand that were written so far, and their ancestors."""
        if not self._known:
            self._known[b""] = 0  # filled
            self._note(self._qname, HEADER)
        return self._known

    def _note(self, name: bytes, at: int, end: int | None = None) -> None:
        """Remember where a name and its ancestors (those that begin before ``end``) stand, unless they already do."""
        offsets = self.offsets
        here = 0
        while name[here] and (end is None or here < end) and at + here < _POINTER_LIMIT:
            offsets.setdefault(name[here:], at + here)
            here += 1 + name[here]

    def _name(self, name: bytes, at: int) -> bytes:
        """A name in its shortest form, to be written at an offset."""
        offsets = self.offsets
        here = 0
        while name[here]:
            known = offsets.get(name[here:])
            if known is not None:
                self._note(name, at, here)
                return name[:here] + struct.pack("!H", 0xC000 | known)
            here += 1 + name[here]
        self._note(name, at)
        return name

    def _soa(self, owner: bytes, rdata: bytes) -> bytes:
        known = self.offsets.get(owner)
        if known is None:
            return rdata
        pointer = struct.pack("!H", 0xC000 | known)
        names = []
        at = 0
        for _ in range(2):  # mname and rname
            end = at
            while rdata[end]:
                end += 1 + rdata[end]
            name = rdata[at : end + 1]
            at = end + 1
            names.append(name.removesuffix(owner) + pointer if under(name, owner) else name)
        return names[0] + names[1] + rdata[at:]


def head(flags: int, counts: tuple[int, int, int], opt: bool) -> bytes:
    """Octets 2 to 12 of a message with one question: flags and counts (RFC 1035 section 4.1.1)."""
    answer, authority, additional = counts
    return struct.pack("!5H", flags, 1, answer, authority, additional + (1 if opt else 0))
