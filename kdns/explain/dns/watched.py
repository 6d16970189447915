"""Plugins that write down what they do with a question, each around the server's own.

The upstreams of ``forward`` are not asked: its place is taken by one that writes down who would be.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.base.errors import KdnsError, UpstreamError
from kdns.config.directive import Directive
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PluginModule
from kdns.dns.plugins import forward
from kdns.dns.upstream.forward_directive import ForwardDirective
from kdns.wire.name import name_text
from kdns.wire.query import Query
from kdns.wire.rcodes import rcode_text
from kdns.wire.types import type_text

STARTED: Final = frozenset({"cache", "view"})
"""Plugins whose start opens nothing; the others are asked as they are built: without their files and transfers."""
MOST_VISITS: Final = 200


class Visit(Struct):
    """What one plugin did with one question."""

    plugin: str
    query: Query
    level: int = 0
    """0: the client's question; more: a lookup that a plugin made for it."""
    onward: list[Query] = []
    """What it asked the plugins behind it."""
    behind: list[Response] = []
    """What they answered."""
    response: Response | None = None
    error: str = ""

    @property
    def answered(self) -> bool:
        """It answered without asking further."""
        return self.response is not None and not self.onward

    def says(self) -> str:
        """What it did, in a few words; empty if it only passed the question on."""
        if self.error:
            return f"{self.plugin}: {self.error}"
        if self.response is None:
            return ""
        if not self.onward:
            return f"{self.plugin} answers {_outcome(self.response)}"
        first = self.onward[0]
        if (first.name, first.rtype) != (self.query.name, self.query.rtype):
            return f"{self.plugin} asks for {name_text(first.name)} {type_text(first.rtype)} instead"
        if len(self.onward) > 1:
            return f"{self.plugin} asks {len(self.onward)} questions for this one"
        before = self.behind[-1] if self.behind else None
        if before is not None and (before.rcode != self.response.rcode or _kept(before) != _kept(self.response)):
            return f"{self.plugin} makes {_outcome(self.response)} of {_outcome(before)}"
        return ""


class NotAsked(UpstreamError):
    """An upstream would be asked now; an explanation asks none."""


class Diary:
    """What the plugins of all server blocks did since it was cleared."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.upstreams: list[tuple[Query, ForwardDirective]] = []
        """Questions for which an upstream would be asked, and the ``forward`` line."""
        self._open: list[Visit] = []

    def clear(self) -> None:
        """Begin with another question."""
        self.visits, self.upstreams, self._open = [], [], []

    def around(self, name: str, plugin: Plugin) -> Plugin:
        """The plugin, watched."""

        def watched(following: Handler) -> Handler:
            async def onward(request: Request) -> Response:
                visit = next((one for one in reversed(self._open) if one.plugin == name), None)
                if visit is not None:
                    visit.onward.append(request.query)
                response = await following(request)
                if visit is not None:
                    visit.behind.append(response)
                return response

            inner = plugin(onward)

            async def handle(request: Request) -> Response:
                level = sum(one.plugin == name for one in self._open)
                visit = Visit(name, request.query, level, [], [])
                if len(self.visits) < MOST_VISITS:
                    self.visits.append(visit)
                self._open.append(visit)
                try:
                    visit.response = await inner(request)
                except KdnsError as error:
                    if not isinstance(error, NotAsked) or not visit.onward:
                        visit.error = str(error)
                    raise
                else:
                    return visit.response
                finally:
                    self._open.remove(visit)

            return handle

        return watched


class Watched:
    """A plugin's module whose plugin writes into a diary, and opens nothing."""

    def __init__(self, module: PluginModule, diary: Diary) -> None:
        self.NAME = module.NAME
        self._module, self._diary = module, diary

    def parse(self, directives: Sequence[Directive], place: DirectiveContext) -> Any:
        """As the module's own."""
        return self._module.parse(directives, place)

    def build(self, options: Any, parts: BlockContext) -> Built:
        """The module's own, watched."""
        built = self._module.build(options, parts)
        plugin = built.plugin
        if isinstance(options, forward.Options):
            plugin = _recorder(options, parts, self._diary)
        if plugin is not None:
            plugin = self._diary.around(self.NAME, plugin)
        start = built.start if self.NAME in STARTED else None
        return replace(built, plugin=plugin, start=start, close=None, ready=None)


def _recorder(options: forward.Options, parts: BlockContext, diary: Diary) -> Plugin:
    """Takes the questions that ``forward`` takes, by the same rules."""
    forwarders = [(line, forward.Forwarder(line, parts)) for line in options.lines]

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            line = next((line for line, one in forwarders if one.takes(request.query.name)), None)
            if line is None:
                return await following(request)
            diary.upstreams.append((request.query, line))
            raise NotAsked(f"the upstreams {upstream_texts(line)} would be asked")

        return handle

    return plugin


def upstream_texts(line: ForwardDirective) -> str:
    """The upstreams of a line as the Corefile names them."""
    return ", ".join(to.word.text for to in line.to)


def _kept(response: Response) -> tuple[tuple[bytes, int, bytes], ...]:
    return tuple(sorted((rr.owner, rr.rtype, rr.rdata) for rr in response.answer))


def _outcome(response: Response) -> str:
    if response.dropped:
        return "nothing (the question is dropped)"
    count = len(response.answer)
    if response.rcode or not count:
        return rcode_text(response.rcode) if response.rcode else "NODATA (NOERROR without a record)"
    return f"{count} record{'s' if count > 1 else ''}"
