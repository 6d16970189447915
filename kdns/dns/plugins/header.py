"""``header``: sets and clears flags of questions on their way to the plugins behind it, and of the answers."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, choice, properties
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_all, sees_nothing
from kdns.wire.numbers import AA, RA, RD

NAME: Final = "header"
FLAGS: Final = {"aa": AA, "ra": RA, "rd": RD}


class Change(Struct, frozen=True):
    """What the rules for one direction come to."""

    set: int = 0
    cleared: int = 0

    def then(self, other: "Change") -> "Change":
        """This one, and after it another."""
        return Change(self.set & ~other.cleared | other.set, self.cleared & ~other.set | other.cleared)


class Options(Struct, frozen=True):
    """For each direction."""

    query: Change = Change()
    response: Change = Change()


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``header { query|response set|clear aa|ra|rd ... }``, at least one rule."""
    rules: dict[str, list[Change]] = {"query": [], "response": []}

    def reader(direction: str) -> Callable[[Directive], None]:
        def read(line: Directive) -> None:
            verb, *flags = arguments(line, 2, None)
            bits = reduce(int.__or__, [FLAGS[choice(_lower(word), tuple(FLAGS))] for word in flags])
            setting = choice(_lower(verb), ("set", "clear")) == "set"
            rules[direction].append(Change(set=bits) if setting else Change(cleared=bits))

        return read

    for directive in directives:
        arguments(directive, 0, 0)
        properties(directive, {direction: reader(direction) for direction in rules})
    if not any(rules.values()):
        raise directives[0].name.error("'header' needs a rule", hint="such as `response set ra` in its block")
    return Options(*(reduce(Change.then, changes, Change()) for changes in rules.values()))


def _lower(word: Word) -> Word:
    return word._replace(text=word.text.lower())


def build(options: Options, _parts: BlockContext) -> Built:
    """The plugin for one server block. The flags of questions make no difference to what is ready."""
    return Built(plugin=header(options), must_see=sees_all if options.response != Change() else sees_nothing)


def header(options: Options) -> Plugin:
    """The plugin."""
    of_query, of_response = options.query, options.response

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            query = request.query
            flags = query.flags & ~of_query.cleared | of_query.set
            if flags != query.flags:
                request = request._replace(query=query._replace(flags=flags))
            response = await following(request)
            return replace(
                response,
                flags=response.flags & ~of_response.cleared | of_response.set,
                cleared=response.cleared & ~of_response.set | of_response.cleared,
            )

        return handle

    return plugin
