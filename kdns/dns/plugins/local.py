"""``local``: names of the machine itself that should never leave it (RFC 6303, RFC 6761 section 6.3)."""

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice, no_args, properties
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.api.zones import Zones
from kdns.wire.name import parse_name, under
from kdns.wire.numbers import AAAA, IN, NS, NXDOMAIN, PTR, SOA, A
from kdns.wire.rr import RR

NAME: Final = "local"
TTL: Final = 604800
"""Seconds: a week."""
LOCALHOST: Final = parse_name("localhost.")
FIRST: Final = LOCALHOST[:-1]
"""The label ``localhost``."""
ZONES: Final = Zones(("localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."))
LOOPBACK: Final = parse_name("1.0.0.127.in-addr.arpa.")
ADDRESSES: Final = {A: bytes((127, 0, 0, 1)), AAAA: bytes(15) + b"\1"}
SOA_RDATA: Final = LOCALHOST + parse_name("root.localhost.") + struct.pack("!5I", 1, 0, 0, 0, TTL)


class Options(Struct, frozen=True):
    """One switch."""

    prefix: bool = True
    """``localhost.NAME`` is the machine itself, too: what a search list makes of ``localhost``."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``local { localhost_prefix on|off }``."""
    switches = [True]

    def prefix(line: Directive) -> None:
        switches.append(choice(arguments(line, 1, 1)[0], ("on", "off")) == "on")

    for directive in directives:
        no_args(directive)
        properties(directive, {"localhost_prefix": prefix})
    return Options(switches[-1])


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    local = Local(options, parts)
    return Built(plugin=local.plugin, must_see=local.must_see)


class Local:
    """The plugin of one server block."""

    def __init__(self, options: Options, parts: BlockContext) -> None:
        self._prefix = options.prefix
        self._count = parts.counter("coredns_local_localhost_requests", "Questions for names in or with localhost.")

    def _named_after(self, name: bytes) -> bool:
        """True for a name below localhost, and if so wanted, for localhost in some search domain."""
        return name != LOCALHOST and (under(name, LOCALHOST) or (self._prefix and name.startswith(FIRST)))

    def must_see(self, name: bytes, below: bool) -> bool:
        """Its zones, and the names that begin with localhost: any name may have such a child."""
        return ZONES.touch(name, below) or self._named_after(name) or (below and self._prefix)

    def plugin(self, following: Handler) -> Handler:
        """Answers for its names."""

        async def handle(request: Request) -> Response:
            query = request.query
            if query.rclass != IN:
                return await following(request)
            if self._named_after(query.name):
                self._count.inc()
                return _loopback(query.name, query.rtype)
            zone = ZONES.of(query.name)
            return await following(request) if zone is None else _answer(query.name, query.rtype, zone)

        return handle


def _answer(name: bytes, rtype: int, zone: bytes) -> Response:
    if name == zone:
        if rtype == SOA:
            return _yes(name, SOA, SOA_RDATA)
        if rtype == NS:
            return _yes(name, NS, LOCALHOST)
        return _loopback(name, rtype) if zone == LOCALHOST else _no(zone)
    if name == LOOPBACK:
        return _yes(name, PTR, LOCALHOST) if rtype == PTR else _no(zone)
    exists = under(LOOPBACK, name)  # RFC 8020: 0.0.127.in-addr.arpa has a name below it
    return _no(zone) if exists else _no(zone, NXDOMAIN)


def _loopback(name: bytes, rtype: int) -> Response:
    rdata = ADDRESSES.get(rtype)
    return _no(name) if rdata is None else _yes(name, rtype, rdata)


def _yes(name: bytes, rtype: int, rdata: bytes) -> Response:
    return Response(0, answer=(RR(name, rtype, TTL, rdata),), plugin=NAME)


def _no(owner: bytes, rcode: int = 0) -> Response:
    return Response(rcode, authority=(RR(owner, SOA, TTL, SOA_RDATA),), plugin=NAME)
