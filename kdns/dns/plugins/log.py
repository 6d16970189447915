"""``log``: a line for each question.

::

    log [NAME...] [FORMAT] {
        class all|success|denial|error ...
    }

The first rule whose name a question is in decides, over all occurrences of the directive in the order of the file.
"""

import logging
from collections.abc import Sequence
from typing import Final, get_args

from msgspec import Struct

from kdns.base.errors import UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice, properties, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, Ignores, PrecompiledAnswer
from kdns.dns.api.response_kind import CLASS_OF, Class, kind_of
from kdns.dns.lang.log_format import COMMON, Asked, Part, line, parse_format
from kdns.wire.name import parse_name, under
from kdns.wire.numbers import NOERROR, NXDOMAIN, SERVFAIL
from kdns.wire.query import Query

NAME: Final = "log"
LINES: Final = logging.getLogger("kdns.query")
"""Speaks for no plugin: the lines begin with ``[INFO]`` alone."""
EVERYTHING: Final[frozenset[Class]] = frozenset(get_args(Class))


class Rule(Struct, frozen=True):
    """What is logged of the names in one zone, and how."""

    zone: str = "."
    format: str = COMMON
    classes: frozenset[Class] = EVERYTHING


class Options(Struct, frozen=True):
    """The rules in their order."""

    rules: tuple[Rule, ...] = (Rule(),)


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """One rule for each name; a single argument is a name, never a format."""
    return Options(tuple(rule for directive in directives for rule in _rules(directive)))


def _rules(directive: Directive) -> list[Rule]:
    names, form = list(directive.args), COMMON
    if names and "{" in names[-1].text:
        if len(names) == 1:
            raise names[0].error("a format needs a name before it", hint=f'log . "{names[0].text}"')
        form = names.pop().text
    classes: set[Class] = set()

    def take_class(each: Directive) -> None:
        for word in arguments(each, 1, None):
            chosen = choice(word, ("all", "success", "denial", "error"))
            classes.update(known for known in EVERYTHING if chosen in {"all", known})

    properties(directive, {"class": take_class})
    chosen = frozenset(classes) or EVERYTHING
    return [Rule(zone, form, chosen) for zone in zones(names, DirectiveContext((".",), 0, ""))]


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    log = Log(options, parts)
    return Built(plugin=log.plugin, must_see=log.must_see, ignores=log.ignores)


class Log:
    """The rules of one server block."""

    def __init__(self, options: Options, parts: BlockContext) -> None:
        self._clock = parts.clock
        self._rules = tuple((parse_name(rule.zone), rule, parse_format(rule.format)) for rule in options.rules)
        classes = {rule.classes for rule in options.rules}
        self.ignores: Ignores | None = _ignores(classes.pop()) if len(classes) == 1 else None
        """Only where it does not matter which rule a name falls under."""

    def must_see(self, name: bytes, below: bool) -> bool:
        """The names of its rules."""
        return any(under(name, zone) or (below and under(zone, name)) for zone, _, _ in self._rules)

    def plugin(self, following: Handler) -> Handler:
        """Writes the line when the answer is there; what a plugin gave up is SERVFAIL."""

        async def handle(request: Request) -> Response:
            name = request.query.name
            rule = next((each for each in self._rules if under(name, each[0])), None)
            if rule is None:
                return await following(request)
            started = self._clock()
            try:
                response = await following(request)
            except UpstreamError:
                self._write(rule, Asked(request, Response(SERVFAIL), self._clock() - started))
                raise
            self._write(rule, Asked(request, response, self._clock() - started))
            return response

        return handle

    def _write(self, rule: tuple[bytes, Rule, tuple[Part, ...]], asked: Asked) -> None:
        _, options, parts = rule
        kind = kind_of(asked.request.query.rtype, asked.response)
        if CLASS_OF[kind] in options.classes:
            asked.request.metadata.update({"log/type": kind, "log/class": CLASS_OF[kind]})
            LINES.info("%s", line(parts, asked))


def _ignores(classes: frozenset[Class]) -> Ignores | None:
    """Lets pass what has another class for sure."""
    if classes == EVERYTHING:
        return None

    def ignores(_query: Query, found: PrecompiledAnswer) -> bool:
        answer = found.answer
        answers, authority, _ = answer.sections.counts
        if answer.rcode == NXDOMAIN:
            return "denial" not in classes and not (answers and "error" in classes)
        if answer.rcode != NOERROR:
            return "error" not in classes
        nodata = authority and not answers  # or a delegation: either class
        return "success" not in classes and not (nodata and "denial" in classes)

    return ignores
