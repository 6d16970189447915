"""One half of a cache: what is kept for each question, and what goes when it is full."""

from collections.abc import Callable
from typing import Final, NamedTuple

from kdns.dns.api.compiled import Compiled, Counts, Loaded
from kdns.dns.api.handler import Response
from kdns.dns.cache.aged import Aged, hit_flags, rotating, shuffled_elsewhere, with_ttls
from kdns.dns.cache.kinds import Kind, with_ttl
from kdns.wire.compose import Sections, compose_sections, head
from kdns.wire.message import parse_message
from kdns.wire.numbers import AD, QR, RA
from kdns.wire.query import Query

LOOKS: Final = 3
"""How many entries are looked at for one that is over, before the first of them goes."""
RECORD: Final = 160
"""Octets that a record takes in memory beside its rdata, about."""
FIXED: Final = 4
"""So many records' worth is what an entry of octets takes beside them; `OCTET` for each octet, with its place."""
OCTET: Final = 6
ROOM: Final = 4096
"""Octets of memory for each entry on average: a common one takes a third of that, but one answer over TCP may have
thousands of records, and the owner of any domain can make as many such answers as he likes."""
LEAST_ROOM: Final = 24 << 20
"""Octets for all entries, whatever the number of entries."""
NEVER: Final = -(1 << 62)
"""A second long ago."""


Key = bytes
"""What must be the same for one response to do for two queries, see `kdns.dns.cache.partitions.key_of`. Octets know
their hash, which a tuple works out each time that it is looked for."""


class CleanOctets(NamedTuple):
    """A clean response (`kdns.wire.walk`) as it is kept."""

    name: bytes
    """The question's, folded."""
    rcode: int
    flags: int
    sections: Sections
    uncompressed: int


class Entry:
    """A response and how long it is good for. Seconds are whole ones of a monotonic clock."""

    __slots__ = (
        "_aged",
        "_composed",
        "_last",
        "_name",
        "_response",
        "answering",
        "at",
        "duration",
        "flags",
        "hits",
        "keepttl",
        "key",
        "kind",
        "last_good",
        "place",
        "rcode",
        "refreshing",
        "retry_at",
        "uncompressed",
        "weight",
    )  # fmt: skip

    def __init__(
        self,
        response: Response | CleanOctets,
        kind: Kind,
        at: int,
        duration: int,
        *,
        answering: bool = False,
        keepttl: bool = False,
    ) -> None:
        """``at`` is when it came; all its TTLs are ``duration``."""
        self._composed: Sections | None
        """The records of clean octets are made where they are read, each time: kept, they take many times as much."""
        self._response: Response | None
        self.weight: int
        """About how many octets of memory it takes."""
        self.uncompressed: int
        """Octets of its records with all names written out."""
        if type(response) is CleanOctets:
            self._name, self.rcode, flags, sections, self.uncompressed = response
            self.flags = flags & (RA | AD)
            self.weight = RECORD * FIXED + OCTET * len(sections.octets)
            self._composed, self._response = sections, None
        else:
            assert type(response) is Response
            self._keep_records(response)
        self.kind, self.at, self.duration = kind, at, duration
        self.answering = answering
        """It has what was asked for."""
        self.keepttl = keepttl
        """Its TTLs do not run down."""
        self.last_good: Entry | None = None
        """What stood in its place and did answer the question, where that is to be preferred."""
        self.refreshing = False
        """It is being asked again."""
        self.retry_at = NEVER
        """After an attempt to refresh it that failed: when there may be another one."""
        self.hits = 0
        """Uses without a pause that was too long, see `used`."""
        self.key, self.place = b"", -1
        """What it is found by in its `Store`, and where it stands there."""
        self._last = NEVER
        self._aged: Aged | None = None

    def _keep_records(self, response: Response) -> None:
        owners: dict[bytes, bytes] = {}
        answer, authority, additional = (
            tuple([rr._replace(owner=owners.setdefault(rr.owner, rr.owner)) for rr in section])
            for section in (response.answer, response.authority, response.additional)
        )
        self._composed = None
        self._response = Response(response.rcode, response.flags & (RA | AD), answer, authority, additional)
        self.rcode, self.flags = self._response.rcode, self._response.flags
        records = (*answer, *authority, *additional)
        self.weight = RECORD + sum(RECORD + len(rr.rdata) for rr in records)
        self.uncompressed = sum(len(rr.owner) + 10 + len(rr.rdata) for rr in records)

    @property
    def response(self) -> Response:
        """The response as it is kept, with TTLs as they were when it came."""
        if self._response is not None:
            return self._response
        assert self._composed is not None
        octets = bytes(2) + head(QR, self._composed.counts, opt=False) + self._name + bytes(4) + self._composed.octets
        message = parse_message(octets)
        return Response(self.rcode, self.flags, message.answer, message.authority, message.additional)

    @property
    def shuffled(self) -> bool:
        """More than the addresses at the end of its answer is put in another order by ``loadbalance``."""
        composed = self._composed
        if composed is not None and composed.counts[0] + composed.counts[2] < 2:
            return False
        kept = self.response
        return shuffled_elsewhere(kept.answer, kept.additional)

    def left(self, now: int) -> int:
        """For how many seconds it is good; 0 and less: for so long it has been over."""
        return self.at + self.duration - now

    def used(self, now: int, gap: float) -> None:
        """Count a use; one more than ``gap`` seconds after the last is the first again."""
        self.hits = 1 if now - self._last > gap else self.hits + 1
        self._last = now

    def inherit(self, before: "Entry") -> None:
        """Go on counting where the entry that this one replaces has stopped."""
        self.hits, self._last = before.hits, before._last

    def reply(self, query: Query, now: int, ttl: int | None = None) -> Response:
        """The response to a query; with a certain TTL instead of the seconds that are left."""
        if ttl is None:
            ttl = self.duration if self.keepttl else max(0, self.left(now))
        seconds, sections = ttl, self._sections(query.name)

        def cut(room: int) -> tuple[bytes, Counts]:
            size, counts = sections.cut(room)
            return with_ttls(sections, size, seconds), counts

        def load() -> Loaded:
            kept = self.response
            answer, authority, additional = kept.answer, kept.authority, kept.additional
            return with_ttl(answer, seconds), with_ttl(authority, seconds), with_ttl(additional, seconds)

        compiled = Compiled(query.name, sections, cut, load, self.uncompressed)
        records = (compiled.answer, compiled.authority, compiled.additional)
        return Response(self.rcode, hit_flags(self.flags, query), *records, "cache", compiled=compiled)

    def _sections(self, name: bytes) -> Sections:
        """Its octets, composed once: all queries for it are for this folded name."""
        if self._composed is None:
            kept = self.response
            self._composed = compose_sections(name, kept.answer, kept.authority, kept.additional)
        return self._composed

    def aged(self, name: bytes, rotate: bool, watch: "Callable[[Entry, int], bool] | None" = None) -> Aged:
        """The same as octets, for queries for a folded name; ``watch`` is called with each use and its second."""
        if self._aged is None:
            sections, run = self._sections(name), (0, 0)
            if rotate and max(sections.counts) > 1:  # in another order they are composed, see `loadbalance`
                kept = self.response
                run = rotating(kept.answer)
                sections = compose_sections(name, kept.answer, kept.authority, kept.additional)
            self._aged = Aged(
                self.rcode,
                self.flags,
                sections,
                self.at + self.duration,
                ages=not self.keepttl,
                run=run,
                use=None if watch is None else lambda now: watch(self, now),
            )
        return self._aged

    def drop(self) -> None:
        """Octets made from it must not be sent any more."""
        if self._aged is not None:
            self._aged.live = False
            self._aged = None

    def begin(self, now: int) -> bool:
        """Start asking again; False if that is under way already, or the last failure is too fresh."""
        if self.refreshing or now < self.retry_at:
            return False
        self.refreshing = True
        return True

    def end(self, now: float, refreshed: bool, recheck: float) -> None:
        """The attempt is over; after a failure there is none for ``recheck`` seconds."""
        self.refreshing = False
        self.retry_at = NEVER if refreshed or not recheck else int(now + recheck)


class Store:
    """At most so many entries, by question, and not more memory than `ROOM` for each of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = max(LEAST_ROOM, most * ROOM)
        self._weight = 0
        self._entries: dict[Key, Entry] = {}
        self._order: list[Entry] = []
        """About as they came; an entry knows its place."""
        self._hand = 0
        """Where the next one that has to go is looked for; it goes round."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        """The entry of a question, good or over."""
        return self._entries.get(key)

    @property
    def weight(self) -> int:
        """About how many octets of memory its entries take."""
        return self._weight

    def put(self, key: Key, entry: Entry, now: int) -> int:
        """Keep an entry in place of the one for the same question; how many others had to go."""
        entries, order, gone = self._entries, self._order, 0
        if key in entries:
            self.remove(key)
        while order and (len(order) >= self._most or self._weight + entry.weight > self._room):
            self.remove(self._victim(now).key)
            gone += 1
        entry.key, entry.place = key, len(order)
        order.append(entry)
        entries[key] = entry
        self._weight += entry.weight
        return gone

    def remove(self, key: Key) -> None:
        """Forget what is kept for a question, if anything is."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        entry.drop()
        self._weight -= entry.weight
        moved = self._order.pop()
        if moved is not entry:
            self._order[entry.place] = moved
            moved.place = entry.place

    def _victim(self, now: int) -> Entry:
        """The next one, or one of the next few that is over."""
        order = self._order
        first = self._hand
        if first >= len(order):
            first = 0
        self._hand = first + 1
        few = order[first : first + LOOKS]
        for entry in few:
            if entry.at + entry.duration <= now:
                return entry
        return few[0]
