"""The fast path: from the octets of a plain query to those of its reply without parsing it.

::

    message ──> remembered as it is spelled? ──> its octets, with this id                      (most)
       └─ no ──> remembered in lower case? ──> the same, with the client's spelling            (0x20)
           └─ no ──> next to a name that was missing? ──> the same "no"
               └─ no ──> a plain query? ──> router.find ──> octets, remembered
                   └─ no ──> a plain query with options or ignored flags? ──> the reply of the plain one
                       └─ None: the slow path

Nothing here decides what is answered: all octets are made from an `Answer`, and are good for as long as it lives.
Those of an `Aged` one are kept in pieces, split where the TTLs stand: the seconds that are left join them. The clock
is read by `FastPath.tick`, once for each batch of messages.
"""

import time
from collections.abc import Callable
from typing import Final

from kdns.base.clock import Clock
from kdns.dns.api.plugin import PrecompiledAnswer, Watch
from kdns.dns.cache.aged import Aged
from kdns.dns.query.forms import OPT, SHAPES, TYPE, plain_query, variant
from kdns.dns.query.remembered import (
    COUNTS,
    AgingReply,
    FixedReply,
    Miss,
    Remembered,
    RotatingReply,
    Use,
    WatchedReply,
    WatchedRotatingReply,
)
from kdns.dns.query.router import Missed, Ready, Router
from kdns.metrics.dns import OTHER_RCODE, Counted, Hit, SocketCounts
from kdns.wire.compose import head
from kdns.wire.numbers import AA, AD, CD, HEADER, QR, RD, TC
from kdns.wire.query import Query, opt_record, reply_payload
from kdns.wire.types import TYPE_TEXT

MAX_ENTRIES: Final = 16384
"""Whole messages in each of two generations: when the younger is full the elder is forgotten."""
MAX_KINDS: Final = 16384
"""Kinds of replies counted by their size; more are counted as if they were as long as their queries."""
MAX_OCTETS: Final = 4 << 20
"""Octets of replies in each generation. Over TCP a reply may have 65,535, and each EDNS payload size that a client
makes up is another message: by number alone a thousand small queries would fill a container's memory."""
MAX_ONCE: Final = 8192
"""Messages that missed once, remembered until they come again or there are so many."""
MAX_MISSES: Final = 4096
"""Ways to miss remembered at most: search domains, by lengths of labels, by types."""

COPIED: Final = RD | CD
"""RFC 1035 section 4.1.1: RD "may be set in a query and is copied into the response"; RFC 4035 section 3.2.2 for CD."""


TTLS: Final = [seconds.to_bytes(4, "big") for seconds in range(3601)]
"""By seconds: an hour is the most that a cache keeps anything unless it is configured to."""
CLOCK_NOT_READ: Final = 1 << 62
"""The second of a socket whose clock was not read yet: every answer that ages has expired."""


def kind_of(query: Query, rcode: int, grow: int, zone: str, plugin: str, hit: Hit | None = None) -> Counted:
    """Which replies are counted together; types without a name are all type 0, rcodes without one are one, too."""
    rtype = query.rtype if query.rtype in TYPE_TEXT else 0
    return Counted(zone, rtype, min(rcode, OTHER_RCODE), query.edns is not None and query.edns.do, grow, plugin, hit)


def bounded(counts: SocketCounts, kind: Counted) -> Counted:
    """The kind under which replies are tallied; of more than `MAX_KINDS` the size of the reply is not counted."""
    if len(counts.tallies) >= MAX_KINDS and kind not in counts.tallies:
        return kind._replace(grow=0)  # names outside can be answered with any size there is
    return kind


class FastPath:
    """What one socket remembers of the messages it has answered. ``router`` gives the one that is in service now.

    ``clock`` must be the one that `Aged` answers are timed by.
    """

    def __init__(self, router: Callable[[], Router], counts: SocketCounts, clock: Clock = time.monotonic) -> None:
        self._router, self._counts, self._clock = router, counts, clock
        self._now = CLOCK_NOT_READ
        self.asker: Callable[[], bytes] | None = None
        """Who has sent the message at hand, packed; None: that is not known here."""
        self._entries: dict[bytes, Remembered] = {}  # by the message without its id
        self._elder: dict[bytes, Remembered] = {}
        self._octets = 0  # of replies in the younger generation
        self._misses: dict[bytes, Miss] = {}  # by the message without id and first label
        self.missed: Missed | None = None
        """The last plain query that it could not answer, so that it need not be parsed once more."""
        self._once: set[bytes] = set()  # messages that missed once, without their ids

    def tick(self) -> None:
        """Read the clock: to be called before each batch of messages; without it, nothing that ages is served."""
        self._now = int(self._clock())

    def forget(self) -> None:
        """Remember nothing: there is another router, or its plugins' `Built.must_see` have changed."""
        self._entries, self._elder, self._misses, self._octets = {}, {}, {}, 0
        self._once.clear()

    @property
    def remembered(self) -> tuple[int, int]:
        """How many messages, and how many ways to miss."""
        return len(self._entries) + len(self._elder), len(self._misses)

    @property
    def octets(self) -> int:
        """Octets of replies that are kept."""
        return sum(entry.size for entry in (*self._entries.values(), *self._elder.values()))

    def reply(self, message: bytes) -> bytes | None:
        """The whole reply, counted; None: take the slow path."""
        key = message[2:]
        entry = self._entries.get(key)
        if entry is None or not entry.answer.live:
            return self._first(message, key)
        if type(entry) is FixedReply:
            entry.tally[len(message)] += 1
            return message[:2] + entry.octets
        answer = entry.answer
        if type(entry) is RotatingReply:
            entry.tally[len(message)] += 1
            turn = answer.turn  # Answer.next_turn, written out: this is the hottest line of all
            following = turn + answer.unit
            answer.turn = following if following < answer.ring_size else 0
            return message[:2] + entry.octets + answer.ring[turn : turn + entry.rotated] + entry.rest
        if type(entry) is WatchedReply:
            watch = entry.watch
            if watch is not None and not self._passes(watch):
                return None
            entry.tally[len(message)] += 1
            return message[:2] + entry.octets
        if type(entry) is not AgingReply:
            return self._watched(message, entry)
        left = entry.until - self._now
        if left <= 0:
            return self._ageing(message, key, entry)
        entry.tally[len(message)] += 1
        if entry.pieces:
            return message[:2] + TTLS[left].join(entry.pieces)
        turn = answer.turn
        answer.turn = turn + 1 if turn + 1 < answer.ring_size else 0
        return message[:2] + TTLS[left].join(entry.turns[turn])

    def _watched(self, message: bytes, entry: FixedReply | RotatingReply) -> bytes | None:
        """The reply with addresses that take turns, of which a plugin must see some uses; None: this is such a use."""
        if entry.watch is not None and not self._passes(entry.watch):
            return None
        entry.tally[len(message)] += 1
        assert isinstance(entry, RotatingReply)
        turn = entry.answer.next_turn()
        return message[:2] + entry.octets + entry.answer.ring[turn : turn + entry.rotated] + entry.rest

    def _ageing(self, message: bytes, key: bytes, entry: AgingReply) -> bytes | None:
        """The reply from an entry that ages, counted; an expired one is forgotten, and the answer looked up again."""
        octets = self._aged(entry)
        if octets is not None:
            entry.tally[len(message)] += 1
            return message[:2] + octets
        if entry.answer.live:
            return None
        self._entries.pop(key, None)
        self._elder.pop(key, None)
        return self._first(message, key)

    def _aged(self, entry: AgingReply) -> bytes | None:
        """The octets behind the id from an entry that ages; None if it has expired, or the chain must see this use."""
        answer = entry.answer
        assert isinstance(answer, Aged)
        left = answer.until - self._now
        if left <= 0:
            if self._now != CLOCK_NOT_READ:
                answer.live = False
            return None
        if entry.watch is not None and not self._passes(entry.watch):
            return None
        if answer.use is not None and not answer.use(self._now):
            return None
        return left.to_bytes(4, "big").join(entry.pieces or entry.turns[answer.next_turn()])

    def _first(self, message: bytes, key: bytes) -> bytes | None:
        """The reply to a message that is not remembered as it is spelled."""
        folded = key.lower()
        entry: Remembered | None
        if folded != key:
            entry = self._entries.get(folded)
            if entry is not None and entry.answer.live:
                if type(entry) is FixedReply and entry.spelled_freely:  # most of them: `_respelled`, written out
                    octets, size = entry.octets, len(message)
                    entry.tally[size] += 1
                    end = size - entry.behind + TYPE
                    return message[:2] + octets[:COUNTS] + message[HEADER:end] + octets[end - 2 :]
                if _alike_but_for_the_name(key, folded, entry.behind):
                    return self._respelled(message, entry, entry.tally)
        miss = self._missing(message, key if folded == key else b"") if self._misses else None
        if miss is not None:
            return miss or None
        shape = SHAPES.get(message[2:HEADER])
        if shape is not None:
            flags, opt = shape
            behind = TYPE + (OPT if opt else 0)
            query = plain_query(flags, message[HEADER:-behind].lower(), message[-behind:])
            if query is not None:
                entry = self._admit(message, query, behind)
                return self._respelled(message, entry, entry.tally) if entry is not None else None
        return self._varied(message)

    def _varied(self, message: bytes) -> bytes | None:
        """The reply to a message that asks the same as a plain one, unless a plugin reads what makes it different.

        It is what the plain query is answered, which alone is remembered: options such as cookies are never the same.
        """
        its_variant = variant(message)
        ready = self._router().find(its_variant.query) if its_variant is not None else None
        if its_variant is None or ready is None:
            return None
        query, plain = its_variant
        behind = len(plain) - HEADER - len(query.name)
        edns = query.edns._replace(options=b"") if query.edns is not None else None
        entry = self._admit(plain, query._replace(flags=query.flags & (RD | AD | CD), edns=edns), behind)
        if entry is None or entry.answer is not ready.answer.answer:
            return None
        reply = self._respelled(plain, entry, None)
        if reply is not None:
            self._counts.note(entry.kind, len(message), len(reply))
            if entry.kind.hit is not None:
                entry.kind.hit(self._counts.server, 1)
        return reply

    def _respelled(self, message: bytes, entry: Remembered, tally: dict[int, int] | None) -> bytes | None:
        """The reply to a message that differs from an entry's in id and spelling only, counted in ``tally``.

        None as in `_aged`, or since a plugin must see this use.
        """
        if type(entry) is AgingReply:
            aged = self._aged(entry)
            if aged is None:
                return None
            octets = aged
        elif entry.watch is not None and not self._passes(entry.watch):
            return None
        else:
            octets = entry.octets
        if tally is not None:
            tally[len(message)] += 1
        end = len(message) - entry.behind + TYPE
        start = message[:2] + octets[:COUNTS] + message[HEADER:end] + octets[COUNTS + end - HEADER :]
        if not isinstance(entry, RotatingReply):
            return start
        turn = entry.answer.next_turn()
        return start + entry.answer.ring[turn : turn + entry.rotated] + entry.rest

    def _missing(self, message: bytes, key: bytes) -> bytes | None:
        """The reply to a plain query for a name next to one that was missing; None if that is not known.

        Empty if a plugin must see this use.

        Names that do not exist are without number, so what is remembered is what follows the first label, for each
        length of it. The rest of the message matches an earlier one exactly, which proves it. Whole messages are
        remembered when they come again (``key``, empty for those that must not be): search lists make the same ones.
        """
        if len(message) <= HEADER:
            return None
        at = HEADER + 1 + message[HEADER]
        miss = self._misses.get(message[2 : HEADER + 1] + message[at:])
        if miss is None or not miss.answer.live:
            return None
        answer, kind, tallied, before, rest, end, watch, (names, after) = miss
        if after and message[HEADER:at].lower() + after in names:
            return None
        if watch is not None and not self._passes(watch):
            return b""
        tallied[len(message)] += 1
        if key in self._once:
            octets = before + message[HEADER:end] + rest
            use = Use(answer, kind, tallied, len(message) - end + TYPE, watch)
            self._remember(key, FixedReply(use, octets) if watch is None else WatchedReply(use, octets))
        elif key:
            if len(self._once) >= MAX_ONCE:
                self._once.clear()
            self._once.add(key)
        return message[:2] + before + message[HEADER:end] + rest

    def _passes(self, watch: Watch) -> bool:
        """Count one use; False: the plugin must see this one."""
        if watch.of is not None:
            if self.asker is None:
                return False
            if not watch.of(self.asker()):
                return True
        if watch.left <= 0:
            return False
        watch.left -= 1
        return True

    def _remember(self, key: bytes, entry: Remembered) -> None:
        if len(self._entries) >= MAX_ENTRIES or self._octets >= MAX_OCTETS:
            self._elder, self._entries, self._octets = self._entries, {}, 0
        self._entries[key] = entry
        self._octets += entry.size

    def _admit(self, message: bytes, query: Query, behind: int) -> Remembered | None:
        """The entry of a plain message in lower case, made if need be; None if its answer is not precompiled.

        Only lower case is remembered: spellings made up for each query must not push out what is asked again and again.
        """
        key = message[2:HEADER] + query.name + message[-behind:]
        entry = self._entries.get(key) or self._elder.get(key)
        if entry is None or not entry.answer.live:
            router = self._router()
            admitted = router.forwarded(query)
            if admitted is not None:  # no plugin has an answer ready, see `ForwardStep.passes`
                self.missed = Missed(message, query, admitted)
                return None
            ready = router.find(query)
            if ready is None:
                self.missed = Missed(message, query)
                return None
            entry = self._make(query, ready, behind)
            if isinstance(entry, FixedReply):
                entry.spelled_freely = not (_has_letters(key[:COUNTS]) or _has_letters(key[-behind:]))
            if isinstance(entry, FixedReply) and self._note_miss(key, query.name, entry, ready.answer):
                return entry
        self._remember(key, entry)
        return entry

    def _make(self, query: Query, ready: Ready, behind: int) -> Remembered:
        answer = ready.answer.answer
        edns = query.edns
        opt = opt_record(reply_payload(edns), edns.do) if edns is not None else b""
        room = query.limit(self._counts.proto) - HEADER - len(query.question) - len(opt)
        kept, counts = answer.sections.cut(room)
        flags = QR | (answer.flags(query) if isinstance(answer, Aged) else AA) | query.flags & COPIED | answer.rcode
        if kept < len(answer.sections.octets):
            flags |= TC
        start = head(flags, counts, edns is not None) + query.question
        grow = len(start) + kept + len(opt) - COUNTS - len(query.name) - behind
        kind = self._kind(query, ready, grow)
        watch = ready.answer.watch
        use = Use(answer, kind, self._counts.tallies[kind], behind, watch)
        if isinstance(answer, Aged):
            turns = tuple(answer.pieces(start, kept, opt, turn) for turn in range(answer.ring_size))
            pieces = () if turns else answer.pieces(start, kept, opt)
            simple = answer.use is None and watch is None and 0 < answer.until - self._now < len(TTLS)
            return AgingReply(use, answer.until if simple else 0, pieces, turns)
        before = answer.before[:kept]
        rotated = min(answer.ring_size, kept - len(before))
        after = answer.after[: kept - len(before) - rotated]
        if rotated:
            parts = start + before, rotated, after + opt
            return RotatingReply(use, parts) if watch is None else WatchedRotatingReply(use, parts)
        octets = start + before + after + opt
        return FixedReply(use, octets) if watch is None else WatchedReply(use, octets)

    def _kind(self, query: Query, ready: Ready, grow: int) -> Counted:
        answer = ready.answer
        return bounded(self._counts, kind_of(query, answer.answer.rcode, grow, ready.zone, answer.plugin, answer.hit))

    def _note_miss(self, key: bytes, name: bytes, entry: FixedReply, missing: PrecompiledAnswer) -> bool:
        """Remember what follows the first label of a name that does not exist; False if that says nothing of others."""
        if missing.known_children is None:
            return False
        first = 1 + name[0]
        children = self._router().known_children(name, missing)
        if children is None:
            return False
        if len(self._misses) >= MAX_MISSES:
            self._misses.clear()
        octets, question = entry.octets, len(name) + TYPE
        self._misses[key[: COUNTS + 1] + key[COUNTS + first :]] = Miss(
            entry.answer,
            entry.kind,
            entry.tally,
            octets[:COUNTS],
            octets[COUNTS + question :],
            HEADER + question,
            missing.watch,
            children,
        )
        return True


def _has_letters(octets: bytes) -> bool:
    """Some octet in it may be what folding made of another one."""
    return octets != octets.upper()


def _alike_but_for_the_name(key: bytes, folded: bytes, behind: int) -> bool:
    """True if folding changed nothing but the name: as a letter, type 65 (HTTPS) would become type 97."""
    return key[:COUNTS] == folded[:COUNTS] and key[-behind:] == folded[-behind:]
