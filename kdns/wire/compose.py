"""Resource records become the sections of a message, with names compressed (RFC 1035 section 4.1.4).

Names in rdata are compressed only for the types of RFC 1035 (RFC 3597 section 4), so not in SRV (RFC 2782). The
names of an SOA are compressed against its own owner alone: all "no" answers to questions of one length are then the
same octets, and are made once.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from kdns.wire.numbers import AAAA, CNAME, MX, NS, PTR, SOA, SRV, A
from kdns.wire.rr import RR

HEADER: Final = 12
_FIRST_NAME: Final = {CNAME: 0, NS: 0, PTR: 0, MX: 2}
"""Types whose rdata ends in one name that may be compressed: where it begins."""
_POINTER_LIMIT: Final = 0x4000


class Sections(NamedTuple):
    """Answer, authority and additional section in wire form, to stand right behind one certain question."""

    octets: bytes
    ends: tuple[int, ...]
    """Where each record ends in the octets."""
    counts: tuple[int, int, int]
    """Records in answer, authority, additional."""

    def cut(self, size: int) -> tuple[int, tuple[int, int, int]]:
        """How many octets of whole records fit into a size, and the counts that are left."""
        if size >= len(self.octets):
            return len(self.octets), self.counts
        left = sum(1 for end in self.ends if end <= size)
        answer, authority, additional = self.counts
        counts = (
            min(left, answer),
            max(0, min(left - answer, authority)),
            max(0, min(left - answer - authority, additional)),
        )
        return (self.ends[left - 1] if left else 0), counts


def compose_sections(
    qname: bytes, answer: Sequence[RR] = (), authority: Sequence[RR] = (), additional: Sequence[RR] = ()
) -> Sections:
    """The sections behind a question for a folded name; type and class take four octets behind the name."""
    writer = _Writer(qname)
    for rr in (*answer, *authority, *additional):
        writer.add(rr)
    counts = (len(answer), len(authority), len(additional))
    return Sections(b"".join(writer.parts), tuple(writer.ends), counts)


class _Writer:
    """Appends records and remembers where names stand."""

    def __init__(self, qname: bytes) -> None:
        self.parts: list[bytes] = []
        self.ends: list[int] = []
        self.start = HEADER + len(qname) + 4
        self.size = 0
        self.offsets: dict[bytes, int] = {}
        self.last: tuple[bytes, bytes] = (b"", b"")  # an owner and its compressed form: RRsets repeat it
        self._note(qname, HEADER)

    def add(self, rr: RR) -> None:
        if rr.owner == self.last[0]:
            owner = self.last[1]
        else:
            owner = self._name(rr.owner, self.start + self.size)
            self.last = (rr.owner, self._name(rr.owner, self.start + self.size))
        at = self.start + self.size + len(owner) + 10
        if rr.rtype in {A, AAAA}:
            rdata = rr.rdata
        elif rr.rtype == SOA:
            rdata = self._soa(rr)
        elif (first := _FIRST_NAME.get(rr.rtype)) is not None:
            rdata = rr.rdata[:first] + self._name(rr.rdata[first:], at + first)
        else:
            rdata = rr.rdata
            if rr.rtype == SRV:
                self._note(rdata[6:], at + 6)
        octets = owner + struct.pack("!HHIH", rr.rtype, rr.rclass, rr.ttl, len(rdata)) + rdata
        self.parts.append(octets)
        self.size += len(octets)
        self.ends.append(self.size)

    def _note(self, name: bytes, at: int, end: int | None = None) -> None:
        """Remember where a name and its ancestors (those that begin before ``end``) stand, unless they already do."""
        here = 0
        while name[here] and (end is None or here < end) and at + here < _POINTER_LIMIT:
            self.offsets.setdefault(name[here:], at + here)
            here += 1 + name[here]

    def _name(self, name: bytes, at: int) -> bytes:
        """A name in its shortest form, to be written at an offset."""
        here = 0
        while name[here]:
            known = self.offsets.get(name[here:])
            if known is not None:
                self._note(name, at, here)
                return name[:here] + struct.pack("!H", 0xC000 | known)
            here += 1 + name[here]
        self._note(name, at)
        return name

    def _soa(self, rr: RR) -> bytes:
        pointer = struct.pack("!H", 0xC000 | self.offsets[rr.owner]) if rr.owner in self.offsets else None
        names = []
        at = 0
        for _ in range(2):
            end = at
            while rr.rdata[end]:
                end += 1 + rr.rdata[end]
            name = rr.rdata[at : end + 1]
            at = end + 1
            if pointer is not None and len(name) > len(rr.owner) > 1 and name.endswith(rr.owner):
                name = name[: len(name) - len(rr.owner)] + pointer
            names.append(name)
        return names[0] + names[1] + rr.rdata[at:]


def head(flags: int, counts: tuple[int, int, int], opt: bool) -> bytes:
    """Octets 2 to 12 of a message with one question: flags and counts (RFC 1035 section 4.1.1)."""
    answer, authority, additional = counts
    return struct.pack("!5H", flags, 1, answer, authority, additional + (1 if opt else 0))
