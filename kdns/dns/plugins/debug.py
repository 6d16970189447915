"""``debug``: lines of level DEBUG are logged, too.

In CoreDNS it also lets a bug end the process; here a bug costs one SERVFAIL whatever the Corefile says.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import no_args, no_block, once
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "debug"


class Options(Struct, frozen=True, kw_only=True):
    """There is nothing to say: it is there or not."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    no_args(directive)
    no_block(directive)
    return Options()


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain; the level is the server's business."""
    return Built(must_see=sees_nothing)
