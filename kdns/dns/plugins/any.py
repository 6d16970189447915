"""``any``: answers ANY questions with as little as RFC 8482 section 4.2 allows."""

from typing import Final

from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.options import NoOptions, parse_bare
from kdns.dns.api.plugin import BlockContext, Built, PrecompiledAnswer, sees_all
from kdns.wire.numbers import ANY, HINFO, IN
from kdns.wire.query import Query
from kdns.wire.rr import RR

NAME: Final = "any"
parse = parse_bare
TTL: Final = 8482
"""Seconds; the number of the RFC."""
CPU: Final = b"ANY obsoleted"
OS: Final = b"See RFC 8482"


def build(_options: NoOptions, _parts: BlockContext) -> Built:
    """The plugin for one server block."""
    return Built(plugin=plugin, must_see=sees_all, ignores=ignores)


def ignores(query: Query, _found: PrecompiledAnswer) -> bool:
    """All other types."""
    return query.rtype != ANY


def plugin(following: Handler) -> Handler:
    """The plugin."""
    rdata = bytes((len(CPU),)) + CPU + bytes((len(OS),)) + OS

    async def handle(request: Request) -> Response:
        query = request.query
        if query.rtype != ANY or query.rclass != IN:
            return await following(request)
        return Response(0, answer=(RR(query.name, HINFO, TTL, rdata),), plugin=NAME)

    return handle
