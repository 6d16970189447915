"""Lookups compiled into octets, kept until the Change that touches them.

::

    name, type ──> kept? ──> yes: Answer (octets, rotation)
                     │
                     └─ no: zone.lookup ──> Result ──> compiled, and kept under its tags

There is no time in here: an answer is dropped by the event that changes it, before the next question is read.
Dropping sets ``Answer.live`` to False, so what keeps octets made from it (`kdns.dns.query.fast`) sees it
with one look. "No" answers to question names of one length are the same octets (see `kdns.wire.compose`), so misses
share a few hundred Answers however many random names are asked, and all of them are dropped at each change: a name
that did not exist may exist now, and their SOA carries the serial.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from kdns.base.objects import Change, NamespaceChange
from kdns.records.reasons import Missing
from kdns.records.rrset import Result, RRset
from kdns.records.schema import Schema
from kdns.records.zone import Zone
from kdns.wire.compose import Sections, compose_rrsets
from kdns.wire.numbers import AAAA, A
from kdns.wire.query import TCP_LIMIT
from kdns.wire.rr import RR

MAX_ANSWERS: Final = 32768
"""Compiled answers kept at most; Pods' names alone are as many as there are addresses."""

MAX_OCTETS: Final = 24 * 2**20
"""Octets of compiled answers kept at most: the whole SRV set of a large headless Service has many spellings."""
MAX_NEGATIVE: Final = 4096
"""Compiled "no" answers kept at most: a handful of types by the lengths of names, unless a client tries all types."""


class Answer:
    """A response with what differs per query left out: id, RD, the spelling of the question, and EDNS.

    The octets behind the question are ``before``, then the address records in rotation, then ``after``. A ``shared``
    one serves all names of one length and type.
    """

    __slots__ = (
        "after",
        "before",
        "live",
        "rcode",
        "ring",
        "ring_size",
        "sections",
        "shared",
        "turn",
        "uncompressed",
        "unit",
    )

    def __init__(self, rcode: int, sections: Sections, rotated: tuple[int, int], *, shared: bool) -> None:
        self.live = True
        self.rcode, self.sections, self.shared = rcode, sections, shared
        start, end = rotated
        octets = sections.octets
        self.before = octets[:start]
        self.ring = octets[start:end] * 2
        """The address records twice over, so that every rotation is one slice."""
        self.ring_size = end - start
        self.after = octets[end:]
        self.unit = 0
        """Octets of each record in the ring."""
        self.turn = 0
        """Where in the ring the next reply begins."""
        self.uncompressed = 0
        """Octets of its records if no name were compressed, as query lines have it."""

    @property
    def octets(self) -> int:
        """About how much memory this takes: the octets, their copies, and where each record ends."""
        return 2 * len(self.sections.octets) + len(self.ring) + 36 * len(self.sections.ends)

    def next_turn(self) -> int:
        """Where in the ring this reply begins; the next one begins one record further."""
        turn = self.turn
        following = turn + self.unit
        self.turn = following if following < self.ring_size else 0
        return turn


class Answers:
    """One zone, and the answers compiled from it."""

    def __init__(self, schema: Schema, warn: Callable[[str], None] = lambda _: None) -> None:
        self.zone = Zone(schema, warn)
        self.chased_elsewhere = False
        """True if CNAME targets outside of our zones can be looked up: such answers are not ours alone then."""
        self._kept: dict[int, dict[bytes, Answer]] = {}  # by type, then name
        self._count = 0  # of the answers in it, live or not, and about how many octets they take
        self._octets = 0
        self._by_tag: dict[object, list[Answer]] = {}
        self._passing: list[Answer] = []  # may be changed by any change
        self._negative: dict[tuple[bytes, int, int, int], Answer] = {}  # by apex, type, rcode, length of the name
        self._compiled = 0

    @property
    def schema(self) -> Schema:
        """The options the zone was made with."""
        return self.zone.schema

    @property
    def synced(self) -> bool:
        """False: not everything is known yet, so a name that is not found is SERVFAIL instead of NXDOMAIN."""
        return self.zone.synced

    @synced.setter
    def synced(self, synced: bool) -> None:
        if synced != self.zone.synced:
            self.zone.synced = synced
            self._drop_all()

    def set_own_addresses(self, addresses: Sequence[bytes]) -> None:
        """Packed addresses at which this server is reached, for its NS records."""
        self.zone.own_addresses = tuple(addresses)
        self._drop_all()

    def apply(self, change: Change, now: int) -> None:
        """Take in a change: the answers that it touches are dropped. ``now`` is Unix seconds."""
        try:
            touched = self.zone.cluster.update(change, now)
        except Exception:
            self._drop_all()  # whatever the bug left half done, no answer from before it is served
            raise
        if not touched:
            return
        if isinstance(change, NamespaceChange):
            self._drop_all()
            return
        for tag in touched:
            for answer in self._by_tag.pop(tag, ()):
                answer.live = False
        self._drop_passing()

    def lookup(self, name: bytes, rtype: int) -> Result | Missing:
        """See `Zone.lookup`."""
        return self.zone.lookup(name, rtype)

    def records(self) -> Iterator[RRset]:
        """See `Zone.records`."""
        return self.zone.records()

    def kept(self, name: bytes, rtype: int) -> Answer | None:
        """The Answer for a folded name if it is compiled already; octets that are not a name have none."""
        by_name = self._kept.get(rtype)
        if by_name is None:
            return None
        answer = by_name.get(name)
        return answer if answer is not None and answer.live else None

    def find(self, name: bytes, rtype: int) -> Answer | None:
        """The Answer for a folded name; None for one outside of our zones, or if another plugin answers, see `ours`."""
        if self.zone.outside(name):
            return None
        answer = self.kept(name, rtype)
        if answer is not None:
            return answer
        result = self.zone.lookup(name, rtype)
        if isinstance(result, Missing) or not self.ours(result):
            return None
        return self._keep(name, rtype, result)

    def ours(self, result: Result) -> bool:
        """True if a result is the whole answer, and no other plugin has a say in it."""
        return not result.fallthrough and (result.chase is None or not self.chased_elsewhere)

    def _keep(self, name: bytes, rtype: int, result: Result) -> Answer:
        if not result.answer:
            key = (result.zone, rtype, result.rcode, len(name))
            answer = self._negative.get(key)
            if answer is None:
                if len(self._negative) >= MAX_NEGATIVE:
                    self._drop_passing()
                answer = self._negative[key] = self._compile(name, result)
            return answer
        if self._count >= MAX_ANSWERS or self._octets >= MAX_OCTETS:
            self._drop_all()
        answer = self._compile(name, result)
        by_name = self._kept.setdefault(rtype, {})
        replaced = by_name.get(name)
        by_name[name] = answer
        self._count += replaced is None
        self._octets += answer.octets - (replaced.octets if replaced is not None else 0)
        if result.lasting:
            for tag in result.tags:
                self._by_tag.setdefault(tag, []).append(answer)
        else:
            self._passing.append(answer)
        return answer

    def _compile(self, name: bytes, result: Result) -> Answer:
        sections = compose_rrsets(name, result.answer, result.authority, result.additional, TCP_LIMIT)
        first, last = rotated_run(result.answer)
        ends = (0, *sections.ends)
        compiled = Answer(result.rcode, sections, (ends[first], ends[last]), shared=not result.answer)
        compiled.uncompressed = sum(map(uncompressed, chain(result.answer, result.authority, result.additional)))
        if last > first:
            compiled.unit = ends[first + 1] - ends[first]
            # Answers that change often begin at ever another record, or the first would get all the traffic.
            self._compiled += 1
            compiled.turn = compiled.unit * (self._compiled % (last - first))
        return compiled

    def _drop_passing(self) -> None:
        for answer in self._passing:
            answer.live = False
        self._passing.clear()
        for answer in self._negative.values():
            answer.live = False
        self._negative.clear()

    def _drop_all(self) -> None:
        for by_name in self._kept.values():
            for answer in by_name.values():
                answer.live = False
        self._kept.clear()
        self._by_tag.clear()
        self._count = self._octets = 0
        self._drop_passing()


def uncompressed(rrset: RRset) -> int:
    """Octets of the records of an RRset with its owner written out: 10 of each are type, class, TTL and length."""
    return (len(rrset.owner) + 10) * len(rrset.rdatas) + sum(map(len, rrset.rdatas))


def to_rrs(rrsets: Sequence[RRset]) -> Iterator[RR]:
    """RRsets as single records."""
    for rrset in rrsets:
        for rdata in rrset.rdatas:
            yield RR(rrset.owner, rrset.rtype, rrset.ttl, rdata)


def rotated_run(answer: Sequence[RRset]) -> tuple[int, int]:
    """First and one past the last of the records in an answer section that take turns; equal if none do.

    They are the addresses, if there are two or more, at the end of the section: only CNAMEs come before them.
    """
    if not answer or answer[-1].rtype not in {A, AAAA} or len(answer[-1].rdatas) < 2:
        return 0, 0
    last = sum(len(rrset.rdatas) for rrset in answer)
    return last - len(answer[-1].rdatas), last
