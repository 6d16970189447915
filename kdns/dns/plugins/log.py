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

from collections.abc import Callable, Sequence
from typing import Final, get_args

from msgspec import Struct

from kdns.base.errors import UpstreamError
from kdns.config.arguments import parse_namespace
from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice, integer, properties, value, zones
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, Ignores, PrecompiledAnswer, Watch
from kdns.dns.api.response_kind import CLASS_OF, Class, authority_types, kind_by, kind_of
from kdns.dns.lang.log_format import COMMON, Asked, line_of, metadata_keys
from kdns.ops.logs import write_query_line
from kdns.records.answers import Answers
from kdns.records.clients import ClientIndex
from kdns.wire.name import ROOT, parse_name, under
from kdns.wire.numbers import SERVFAIL
from kdns.wire.query import Query
from kdns.wire.rcodes import RCODES

NAME: Final = "log"
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

    def take_rcode(entry: Directive) -> None:
        for word in arguments(entry, 1, None):
            if (number := RCODES.get(word.text.upper())) is None:
                raise word.error(f"unknown response code {word.text!r}", "such as NXDOMAIN or SERVFAIL")
            rcodes.add(number)

    def take_namespace(entry: Directive) -> None:
        namespaces.update(value(word, parse_namespace) for word in arguments(entry, 1, None))

    def take_every(entry: Directive) -> None:
        nonlocal every
        every = integer(arguments(entry, 1, 1)[0], 1, 1_000_000)

    def take_class(entry: Directive) -> None:
        for word in arguments(entry, 1, None):
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
    return Built(
        plugin=log.plugin,
        must_see=log.must_see,
        ignores=log.ignores,
        watch=log.watch,
        forward_step=ForwardStep(passes=log.passes, note=log.note),
    )


class Written:
    """A rule at work: its zone, its format, and which lines are still passed over."""

    __slots__ = ("_others", "everything", "left", "line", "of", "reads_metadata", "rule", "zone")

    def __init__(self, rule: Rule, others: Sequence[Rule], clients: ClientIndex | None) -> None:
        """``others`` are the other rules of its block; ``clients`` are None where Pods are not followed."""
        self.of = _of(clients, rule.namespaces) if clients is not None and rule.namespaces else None
        self.rule, self.zone, self.line = rule, parse_name(rule.zone), line_of(rule.format)
        self.everything = self.zone == ROOT
        self.reads_metadata = any(not key.startswith(("log/", "forward/")) for key in metadata_keys(rule.format))
        """Its lines have what plugins of the chain find out."""
        self.left = rule.every - 1
        """Lines until the next one that is written; see `kdns.dns.api.plugin.Watch`."""
        self._others = tuple(parse_name(other.zone) for other in others)

    def covers(self, parent: bytes) -> bool:
        """All names under a folded name are its own."""
        return under(parent, self.zone) and not any(under(zone, parent) for zone in self._others)

    def due(self) -> bool:
        """Count a line; True: it is to be written."""
        if self.left > 0:
            self.left -= 1
            return False
        self.left = self.rule.every - 1
        return True


class Log:
    """The rules of one server block."""

    def __init__(self, options: Options, parts: BlockContext) -> None:
        self._clock = parts.clock
        rules = options.rules
        answers = parts.sibling("kubernetes")
        clients = answers.zone.cluster.clients if isinstance(answers, Answers) and answers.schema.by_client else None
        self._rules = tuple(Written(rule, (*rules[:at], *rules[at + 1 :]), clients) for at, rule in enumerate(rules))
        self.ignores: Ignores | None = None
        filters = {(rule.classes, rule.rcodes) for rule in rules}
        if len(filters) == 1 and filters != {(EVERYTHING, frozenset[int]())}:
            # only where it does not matter which rule a name falls under
            self.ignores = lambda query, ready: not _wants(rules[0], query, ready)
        self.watch = self._watch if any(map(_watches, self._rules)) else None

    def must_see(self, name: bytes, below: bool) -> bool:
        """The names of its rules."""
        return any(under(name, rule.zone) or (below and under(rule.zone, name)) for rule in self._rules)

    def _watch(self, query: Query, ready: PrecompiledAnswer) -> Watch | None:
        """The rule that a name falls under, if it writes some lines only."""
        written = self._rule_of(query.name)
        if written is None or not _watches(written):
            return None
        return written if _wants(written.rule, query, ready) else None

    def passes(self, query: Query) -> bool:
        """See `kdns.dns.api.forward_step.ForwardStep.passes`: who asks is not known before the chain."""
        written = self._rule_of(query.name)
        return written is None or not (written.rule.namespaces or written.reads_metadata)

    def note(self, request: Request, response: Response, seconds: float) -> None:
        """See `kdns.dns.api.forward_step.ForwardStep.note`."""
        written = self._rule_of(request.query.name)
        if written is not None:
            _write(written, Asked(request, response, seconds))

    def _rule_of(self, name: bytes) -> Written | None:
        for written in self._rules:
            if written.everything or under(name, written.zone):
                return written
        return None

    def plugin(self, following: Handler) -> Handler:
        """Writes the line when the answer is there; what a plugin gave up is SERVFAIL."""

        async def handle(request: Request) -> Response:
            written = self._rule_of(request.query.name)
            if written is None:
                return await following(request)
            started = self._clock()
            try:
                response = await following(request)
            except UpstreamError:
                _write(written, Asked(request, Response(SERVFAIL), self._clock() - started))
                raise
            _write(written, Asked(request, response, self._clock() - started))
            return response

        return handle


def _watches(written: Written) -> bool:
    """Some lines only, and the fast path can tell which: without knowing Pods it does not know what Namespace asks."""
    return written.of is not None if written.rule.namespaces else written.rule.every > 1


def _of(clients: ClientIndex, namespaces: frozenset[str]) -> Callable[[bytes], bool]:
    """By packed address: a Pod of these Namespaces."""

    def of(address: bytes) -> bool:
        pod = clients.pod(address)
        return pod is not None and pod.key.namespace in namespaces

    return of


def _write(written: Written, asked: Asked) -> None:
    kind, rule = kind_of(asked.request.query.rtype, asked.response), written.rule
    if CLASS_OF[kind] not in rule.classes or (rule.rcodes and asked.response.rcode not in rule.rcodes):
        return
    if rule.namespaces and asked.request.metadata.get("kubernetes/client-namespace") not in rule.namespaces:
        return
    if written.due():
        asked.request.metadata.update({"log/type": kind, "log/class": CLASS_OF[kind]})
        write_query_line(written.line(asked))


def _wants(rule: Rule, query: Query, ready: PrecompiledAnswer) -> bool:
    """By class and rcode, as `_write` decides it."""
    answer = ready.answer
    if rule.rcodes and answer.rcode not in rule.rcodes:
        return False
    if rule.classes == EVERYTHING:
        return True
    counts = answer.sections.counts
    types = frozenset[int]() if counts[0] else authority_types(answer.sections)
    return CLASS_OF[kind_by(query.rtype, answer.rcode, bool(counts[0]), types)] in rule.classes
