"""``status [ADDRESS]``: pages for people, in a browser and as JSON: what is served, and the path of each Service.

What serves the pages is the server, which reads these options. Without a host the address is loopback: the pages show
every Service, so they are for those who can reach this machine, by ``kubectl port-forward`` for example.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.arguments import parse_local_address
from kdns.config.directive import Directive
from kdns.config.reading import arguments, no_block, once, value
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "status"


class Options(Struct, frozen=True, kw_only=True):
    """Where."""

    address: str = "127.0.0.1:9180"


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    no_block(directive)
    args = arguments(directive, 0, 1)
    return Options(address=value(args[0], parse_local_address)) if args else Options()


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)
