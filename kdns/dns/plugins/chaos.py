"""``chaos``: what the server is, for questions of class CH (RFC 4892)."""

import socket
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kdns import __version__
from kdns.config.directive import Directive
from kdns.config.reading import no_block, once
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.wire.name import parse_name
from kdns.wire.numbers import CH, TXT
from kdns.wire.rr import RR

NAME: Final = "chaos"
AUTHORS: Final = parse_name("authors.bind.")
VERSIONS: Final = frozenset(map(parse_name, ("version.bind.", "version.server.")))
HOSTS: Final = frozenset(map(parse_name, ("hostname.bind.", "id.server.")))
LONGEST: Final = 255
"""Octets of one text in a TXT record (RFC 1035 section 3.3.14)."""


class Options(Struct, frozen=True):
    """The texts of the answers."""

    version: str = f"kdns-{__version__}"
    authors: tuple[str, ...] = ("kdns",)


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``chaos [VERSION [AUTHOR...]]``."""
    directive = once(directives)
    no_block(directive)
    for word in directive.args:
        if len(word.text.encode()) > LONGEST:
            raise word.error(f"{len(word.text.encode())} octets, at most {LONGEST}")
    texts = [word.text for word in directive.args]
    if not texts:
        return Options()
    return Options(texts[0], tuple(sorted(set(texts[1:])))) if texts[1:] else Options(texts[0])


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block. Precompiled answers are of class IN, so it needs to see none of them."""
    return Built(plugin=chaos(options, parts), must_see=sees_nothing, classes=True)


def chaos(options: Options, parts: BlockContext) -> Plugin:
    """The plugin."""

    def texts(name: bytes) -> tuple[str, ...]:
        if name == AUTHORS:
            return tuple(parts.random.sample(options.authors, len(options.authors)))
        if name in VERSIONS:
            return (options.version,)
        return (socket.gethostname(),) if name in HOSTS else ()

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            query = request.query
            strings = texts(query.name) if query.rclass == CH and query.rtype == TXT else ()
            if not strings:
                return await following(request)
            rdatas = [text.encode()[:LONGEST] for text in strings]
            answer = tuple(RR(query.name, TXT, 0, bytes((len(rdata_text),)) + rdata_text, CH) for rdata_text in rdatas)
            return Response(0, answer=answer, plugin=NAME)

        return handle

    return plugin
