"""The fast way: from the octets of a plain query to those of its reply without parsing it.

::

    message ──> remembered as it is spelled? ──> its octets, with this id                      (most)
       └─ no ──> remembered in lower case? ──> the same, with the client's spelling            (0x20)
           └─ no ──> next to a name that was missing? ──> the same "no"
               └─ no ──> a plain form? ──> answers.find ──> octets, remembered
                   └─ None: the slow way

Nothing here decides what is answered: all octets are made from an `Answer`, and are good for as long as it lives.
Those of an `Aged` one are kept in pieces, split where the TTLs stand: the seconds that are left join them. The clock
is read by `FastWay.tick`, once for each batch of messages.
"""

import time
from collections.abc import Callable
from typing import Final

from kdns.base.clock import Clock
from kdns.dns.api.plugin import KnownChildren, PrecompiledAnswer
from kdns.dns.cache.aged import Aged
from kdns.dns.query.router import Ready, Router
from kdns.metrics.dns import OTHER_RCODE, Counted, Hit, LaneCounts
from kdns.records.answers import Answer
from kdns.wire.compose import head
from kdns.wire.numbers import AA, AD, CD, HEADER, IN, QR, RD, TC, TRANSFERS
from kdns.wire.query import Edns, Query, opt_record, reply_payload
from kdns.wire.types import TYPE_TEXT

MAX_ENTRIES: Final = 16384
"""Whole messages in each of two generations: when the younger is full the elder is forgotten."""
MAX_KINDS: Final = 16384
"""Kinds of replies counted by their size; more are counted as if they were as long as their queries."""
MAX_OCTETS: Final = 4 << 20
"""Octets of replies in each generation. Over TCP a reply may have 65,535, and each EDNS payload size that somebody
makes up is another message: by number alone a thousand small queries would fill a container's memory."""
MAX_ONCE: Final = 8192
"""Messages that missed once, remembered until they come again or there are so many."""
MAX_MISSES: Final = 4096
"""Ways to miss remembered at most: search domains, by lengths of labels, by types."""

COPIED: Final = RD | CD
"""RFC 1035 section 4.1.1: RD "may be set in a query and is copied into the response"; RFC 4035 section 3.2.2 for CD."""

_HEAD: Final = 10  # octets 2 to 12: flags and counts
_TYPE: Final = 4  # type and class
_OPT: Final = 11
_SHAPES: Final = {
    head(flags, (0, 0, 0), opt): (flags, opt)
    for flags in (rd | ad | cd for rd in (0, RD) for ad in (0, AD) for cd in (0, CD))
    for opt in (False, True)
}
"""Octets 2 to 12 of plain queries: their flags, and whether an OPT record follows the question."""
_DO: Final = {b"\0\0\0\0": False, b"\x80\0\0\0": True}
"""The last four octets of an OPT record without options: flags and length."""

AGES: Final = -1
"""In the place of the octets of a rotation: the reply ages."""

Ages = tuple[int, tuple[bytes, ...], tuple[tuple[bytes, ...], ...]]
"""The second from which on the octets are over, 0 if it takes more than a look at the clock to tell; their pieces, to
be joined by the TTL, or none where addresses take turns: then the same for each rotation."""
YOUNG: Final[Ages] = (0, (), ())
"""For octets that do not age."""
Entry = tuple[Answer, dict[int, int], bytes, int, bytes, int, Ages]
"""For one exact message in lower case: its answer; its tally by length of the query; octets behind the id; how many
octets of the rotation follow, or how it ages; what comes behind those; how many octets of the message follow the name;
and the octets of what ages."""
Miss = tuple[Answer, dict[int, int], bytes, bytes, int, KnownChildren]
"""A "no" to all messages that differ in a first label of one length: its answer and tally, head of the reply, what
follows the question, where the question ends, and the names next to it for which it would be wrong."""


TTLS: Final = [seconds.to_bytes(4, "big") for seconds in range(3601)]
"""By seconds: an hour is the most that a cache keeps anything unless it is told to."""
UNTOLD: Final = 1 << 62
"""The second of a lane that nobody tells the time: all that ages is over."""


def kind_of(query: Query, rcode: int, grow: int, zone: str, plugin: str, hit: Hit | None = None) -> Counted:
    """Which replies are counted together; types without a name are all type 0, rcodes without one are one, too."""
    rtype = query.rtype if query.rtype in TYPE_TEXT else 0
    return Counted(zone, rtype, min(rcode, OTHER_RCODE), query.edns is not None and query.edns.do, grow, plugin, hit)


def tally(counts: LaneCounts, kind: Counted) -> dict[int, int]:
    """Where replies of one kind are counted."""
    if len(counts.tallies) >= MAX_KINDS and kind not in counts.tallies:
        kind = kind._replace(grow=0)  # names outside can be answered with any size there is
    return counts.tallies[kind]


class FastWay:
    """What one lane remembers of the messages it has answered. ``site`` gives the one that is served now.

    ``clock`` must be the one that `Aged` answers are timed by.
    """

    def __init__(self, site: Callable[[], Router], counts: LaneCounts, clock: Clock = time.monotonic) -> None:
        self._site, self._counts, self._clock = site, counts, clock
        self._now = UNTOLD
        self._entries: dict[bytes, Entry] = {}  # by the message without its id
        self._elder: dict[bytes, Entry] = {}
        self._octets = 0  # of replies in the younger generation
        self._misses: dict[bytes, Miss] = {}  # by the message without id and first label
        self._once: set[bytes] = set()  # messages that missed once, without their ids

    def tick(self) -> None:
        """Read the clock: to be called before each batch of messages; without it, nothing that ages is served."""
        self._now = int(self._clock())

    def forget(self) -> None:
        """Remember nothing: the site, or what its plugins say, is another."""
        self._entries, self._elder, self._misses, self._octets = {}, {}, {}, 0
        self._once.clear()

    @property
    def remembered(self) -> tuple[int, int]:
        """How many messages, and how many ways to miss."""
        return len(self._entries) + len(self._elder), len(self._misses)

    def reply(self, message: bytes) -> bytes | None:
        """The whole reply, counted; None: take the slow way."""
        key = message[2:]
        entry = self._entries.get(key)
        if entry is None or not entry[0].live:
            return self._first(message, key)
        answer, tallied, octets, rotated, rest, _, ages = entry
        if rotated < 0:
            until, pieces, turns = ages
            left = until - self._now
            if left <= 0:
                return self._ageing(message, key, entry)
            tallied[len(message)] += 1
            if pieces:
                return message[:2] + TTLS[left].join(pieces)
            turn = answer.turn
            answer.turn = turn + 1 if turn + 1 < answer.ring_size else 0
            return message[:2] + TTLS[left].join(turns[turn])
        tallied[len(message)] += 1
        if not rotated:
            return message[:2] + octets
        turn = answer.turn  # Answer.next_turn, written out: this is the hottest line of all
        following = turn + answer.unit
        answer.turn = following if following < answer.ring_size else 0
        return message[:2] + octets + answer.ring[turn : turn + rotated] + rest

    def _ageing(self, message: bytes, key: bytes, entry: Entry) -> bytes | None:
        """The reply from an entry that ages, counted; one that is over is forgotten, and looked for anew."""
        octets = self._aged(message, entry)
        if octets is not None:
            return message[:2] + octets
        if entry[0].live:
            return None
        self._entries.pop(key, None)
        self._elder.pop(key, None)
        return self._first(message, key)

    def _aged(self, message: bytes, entry: Entry) -> bytes | None:
        """The octets behind the id from an entry that ages, counted; None if it is over, or the chain must see this."""
        answer, tallied, _, _, _, _, (_, pieces, turns) = entry
        assert isinstance(answer, Aged)
        left = answer.until - self._now
        if left <= 0:
            if self._now != UNTOLD:
                answer.live = False
            return None
        if answer.use is not None and not answer.use(self._now):
            return None
        tallied[len(message)] += 1
        return left.to_bytes(4, "big").join(pieces or turns[answer.next_turn()])

    def _first(self, message: bytes, key: bytes) -> bytes | None:
        """The reply to a message that is not remembered as it is spelled."""
        folded = key.lower()
        if folded != key:
            entry = self._entries.get(folded)
            if entry is not None and entry[0].live and _alike_but_for_the_name(key, folded, entry[5]):
                return self._respelled(message, entry)
        miss = self._missing(message, key if folded == key else b"")
        if miss is not None:
            return miss
        entry = self._admit(message)
        return self._respelled(message, entry) if entry is not None else None

    def _respelled(self, message: bytes, entry: Entry) -> bytes | None:
        """The reply to a message that differs from an entry's in id and spelling only, counted; None as in `_aged`."""
        answer, tallied, octets, rotated, rest, behind, _ = entry
        if rotated < 0:
            aged = self._aged(message, entry)
            if aged is None:
                return None
            octets, rotated = aged, 0
        else:
            tallied[len(message)] += 1
        end = len(message) - behind + _TYPE
        start = message[:2] + octets[:_HEAD] + message[HEADER:end] + octets[_HEAD + end - HEADER :]
        if not rotated:
            return start
        turn = answer.next_turn()
        return start + answer.ring[turn : turn + rotated] + rest

    def _missing(self, message: bytes, key: bytes) -> bytes | None:
        """The reply to a plain query for a name next to one that was missing; None if that is not known.

        Names that do not exist are as many as anybody likes, so what is remembered is what follows the first label, for
        each length of it. The rest of the message matches an earlier one exactly, which proves it. Whole messages are
        remembered when they come again (``key``, empty for those that must not be): search lists make the same ones.
        """
        if len(message) <= HEADER:
            return None
        at = HEADER + 1 + message[HEADER]
        miss = self._misses.get(message[2 : HEADER + 1] + message[at:])
        if miss is None or not miss[0].live:
            return None
        _, tallied, before, behind, end, (names, after) = miss
        if after and message[HEADER:at].lower() + after in names:
            return None
        tallied[len(message)] += 1
        octets = before + message[HEADER:end] + behind
        if key in self._once:
            self._remember(key, (miss[0], tallied, octets, 0, b"", len(message) - end + _TYPE, YOUNG))
        elif key:
            if len(self._once) >= MAX_ONCE:
                self._once.clear()
            self._once.add(key)
        return message[:2] + octets

    def _remember(self, key: bytes, entry: Entry) -> None:
        if len(self._entries) >= MAX_ENTRIES or self._octets >= MAX_OCTETS:
            self._elder, self._entries, self._octets = self._entries, {}, 0
        self._entries[key] = entry
        _, pieces, turns = entry[6]
        self._octets += len(entry[2]) + len(entry[4]) + sum(len(each) for turn in (pieces, *turns) for each in turn)

    def _admit(self, message: bytes) -> Entry | None:
        """The entry of a message in lower case, made if need be; None if it is of no plain form, or not ours to answer.

        Only lower case is remembered: spellings made up for each query must not push out what is asked again and again.
        """
        shape = _SHAPES.get(message[2:HEADER])
        if shape is None:
            return None
        flags, opt = shape
        behind = _TYPE + (_OPT if opt else 0)
        name = message[HEADER:-behind].lower()
        tail = message[-behind:]
        key = message[2:HEADER] + name + tail
        entry = self._entries.get(key) or self._elder.get(key)
        if entry is None or not entry[0].live:
            query = _plain_query(flags, name, tail)
            ready = self._site().find(query) if query is not None else None
            if query is None or ready is None:
                return None
            entry = self._make(query, ready, behind)
            if ready.found.known_children is not None and self._note_miss(key, name, entry, ready.found):
                return entry
        self._remember(key, entry)
        return entry

    def _make(self, query: Query, ready: Ready, behind: int) -> Entry:
        answer = ready.found.answer
        edns = query.edns
        opt = opt_record(reply_payload(edns), edns.do) if edns is not None else b""
        room = query.limit(self._counts.proto) - HEADER - len(query.question) - len(opt)
        kept, counts = answer.sections.cut(room)
        flags = QR | (answer.flags(query) if isinstance(answer, Aged) else AA) | query.flags & COPIED | answer.rcode
        if kept < len(answer.sections.octets):
            flags |= TC
        if isinstance(answer, Aged):
            start = head(flags, counts, edns is not None) + query.question
            return self._make_aged(query, ready, answer, (start, kept, opt), behind)
        before = answer.before[:kept]
        rotated = min(answer.ring_size, kept - len(before))
        after = answer.after[: kept - len(before) - rotated]
        octets = head(flags, counts, edns is not None) + query.question + before
        if rotated:
            rest = after + opt
        else:
            octets, rest = octets + after + opt, b""
        grow = len(octets) + rotated + len(rest) - _HEAD - len(query.name) - behind
        return answer, self._tally(query, ready, grow), octets, rotated, rest, behind, YOUNG

    def _make_aged(
        self, query: Query, ready: Ready, answer: Aged, parts: tuple[bytes, int, bytes], behind: int
    ) -> Entry:
        start, kept, opt = parts
        turns = tuple(answer.pieces(start, kept, opt, turn) for turn in range(answer.ring_size))
        pieces = () if turns else answer.pieces(start, kept, opt)
        grow = len(start) + kept + len(opt) - _HEAD - len(query.name) - behind
        simple = answer.use is None and 0 < answer.until - self._now < len(TTLS)
        ages = answer.until if simple else 0, pieces, turns
        return answer, self._tally(query, ready, grow), b"", AGES, b"", behind, ages

    def _tally(self, query: Query, ready: Ready, grow: int) -> dict[int, int]:
        found = ready.found
        return tally(self._counts, kind_of(query, found.answer.rcode, grow, ready.zone, found.plugin, found.hit))

    def _note_miss(self, key: bytes, name: bytes, entry: Entry, found: PrecompiledAnswer) -> bool:
        """Remember what follows the first label of a name that does not exist; False if that says nothing of others."""
        first = 1 + name[0]
        known_children = self._site().known_children(name, found)
        if known_children is None:
            return False
        if len(self._misses) >= MAX_MISSES:
            self._misses.clear()
        answer, tallied, octets, _, _, _, _ = entry
        question = len(name) + _TYPE
        self._misses[key[: _HEAD + 1] + key[_HEAD + first :]] = (
            answer, tallied, octets[:_HEAD], octets[_HEAD + question :], HEADER + question, known_children,
        )  # fmt: skip
        return True


def _alike_but_for_the_name(key: bytes, folded: bytes, behind: int) -> bool:
    """True if folding changed nothing but the name: as a letter, type 65 (HTTPS) would become type 97."""
    return key[:_HEAD] == folded[:_HEAD] and key[-behind:] == folded[-behind:]


def _plain_query(flags: int, name: bytes, tail: bytes) -> Query | None:
    """The query of a plain message: what follows the name is type, class, and at most an OPT record without options."""
    rtype = int.from_bytes(tail[:2], "big")
    if tail[2:_TYPE] != b"\0\1" or rtype in TRANSFERS:
        return None
    edns = None
    if len(tail) > _TYPE:
        do = _DO.get(tail[-4:])
        if do is None or tail[4:7] != b"\0\0\x29" or tail[-6:-4] != b"\0\0":
            return None
        edns = Edns(int.from_bytes(tail[7:9], "big"), 0, do)
    return Query(0, flags, name + tail[:_TYPE], name, rtype, IN, edns)
