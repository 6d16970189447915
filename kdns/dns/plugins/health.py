"""``health [ADDRESS] { lameduck DURATION }``: a page that says OK as long as the process answers at all.

What serves the page and waits at the end is the server, which reads these options.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, duration
from kdns.dns.api.options import page_options
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "health"


class Options(Struct, frozen=True, kw_only=True):
    """Where, and how long a server that ends goes on answering."""

    address: str = ":8080"
    lameduck: float = 0.0
    """Seconds."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    return Options(**page_options(directives, {"lameduck": ("lameduck", _lameduck)}))


def _lameduck(line: Directive) -> float:
    return duration(arguments(line, 1, 1)[0])


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)
