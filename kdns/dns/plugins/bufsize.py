"""``bufsize``: clients are taken to accept no longer UDP replies than this, whatever they say."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive
from kdns.config.reading import arguments, integer, no_block, once
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_all, sees_nothing
from kdns.wire.query import UDP_LIMIT, Query

NAME: Final = "bufsize"
DEFAULT: Final = 1232
"""Octets that pass every path without fragments (DNS flag day 2020)."""


class Options(Struct, frozen=True):
    """One number."""

    size: int = DEFAULT
    """Octets, 512 to 4096."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``bufsize [SIZE]``."""
    directive = once(directives)
    no_block(directive)
    words = arguments(directive, 0, 1)
    return Options(integer(words[0], 512, 4096)) if words else Options()


def build(options: Options, _parts: BlockContext) -> Built:
    """The plugin for one server block. The server itself keeps to 1232 octets, so above that nothing changes."""
    size = options.size

    def ignores(query: Query, _found: PrecompiledAnswer) -> bool:
        """Replies to clients that say no more than that."""
        return query.edns is None or query.edns.payload <= size

    return Built(plugin=bufsize(size), must_see=sees_nothing if size >= UDP_LIMIT else sees_all, ignores=ignores)


def bufsize(size: int) -> Plugin:
    """The plugin."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            edns = request.query.edns
            if edns is None or edns.payload <= size:
                return await following(request)
            query = request.query._replace(edns=edns._replace(payload=size))
            response = await following(request._replace(query=query))
            return replace(response, limit=min(size, response.limit or size))

        return handle

    return plugin
