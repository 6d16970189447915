"""``top [ADDRESS] { metrics N }``: a page that says who asks what: `kdns top` shows it.

What counts and serves the page is the server, which reads these options.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, integer
from kdns.dns.api.options import page_options
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "top"
MOST_METRICS = 100


class Options(Struct, frozen=True, kw_only=True):
    """Where, and how many of each kind are metrics as well."""

    address: str = "127.0.0.1:9154"
    """Loopback: the page has the names that clients ask for."""
    metrics: int = 0
    """The first so many of each kind; 0: none."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""

    def most(line: Directive) -> int:
        return integer(arguments(line, 1, 1)[0], 1, MOST_METRICS)

    return Options(**page_options(directives, {"metrics": ("metrics", most)}))


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain: what is asked is looked at on the way out."""
    return Built(must_see=sees_nothing)
