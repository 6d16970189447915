"""``shortnames``: ``service.namespace`` and ``service.namespace.svc`` as they stand, for clients without a search list.

busybox's nslookup has not used the search list since 1.29: it asks for ``kubernetes.default.`` and believes the "no".
Such a name is answered from the cluster, and only where that can take nothing from anybody:

- its last label is no delegated top-level domain (the ICANN part of the public suffix list), so nobody on the Internet
  can have it;
- whoever is behind us in the chain says that it does not exist, or there is nobody behind us.

Whether the client may have the answer is decided for both names: for the short one by the plugins before this one, for
the full one by a query of its own through the whole server.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from publicsuffixlist import PublicSuffixList

from kdns.base.errors import UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import arguments, no_block, once, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.wire.name import MAX_NAME, ROOT, label, label_starts, parse_name, under
from kdns.wire.numbers import IN, NOERROR, NXDOMAIN, REFUSED, SERVFAIL
from kdns.wire.rr import RR

NAME: Final = "shortnames"
_SVC: Final = label("svc")


class Options(Struct, frozen=True):
    """``shortnames [ZONE]``."""

    zone: str = "cluster.local."
    """The zone of the cluster in which the full names are."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """At most one argument, no block, once."""
    directive = once(directives)
    no_block(directive)
    words = arguments(directive, 0, 1)
    if not words:
        return Options()
    found = zones(words, place)
    if len(found) != 1:
        raise words[0].error("shortnames takes one zone", hint="the cluster's, such as cluster.local")
    return Options(found[0])


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    short = ShortNames(parse_name(options.zone), parts.lookup)
    return Built(plugin=short.plugin, sees=short.sees)


class ShortNames:
    """Knows which names are short for which. ``lookup`` asks the whole server."""

    def __init__(self, zone: bytes, lookup: Handler) -> None:
        self._zone, self._lookup = zone, lookup
        self._suffixes = PublicSuffixList(only_icann=True, accept_unknown=False)
        self._delegated = lru_cache(maxsize=4096)(self._is_delegated)

    def plugin(self, following: Handler) -> Handler:
        """See `kdns.dns.api.handler`."""

        async def handle(request: Request) -> Response:
            query = request.query
            full = self.full(query.name) if query.rclass == IN else None
            if full is None:
                return await following(request)
            others = await following(request)
            nobody_behind = others.rcode == REFUSED and not others.plugin
            if others.rcode != NXDOMAIN and not nobody_behind:
                return others
            question = full + query.question[-4:]
            try:
                found = await self._lookup(request._replace(query=query._replace(name=full, question=question)))
            except UpstreamError:  # of the target of an ExternalName: the name is the cluster's all the same
                return Response(SERVFAIL, plugin=NAME)
            if found.rcode == NXDOMAIN and not found.answer:
                return others
            return self._renamed(found, full, query.name)

        return handle

    def sees(self, name: bytes, below: bool) -> bool:
        """Names of the form, whether or not there is such a Service now."""
        if not below:
            return self.full(name) is not None
        depth = len(label_starts(name) or ())
        return depth < 2 or (depth == 2 and name.endswith(_SVC + ROOT))

    def full(self, name: bytes) -> bytes | None:
        """The full name that a folded name may be short for; None if it has not the form, or is somebody else's."""
        starts = label_starts(name)
        if starts is None or under(name, self._zone):
            return None
        with_svc = len(starts) == 3 and name[starts[2] :] == _SVC + ROOT
        if not with_svc and len(starts) != 2:
            return None
        if self._delegated(name[starts[-1] + 1 : -1]):
            return None
        full = name[:-1] + (b"" if with_svc else _SVC) + self._zone
        return full if len(full) <= MAX_NAME else None

    def _is_delegated(self, last: bytes) -> bool:
        """True for a top-level domain of the Internet; some have rules for the names below them only."""
        return self._suffixes.publicsuffix("x." + last.decode("ascii", "replace")) is not None

    def _renamed(self, found: Response, full: bytes, name: bytes) -> Response:
        """The response with the asked name in the place of the full one.

        No SOA goes with it: the zone it is of is not one that the asked name is in (RFC 2308 section 2.2, type 3).
        """
        answer = tuple(rr._replace(owner=name) if rr.owner == full else rr for rr in found.answer)
        additional: tuple[RR, ...] = found.additional
        authority = found.authority if found.answer and found.rcode == NOERROR else ()
        return replace(found, answer=answer, authority=authority, additional=additional, plugin=NAME)
