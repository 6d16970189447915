"""``timeouts { read D; write D; idle D; maxtcpqueries N }``: what connections may take.

What keeps to it are the listeners of the block, which read these options.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, duration, integer, no_args, once, properties
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing

NAME = "timeouts"
LEAST: Final = 1.0
MOST: Final = 24 * 3600.0


class Options(Struct, frozen=True, kw_only=True):
    """Seconds, as CoreDNS has them; see `kdns.dns.transport.tcp.TcpLimits`."""

    read: float = 3.0
    write: float = 5.0
    idle: float = 10.0
    queries: int | None = None
    """On one connection; None is any number."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError: 1s to 24h, and at least one of them."""
    directive = once(directives)
    no_args(directive)
    durations: dict[str, float] = {}
    queries: int | None = None

    def reader(name: str) -> Callable[[Directive], None]:
        def read(line: Directive) -> None:
            durations[name] = duration(arguments(line, 1, 1)[0], LEAST, MOST)

        return read

    def read_queries(line: Directive) -> None:
        nonlocal queries
        word = arguments(line, 1, 1)[0]
        number = integer(word, -1)
        if number == 0:
            raise word.error("0 is out of range", hint="-1 for any number, or at least 1")
        queries = None if number == -1 else number

    properties(directive, {**{name: reader(name) for name in ("read", "write", "idle")}, "maxtcpqueries": read_queries})
    if not directive.block:
        raise directive.name.error("timeouts says nothing", hint="read, write, idle or maxtcpqueries in braces")
    return Options(**durations, queries=queries)


def build(_options: Options, _parts: BlockContext) -> Built:
    """No part of the chain."""
    return Built(must_see=sees_nothing)
