"""``autopath``: walks a client's search list for it, so that a name outside the cluster takes one question, not five.

::

    autopath [ZONE...] FILE|@kubernetes

    www.example.com.shop.svc.cluster.local.   is asked by a Pod in Namespace shop; it does not exist
    www.example.com.svc.cluster.local.        nor does this
    www.example.com.cluster.local.            nor this
    www.example.com.                          this one exists: a CNAME from the asked name, and the answer

It stands before acl and the cache: they see each name of the walk as if the client had asked for it.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import Counter

from kdns.base.errors import ConfigError
from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, no_block, once, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_nothing
from kdns.dns.api.request_values import client
from kdns.dns.api.zones import Zones
from kdns.records.answers import Answers
from kdns.records.clients import Unidentified
from kdns.wire.name import MAX_NAME, ROOT, label, parse_name, under
from kdns.wire.numbers import CNAME, IN, NXDOMAIN
from kdns.wire.query import Query
from kdns.wire.rr import RR

log = logging.getLogger("kdns.dns.plugins.autopath")

NAME: Final = "autopath"
CLUSTER: Final = "@kubernetes"
HOST_FILE: Final = "/etc/resolv.conf"
LARGEST: Final = 1 << 16
"""Octets of a file that are read."""
_SVC: Final = label("svc")


class Options(Struct, frozen=True):
    """Where it works, and whose search list it walks."""

    zones: tuple[str, ...]
    source: str
    """``@kubernetes``: that of the Pod that asks; else a file like resolv.conf, the same list for all clients."""
    word: Word | None = None
    """Where the source is named."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """``autopath [ZONE...] FILE|@kubernetes``."""
    directive = once(directives)
    no_block(directive)
    *words, last = arguments(directive, 1, None)
    if last.text.startswith("@") and last.text != CLUSTER:
        raise last.error(f"{last.text!r} knows no search lists", f"{CLUSTER} does")
    source = last.text if last.text == CLUSTER else str(Path(place.folder) / last.text)
    return Options(zones(words, place), source, last)


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block. Raises ConfigError if the cluster it is to know clients from does not."""
    answers = parts.sibling("kubernetes") if options.source == CLUSTER else None
    if options.source == CLUSTER and not isinstance(answers, Answers):
        raise ConfigError(
            f"{NAME} has no cluster to know clients from", hint="name kubernetes in the same server block"
        )
    if isinstance(answers, Answers) and answers.schema.pods != "verified" and options.word is not None:
        parts.warn(
            options.word.error(
                f"{NAME} {CLUSTER} is left out: without `pods verified` it is not known who asks",
                "clients walk their search lists themselves; add `pods verified` to the kubernetes block",
            )
        )
        return Built(must_see=sees_nothing)
    success = parts.counter("coredns_autopath_success", "Names found further on in a search list.", ("server",))
    walker = Autopath(options, answers if isinstance(answers, Answers) else None, success)
    return Built(plugin=walker.plugin, must_see=walker.must_see, ignores=walker.ignores, start=walker.start)


class Autopath:
    """The search lists of one server block."""

    def __init__(self, options: Options, answers: Answers | None, success: Counter) -> None:
        self._options, self._answers, self._success = options, answers, success
        self._zones = Zones(options.zones)
        self._search: tuple[bytes, ...] = ()
        """Of the file; with a cluster, what comes behind the cluster's own."""
        self._clusters = sorted(answers.schema.zones, key=len, reverse=True) if answers is not None else []

    async def start(self) -> None:
        """Read the file; a host may have none. Raises ConfigError if one that is named is not there."""
        try:
            file = HOST_FILE if self._answers is not None else self._options.source
            self._search = tuple(search_list(await asyncio.to_thread(_read, file)))
        except OSError as error:
            if self._answers is None:
                raise ConfigError(f"{NAME}: {self._options.source}: {error.strerror}") from error
        if self._answers is None and not self._search:
            log.warning("autopath does nothing: there is no search list in %s", self._options.source)

    def must_see(self, name: bytes, below: bool) -> bool:
        """The names that may be the beginning of a walk."""
        firsts = [_SVC + zone for zone in self._clusters] if self._answers is not None else self._search[:1]
        return any(under(name, first) or (below and under(first, name)) for first in firsts)

    def ignores(self, _query: Query, answer: PrecompiledAnswer) -> bool:
        """A name that exists is what the walk would find first."""
        return answer.answer.rcode != NXDOMAIN

    def plugin(self, following: Handler) -> Handler:
        """See `kdns.dns.api.handler`."""

        async def handle(request: Request) -> Response:
            query = request.query
            search = self._list(request)
            first = search[0] if search else ROOT
            if first in {ROOT, query.name} or not under(query.name, first):
                return await following(request)
            return await self._walk(request, query.name[: len(query.name) - len(first)], search, following)

        return handle

    def _list(self, request: Request) -> tuple[bytes, ...]:
        """The search list of a client, with the root behind it; none for an unknown client."""
        query = request.query
        if query.rclass != IN or self._zones.of(query.name) is None:
            return ()
        if self._answers is None:
            return (*self._search, ROOT) if self._search else ()
        zone = next((cluster_zone for cluster_zone in self._clusters if under(query.name, cluster_zone)), None)
        namespace = self._answers.zone.cluster.clients.namespace(client(request))
        if zone is None or isinstance(namespace, Unidentified):
            return ()
        return (namespace + _SVC + zone, _SVC + zone, zone, *self._search, ROOT)

    async def _walk(self, request: Request, left: bytes, search: Sequence[bytes], following: Handler) -> Response:
        """The first response that is not "no"; if there is none, the one for the name as it was asked."""
        query = request.query
        first: Response | None = None
        for suffix in dict.fromkeys(search):
            name = left + suffix
            if len(name) > MAX_NAME:
                continue
            response = await following(
                request._replace(query=query._replace(name=name, question=name + query.question[-4:]))
            )
            if first is None:
                first = response
                if response.rcode != NXDOMAIN:
                    return response
                continue
            if response.unclaimed:
                break  # no plugin here knows such names: another server of the client may
            if response.rcode != NXDOMAIN:
                self._success.labels(request.server).inc()
                return _led_to(response, query.name)
        assert first is not None, "the first name is the asked one"
        return first


def _led_to(response: Response, name: bytes) -> Response:
    """The response with a CNAME from the asked name to the one that was found; a "no" has nothing to lead to."""
    if not response.answer or response.answer[0].owner == name:
        return response
    head = response.answer[0]
    return replace(response, answer=(RR(name, CNAME, head.ttl, head.owner), *response.answer))


def _read(file: str) -> str:
    with Path(file).open("rb") as octets:
        return octets.read(LARGEST).decode("utf-8", "replace")


def search_list(text: str) -> list[bytes]:
    """The search list of a file like resolv.conf (resolv.conf(5)): the last ``search`` or ``domain`` line counts."""
    suffixes: list[bytes] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in {"search", "domain"}:
            suffixes = []
            for word in words[1 : 2 if words[0] == "domain" else None]:
                try:
                    name = parse_name(word)
                except ValueError:
                    log.warning("invalid name in a search list: %r", word[:80])
                    continue
                if name != ROOT:
                    suffixes.append(name)
    return suffixes
