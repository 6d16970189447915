"""``nsid``: says which server answered, to clients that ask for it (RFC 5001)."""

import socket
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive
from kdns.config.reading import no_block, once
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.wire.query import edns_option, edns_options

NAME: Final = "nsid"
CODE: Final = 3
"""Of the EDNS option, RFC 5001 section 2.3."""
LONGEST: Final = 255
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
    if len(data.encode()) > LONGEST:
        raise directive.args[0].error(f"{len(data.encode())} octets, at most {LONGEST}")
    return Options(data)


def build(options: Options, _parts: BlockContext) -> Built:
    """The plugin for one server block. Questions with EDNS options never take the fast way."""
    return Built(plugin=nsid((options.data or socket.gethostname()).encode()[:LONGEST]), must_see=sees_nothing)


def nsid(data: bytes) -> Plugin:
    """The plugin."""
    option = edns_option(CODE, data)

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await following(request)
            edns = request.query.edns
            if edns is None or not any(code == CODE for code, _ in edns_options(edns.options)):
                return response
            return replace(response, options=response.options + option)

        return handle

    return plugin
