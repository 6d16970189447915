"""``ready [ADDRESS] { monitor until-ready|continuously }``: a page that says whether clients should be sent here.

What serves the page is the server, which reads these options.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice
from kdns.dns.api.options import page_options
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "ready"


class Options(Struct, frozen=True, kw_only=True):
    """Where, and whether what was ready once is asked again."""

    address: str = ":8181"
    continuously: bool = False


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    return Options(**page_options(directives, {"monitor": ("continuously", _monitor)}))


def _monitor(line: Directive) -> bool:
    return choice(arguments(line, 1, 1)[0], ("until-ready", "continuously")) == "continuously"


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)
