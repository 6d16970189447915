"""From the octets of a query to the octets of its reply.

::

    message ──> lane.fast ──> seen before? ──> the octets made then, with this id          (most)
                   │              └─ no: header, question and EDNS of a plain form
                   │                     ──> answers.find ──> octets, remembered if spelled in lower case
                   └─ None: lane.slow ──> triage, parse ──> chain of plugins ──> compose    (the rest)

The fast way serves only what the ``kubernetes`` plugin answers alone, and is no more than an optimisation: both ways
give the same octets, which a test checks for every kind of question.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Container
from typing import Final

from kdns.dns.handler import Client, Handler, Request, Response
from kdns.errors import FormError
from kdns.metrics import Counted, LaneCounts
from kdns.records.answers import Answer, Answers
from kdns.wire.compose import compose_sections, head
from kdns.wire.numbers import (
    AA,
    AD,
    AXFR,
    BADVERS,
    CD,
    FORMERR,
    IN,
    IXFR,
    NOTIMP,
    OPCODE,
    QR,
    RD,
    REFUSED,
    RTYPE_TEXT,
    SERVFAIL,
    TC,
)
from kdns.wire.query import (
    HEADER,
    Edns,
    Header,
    Query,
    opt_record,
    parse_header,
    parse_query,
    reply_payload,
)

log = logging.getLogger("kdns.dns")

MAX_ENTRIES: Final = 16384
"""Whole messages remembered by a lane at most; when full it starts anew."""
MAX_SLOW: Final = 4096
"""Queries under way in the chain at most; above that the answer is SERVFAIL at once."""

MAX_MISSES: Final = 4096
"""Ways to miss remembered by a lane at most: search domains, by lengths of labels, by types."""

_OPT_SIZE: Final = 11
_HEAD_SIZE: Final = 10
_COPIED: Final = RD | CD  # RFC 1035 section 4.1.1: "RD may be set in a query and is copied"; RFC 4035 3.2.2 for CD
_SHAPES: Final = {
    head(flags, (0, 0, 0), opt): (flags & _COPIED, opt)
    for flags in (rd | ad | cd for rd in (0, RD) for ad in (0, AD) for cd in (0, CD))
    for opt in (False, True)
}
"""Octets 2 to 12 of plain queries: which flags go into the reply, and whether an OPT record follows the question."""
_DO: Final = {b"\0\0\0\0": False, b"\x80\0\0\0": True}
"""The last four octets of an OPT record without options: flags and length."""
_TRANSFERS: Final = frozenset({AXFR, IXFR})

Entry = tuple[Answer, dict[int, int], bytes, int, bytes]
"""An answer for one exact message: its tally by length of the query, octets behind the id, how many octets of the
rotation follow, and what comes behind those."""

Miss = tuple[Answer, dict[int, int], bytes, bytes, int, bytes]
"""A "no" to all messages that differ in a first label of one length: its answer and tally, head of the reply, what
follows the question, where the question ends, and the Namespace in which a Service of that name would make it wrong."""


class Responder:
    """Answers for one server block: its chain of plugins and, if the chain allows it, the precompiled answers."""

    def __init__(self, handler: Handler, answers: Answers | None, zone: str = ".", plugin: str = "kubernetes") -> None:
        self.handler = handler
        self.answers = answers
        """What the fast way may serve; None when some plugin must see each query."""
        self.zone, self.plugin = zone, plugin
        self.lanes: list[Lane] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def lane(self, proto: str, family: int, server: str) -> "Lane":
        """The way in for one socket: ``udp`` or ``tcp``, 1 for IPv4 or 2 for IPv6, and its label in metrics."""
        lane = Lane(self, LaneCounts(server, proto, family))
        self.lanes.append(lane)
        return lane

    @property
    def pending(self) -> int:
        """Queries under way in the chain."""
        return len(self._tasks)

    def start(self, work: asyncio.Task[None]) -> None:
        """Keep hold of a query under way."""
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Wait for the queries under way, but not longer than this; then give them up."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()


class Lane:
    """The way in for one socket; it owns the socket's counters and the messages remembered for it."""

    def __init__(
        self, responder: Responder, counts: LaneCounts, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.counts = counts
        self.timed = counts.timed
        self._responder = responder
        self._clock = clock
        self._answers = responder.answers
        self._services: Container[bytes] = responder.answers.zone.cluster.services if responder.answers else ()
        self._entries: dict[bytes, Entry] = {}
        self._misses: dict[bytes, Miss] = {}  # by the message without id and first label

    # --- the fast way ---

    def fast(self, message: bytes) -> bytes | None:
        """The whole reply, counted; None: take the slow way."""
        key = message[2:]
        entry = self._entries.get(key)
        if entry is None or not entry[0].live:
            reply = self._missing(message)
            if reply is not None:
                return reply
            entry = self._admit(message, key)
            if entry is None:
                return None
        answer, tally, octets, rotated, rest = entry
        tally[len(message)] += 1
        if not rotated:
            return message[:2] + octets
        turn = answer.turn  # Answer.next_turn, written out: this is the hottest line of all
        following = turn + answer.unit
        answer.turn = following if following < answer.ring_size else 0
        return message[:2] + octets + answer.ring[turn : turn + rotated] + rest

    def _missing(self, message: bytes) -> bytes | None:
        """The reply to a plain query for a name next to one that was missing; None if that is not known.

        Names that do not exist are as many as anybody likes, so none is remembered: what is, is what follows the
        first label, for each length of it. The rest of the message matches an earlier one exactly, which proves it.
        """
        if len(message) <= HEADER:
            return None
        at = HEADER + 1 + message[HEADER]
        miss = self._misses.get(message[2 : HEADER + 1] + message[at:])
        if miss is None or not miss[0].live:
            return None
        _, tally, before, behind, end, namespace = miss
        if namespace and message[HEADER:at].lower() + namespace in self._services:
            return None
        tally[len(message)] += 1
        return message[:2] + before + message[HEADER:end] + behind

    def _admit(self, message: bytes, key: bytes) -> Entry | None:
        """Make the entry of a message from its answer; None if it is of no plain form, or not ours to answer.

        Only messages in lower case are remembered: spellings made up for each query (0x20) must not push out what is
        asked again and again.
        """
        shape = _SHAPES.get(message[2:HEADER])
        if shape is None:
            return None
        end = len(message) - (_OPT_SIZE if shape[1] else 0)
        question = message[HEADER:end]
        spelled = question[:-4]
        name = spelled.lower()
        if name == spelled:
            entry = self._make(message, shape, name, end)
            if entry is not None:
                self._remember(key, entry)
            return entry
        folded = message[:HEADER] + name + message[HEADER + len(name) :]
        entry = self._entries.get(folded[2:])
        if entry is None or not entry[0].live:
            entry = self._make(folded, shape, name, end)
            if entry is None:
                return None
            self._remember(folded[2:], entry)
        answer, tally, octets, rotated, rest = entry
        return answer, tally, octets[:_HEAD_SIZE] + question + octets[_HEAD_SIZE + len(question) :], rotated, rest

    def _remember(self, key: bytes, entry: Entry) -> None:
        if len(self._entries) >= MAX_ENTRIES:
            self._entries.clear()
        self._entries[key] = entry

    def _make(self, message: bytes, shape: tuple[int, bool], name: bytes, end: int) -> Entry | None:
        """The entry of a plain message in lower case, whose question ends at an offset."""
        answers = self._answers
        tail = message[end - 4 :]  # type, class, and OPT
        rtype = int.from_bytes(tail[:2], "big")
        if answers is None or tail[2:4] != b"\0\1" or rtype in _TRANSFERS:
            return None
        answer = answers.find(name, rtype)
        if answer is None:
            return None
        edns = None
        if shape[1]:
            do = _DO.get(tail[-4:])
            if do is None or tail[4:7] != b"\0\0\x29" or tail[-6:-4] != b"\0\0":
                return None
            edns = Edns(int.from_bytes(tail[7:9], "big"), 0, do)
        entry = self._entry(Query(0, shape[0], message[HEADER:end], name, rtype, IN, edns), answer, len(message))
        if answer.shared and answer.rcode:
            self._note_miss(message, name, entry, end)
        return entry

    def _note_miss(self, message: bytes, name: bytes, entry: Entry, end: int) -> None:
        """Remember what follows the first label of a name that does not exist, if that tells of its neighbours."""
        first = 1 + name[0]
        if self._answers is None or not name[0]:
            return
        namespace = self._answers.zone.services_under(name[first:])
        if namespace is None:
            return
        if len(self._misses) >= MAX_MISSES:
            self._misses.clear()
        answer, tally, octets, _, _ = entry
        key = message[2 : HEADER + 1] + message[HEADER + first :]
        self._misses[key] = answer, tally, octets[:_HEAD_SIZE], octets[_HEAD_SIZE + end - HEADER :], end, namespace

    def _entry(self, query: Query, answer: Answer, size: int) -> Entry:
        edns = query.edns
        opt = opt_record(reply_payload(edns), edns.do) if edns is not None else b""
        room = query.limit(self.counts.proto) - HEADER - len(query.question) - len(opt)
        kept, counts = answer.sections.cut(room)
        flags = QR | AA | query.flags | answer.rcode
        if kept < len(answer.sections.octets):
            flags |= TC
        before = answer.before[:kept]
        rotated = min(answer.ring_size, kept - len(before))
        after = answer.after[: kept - len(before) - rotated]
        octets = head(flags, counts, edns is not None) + query.question + before
        if rotated:
            rest = after + opt
        else:
            octets, rest = octets + after + opt, b""
        grow = 2 + len(octets) + rotated + len(rest) - size
        tally = self._tally(query, answer.rcode, grow, self._responder.zone, self._responder.plugin)
        return answer, tally, octets, rotated, rest

    def _tally(self, query: Query, rcode: int, grow: int, zone: str, plugin: str) -> dict[int, int]:
        rtype = query.rtype if query.rtype in RTYPE_TEXT else 0
        do = query.edns is not None and query.edns.do
        return self.counts.tallies[Counted(zone, rtype, rcode, do, grow, plugin)]

    # --- the slow way ---

    async def settled(self, seconds: float) -> None:
        """Wait until the chain owes no reply, but not longer than this."""
        await self._responder.drain(seconds)

    def slow(self, message: bytes, client: Client, reply: Callable[[bytes], None]) -> None:
        """Answer through the chain: ``reply`` is called at once, later, or never (the message is to be dropped).

        Never raises: what goes wrong is logged with the query, counted, and answered with SERVFAIL.
        """
        started = self._clock()
        try:
            header = parse_header(message)
        except FormError:
            return  # too short to be anything; an answer would be longer than it
        if header.is_response:
            return
        if header.opcode:
            self._refuse(header, NOTIMP, message, reply, started)
            return
        try:
            query = parse_query(message)
        except FormError:
            self._refuse(header, FORMERR, message, reply, started)
            return
        early = self._early(query)
        if early is not None:
            self._send(query, early, "dropped", len(message), reply, started)
        elif self._responder.pending >= MAX_SLOW:
            self._send(query, Response(SERVFAIL), self._responder.zone, len(message), reply, started)
        else:
            work = self._answer(query, client, len(message), reply, started)
            self._responder.start(asyncio.get_running_loop().create_task(work))

    def _early(self, query: Query) -> Response | None:
        """What is answered before any plugin sees it."""
        if query.edns is not None and query.edns.version != 0:
            return Response(BADVERS)
        if query.rclass != IN or query.rtype in _TRANSFERS:
            return Response(REFUSED)
        return None

    async def _answer(
        self, query: Query, client: Client, size: int, reply: Callable[[bytes], None], started: float
    ) -> None:
        try:
            response = await self._responder.handler(Request(query, client))
            octets = compose_reply(query, response, self.counts.proto)
        except Exception:  # a bug in a plugin must cost one SERVFAIL, not the server
            log.exception("bug while answering %s", query.question.hex())
            self.counts.panics += 1
            response = Response(SERVFAIL)
            octets = compose_reply(query, response, self.counts.proto)
        self._count(query, response, self._responder.zone, size, len(octets), started)
        reply(octets)

    def _send(
        self, query: Query, response: Response, zone: str, size: int, reply: Callable[[bytes], None], started: float
    ) -> None:
        octets = compose_reply(query, response, self.counts.proto)
        self._count(query, response, zone, size, len(octets), started)
        reply(octets)

    def _refuse(
        self, header: Header, rcode: int, message: bytes, reply: Callable[[bytes], None], started: float
    ) -> None:
        """A bare header: the question could not be read, and no error is longer than what it answers."""
        flags = QR | header.flags & (OPCODE | RD) | rcode
        octets = header.id.to_bytes(2, "big") + flags.to_bytes(2, "big") + bytes(8)
        nothing = Query(header.id, header.flags, b"", b"", 0, IN)
        self._count(nothing, Response(rcode), "dropped", len(message), len(octets), started)
        reply(octets)

    def _count(self, query: Query, response: Response, zone: str, size: int, length: int, started: float) -> None:
        self._tally(query, response.rcode, length - size, zone, response.plugin)[size] += 1
        self.counts.timed(1, self._clock() - started)


def compose_reply(query: Query, response: Response, proto: str) -> bytes:
    """The reply to a query: cut to what the client can take, whole records at a time, additional first."""
    edns = query.edns
    opt = opt_record(reply_payload(edns), edns.do, response.rcode >> 4) if edns is not None else b""
    sections = compose_sections(query.name, response.answer, response.authority, response.additional)
    kept, counts = sections.cut(query.limit(proto) - HEADER - len(query.question) - len(opt))
    flags = QR | query.flags & _COPIED | response.rcode & 0xF
    if response.authoritative:
        flags |= AA
    if kept < len(sections.octets):
        flags |= TC
    octets = head(flags, counts, edns is not None)
    return query.id.to_bytes(2, "big") + octets + query.question + sections.octets[:kept] + opt
