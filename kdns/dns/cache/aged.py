"""An answer whose TTLs run down, as octets that are joined again for each second."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from kdns.records.answers import Answer
from kdns.wire.compose import Sections
from kdns.wire.numbers import AA, AAAA, AD, MX, RA, A
from kdns.wire.query import Query
from kdns.wire.rr import RR

MAX_TURNS: Final = 16
"""Rotations made of one answer at most: each is a copy of its octets."""
_TTL: Final = 4
_TO_TTL: Final = 4  # type and class
_POINTER: Final = 0xC0


class Aged(Answer):
    """Octets that may be sent before a certain second, all TTLs in them the seconds that are left until then.

    ``unit`` is 1 and ``ring_size`` the number of rotations, so `Answer.next_turn` says which one is next.
    """

    __slots__ = ("_fields", "_run", "_unit", "reply_flags", "until", "use")

    def __init__(
        self,
        rcode: int,
        flags: int,
        sections: Sections,
        until: int,
        *,
        ages: bool = True,
        run: tuple[int, int] = (0, 0),
        use: Callable[[int], bool] | None = None,
    ) -> None:
        """``run`` are the first and one past the last of the records that take turns, see `rotating`."""
        super().__init__(rcode, sections, (0, 0), shared=False)
        self.reply_flags = flags
        """RA and AD as they were received."""
        self.until = until
        """The first second of the clock in which it must not be sent any more."""
        self.use = use
        """To be called with the second of each use; False: the chain must see this query."""
        self._fields = ttl_fields(sections) if ages else ()
        ends = (0, *sections.ends)
        first, last = run
        self._run = ends[first], ends[last]
        self._unit = ends[first + 1] - ends[first] if last - first > 1 else 0
        if self._unit and len({ends[at + 1] - ends[at] for at in range(first, last)}) == 1:
            self.unit, self.ring_size = 1, min(last - first, MAX_TURNS)

    def flags(self, query: Query) -> int:
        """AA, RA and AD of the reply to a query; see `hit_flags`."""
        return hit_flags(self.reply_flags, query)

    def pieces(self, start: bytes, kept: int, end: bytes, turn: int = 0) -> tuple[bytes, ...]:
        """The octets of a reply split where its TTLs stand, in one of its rotations.

        ``start`` is what comes before the sections, ``kept`` how many octets of them are sent, ``end`` what follows.
        """
        octets = self.sections.octets
        if turn:
            first, last = self._run
            cut = first + turn * self._unit
            octets = octets[:first] + octets[cut:last] + octets[first:cut] + octets[last:]
        whole = start + octets[:kept] + end
        pieces, at = [], 0
        for field in self._fields:
            if field >= kept:
                break
            pieces.append(whole[at : len(start) + field])
            at = len(start) + field + _TTL
        return (*pieces, whole[at:])


def hit_flags(flags: int, query: Query) -> int:
    """The flags of a reply from the cache, of those that were received.

    AA is always set, as CoreDNS does: some stub resolvers drop answers without it. RFC 6840 section 5.8: AD is for
    those who asked for it, by AD or DO in the query.
    """
    return AA | flags & (RA | AD if wants_ad(query) else RA)


def wants_ad(query: Query) -> bool:
    """The client understands AD in a reply (RFC 6840 section 5.7)."""
    return bool(query.flags & AD) or (query.edns is not None and query.edns.do)


def with_ttls(sections: Sections, size: int, ttl: int) -> bytes:
    """The first octets of sections, whole records, with another TTL in each of them."""
    octets = bytearray(sections.octets[:size])
    seconds = ttl.to_bytes(_TTL, "big")
    for field in ttl_fields(sections, size):
        octets[field : field + _TTL] = seconds
    return bytes(octets)


def ttl_fields(sections: Sections, size: int | None = None) -> tuple[int, ...]:
    """Where the TTL of each record stands in the octets; of the records in the first octets of a size only."""
    octets, fields = sections.octets, []
    size = len(octets) if size is None else size
    for at in chain((0,), sections.ends):
        if at >= size:
            break
        while octets[at]:
            if octets[at] >= _POINTER:
                at += 1  # noqa: PLW2901 - walking over the owner's labels
                break
            at += 1 + octets[at]  # noqa: PLW2901
        fields.append(at + 1 + _TO_TTL)
    return tuple(fields)


def shuffled_elsewhere(answer: Sequence[RR], additional: Sequence[RR]) -> bool:
    """True if more than the addresses of `rotating` has an order that ``loadbalance`` would change."""
    if len(answer) + len(additional) < 2:
        return False
    first, last = rotating(answer)
    others = (*answer[:first], *answer[last:], *additional)
    return sum(rr.rtype in {A, AAAA, MX} for rr in others) > 1


def rotating(answer: Sequence[RR]) -> tuple[int, int]:
    """First and one past the last of the addresses at the end of an answer section; equal if they are fewer than two.

    They are of one owner and type: only the CNAMEs that lead to them come before.
    """
    if len(answer) < 2 or answer[-1].rtype not in {A, AAAA}:
        return 0, 0
    last = first = len(answer)
    while first and (answer[first - 1].owner, answer[first - 1].rtype) == (answer[-1].owner, answer[-1].rtype):
        first -= 1
    return (first, last) if last - first > 1 else (0, 0)
