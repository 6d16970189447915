"""The forward path: from the octets of a query that an upstream answers to those of its reply, in a straight line.

::

    query ──> each plugin lets it pass? ──> not in the cache ──> sent, or the same is under way      (begin)
    reply ──> each plugin leaves it as it is? ──> cache ──> order ──> header, question, sections, OPT  (answered)
       └─ no, and whatever is not clean or not common: the chain, which finds the upstream's reply in hand

There is no coroutine, no timer and no task for a query, and no call of a handler. Most blocks have a dozen plugins that
hand a query on and its reply back as they came; those say so in advance (`kdns.dns.api.forward_step`). A test gives the
same octets, metrics and cache entries for this path and the chain.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from kdns.base.clock import Clock
from kdns.dns.api.forward_step import Ask, Asked, ForwardStep, ReplyCache, Turn, UpstreamOctets, as_it_came
from kdns.dns.api.handler import Client, Request, Response
from kdns.dns.api.message_handler import Send
from kdns.dns.api.plugin import Built
from kdns.wire.compose import head
from kdns.wire.message import PASSED_ON, passed_options
from kdns.wire.numbers import AA, AD, CD, HEADER, QR, RA, RD, TC
from kdns.wire.query import PLAIN_LIMIT, UDP_LIMIT, Query, fitting_options, opt_record
from kdns.wire.walk import Facts

log = logging.getLogger("kdns.dns")

FORWARD: Final = "forward"
"""The plugin that replies are counted under."""
UPSTREAM: Final = "forward/upstream"
"""Where a request's metadata say which upstream has answered."""
_PLAIN: Final = 0xF
"""Higher rcodes need an OPT record (RFC 6891 section 6.1.3): such replies go through the chain."""
_COPIED: Final = RD | CD
_SHOWN: Final = AA | RA | AD
"""What a client gets to see of an upstream's flags."""
_QUERY_HEADS: Final = {
    flags: head(flags, (0, 0, 0), opt=True) for flags in range(PASSED_ON + 1) if not flags & ~PASSED_ON
}
"""Octets 2 to 12 of what is sent, by flags."""
_QUERY_OPT: Final = {do: opt_record(UDP_LIMIT, do) for do in (False, True)}
_REPLY_OPT: Final[dict[int, bytes]] = {}
"""OPT records of replies by payload size, of which there are 721 (`kdns.wire.query.reply_payload`), and DO."""


class Answering(Protocol):
    """What a forwarded query needs of the socket that it came in on."""

    def forwarded(self, query: "ForwardedQuery", reply: bytes, rcode: int, upstream: str) -> None:
        """Count a reply, and send it."""

    def through_chain(self, query: "ForwardedQuery") -> None:
        """Answer through the chain."""

    @property
    def ended(self) -> "Callable[[ForwardedQuery], None]":
        """To be called when it is answered, handed to the chain, or given up."""

    @property
    def server(self) -> str:
        """The label of the socket in metrics."""

    @property
    def clock(self) -> Clock:
        """Seconds, as `ForwardedQuery.started` has them."""


class Blocks(Protocol):
    """The server blocks that were in service when a query came (`kdns.dns.query.router.Router`)."""

    @property
    def needs_task(self) -> bool:
        """Some chain may only run in a task of its own."""

    async def handle(self, request: Request) -> tuple[Response, str]:
        """The response of the block that a question belongs to, and the zone it is counted under."""
        ...


class ForwardPath(Struct, frozen=True):
    """The forward path of one server block."""

    passes: tuple[Callable[[Query], bool], ...]
    """From the client inwards."""
    leaves: tuple[Callable[[Facts], bool], ...]
    ask: Ask
    cache: ReplyCache | None = None
    turns: Callable[[UpstreamOctets], Turn | None] | None = None
    """See `ForwardStep.turns`; of the one plugin in front of the cache that has it."""
    notes: tuple[Callable[[Request, Response, float], None], ...] = ()

    def admits(self, query: Query) -> bytes | None:
        """The key that a query's reply is kept under, empty if it is not kept; None: the chain must see the query."""
        for passes in self.passes:
            if not passes(query):
                return None
        return b"" if self.cache is None else self.cache.missed(query)

    def begin(self, forwarded: "ForwardedQuery") -> bool:
        """Ask; `ForwardedQuery.answered` is called once, later. False: the chain must, and nothing has happened."""
        query = forwarded.query
        edns = query.edns
        if edns is None:
            opt = _QUERY_OPT[False]
        elif edns.added:
            return False
        else:
            opt = _QUERY_OPT[edns.do]
        flags = query.flags & PASSED_ON
        if forwarded.key:
            flags |= AD  # RFC 6840 section 5.7: we want to know, for clients that ask next
        octets = _QUERY_HEADS[flags] + query.name + query.question[-4:] + opt
        asked = self.ask(query, octets, forwarded.client.address, forwarded.answered)
        forwarded.asked = asked
        return asked is not None

    def fits(self, octets: UpstreamOctets) -> Turn | None:
        """The reply goes to the client as it came, but for TTLs, and the order of its records; None: the chain must."""
        facts = octets.facts
        if facts is None or octets.rcode > _PLAIN:
            return None
        for leaves in self.leaves:
            if not leaves(facts):
                return None
        return as_it_came if self.turns is None else self.turns(octets)


def forward_path(built: Sequence[Built], gate: ForwardStep) -> ForwardPath | None:
    """The forward path of a block, if each plugin up to the one that asks takes part in it."""
    steps = [gate]
    for plugin in built:
        if plugin.plugin is None:
            continue
        step = plugin.forward_step
        if step is None or plugin.accepts is not None:
            return None
        steps.append(step)
        if step.ask is not None:
            return _path(steps, step.ask)
    return None


def _path(steps: Sequence[ForwardStep], ask: Ask) -> ForwardPath:
    kept = next((at for at, step in enumerate(steps) if step.cache is not None), len(steps))
    turning = next((at for at, step in enumerate(steps[:kept]) if step.turns is not None), None)
    return ForwardPath(
        tuple(step.passes for step in steps if step.passes is not None),
        tuple(step.leaves for at, step in enumerate(steps) if step.leaves is not None and at != turning),
        ask,
        steps[kept].cache if kept < len(steps) else None,
        steps[turning].turns if turning is not None else None,
        tuple(step.note for step in reversed(steps) if step.note is not None),
    )


class ForwardedQuery:
    """A client's query on the forward path, until it is answered, handed to the chain, or given up."""

    __slots__ = (
        "_over",
        "asked",
        "blocks",
        "client",
        "key",
        "message",
        "path",
        "query",
        "responder",
        "send",
        "started",
        "zone",
    )

    def __init__(
        self,
        responder: Answering,
        blocks: Blocks,
        path: ForwardPath,
        zone: str,
        key: bytes,
        query: Query,
        message: bytes,
        client: Client,
        send: Send,
        started: float,
    ) -> None:
        """``query``: of the message, its question folded or not; ``zone``: what it is counted under.

        ``key``: what its reply is kept under; empty: it is not kept. ``blocks``: whose chain the query goes through if
        it must, also after a reload: only there is the upstream's reply in hand.
        """
        self.blocks = blocks
        self.responder, self.path, self.zone, self.query, self.message = responder, path, zone, query, message
        self.client, self.send, self.started = client, send, started
        self.key = key
        self.asked: Asked | None = None
        self._over = False

    def answered(self) -> None:
        """The upstreams have answered, or have not."""
        asked, responder = self.asked, self.responder
        assert asked is not None
        asked.give(self.client.address)
        if self._over:
            return  # given up
        self._over = True
        responder.ended(self)
        try:
            octets = asked.result
            turn = None if octets is None else self.path.fits(octets)
            if octets is not None and turn is not None:
                reply = self._reply(octets, turn)
                if self.path.notes:
                    self._note(octets)
                responder.forwarded(self, reply, octets.rcode, octets.upstream)
                return
        except Exception:  # a bug: the chain meets it again, and its guards say whose it is
            log.exception("bug on the forward path of %s", self.query.question.hex())
        responder.through_chain(self)

    def _reply(self, octets: UpstreamOctets, turn: Turn) -> bytes:
        """What `kdns.dns.query.responder.compose_reply` would make of it."""
        query, message, facts, cache = self.query, self.message, octets.facts, self.path.cache
        assert facts is not None
        edns, flags = query.edns, octets.flags & _SHOWN
        if cache is None:
            sections = facts.sections.octets
        elif self.key:
            sections = cache.keep(self.key, query, octets, self.responder.server)
            if flags & AD and not wants_ad(query):
                flags &= ~AD
        else:
            sections = facts.sections.octets
        end = HEADER + len(query.question)
        if edns is None:
            opt, room = b"", PLAIN_LIMIT
        else:
            payload, _, do, _, _ = edns
            payload = PLAIN_LIMIT if payload < PLAIN_LIMIT else min(payload, UDP_LIMIT)  # `reply_payload`, written out
            options = passed_options(facts.options) if facts.options else b""
            if options and (options := fitting_options(options, payload - end)):
                opt = opt_record(payload, do, options=options)
            else:
                opt = _REPLY_OPT.get(payload << 1 | do) or _reply_opt(payload, do)
            room = payload - len(opt)
        sections = turn(sections)
        room = max(0, room - end)
        counts = facts.sections.counts
        flags |= QR | query.flags & _COPIED | octets.rcode
        if len(sections) > room:
            size, counts = facts.sections.cut(room)
            sections = sections[:size]
            flags |= TC  # RFC 2181 section 9, see `kdns.wire.compose.Sections.cut`
        return message[:2] + head(flags, counts, edns is not None) + message[HEADER:end] + sections + opt

    def _note(self, octets: UpstreamOctets) -> None:
        """Show what was asked and answered to the plugins that write it down."""
        query, message, facts = self.query, self.message, octets.facts
        assert facts is not None
        number, question = message[0] << 8 | message[1], message[HEADER : HEADER + len(query.question)]
        asked = Query(number, query.flags, question, query.name, query.rtype, query.rclass, query.edns)
        metadata = {UPSTREAM: octets.upstream}
        request = Request(asked, self.client, len(message), self.responder.server, metadata)
        compiled = octets.compiled
        flags = octets.flags & (_SHOWN if not self.key or wants_ad(query) else _SHOWN & ~AD)
        records = (compiled.answer, compiled.authority, compiled.additional)
        options = passed_options(facts.options)
        response = Response(octets.rcode, flags, *records, FORWARD, options, compiled=compiled)
        seconds = self.responder.clock() - self.started
        for note in self.path.notes:
            note(request, response, seconds)

    def close(self) -> None:
        """Give it up."""
        if not self._over:
            self._over = True
            self.responder.ended(self)


def wants_ad(query: Query) -> bool:
    """RFC 6840 section 5.8: AD is for those who asked for it, by AD or DO in the query."""
    return bool(query.flags & AD) or (query.edns is not None and query.edns.do)


def _reply_opt(payload: int, do: bool) -> bytes:
    opt = _REPLY_OPT[payload << 1 | do] = opt_record(payload, do)
    return opt
