"""``prometheus [ADDRESS] { runtime_metrics }``: a page with all numbers.

What counts and serves the page is the server, which reads these options.
"""

from collections.abc import Sequence

from msgspec import Struct

from kdns.config.arguments import parse_http_address
from kdns.config.directive import Directive
from kdns.config.reading import arguments, no_args, once, properties, value
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "prometheus"


class Options(Struct, frozen=True, kw_only=True):
    """Where, and whether Python's own numbers are there as well."""

    address: str = "127.0.0.1:9153"
    runtime_metrics: bool = False


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    args = arguments(directive, 0, 1)
    runtime = False

    def read_runtime(line: Directive) -> None:
        nonlocal runtime
        no_args(line)
        runtime = True

    properties(directive, {"runtime_metrics": read_runtime})
    return Options(address=value(args[0], parse_http_address) if args else Options().address, runtime_metrics=runtime)


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain: what is counted is counted on the way in and out."""
    return Built(must_see=sees_nothing)
