"""``view``: a server block for the requests that its expressions want; others go to the next block for the same zone.

::

    view NAME {
        expr EXPRESSION           several must all hold
    }
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive
from kdns.config.reading import arguments, once, properties, word_at
from kdns.dns.api.handler import Request
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.dns.lang.expr import ExpressionError, compile_expression

NAME: Final = "view"
KEY: Final = "view/name"
"""Of the metadata that tells others which view a request is in."""


class Options(Struct, frozen=True):
    """A name for metrics, and what must hold."""

    name: str
    expressions: tuple[str, ...] = ()


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """The options. Raises ConfigError at the word where an expression cannot be understood."""
    directive = once(directives)
    name = arguments(directive, 1, 1)[0].text
    found: list[str] = []

    def expr(line: Directive) -> None:
        words = arguments(line, 1, None)
        text = " ".join(word.text for word in words)
        try:
            compile_expression(text)
        except ExpressionError as error:
            raise word_at(words, error.at).error(error.problem, error.hint) from error
        found.append(text)

    properties(directive, {"expr": expr})
    return Options(name, tuple(found))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block: it offers its name, and is not in the chain."""
    parts.offer(NAME, options.name)
    return Built(sees=sees_nothing, admits=admits(options))


def admits(options: Options) -> Callable[[Request], bool]:
    """True for a request that every expression wants; it is told the view's name."""
    tests = [compile_expression(text) for text in options.expressions]

    def wanted(request: Request) -> bool:
        if not all(test(request) for test in tests):
            return False
        request.metadata[KEY] = options.name
        return True

    return wanted
