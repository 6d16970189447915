"""How directives of the same shape are read: those without options, and those of pages.

A plugin's module takes what fits: ``from kdns.dns.api.options import NoOptions as Options, parse_bare as parse``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from kdns.config.arguments import parse_http_address
from kdns.config.directive import Directive
from kdns.config.reading import arguments, no_args, no_block, once, properties, value
from kdns.dns.api.plugin import DirectiveContext

ReadLine = Callable[[Directive], object]
"""The value of one property, from its line. Raises ConfigError."""


class NoOptions(Struct, frozen=True):
    """For a directive that takes none."""


def parse_bare(directives: Sequence[Directive], _place: DirectiveContext) -> NoOptions:
    """No argument and no block; repeatable. Raises ConfigError."""
    for directive in directives:
        no_args(directive)
        no_block(directive)
    return NoOptions()


def flag(line: Directive) -> bool:
    """A property without arguments: True where it stands."""
    no_args(line)
    return True


def page_options(directives: Sequence[Directive], lines: Mapping[str, tuple[str, ReadLine]]) -> dict[str, Any]:
    """``NAME [ADDRESS:PORT] { PROPERTY... }``, once: ``address`` if it is given, and what the properties say.

    ``lines``: property -> the field it fills, and how it is read. Raises ConfigError.
    """
    directive = once(directives)
    args = arguments(directive, 0, 1)
    options: dict[str, Any] = {"address": value(args[0], parse_http_address)} if args else {}

    def reader(field: str, read: ReadLine) -> Callable[[Directive], None]:
        return lambda line: options.update({field: read(line)})

    properties(directive, {name: reader(field, read) for name, (field, read) in lines.items()})
    return options
