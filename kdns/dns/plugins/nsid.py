"""``nsid``: says which server answered, to clients that ask for it (RFC 5001)."""

import socket
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive
from kdns.config.reading import no_block, once
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_all
from kdns.wire.query import Query, edns_option, edns_options

NAME: Final = "nsid"
CODE: Final = 3
"""Of the EDNS option, RFC 5001 section 2.3."""
MAX_DATA: Final = 255
"""Octets; a longer name would take the room of answers."""


class Options(Struct, frozen=True):
    """One text."""

    data: str = ""
    """Empty: the name of the machine."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``nsid [DATA...]``; several words are joined by blanks."""
    directive = once(directives)
    no_block(directive)
    data = " ".join(word.text for word in directive.args)
    if len(data.encode()) > MAX_DATA:
        raise directive.args[0].error(f"{len(data.encode())} octets, at most {MAX_DATA}")
    return Options(data)


def build(options: Options, _parts: BlockContext) -> Built:
    """The plugin for one server block. It changes nothing for queries that do not ask for it."""

    def ignores(query: Query, _found: PrecompiledAnswer) -> bool:
        return not asks(query)

    plugin = nsid((options.data or socket.gethostname()).encode()[:MAX_DATA])
    return Built(plugin=plugin, must_see=sees_all, ignores=ignores)


def asks(query: Query) -> bool:
    """RFC 5001 section 2.1: a client asks with an NSID option in its query."""
    return query.edns is not None and any(code == CODE for code, _ in edns_options(query.edns.options))


def nsid(data: bytes) -> Plugin:
    """The plugin."""
    option = edns_option(CODE, data)

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await following(request)
            return replace(response, options=response.options + option) if asks(request.query) else response

        return handle

    return plugin
