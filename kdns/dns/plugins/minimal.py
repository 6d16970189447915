"""``minimal``: replies that say yes carry the answer alone."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive
from kdns.config.reading import no_args, no_block
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_all
from kdns.dns.api.response_kind import kind_of
from kdns.wire.numbers import NOERROR
from kdns.wire.query import Query

NAME: Final = "minimal"


class Options(Struct, frozen=True):
    """There are none."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """No argument, no block."""
    for directive in directives:
        no_args(directive)
        no_block(directive)
    return Options()


def build(_options: Options, _parts: BlockContext) -> Built:
    """The plugin for one server block."""
    return Built(plugin=plugin, must_see=sees_all, ignores=ignores)


def ignores(_query: Query, found: PrecompiledAnswer) -> bool:
    """What has nothing to be left out: no other sections, or an error; "no" with its SOA, too."""
    answer = found.answer
    answers, authority, additional = answer.sections.counts
    if answer.rcode != NOERROR:
        return True
    return not additional and not (authority and answers)


def plugin(following: Handler) -> Handler:
    """The plugin."""

    async def handle(request: Request) -> Response:
        response = await following(request)
        if kind_of(request.query.rtype, response) != "NOERROR":
            return response
        return replace(response, authority=(), additional=())

    return handle
