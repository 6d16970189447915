"""``cancel [DURATION]``: a question that takes longer is given up and answered with SERVFAIL."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, duration, no_block, once
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.wire.numbers import SERVFAIL

NAME = "cancel"


class Options(Struct, frozen=True, kw_only=True):
    """Seconds that a question may take."""

    timeout: float = 5.001


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    no_block(directive)
    args = arguments(directive, 0, 1)
    return Options(timeout=duration(args[0], 0.001)) if args else Options()


def build(options: Options, _parts: BlockContext) -> Built:
    """What is ready to send takes no time, so it sees nothing of that."""
    return Built(plugin=cancel(options.timeout), must_see=sees_nothing, needs_task=True)


def cancel(seconds: float) -> Plugin:
    """The plugin."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                async with asyncio.timeout(seconds) as limit:
                    return await following(request)
            except TimeoutError:
                if not limit.expired():
                    raise
                return Response(SERVFAIL, plugin=NAME)

        return handle

    return plugin
