"""``minimal``: replies that say yes carry the answer alone."""

from typing import Final

from msgspec.structs import replace

from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.options import NoOptions, parse_bare
from kdns.dns.api.plugin import BlockContext, Built, PrecompiledAnswer, sees_all
from kdns.dns.api.response_kind import kind_of
from kdns.wire.numbers import NOERROR
from kdns.wire.query import Query

NAME: Final = "minimal"
parse = parse_bare


def build(_options: NoOptions, _parts: BlockContext) -> Built:
    """The plugin for one server block."""
    return Built(plugin=plugin, must_see=sees_all, ignores=ignores)


def ignores(_query: Query, precompiled: PrecompiledAnswer) -> bool:
    """What has nothing to be left out: no other sections, or an error; "no" with its SOA, too."""
    answer = precompiled.answer
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
