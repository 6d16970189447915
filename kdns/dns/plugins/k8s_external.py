"""``k8s_external``: names for Services that are reached from outside the cluster, beside ``kubernetes``.

::

    k8s_external [ZONE...] {          the block's zones
        apex dns | ttl 5 | headless | fallthrough [ZONE...]
    }

The cluster is the one of the block's ``kubernetes``; see `kdns.records.external` for the names.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.base.errors import ConfigError, KdnsError
from kdns.config.directive import Directive
from kdns.config.reading import arguments, integer, no_args, once, properties, zones
from kdns.dns.api.chase import chased
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.api.zones import Fallthrough, Zones
from kdns.records.answers import Answers, rotated_run, to_rrs
from kdns.records.external import External, ExternalOptions
from kdns.records.reasons import Missing
from kdns.records.schema import is_reverse
from kdns.wire.name import MAX_NAME, ROOT, parse_name
from kdns.wire.numbers import AA, AAAA, AXFR, IN, IXFR, NOERROR, REFUSED, SRV, A
from kdns.wire.rr import RR

NAME: Final = "k8s_external"
MAX_TARGETS: Final = 100
"""Targets of one answer that are looked up: more have no room in a datagram."""
HOSTMASTER: Final = len("hostmaster") + 1
"""Octets that stand in front of the apex's name."""


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    zones: tuple[str, ...]
    """Reverse names point into the first one that is not itself reverse."""
    apex: str = "dns"
    """This server is called ``ns1.APEX.ZONE``."""
    ttl: int = 5
    """Seconds, of all records."""
    headless: bool = False
    """Services without an external address have names, too: those of their endpoints."""
    fallthrough: tuple[str, ...] | None = None
    """Zones in which a name that does not exist goes on to the next plugin; None: nowhere."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """The options. Raises ConfigError, several together."""
    directive = once(directives)
    settings: dict[str, Any] = {}

    def ttl(line: Directive) -> None:
        settings["ttl"] = integer(arguments(line, 1, 1)[0], 0, 3600)

    def apex(line: Directive) -> None:
        word = arguments(line, 1, 1)[0]
        try:
            name = parse_name(word.text)
        except ValueError as error:
            raise word.error(f"no name: {error}") from None
        if name == ROOT:
            raise word.error("the apex needs a label of its own", "such as dns")
        settings["apex"] = word.text

    def headless(line: Directive) -> None:
        no_args(line)
        settings["headless"] = True

    def fallthrough(line: Directive) -> None:
        settings["fallthrough"] = zones(line.args, DirectiveContext((".",), 0, place.folder))

    own = zones(directive.args, place)
    known: dict[str, Callable[[Directive], None]] = {
        "ttl": ttl,
        "apex": apex,
        "headless": headless,
        "fallthrough": fallthrough,
    }
    properties(directive, known)
    options = Options(zones=own, **settings)
    apexes = [parse_name(text) for text in own]
    if all(is_reverse(apex_name) for apex_name in apexes):
        raise directive.name.error("at least one zone must be a forward zone", "such as example.org")
    if any(HOSTMASTER + len(parse_name(options.apex)) - 1 + len(apex_name) > MAX_NAME for apex_name in apexes):
        raise directive.name.error(f"there is no room for hostmaster.{options.apex} in a zone with so long a name")
    return options


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block. Raises ConfigError if there is no cluster in the block."""
    answers = parts.sibling("kubernetes")
    if not isinstance(answers, Answers):
        raise ConfigError(f"{NAME} has no cluster to answer from", hint="name kubernetes in the same server block")
    apexes = tuple(parse_name(text) for text in options.zones)
    shape = ExternalOptions(apexes, parse_name(options.apex)[:-1], options.ttl, options.headless)
    external = External(answers.zone, shape)
    parts.offer(NAME, ExternalZones(external, apexes))
    plugin = _Plugin(external, options, parts)
    return Built(plugin=plugin.plugin, must_see=Zones(options.zones).touch)


class ExternalZones:
    """The zones as ``transfer`` copies them. Fits `kdns.dns.api.zone_source.ZoneSource`."""

    def __init__(self, external: External, apexes: tuple[bytes, ...]) -> None:
        self._external, self._apexes = external, apexes

    def apexes(self) -> tuple[bytes, ...]:
        """Reverse zones, too."""
        return self._apexes

    def serial(self, apex: bytes) -> int | None:
        """None until everything is known."""
        return self._external.serial(apex) if self._external.synced else None

    def zone_records(self, apex: bytes) -> Iterator[RR]:
        """See `kdns.records.external`."""
        return chain.from_iterable(to_rrs((rrset,)) for rrset in self._external.records(apex))


class _Plugin:
    """Answers from the cluster of the block's ``kubernetes``."""

    def __init__(self, external: External, options: Options, parts: BlockContext) -> None:
        self._external, self._parts = external, parts
        self._fallthrough = Fallthrough(options.fallthrough)
        self._turns = count()

    def plugin(self, following: Handler) -> Handler:
        """See `kdns.dns.api.handler`."""

        async def handle(request: Request) -> Response:
            query = request.query
            if query.rclass != IN:
                return await following(request)
            result = self._external.lookup(query.name, query.rtype)
            if isinstance(result, Missing) or (result.fallthrough and self._fallthrough.through(query.name)):
                return await following(request)
            if query.rtype in {AXFR, IXFR}:
                return Response(REFUSED, plugin=NAME)
            answer = tuple(to_rrs(result.answer))
            first, last = rotated_run(result.answer)
            if last > first:  # addresses take turns, as those of cluster names do
                at = first + next(self._turns) % (last - first)
                answer = (*answer[:first], *answer[at:last], *answer[first:at], *answer[last:])
            authority, additional = tuple(to_rrs(result.authority)), tuple(to_rrs(result.additional))
            response = Response(result.rcode, AA, answer, authority, additional, NAME)
            if result.chase is None:
                return await self._with_targets(request, response) if query.rtype == SRV else response
            return await chased(request, response, result.chase, self._parts.lookup)

        return handle

    async def _with_targets(self, request: Request, response: Response) -> Response:
        """The response to an SRV question with the addresses of targets outside, as RFC 2782 wants it ("should").

        A target that cannot be looked up has none: the SRV records are right without.
        """
        there = {rr.owner for rr in response.additional}
        targets = dict.fromkeys(rr.rdata[6:].lower() for rr in response.answer if rr.rtype == SRV)
        missing = [target for target in targets if target not in there][:MAX_TARGETS]
        asked = [(target, rtype) for target in missing for rtype in (A, AAAA)]
        responses = await asyncio.gather(*(self._addresses(request, target, rtype) for target, rtype in asked))
        additional = tuple(dict.fromkeys(chain(response.additional, *responses)))
        return replace(response, additional=additional) if asked else response

    async def _addresses(self, request: Request, target: bytes, rtype: int) -> Sequence[RR]:
        question = target + rtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
        query = request.query._replace(question=question, name=target, rtype=rtype)
        try:
            response = await self._parts.lookup(request._replace(query=query))
        except KdnsError:
            return ()
        return response.answer if response.rcode == NOERROR else ()
