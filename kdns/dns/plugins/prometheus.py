"""``prometheus [ADDRESS] { runtime_metrics }``: a page with all numbers.

What counts and serves the page is the server, which reads these options.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.dns.api.options import flag, page_options
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "prometheus"


class Options(Struct, frozen=True, kw_only=True):
    """Where, and whether Python's own numbers are there as well."""

    address: str = "127.0.0.1:9153"
    runtime_metrics: bool = False


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    return Options(**page_options(directives, {"runtime_metrics": ("runtime_metrics", flag)}))


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain: what is counted is counted on the way in and out."""
    return Built(must_see=sees_nothing)
