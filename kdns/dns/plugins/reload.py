"""``reload [INTERVAL [JITTER]]``: look at the Corefile now and then, and serve the new one if it has changed.

What looks and swaps is the server, which reads these options.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, duration, no_block, once
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "reload"
LEAST: Final = 2.0
LEAST_JITTER: Final = 1.0


class Options(Struct, frozen=True, kw_only=True):
    """Seconds both; each look comes up to half the jitter early or late."""

    interval: float = 30.0
    jitter: float = 15.0


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError: CoreDNS's least values, 2s and 1s, hold here too; a jitter of 0 is none."""
    directive = once(directives)
    no_block(directive)
    args = arguments(directive, 0, 2)
    interval, jitter = Options().interval, Options().jitter
    if args:
        interval = duration(args[0], LEAST)
    if len(args) > 1:
        jitter = duration(args[1])
        if 0 < jitter < LEAST_JITTER:
            raise args[1].error(f"{args[1].text} is out of range", hint="0, or at least 1s")
    return Options(interval=interval, jitter=min(jitter, interval / 2))


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)
