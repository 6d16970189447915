"""``template``: replies from patterns and texts.

::

    template CLASS TYPE [ZONE...] {
        match REGEX...                   any of them; none: every name
        var NAME EXPRESSION              for the texts, and for the expressions behind it
        expr EXPRESSION                  must hold, or it is as if no pattern matched
        answer | additional | authority RR...
        rcode CODE | ederror NUMBER [TEXT] | fallthrough [ZONE...]
    }

The first template that a question fits answers; one in whose zone it is, but which it does not match, answers
SERVFAIL or hands it on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.directive import Directive, Word
from kdns.config.reading import Mistakes, arguments, choice, integer, properties, word_at, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer
from kdns.dns.api.zones import Fallthrough, Zones
from kdns.dns.lang.expr import Compiled, ExpressionError, Scope, compile_value, reserved
from kdns.dns.lang.patterns import Match, Pattern, compile_pattern
from kdns.dns.lang.template.functions import Fields, Method, TemplateFailure, Value
from kdns.dns.lang.template.parser import parse_template
from kdns.dns.lang.template.running import Template
from kdns.dns.lang.template.tokens import TemplateMistake
from kdns.dns.zonefile.reading import parse_record
from kdns.metrics.dns import OTHER, TYPE_LABELS
from kdns.wire.name import name_text
from kdns.wire.numbers import AA, AAAA, ANY, CD, CLASS_ANY, CNAME, EDE, IN, RD, SERVFAIL, TC, A
from kdns.wire.query import Query, edns_option
from kdns.wire.rcodes import RCODES
from kdns.wire.rr import RR
from kdns.wire.types import CLASS_TEXT, CLASSES, class_text, type_number, type_text

NAME: Final = "template"
SECTIONS: Final = ("answer", "additional", "authority")
"""In the order in which they are made."""
FIELDS: Final = frozenset(
    {"Zone", "Name", "Regex", "Match", "Group", "Class", "Type", "Message", "Question", "Remote", "Meta", "Var"}
)
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABELS: Final = ("server", "zone", "view", "class", "type")


class TemplateRule(Struct, frozen=True, kw_only=True):
    """What one occurrence of the directive says."""

    rclass: int
    rtype: int
    zones: tuple[str, ...]
    patterns: tuple[Pattern, ...] = ()
    """None: every name matches."""
    variables: tuple[tuple[str, Compiled], ...] = ()
    conditions: tuple[Compiled, ...] = ()
    records: tuple[tuple[str, Template], ...] = ()
    """Section and text, those of the answer first."""
    rcode: int = 0
    error: tuple[int, str] | None = None
    """Extended error: number and text."""
    fallthrough: tuple[str, ...] | None = None
    """Zones in which a name that no pattern matches is handed on; None: nowhere."""


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    templates: tuple[TemplateRule, ...]
    """In the order of the file."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """The templates, one for each occurrence."""
    rules: list[TemplateRule] = []
    mistakes = Mistakes()
    for directive in directives:
        with mistakes.noted():
            rules.append(_Reader(place).one(directive))
    mistakes.settle()
    return Options(templates=tuple(rules))


class _Reader:
    """The lines of one block."""

    def __init__(self, place: DirectiveContext) -> None:
        self._place = place
        self._patterns: list[Pattern] = []
        self._variables: dict[str, Compiled] = {}
        self._conditions: list[Compiled] = []
        self._records: list[tuple[str, Template]] = []
        self._rcode = 0
        self._error: tuple[int, str] | None = None
        self._fallthrough: tuple[str, ...] | None = None

    def one(self, directive: Directive) -> TemplateRule:
        rclass, rtype, *rest = arguments(directive, 2, None)
        number = type_number(rtype.text)
        if number is None:
            raise rtype.error(f"unknown type {rtype.text!r}", hint="such as A, AAAA or ANY")
        kind = CLASSES[choice(rclass, tuple(CLASSES))]
        own = zones(rest, self._place)
        known = {
            "match": self._match,
            **dict.fromkeys(SECTIONS, self._record),
            "rcode": self._read_rcode,
            "ederror": self._read_error,
            "fallthrough": self._read_fallthrough,
            "var": self._var,
            "expr": self._expr,
            "upstream": lambda _line: None,  # means nothing in CoreDNS, either
        }
        properties(directive, known)
        records = sorted(self._records, key=lambda record: SECTIONS.index(record[0]))
        return TemplateRule(
            rclass=kind,
            rtype=number,
            zones=own,
            patterns=tuple(self._patterns),
            variables=tuple(self._variables.items()),
            conditions=tuple(self._conditions),
            records=tuple(records),
            rcode=self._rcode,
            error=self._error,
            fallthrough=self._fallthrough,
        )

    def _match(self, line: Directive) -> None:
        for word in arguments(line, 1, None):
            try:
                self._patterns.append(compile_pattern(word.text))
            except ValueError as error:
                raise word.error(f"invalid regular expression: {error}") from None

    def _var(self, line: Directive) -> None:
        name, *words = arguments(line, 2, None)
        if not VARIABLE.fullmatch(name.text):
            raise name.error(f"invalid name of a variable: {name.text!r}", hint="letters, digits and _")
        if name.text in self._variables or reserved(name.text):
            used = "a variable" if name.text in self._variables else "a word of the language"
            raise name.error(f"{name.text!r} is {used} already", hint="take another name")
        self._variables[name.text] = self._compiled(words)

    def _expr(self, line: Directive) -> None:
        self._conditions.append(self._compiled(arguments(line, 1, None), "bool"))

    def _compiled(self, words: Sequence[Word], wanted: str = "") -> Compiled:
        types = {name: compiled.type for name, compiled in self._variables.items()}
        try:
            return compile_value(" ".join(word.text for word in words), types, groups=True, wanted=wanted)
        except ExpressionError as error:
            raise word_at(words, error.at).error(error.problem, error.hint) from error

    def _record(self, line: Directive) -> None:
        for word in arguments(line, 1, None):
            self._records.append((line.name.text, _template(word)))

    def _read_rcode(self, line: Directive) -> None:
        self._rcode = RCODES[choice(arguments(line, 1, 1)[0], tuple(RCODES))]

    def _read_error(self, line: Directive) -> None:
        words = arguments(line, 1, 2)
        self._error = integer(words[0], 0, 65535), words[1].text if len(words) > 1 else ""

    def _read_fallthrough(self, line: Directive) -> None:
        self._fallthrough = zones(line.args, DirectiveContext((".",), 0, self._place.folder))


def _template(word: Word) -> Template:
    """A record's text, checked as far as that can be done before a question is asked."""
    try:
        template = parse_template(word.text, FIELDS)
        if template.constant:
            parse_record(template.run({}))
    except TemplateMistake as error:
        raise _within(word, error) from None
    except ValueError as error:
        hint = "" if " " in word.text else "put the whole record into quotes"
        raise word.error(f"invalid resource record: {error}", hint) from None
    return template


def _within(word: Word, error: TemplateMistake) -> ConfigError:
    """The mistake where it is in the word, if that stands in the line as it is read."""
    at = word.at
    before = word.text[: error.at].replace('"', '\\"')
    shown = f'"{before}'
    if at.text[at.column - 1 :].startswith(shown) and "\n" not in before:
        word = word._replace(at=at._replace(column=at.column + len(shown)))
    return word.error(f"no template: {error}")


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    templates = Templates(options, parts)
    classes = any(rule.rclass != IN for rule in options.templates)
    return Built(plugin=templates.plugin, must_see=templates.must_see, ignores=templates.ignores, classes=classes)


class Ready(NamedTuple):
    """One template, built."""

    rule: TemplateRule
    zones: Zones
    fallthrough: Fallthrough
    fixed: tuple[RR | None, ...]
    """The records that are always the same."""

    def fits(self, rclass: int, rtype: int) -> bool:
        """True for a class and type that it is about."""
        rule = self.rule
        return (rule.rclass == rclass or CLASS_ANY in {rule.rclass, rclass}) and (
            rule.rtype == rtype or ANY in {rule.rtype, rtype}
        )

    def admit(self, request: Request, matched: tuple[str, Match, Mapping[str, int]]) -> dict[str, Value] | None:
        """The variables for a request that matches, None if a condition does not hold.

        Raises ValueError for what cannot be worked out.
        """
        rule = self.rule
        if not rule.variables and not rule.conditions:
            return {}
        scope = Scope(request, {key: str(value) for key, value in _groups(matched).items()})
        for name, compiled in rule.variables:
            scope.variables[name] = compiled.run(scope)
        if not all(condition.run(scope) for condition in rule.conditions):
            return None
        return scope.variables

    def match(self, text: str) -> tuple[str, Match, Mapping[str, int]] | None:
        """The first pattern that matches a name, and its match."""
        if not self.rule.patterns:
            return ".*", Match((text,)), {}
        for pattern in self.rule.patterns:
            match = pattern.search(text)
            if match is not None:
                return pattern.text, match, pattern.names
        return None


class Templates:
    """The templates of one server block."""

    def __init__(self, options: Options, parts: BlockContext) -> None:
        self._parts = parts
        self._all = tuple(
            Ready(
                rule,
                Zones(rule.zones),
                Fallthrough(rule.fallthrough),
                tuple(parse_record(template.run({})) if template.constant else None for _, template in rule.records),
            )
            for rule in options.templates
        )
        name = "coredns_template"
        self._matches = parts.counter(f"{name}_matches", "Questions that a template answered.", LABELS)
        more = (*LABELS, "section", "template")
        self._failures = parts.counter(f"{name}_template_failures", "Templates that came to nothing.", more)
        self._bad = parts.counter(f"{name}_rr_failures", "Templates that made something that is not a record.", more)

    def must_see(self, name: bytes, below: bool) -> bool:
        """The names in its zones, but for those that match no pattern and are handed on."""
        return any(self._touches(ready, name, below) for ready in self._all)

    @staticmethod
    def _touches(ready: Ready, name: bytes, below: bool) -> bool:
        if not ready.zones.touch(name, below):
            return False
        return below or not ready.fallthrough.through(name) or ready.match(name_text(name)) is not None

    def ignores(self, query: Query, _found: PrecompiledAnswer) -> bool:
        """Queries of classes and types that no template is about."""
        return not any(ready.fits(query.rclass, query.rtype) for ready in self._all)

    def plugin(self, following: Handler) -> Handler:
        """Answers what a template is for."""

        async def handle(request: Request) -> Response:
            query = request.query
            text = name_text(query.name)
            for ready in self._all:
                zone = ready.zones.of(query.name)
                if zone is None or not ready.fits(query.rclass, query.rtype):
                    continue
                matched = ready.match(text)
                try:
                    variables = ready.admit(request, matched) if matched is not None else None
                except ValueError as error:
                    raise UpstreamError(f"template: {error}") from None
                if matched is not None and variables is not None:
                    return await self._answer(ready, request, text, ready.zones.texts[zone], matched, variables)
                if not ready.fallthrough.through(query.name):
                    return Response(SERVFAIL)
            return await following(request)

        return handle

    async def _answer(
        self,
        ready: Ready,
        request: Request,
        text: str,
        zone: str,
        matched: tuple[str, Match, Mapping[str, int]],
        variables: dict[str, Value],
    ) -> Response:
        rule, query = ready.rule, request.query
        rclass = class_text(rule.rclass if query.rclass == CLASS_ANY else query.rclass)
        rtype = type_text(rule.rtype if query.rtype == ANY else query.rtype)
        labels = (request.server, zone, "", *_counted(rule, query, rclass, rtype))
        self._matches.labels(*labels).inc()
        if rule.rcode == SERVFAIL:
            return Response(SERVFAIL)
        data = {**_data(request, text, zone, matched, (rclass, rtype)), "Var": variables}
        made: dict[str, list[RR]] = {section: [] for section in SECTIONS}
        flags = AA
        for (section, template), fixed in zip(rule.records, ready.fixed, strict=True):
            rr = fixed if fixed is not None else self._run(template, data, (*labels, section, template.text))
            made[section].append(rr)
            if section == "answer" and rr.rtype == CNAME and query.rtype in {A, AAAA}:
                there = await self._followed(request, rr.rdata)
                made[section] += there.answer
                flags = flags & ~TC | there.flags & TC
        options = b""
        if rule.error is not None:
            code, reason = rule.error
            options = edns_option(EDE, code.to_bytes(2, "big") + reason.encode())
        answer, additional, authority = (tuple(made[section]) for section in SECTIONS)
        return Response(rule.rcode, flags, answer, authority, additional, plugin=NAME, options=options)

    def _run(self, template: Template, data: Mapping[str, Value], labels: tuple[str, ...]) -> RR:
        try:
            text = template.run(data)
        except TemplateFailure as failure:
            self._failures.labels(*labels).inc()
            raise UpstreamError(f"template: {labels[-2]}: {failure}") from None
        try:
            return parse_record(text)
        except ValueError as error:
            self._bad.labels(*labels).inc()
            raise UpstreamError(f"dns: {error}") from None

    async def _followed(self, request: Request, target: bytes) -> Response:
        """What is where an alias leads; nothing if that cannot be found out."""
        query = request.query._replace(name=target, question=target + request.query.question[-4:])
        try:
            return await self._parts.lookup(request._replace(query=query))
        except UpstreamError:
            return Response()


def _groups(matched: tuple[str, Match, Mapping[str, int]]) -> dict[str, Value]:
    """What the parts of a pattern matched, by number and by name."""
    _, match, names = matched
    groups: dict[str, Value] = {str(number): group for number, group in enumerate(match.groups)}
    return groups | {name: match.groups[number] for name, number in names.items()}


def _counted(rule: TemplateRule, query: Query, rclass: str, rtype: str) -> tuple[str, str]:
    """Class and type as they are counted: what clients may make up without end is ``other``."""
    known = rule.rtype != ANY or query.rtype in TYPE_LABELS
    return rclass if query.rclass in CLASS_TEXT else OTHER, rtype if known else OTHER


def _data(
    request: Request, text: str, zone: str, matched: tuple[str, Match, Mapping[str, int]], kinds: tuple[str, str]
) -> Mapping[str, Value]:
    """What a template sees of a request; `FIELDS` names it."""
    regex, match, _ = matched
    query = request.query
    question = Fields({"Name": name_text(query.question[:-4]), "Qtype": query.rtype, "Qclass": query.rclass})
    message = Fields(
        {
            "Id": query.id,
            "RecursionDesired": bool(query.flags & RD),
            "CheckingDisabled": bool(query.flags & CD),
            "Question": [question],
        }
    )
    return {
        "Zone": zone, "Name": text, "Regex": regex, "Match": list(match.groups), "Group": _groups(matched),
        "Class": kinds[0], "Type": kinds[1], "Message": message, "Question": question,
        "Remote": request.client.address,
        "Meta": Method(lambda key: request.metadata.get(key, "") if isinstance(key, str) else ""),
    }  # fmt: skip
