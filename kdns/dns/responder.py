"""From the octets of a query to the octets of its reply.

::

    message ──> lane.fast ──> octets made from a precompiled answer, see `kdns.dns.fast`       (most)
                   └─ None: lane.slow ──> triage, parse ──> chain of plugins ──> compose       (the rest)

The fast way serves only what the ``kubernetes`` plugin answers alone, and is no more than an optimisation: both ways
give the same octets, which a test checks for every kind of question.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from kdns.dns.fast import COPIED, TRANSFERS, FastWay, kind_of
from kdns.dns.handler import Client, Handler, Request, Response
from kdns.errors import FormError
from kdns.metrics import LaneCounts
from kdns.records.answers import Answers
from kdns.wire.compose import compose_sections, head
from kdns.wire.numbers import (
    AA,
    BADVERS,
    FORMERR,
    HEADER,
    IN,
    NOTIMP,
    OPCODE,
    QR,
    RD,
    REFUSED,
    SERVFAIL,
    TC,
)
from kdns.wire.query import (
    Header,
    Query,
    opt_record,
    parse_header,
    parse_query,
    reply_payload,
)

log = logging.getLogger("kdns.dns")

MAX_SLOW: Final = 4096
"""Queries under way in the chain at most; above that the answer is SERVFAIL at once."""


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
        self.remembers: FastWay | None = None
        """The fast way; None when the chain must see each query."""
        self.fast: Callable[[bytes], bytes | None] = _nothing
        """The whole reply to a message, counted; None: take the slow way."""
        if responder.answers is not None:
            self.remembers = FastWay(responder.answers, counts, responder.zone, responder.plugin)
            self.fast = self.remembers.reply  # bound here: another call would cost a tenth of an answer

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
        if query.rclass != IN or query.rtype in TRANSFERS:
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
        self.counts.note(kind_of(query, response.rcode, 0, zone, response.plugin), size, length)
        self.counts.timed(1, self._clock() - started)


def _nothing(_: bytes) -> None:
    """The fast way where there is none."""


def compose_reply(query: Query, response: Response, proto: str) -> bytes:
    """The reply to a query: cut to what the client can take, whole records at a time, additional first."""
    edns = query.edns
    opt = opt_record(reply_payload(edns), edns.do, response.rcode >> 4) if edns is not None else b""
    sections = compose_sections(query.name, response.answer, response.authority, response.additional)
    kept, counts = sections.cut(query.limit(proto) - HEADER - len(query.question) - len(opt))
    flags = QR | query.flags & COPIED | response.rcode & 0xF
    if response.authoritative:
        flags |= AA
    if kept < len(sections.octets):
        flags |= TC
    octets = head(flags, counts, edns is not None)
    return query.id.to_bytes(2, "big") + octets + query.question + sections.octets[:kept] + opt
