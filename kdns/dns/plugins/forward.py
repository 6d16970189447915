"""``forward``: questions for a zone go to other resolvers (CoreDNS's plugin of that name, with all its options).

::

    forward FROM TO... {
        except ZONES...
        ...
    }

Several lines stand one behind the other in the order of the file; the first one asks whose zone the name is in, and
whose ``except`` it is not in. What the options mean stands in ``docs/plugins/forward.md``.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from kdns.base.errors import UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import Mistakes
from kdns.dns.api.compiled import Compiled
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.api.zones import Zones
from kdns.dns.upstream.forward_directive import ForwardDirective, To, parse_forward
from kdns.dns.upstream.pool import PendingQuery, Pool
from kdns.dns.upstream.received import Received
from kdns.dns.upstream.resolve import resolve, tls_context
from kdns.dns.upstream.stream import Tls
from kdns.dns.upstream.upstream import Meters, Upstream
from kdns.dns.upstream.upstream_address import UpstreamAddress
from kdns.metrics.dns import DURATION_BUCKETS
from kdns.wire.message import asked, passed_options
from kdns.wire.name import parse_name
from kdns.wire.numbers import AA, AD, AXFR, IXFR, NOERROR, RA, REFUSED, SERVFAIL, TC, TRANSFERS
from kdns.wire.query import Query

NAME = "forward"
METADATA: Final = "forward/upstream"
"""Who was asked, for other plugins."""
DOWN: Final = "forward/down"
"""Offered to other plugins: folded name -> True if every upstream that would be asked for it is known to be down."""
FLAGS: Final = AA | TC | RA | AD
"""What a client gets to see of an upstream's flags."""


class Options(Struct, frozen=True):
    """All lines of a server block."""

    lines: tuple[ForwardDirective, ...]


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """Read all lines; their mistakes are reported together."""
    mistakes = Mistakes()
    lines = []
    for directive in directives:
        with mistakes.noted():
            lines.append(parse_forward(directive, place.folder))
    mistakes.settle()
    return Options(tuple(lines))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin; upstreams are resolved when it starts."""
    forwarders = [Forwarder(line, parts) for line in options.lines]

    def down(name: bytes) -> bool:
        forwarder = next((candidate for candidate in forwarders if candidate.takes(name)), None)
        return forwarder is not None and forwarder.pool is not None and forwarder.pool.down

    parts.offer(DOWN, down)

    def plugin(following: Handler) -> Handler:
        handler, behind = following, None
        for forwarder in reversed(forwarders):
            handler = forwarder.handler(handler, behind)
            behind = handler
        return handler

    async def start() -> None:
        for forwarder in forwarders:
            await forwarder.start()

    async def close() -> None:
        for forwarder in forwarders:
            await forwarder.close()

    def must_see(name: bytes, below: bool) -> bool:
        if len(forwarders) == 1 and not below:
            return forwarders[0].takes(name)
        return any(forwarder.zones.touch(name, True) if below else forwarder.takes(name) for forwarder in forwarders)

    step = ForwardStep(ask=forwarders[0].begin) if len(forwarders) == 1 else None
    return Built(plugin=plugin, must_see=must_see, classes=True, forward_step=step, start=start, close=close)


class Forwarder:
    """One line."""

    def __init__(self, line: ForwardDirective, parts: BlockContext) -> None:
        self._line, self._parts = line, parts
        self.zones = Zones(line.zones)
        self._own = frozenset(map(parse_name, line.zones))
        self._excepted = Zones(line.excepted)
        self.pool: Pool | None = None
        """There while the block is served."""
        self._meters = Meters(
            parts.durations(
                "coredns_proxy_request_duration_seconds",
                "Seconds until an upstream's answer was there.",
                ("proxy_name", "to", "rcode"),
                DURATION_BUCKETS,
            ),
            parts.counter(
                "coredns_proxy_healthcheck_failures", "Probes of upstreams that failed.", ("proxy_name", "to")
            ),
            parts.cells(
                "counter",
                "coredns_proxy_conn_cache_hits",
                "Queries to upstreams on connections that were kept.",
                ("proxy_name", "to", "proto"),
            ),
            parts.cells(
                "counter",
                "coredns_proxy_conn_cache_misses",
                "Queries to upstreams on new connections.",
                ("proxy_name", "to", "proto"),
            ),
        )
        self._all_down = parts.counter(
            "coredns_forward_healthcheck_broken", "Times that no upstream was well, and some was asked all the same."
        )
        self._over_share = parts.counter(
            "kdns_forward_client_share_rejects",
            "Queries answered SERVFAIL since their client had its share of the queries under way.",
        )
        self._refused = parts.counter(
            "coredns_forward_max_concurrent_rejects", "Queries refused since max_concurrent were under way."
        )

    def takes(self, name: bytes) -> bool:
        """True if questions for a folded name are asked here."""
        if not self.zones.everything and self.zones.of(name) is None:
            return False
        return not self._excepted.texts or name in self._own or self._excepted.of(name) is None

    def handler(self, following: Handler, behind: Handler | None) -> Handler:
        """``behind`` is the next line, if there is one."""
        line = self._line

        async def handle(request: Request) -> Response:
            query = request.query
            if not self.takes(query.name):
                return await following(request)
            if query.rtype in {AXFR, IXFR}:
                return Response(REFUSED, plugin=NAME)
            if self.pool is None:
                raise UpstreamError("no forwarder defined")
            tcp = line.force_tcp or (not line.prefer_udp and request.client.proto != "udp")
            whole = request.client.proto != "udp"
            received = await self.pool.ask(asked(query, whole), tcp, request.client.address)
            request.metadata[METADATA] = received.upstream
            if behind is not None and self._hands_on(received):
                return await behind(request)
            return respond(received, query)

        return handle

    def begin(self, query: Query, octets: bytes, client: str, wake: Callable[[], None]) -> PendingQuery | None:
        """See `kdns.dns.api.forward_step.Ask`."""
        pool = self.pool
        if pool is None or self._line.force_tcp or query.rtype in TRANSFERS or not self.takes(query.name):
            return None
        return pool.begin(query, octets, client, wake)

    def _hands_on(self, received: Received) -> bool:
        message = received.message
        nodata = message.rcode == NOERROR and not message.answer
        return message.rcode in self._line.next or (self._line.next_on_nodata and nodata)

    async def start(self) -> None:
        """Find the upstreams. Raises ConfigError for files that cannot be read and names without an address."""
        line, parts = self._line, self._parts
        targets: dict[UpstreamAddress, To] = {}
        for to in line.to:
            for target in await self._resolved(to):
                targets.setdefault(target, to)
        if not targets:
            raise line.to[0].word.error("no upstream", hint="the file has no nameserver line with an address")
        upstreams = []
        for target, to in targets.items():
            tls = self._tls(target, to) if target.transport != "dns" else None
            try:
                upstreams.append(Upstream(target, line.settings, self._meters, parts.clock, parts.spawn, tls))
            except UpstreamError as error:
                raise to.word.error(str(error)) from error
        self.pool = Pool(
            upstreams,
            line.rules,
            parts.clock,
            parts.random,
            all_down=self._all_down,
            refused=self._refused,
            over_share=self._over_share,
        )

    async def _resolved(self, to: To) -> list[UpstreamAddress]:
        try:
            return await resolve(to.what, self._line.resolvers, self._line.folder)
        except UpstreamError as error:
            raise to.word.error(str(error), hint="an address needs no look-up; see resolver") from error
        except (OSError, ValueError) as error:  # ValueError: a zero octet in the path
            problem = getattr(error, "strerror", None) or error
            raise to.word.error(f"cannot read {to.word.text}: {problem}") from error

    def _tls(self, target: UpstreamAddress, to: To) -> Tls:
        """How to know the server: by the name that the Corefile gives, or by its address."""
        files = self._line.tls
        try:
            context = tls_context(files.ca, files.cert, files.key)
        except OSError as error:  # ssl.SSLError is one, too
            at = files.word or to.word
            raise at.error(
                f"cannot use these certificates: {error.strerror or error}", hint="tls [CA | CERT KEY | CERT KEY CA]"
            ) from error
        named = to.what.host if isinstance(to.what, UpstreamAddress) else target.host
        return Tls(context, self._line.tls_servername or target.server_name or named)

    async def close(self) -> None:
        """Give up what is under way, and close all connections."""
        pool, self.pool = self.pool, None
        if pool is not None:
            await pool.close()


def respond(received: Received, query: Query) -> Response:
    """An upstream's answer as it came, but for what was between us and the upstream.

    An rcode that needs EDNS, which we have with upstreams, is SERVFAIL to a client without it.
    """
    message = received.message
    return Response(
        message.rcode if message.rcode <= 0xF or query.edns is not None else SERVFAIL,
        message.flags & FLAGS,
        message.answer,
        message.authority,
        message.additional,
        NAME,
        passed_options(message.options) if message.options else b"",
        compiled=message.compiled if isinstance(message.compiled, Compiled) else None,
    )
