"""``log``: a line for each question.

::

    log [NAME...] [FORMAT] {
        class all|success|denial|error ...
        rcode NAME ...
        namespace NAME ...
        every N
    }

The first rule whose name a question is in decides, over all occurrences of the directive in the order of the file.
"""

import logging
from collections.abc import Sequence
from typing import Final, get_args

from msgspec import Struct

from kdns.base.errors import UpstreamError
from kdns.config.arguments import parse_namespace
from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice, integer, properties, value, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, Ignores, PrecompiledAnswer
from kdns.dns.api.response_kind import CLASS_OF, Class, kind_of
from kdns.dns.lang.log_format import COMMON, Asked, Part, line, parse_format
from kdns.wire.name import parse_name, under
from kdns.wire.numbers import NOERROR, NXDOMAIN, SERVFAIL
from kdns.wire.query import Query
from kdns.wire.rcodes import RCODES

NAME: Final = "log"
LINES: Final = logging.getLogger("kdns.query")
"""Speaks for no plugin: the lines begin with ``[INFO]`` alone."""
EVERYTHING: Final[frozenset[Class]] = frozenset(get_args(Class))


class Rule(Struct, frozen=True):
    """What is logged of the names in one zone, and how."""

    zone: str = "."
    format: str = COMMON
    classes: frozenset[Class] = EVERYTHING
    rcodes: frozenset[int] = frozenset()
    """Only these; empty: any."""
    namespaces: frozenset[str] = frozenset()
    """Only what Pods of these ask, as far as that is known (metadata); empty: of any client."""
    every: int = 1
    """Of the lines that are left, each Nth is written."""


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
    rcodes: set[int] = set()
    namespaces: set[str] = set()
    every = 1

    def take_rcode(each: Directive) -> None:
        for word in arguments(each, 1, None):
            if (number := RCODES.get(word.text.upper())) is None:
                raise word.error(f"unknown response code {word.text!r}", "such as NXDOMAIN or SERVFAIL")
            rcodes.add(number)

    def take_namespace(each: Directive) -> None:
        namespaces.update(value(word, parse_namespace) for word in arguments(each, 1, None))

    def take_every(each: Directive) -> None:
        nonlocal every
        every = integer(arguments(each, 1, 1)[0], 1, 1_000_000)

    def take_class(each: Directive) -> None:
        for word in arguments(each, 1, None):
            chosen = choice(word, ("all", "success", "denial", "error"))
            classes.update(known for known in EVERYTHING if chosen in {"all", known})

    properties(directive, {"class": take_class, "rcode": take_rcode, "namespace": take_namespace, "every": take_every})
    chosen = frozenset(classes) or EVERYTHING
    return [
        Rule(zone, form, chosen, frozenset(rcodes), frozenset(namespaces), every)
        for zone in zones(names, DirectiveContext((".",), 0, ""))
    ]


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    log = Log(options, parts)
    return Built(plugin=log.plugin, must_see=log.must_see, ignores=log.ignores)


class Log:
    """The rules of one server block."""

    def __init__(self, options: Options, parts: BlockContext) -> None:
        self._clock = parts.clock
        self._passed = dict.fromkeys(options.rules, 0)
        """Lines since the last one that was written, by rule."""
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
        if CLASS_OF[kind] in options.classes and self._wanted(options, asked):
            asked.request.metadata.update({"log/type": kind, "log/class": CLASS_OF[kind]})
            LINES.info("%s", line(parts, asked))

    def _wanted(self, rule: Rule, asked: Asked) -> bool:
        """What the rule leaves, and of that each Nth."""
        if rule.rcodes and asked.response.rcode not in rule.rcodes:
            return False
        if rule.namespaces and asked.request.metadata.get("kubernetes/client-namespace") not in rule.namespaces:
            return False
        self._passed[rule] = (self._passed[rule] + 1) % rule.every
        return not self._passed[rule]


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
