"""``rewrite``: another question than the client's goes on, and the reply looks as if it had not.

::

    rewrite [continue|stop] FIELD ...      see docs/plugins/rewrite.md

The rules work in the order of the file, up to the first that stops; what they want with the reply is done in the
opposite order. The question in the reply is always the client's own.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.base.errors import ConfigError, UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import Mistakes
from kdns.dns.api.forward_step import ForwardStep
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, Ignores, PrecompiledAnswer
from kdns.dns.rewriting.reading import read_rule
from kdns.dns.rewriting.replies import Alias, Rcode, Reply, retargeted
from kdns.dns.rewriting.rules import NameRule, NumberRule, ReplyRule, Rule, named, stops_everything
from kdns.wire.name import name_text
from kdns.wire.numbers import IN, SERVFAIL
from kdns.wire.query import Query

log = logging.getLogger("kdns.dns.plugins.rewrite")

NAME: Final = "rewrite"


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    rules: tuple[Rule, ...]
    """In the order of the file."""
    warnings: tuple[ConfigError, ...] = ()
    """What is allowed, and never meant."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """The rules, one for each occurrence."""
    rules: list[Rule] = []
    warnings: list[ConfigError] = []
    mistakes = Mistakes()
    last: Directive | None = None  # that no question gets past
    for directive in directives:
        with mistakes.noted():
            if last is not None:
                problem = f"this rule is never tried: that in line {last.name.at.line} ends every question's way"
                warnings.append(directive.name.error(problem, "write `rewrite continue ...` there"))
            rule = read_rule(directive, place.port, warnings.append)
            rules.append(rule)
            last = directive if last is None and stops_everything(rule) else last
    mistakes.settle()
    return Options(rules=tuple(rules), warnings=tuple(warnings))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    rules = options.rules
    for warning in options.warnings:
        parts.warn(warning)

    def must_see(name: bytes, below: bool) -> bool:
        text = name_text(name)
        return any(rule.touches(text, below) for rule in rules)

    other = any(isinstance(rule, NumberRule) and rule.what == "class" and rule.old != IN for rule in rules)
    return Built(
        plugin=rewrite(rules, parts.lookup),
        must_see=must_see,
        ignores=_ignores(rules),
        classes=other,
        forward_step=ForwardStep(passes=unchanged(rules)),
    )


def _ignores(rules: Sequence[Rule]) -> Ignores | None:
    """Where all rules look at the type only, queries for other types may be answered without them."""
    types = {rule.old for rule in rules if isinstance(rule, NumberRule) and rule.what == "type"}
    if not all(isinstance(rule, NumberRule) and rule.what == "type" for rule in rules):
        return None

    def ignores(query: Query, _found: PrecompiledAnswer) -> bool:
        return query.rtype not in types

    return ignores


def unchanged(rules: Sequence[Rule]) -> Callable[[Query], bool]:
    """See `kdns.dns.api.forward_step.ForwardStep.passes`: queries that no rule has anything to do with pass."""
    types = {rule.old for rule in rules if isinstance(rule, NumberRule) and rule.what == "type"}
    classes = {rule.old for rule in rules if isinstance(rule, NumberRule) and rule.what == "class"}
    exact = [rule for rule in rules if isinstance(rule, NameRule | ReplyRule) and rule.matcher.kind == "exact"]
    names = {rule.matcher.text for rule in exact}
    others = [rule for rule in rules if not isinstance(rule, NumberRule) and rule not in exact]

    def passes(query: Query) -> bool:
        if query.rtype in types or query.rclass in classes:
            return False
        if not (names or others):
            return True
        text = name_text(query.name)
        if text in names:
            return False
        for rule in others:  # noqa: SIM110 - a generator costs more than a rule
            if rule.touches(text, False):
                return False
        return True

    return passes


def rewrite(rules: Sequence[Rule], lookup: Handler) -> Plugin:
    """The plugin; ``lookup`` is asked where a changed alias leads."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            changed, replies = applied(rules, request)
            if changed is request and not replies:
                return await following(request)
            try:
                response = await following(changed)
            except UpstreamError as error:
                raise _failed(error, replies) from error
            if response.dropped:
                return response
            return await _answered(request, changed, response, replies)

        return handle

    async def _answered(request: Request, changed: Request, response: Response, replies: Sequence[Reply]) -> Response:
        for reply in reversed(replies):
            if isinstance(reply, Alias):
                response = await _retarget(reply, changed, response, lookup)
            else:
                response = _revised(reply, response)
        if response.rcode > 0xF and request.query.edns is None:
            return replace(response, rcode=SERVFAIL)  # it needs the EDNS that only we had with the upstream
        return response

    return plugin


def applied(rules: Sequence[Rule], request: Request) -> tuple[Request, list[Reply]]:
    """The request that goes on, and what is to be done to the reply, the last of it first."""
    replies: list[Reply] = []
    for rule in rules:
        done = rule.apply(request)
        if done is not None:
            request = done.request
            replies += done.replies
            if rule.stop:
                break
    return request, replies


def _failed(error: UpstreamError, replies: Sequence[Reply]) -> UpstreamError:
    """A failure is a reply, too, and may get another rcode."""
    response = Response(error.rcode)
    for reply in reversed(replies):
        if isinstance(reply, Rcode):
            response = reply.revise(response)
    return UpstreamError(str(error), response.rcode)


def _revised(reply: Reply, response: Response) -> Response:
    assert not isinstance(reply, Alias)
    try:
        return reply.revise(response)
    except ValueError as error:
        raise UpstreamError(f"invalid name after rewrite: {error}") from None


async def _retarget(alias: Alias, request: Request, response: Response, lookup: Handler) -> Response:
    """The response with an alias that leads elsewhere, and what is there; unchanged if that cannot be found out."""
    renamed = alias.target(response)
    if renamed is None:
        return response
    number, target = renamed
    query = named(request.query, target)
    try:
        there = await lookup(request._replace(query=query))
    except UpstreamError as error:
        log.error("upstream lookup failed: %s", error)
        return response
    return retargeted(response, number, query.name, there)
