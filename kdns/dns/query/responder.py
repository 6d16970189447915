"""From the octets of a query to the octets of its reply.

::

    message ──> socket_responder.fast ──> octets made from a precompiled answer, see `kdns.dns.query.fast`       (most)
                   └─ None: socket_responder.slow ──> triage, parse ──> chain of plugins ──> compose       (the rest)

The fast path serves only precompiled answers that no plugin of the chain would change. It is only an optimisation:
both paths give the same octets, which a test checks for every kind of question.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final

from msgspec.structs import replace

from kdns.base.clock import Clock
from kdns.base.errors import FormError, UpstreamError
from kdns.dns.api.handler import Client, Request, Response
from kdns.dns.api.inline_task import InlineTask
from kdns.dns.api.message_handler import Send, SendPart
from kdns.dns.query.fast import COPIED, FastPath, kind_of
from kdns.dns.query.forward_path import FORWARD, Blocks, ForwardedQuery
from kdns.dns.query.router import DROPPED, Admitted, Router
from kdns.dns.query.top import UPSTREAM, Top
from kdns.metrics.dns import SocketCounts
from kdns.wire.compose import compose_sections, head
from kdns.wire.numbers import BADVERS, FORMERR, HEADER, IN, NOTIMP, OPCODE, QR, RD, REFUSED, SERVFAIL, TC
from kdns.wire.query import (
    UDP_LIMIT,
    Header,
    Query,
    fitting_options,
    opt_record,
    parse_header,
    parse_query,
    reply_payload,
)
from kdns.wire.rr import RR
from kdns.wire.types import TYPE_TEXT

log = logging.getLogger("kdns.dns")

MAX_PAIRS: Final = 1024
"""Pairs of sizes of one kind of reply that are tallied before they are sorted into buckets."""
MAX_SLOW: Final = 4096
"""Queries under way in the chain at most; above that the answer is SERVFAIL at once."""


class Responder:
    """Answers for all sockets that serve the same blocks."""

    def __init__(self, site: Router, clock: Clock = time.monotonic, top: Top | None = None) -> None:
        """``top`` looks at what is asked.

        ``clock`` is the one that cached answers are timed by (`kdns.dns.api.plugin.Parts.clock`)."""
        self._site = site
        self.clock = clock
        self.top = top or Top()
        self.sockets: list[SocketResponder] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[InlineTask | ForwardedQuery] = set()
        self._watched: list[tuple[set[InlineTask | ForwardedQuery], asyncio.Future[None]]] = []

    @property
    def site(self) -> Router:
        """The server blocks; another one may be put in its place at any time."""
        return self._site

    @site.setter
    def site(self, site: Router) -> None:
        self._site = site
        self.forget()

    def forget(self) -> None:
        """Drop what sockets remember of their messages."""
        for socket_responder in self.sockets:
            socket_responder.remembers.forget()

    def for_socket(self, proto: str, family: int, server: str) -> "SocketResponder":
        """The way in for one socket: ``udp`` or ``tcp``, 1 for IPv4 or 2 for IPv6, and its label in metrics."""
        socket_responder = SocketResponder(self, SocketCounts(server, proto, family))
        self.sockets.append(socket_responder)
        return socket_responder

    @property
    def pending(self) -> int:
        """Queries under way in the chain."""
        return len(self._tasks) + len(self._held)

    def start(self, blocks: Blocks, work: Coroutine[Any, Any, None]) -> None:
        """Begin to answer a query, and keep hold of that until it is answered: in a task only where one is needed."""
        if blocks.needs_task:
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        inline_task = InlineTask(work, self.ended)
        self._held.add(inline_task)
        inline_task.step()

    def hold(self, query: ForwardedQuery) -> None:
        """Keep hold of a query on the forward path."""
        self._held.add(query)

    def ended(self, work: InlineTask | ForwardedQuery) -> None:
        """A query is answered, or given up."""
        self._held.discard(work)
        if self._watched:
            for waiting, done in self._watched:
                waiting.discard(work)
                if not (waiting or done.done()):
                    done.set_result(None)

    async def finish(self, seconds: float) -> None:
        """Wait for the queries that are under way now, but not longer than this."""
        waits: set[asyncio.Future[None]] = set(self._tasks)
        watched = (set(self._held), asyncio.get_running_loop().create_future())
        if self._held:
            self._watched.append(watched)
            waits.add(watched[1])
        if waits:
            await asyncio.wait(waits, timeout=seconds)
        if watched in self._watched:
            self._watched.remove(watched)

    async def drain(self, seconds: float) -> None:
        """Wait for the queries under way, but not longer than this; then give them up."""
        await self.finish(seconds)
        for task in tuple(self._tasks):
            task.cancel()
        for work in tuple(self._held):
            work.close()


class SocketResponder:
    """The way in for one socket; it owns the socket's counters and the messages remembered for it."""

    def __init__(
        self, responder: Responder, counts: SocketCounts, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.counts = counts
        self.timed = counts.timed
        self.top = responder.top
        self._responder = responder
        self.clock = clock
        self.server = counts.server
        self.ended: Callable[[ForwardedQuery], None] = responder.ended
        self._forwarded: dict[tuple[str, int, int, bool], dict[int, int]] = {}
        """What replies of the forward path are counted in, by zone, type, rcode and DO; for types with a name only."""
        self.remembers = FastPath(lambda: responder.site, counts, responder.clock)
        self.tick = self.remembers.tick
        self.fast = self.remembers.reply
        """The whole reply to a message, counted; None: take the slow way. Bound here, since one more call would cost a
        tenth of an answer."""

    def asks(self, asker: Callable[[], bytes]) -> None:
        """See `kdns.dns.api.message_handler.MessageHandler.asks`."""
        self.remembers.asker = asker

    async def settled(self, seconds: float) -> None:
        """Wait until the chain owes no reply, but not longer than this."""
        await self._responder.drain(seconds)

    def slow(self, message: bytes, client: Client, send: Send, send_part: SendPart | None = None) -> None:
        """Answer through the chain: ``send`` is called at once, later, or never (the message is to be dropped).

        Of several messages all but the last are sent with ``send_part``, see `kdns.dns.api.message_handler`.
        Never raises: what goes wrong is logged with the query, counted, and answered with SERVFAIL.
        """
        started = self.clock()
        missed, self.remembers.missed = self.remembers.missed, None
        if missed is None or missed.message is not message:
            missed = None
        elif (ready := missed.admitted) and self._forward(ready, missed.query, message, client, send, started):
            return
        try:
            header = parse_header(message)
        except FormError:
            return  # too short to be anything; an answer would be longer than it
        if header.is_response:
            return
        if header.opcode:
            self._refuse(header, NOTIMP, message, send, started)
            return
        try:
            query = parse_query(message)
        except FormError:
            self._refuse(header, FORMERR, message, send, started)
            return
        early = self._early(query)
        if early is not None:
            self._send(query, early, DROPPED, len(message), send, started)
        elif self._responder.pending >= MAX_SLOW:
            self._send(query, Response(SERVFAIL), DROPPED, len(message), send, started)
        else:
            admitted = self._responder.site.forwarded(query) if missed is None and client.proto == "udp" else None
            if admitted is not None and self._forward(admitted, query, message, client, send, started):
                return
            request = Request(query, client, len(message), self.counts.server, {})
            site = self._responder.site
            self._responder.start(site, self._answer(site, request, send, send_part, started))

    def _forward(
        self, admitted: Admitted, query: Query, message: bytes, client: Client, send: Send, started: float
    ) -> bool:
        """Answer by the forward path (`kdns.dns.query.forward_path`); False: the chain must, nothing has happened."""
        responder = self._responder
        if client.proto != "udp" or responder.pending >= MAX_SLOW:
            return False
        path, zone, key = admitted
        forwarded = ForwardedQuery(self, responder.site, path, zone, key, query, message, client, send, started)
        try:
            if not path.begin(forwarded):
                return False
        except Exception:  # the chain meets it again, and its guards say whose it is
            log.exception("bug on the forward path of %s", query.question.hex())
            return False
        responder.hold(forwarded)
        return True

    def forwarded(self, query: ForwardedQuery, reply: bytes, rcode: int, upstream: str) -> None:
        """Count and send a reply."""
        asked, now = query.query, self.clock()
        edns, rtype = asked.edns, asked.rtype
        key = (query.zone, rtype, rcode, edns is not None and edns.do)
        pairs = self._forwarded.get(key)
        if pairs is None:
            pairs = self.counts.pairs[kind_of(asked, rcode, 0, query.zone, FORWARD)]
            if rtype in TYPE_TEXT:
                self._forwarded[key] = pairs
        sizes = len(query.message) << 16 | len(reply)
        pairs[sizes] = pairs.get(sizes, 0) + 1
        if len(pairs) > MAX_PAIRS:
            self.counts.fold()
        self.counts.timed(1, now - query.started)
        if self.top.on:
            address, seconds = query.client.address, now - query.started
            self.top.chain(address, asked.name, rtype, rcode, "", upstream, seconds)
        query.send(reply)

    def through_chain(self, query: ForwardedQuery) -> None:
        """The chain finds the upstream's reply in hand if it asks at once."""
        asked, message = parse_query(query.message), query.message
        request = Request(asked, query.client, len(message), self.counts.server, {})
        blocks = query.blocks
        self._responder.start(blocks, self._answer(blocks, request, query.send, None, query.started))

    def _early(self, query: Query) -> Response | None:
        """What is answered before any plugin sees it."""
        if query.edns is not None and query.edns.version != 0:
            return Response(BADVERS)
        if query.rclass != IN and not self._responder.site.classes:
            return Response(REFUSED)
        return None

    async def _answer(
        self, blocks: Blocks, request: Request, send: Send, send_part: SendPart | None, started: float
    ) -> None:
        query, size = request.query, request.size
        zone, why = DROPPED, ""
        try:
            response, zone = await blocks.handle(request)
            reply = compose_reply(query, response, self.counts.proto)
            if response.further is not None and not response.dropped:
                reply = await self._several(query, response, reply, response.further, send_part)
        except UpstreamError as error:  # the errors plugin has logged it, if there is one
            response, why = Response(error.rcode, options=error.options), str(error)
            reply = compose_reply(query, response, self.counts.proto)
        except Exception:  # a bug in a plugin must cost one SERVFAIL, not the server
            log.exception("bug while answering %s", query.question.hex())
            self.counts.panics += 1
            response, why = Response(SERVFAIL), "a bug in a plugin, see the log"
            reply = compose_reply(query, response, self.counts.proto)
        if response.dropped:
            reply = b""
        self._count(query, response, zone, size, len(reply), started)
        if self.top.on:
            self._show(request, response, why, started)
        if reply:
            send(reply)

    def _show(self, request: Request, response: Response, why: str, started: float) -> None:
        query, address = request.query, request.client.address
        upstream, seconds = str(request.metadata.get(UPSTREAM, "")), self.clock() - started
        self.top.chain(address, query.name, query.rtype, response.rcode, why, upstream, seconds)

    async def _several(
        self,
        query: Query,
        response: Response,
        reply: bytes,
        further: AsyncGenerator[tuple[RR, ...], None],
        send_part: SendPart | None,
    ) -> bytes:
        """Send all messages but the last, which is returned; empty if the client is gone or cannot take several."""
        async with aclosing(further):
            async for section in further:
                if send_part is None or not await send_part(reply):
                    return b""
                reply = compose_reply(query, replace(response, answer=section), self.counts.proto)
                await asyncio.sleep(0)  # a zone may be long, and others wait
        return reply

    def _send(self, query: Query, response: Response, zone: str, size: int, send: Send, started: float) -> None:
        reply = compose_reply(query, response, self.counts.proto)
        self._count(query, response, zone, size, len(reply), started)
        send(reply)

    def _refuse(self, header: Header, rcode: int, message: bytes, send: Send, started: float) -> None:
        """A bare header: the question could not be read, and no error is longer than what it answers."""
        flags = QR | header.flags & (OPCODE | RD) | rcode
        reply = header.id.to_bytes(2, "big") + flags.to_bytes(2, "big") + bytes(8)
        nothing = Query(header.id, header.flags, b"", b"", 0, IN)
        self._count(nothing, Response(rcode), DROPPED, len(message), len(reply), started)
        send(reply)

    def _count(self, query: Query, response: Response, zone: str, size: int, length: int, started: float) -> None:
        self.counts.note(kind_of(query, response.rcode, 0, zone, response.plugin), size, length)
        self.counts.timed(1, self.clock() - started)


def compose_reply(query: Query, response: Response, proto: str) -> bytes:
    """The reply to a query: cut to what the client can take, whole records at a time, additional first.

    Its cost is bounded by its own size: sections that are octets already are only cut, and composing others stops at
    the first record that does not fit.
    """
    edns = query.edns
    limit = response.limit or UDP_LIMIT
    opt = b""
    room = query.limit(proto) if proto != "udp" else min(query.limit(proto), limit)
    room = max(0, room - HEADER - len(query.question))
    if edns is not None:
        options = fitting_options(response.options, room)
        opt = opt_record(min(reply_payload(edns), limit), edns.do, response.rcode >> 4, options)
    # RFC 6891 section 7: "If an OPT record is present in a received request, compliant responders MUST include an OPT
    # record in their respective responses": so its octets are taken off before anything else is given room.
    room = max(0, room - len(opt))
    compiled = response.compiled_for(query.name)
    if compiled is not None:
        octets, counts = compiled.cut(room)
        truncated = len(octets) < compiled.size
    else:
        sections = compose_sections(query.name, response.answer, response.authority, response.additional, room)
        kept, counts = sections.cut(room)
        octets, truncated = sections.octets[:kept], kept < len(sections.octets)
    flags = (QR | query.flags & COPIED | response.flags | response.rcode & 0xF) & ~response.cleared
    if truncated:
        flags |= TC  # RFC 2181 section 9, see `kdns.wire.compose.Sections.cut`
    return query.id.to_bytes(2, "big") + head(flags, counts, edns is not None) + query.question + octets + opt
