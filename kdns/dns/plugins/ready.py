"""``ready [ADDRESS] { monitor until-ready|continuously }``: a page that says whether clients should be sent here.

What serves the page is the server, which reads these options.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.arguments import parse_http_address
from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice, once, properties, value
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "ready"


class Options(Struct, frozen=True, kw_only=True):
    """Where, and whether what was ready once is asked again."""

    address: str = ":8181"
    continuously: bool = False


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    args = arguments(directive, 0, 1)
    continuously = False

    def read_monitor(line: Directive) -> None:
        nonlocal continuously
        continuously = choice(arguments(line, 1, 1)[0], ("until-ready", "continuously")) == "continuously"

    properties(directive, {"monitor": read_monitor})
    return Options(address=value(args[0], parse_http_address) if args else Options().address, continuously=continuously)


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)
