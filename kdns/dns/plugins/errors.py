"""``errors [stdout] { stacktrace; consolidate DURATION REGEXP [LEVEL] [show_first] }``: tell what went wrong for whom.

A handler that raises has no answer: it is logged here in CoreDNS's form, and the client gets SERVFAIL.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from kdns.base.errors import KdnsError, UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import arguments, choice, duration, no_args, once, properties
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.dns.lang.patterns import compile_pattern
from kdns.wire.name import name_text
from kdns.wire.numbers import SERVFAIL
from kdns.wire.types import type_text

NAME = "errors"
LOG: Final = logging.getLogger("kdns.dns.plugins.errors")
LEVELS: Final = {
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


class Rule(Struct, frozen=True):
    """Errors that are logged together."""

    period: float
    """Seconds."""
    period_text: str
    pattern: str
    level: int = logging.ERROR
    show_first: bool = False


class Options(Struct, frozen=True, kw_only=True):
    """Which errors are logged together; all others are logged one by one."""

    rules: tuple[Rule, ...] = ()
    stacktrace: bool = False
    """Log where in the program it went wrong as well."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """Raises ConfigError."""
    directive = once(directives)
    for word in arguments(directive, 0, 1):
        if word.text != "stdout":
            raise word.error(f"errors go to stdout, not to {word.text!r}", "leave it out")
    rules: list[Rule] = []
    stacktrace = False

    def read_stacktrace(line: Directive) -> None:
        nonlocal stacktrace
        no_args(line)
        stacktrace = True

    properties(directive, {"stacktrace": read_stacktrace, "consolidate": lambda line: rules.append(_rule(line))})
    return Options(rules=tuple(rules), stacktrace=stacktrace)


def _rule(line: Directive) -> Rule:
    args = arguments(line, 2, 4)
    pattern = args[1]
    try:
        compile_pattern(pattern.text)
    except ValueError as error:
        raise pattern.error(f"invalid regular expression: {error}") from error
    rest = list(args[2:])
    show_first = bool(rest) and rest[-1].text == "show_first"
    if show_first:
        rest.pop()
    if len(rest) > 1:
        raise rest[1].error("the level comes first, then show_first")
    level = LEVELS[choice(rest[0], (*LEVELS, "show_first"))] if rest else logging.ERROR
    return Rule(duration(args[0], 0.001), args[0].text, pattern.text, level, show_first)


def build(options: Options, _parts: BlockContext) -> Built:
    """What is ready to send does not fail, so it sees nothing of that."""
    counters = [Consolidated(rule) for rule in options.rules]

    async def close() -> None:
        for counter in counters:
            counter.flush()

    return Built(
        plugin=errors(counters, stacktrace=options.stacktrace),
        must_see=sees_nothing,
        forward_step=ForwardStep(),
        close=close,
    )


class Consolidated:
    """Counts the errors of one rule, and tells their number once in a while."""

    def __init__(
        self, rule: Rule, later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] | None = None
    ) -> None:
        self.rule = rule
        self.matches = compile_pattern(rule.pattern).search
        self._later = later
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self) -> bool:
        """One more; True if it is to be logged by itself."""
        self._count += 1
        if self._count > 1:
            return False
        later = self._later or asyncio.get_running_loop().call_later
        self._timer = later(self.rule.period, self.flush)
        return self.rule.show_first

    def flush(self) -> None:
        """Log the number now, if there is one that is not logged yet."""
        count, self._count = self._count, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if count > (1 if self.rule.show_first else 0):
            rule = self.rule
            LOG.log(rule.level, "%d errors like '%s' occurred in last %s", count, rule.pattern, rule.period_text)


def errors(counters: Sequence[Consolidated], *, stacktrace: bool = False) -> Plugin:
    """The plugin."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                return await following(request)
            except KdnsError as error:
                rcode = error.rcode if isinstance(error, UpstreamError) else SERVFAIL
                _tell(request, rcode, error, counters, stacktrace=stacktrace)
                return Response(rcode)

        return handle

    return plugin


def _tell(
    request: Request, rcode: int, error: KdnsError, counters: Sequence[Consolidated], *, stacktrace: bool
) -> None:
    text, level = str(error), logging.ERROR
    for counter in counters:
        if counter.matches(text):
            if not counter.note():
                return
            level = counter.rule.level
            break
    query = request.query
    rtype = type_text(query.rtype)
    trace = error if stacktrace else None
    LOG.log(level, "%d %s %s: %s", rcode, name_text(query.name), rtype, text, exc_info=trace)
