"""``loop``: finds out whether questions that are forwarded come back to us.

At the start a HINFO question for an unguessable name is asked of ourselves. It passes here once, goes on to
the upstreams, and should end there. If it comes back, each further question would go round for ever, so the process
ends and says who sent it back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct

from kdns.base.errors import UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import no_args, no_block, once
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Client, Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.wire.name import MAX_NAME, child, name_text, parse_name, under
from kdns.wire.numbers import HINFO, IN, RD, SERVFAIL
from kdns.wire.query import Query

NAME: Final = "loop"
PATIENCE: Final = 30.0
"""Seconds after which it gives up, and reports no loop."""
PAUSE: Final = 1.0
"""Seconds between the first two attempts; each further pause is twice as long, since each leaves a line in logs."""
RETURNS: Final = 2
"""Coming back this often is a loop: it was seen more than twice, the first time on its way out."""
BITS: Final = 62
"""Of chance in each of the name's two labels."""
ROOM: Final = 2 * (1 + len(str(2**BITS)))
"""Octets of the two labels."""
OURSELVES: Final = Client("127.0.0.1", 0, "127.0.0.1", "udp", 1)
SIZE: Final = 16
"""Octets of a question's message besides its name."""


class Options(Struct, frozen=True):
    """There are none."""

    zone: str = "."
    """The first zone of the server block: the probe is a name in it."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """No argument, no block, once."""
    directive = once(directives)
    no_args(directive)
    no_block(directive)
    zone = place.zones[0] if place.zones else "."
    if len(parse_name(zone)) + ROOM > MAX_NAME:
        raise directive.name.error(f"no room for a probe in the zone {zone}", hint="its name is too long for loop")
    return Options(zone)


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block; it looks for loops as soon as the block is served."""
    search = Search(options, parts)

    async def start() -> None:
        parts.spawn(search.run(), NAME)

    return Built(
        plugin=search.plugin, must_see=search.must_see, forward_step=ForwardStep(passes=search.passes), start=start
    )


class Search:
    """The probes of one server block, and how often they came back."""

    def __init__(
        self, options: Options, parts: BlockContext, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._zone, self._apex = options.zone, parse_name(options.zone)
        self._parts, self._sleep = parts, sleep
        self.probes: dict[bytes, int] = {}
        """The names asked for so far, and how often each passed here; empty when the search is over."""
        self._returns = 0

    def must_see(self, name: bytes, below: bool) -> bool:
        """The probes, and nothing else."""
        return any(under(probe, name) for probe in self.probes) if below else name in self.probes

    def passes(self, query: Query) -> bool:
        """See `kdns.dns.api.forward_step.ForwardStep.passes`."""
        return query.name not in self.probes

    def plugin(self, following: Handler) -> Handler:
        """Counts probes, and passes on everything."""

        async def handle(request: Request) -> Response:
            query = request.query
            if query.name in self.probes and query.rtype == HINFO and query.rclass == IN:
                self._count(request)
            return await following(request)

        return handle

    def _count(self, request: Request) -> None:
        name = request.query.name
        self.probes[name] += 1
        if self.probes[name] == 1:  # on its way out
            return
        self._returns += 1
        if self._returns == RETURNS:
            self._parts.fatal(self._message(request))

    def _message(self, request: Request) -> str:
        client = request.client
        address = f"[{client.address}]" if ":" in client.address else client.address
        return (
            f"plugin/{NAME}: Loop ({address}:{client.port} -> {request.server}) detected for zone "
            f'"{self._zone}": {client.address} sends our own questions back to us. '
            f'Query: "HINFO {name_text(request.query.name)}". Forward to another resolver: '
            "/etc/resolv.conf often names one that asks this server, such as systemd-resolved's 127.0.0.53"
        )

    async def run(self) -> None:
        """Probe until one comes to an end elsewhere, but not longer than `PATIENCE`."""
        until = self._parts.clock() + PATIENCE
        pause = PAUSE
        try:
            while not await self._ended() and self._returns < RETURNS and self._parts.clock() < until:
                await self._sleep(pause)
                pause *= 2
        finally:
            self.probes.clear()

    async def _ended(self) -> bool:
        """One probe, under a name of its own: True if it was answered, and not from here.

        Not if it never passed here (the block is not served yet), came back, or found the upstreams silent: a loop
        shows as silence where the same question is not forwarded a second time.
        """
        chance = self._parts.random
        name = child(self._apex, *(str(chance.getrandbits(BITS)) for _ in range(2)))
        self.probes[name] = 0
        question = name + HINFO.to_bytes(2, "big") + IN.to_bytes(2, "big")
        query = Query(chance.getrandbits(16), RD, question, name, HINFO, IN)
        try:
            request = Request(query, OURSELVES, len(name) + SIZE, self._parts.servers[0], {})
            response = await self._parts.lookup(request)
        except UpstreamError:
            return False
        return self.probes[name] == 1 and response.rcode != SERVFAIL
