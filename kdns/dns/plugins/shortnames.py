"""``shortnames``: ``service.namespace`` and ``service.namespace.svc`` as they stand, for clients without a search list.

busybox's nslookup has not used the search list since 1.29: it asks for ``kubernetes.default.`` and believes the "no".
Such a name is answered from the cluster where that takes the name from no one else:

- its last label is never a delegated top-level domain (the ICANN part of the public suffix list);
- what stands behind in the chain says NXDOMAIN, or nothing behind takes the name;
- or the upstream cannot say, which is a failure, SERVFAIL, or no answer within `PATIENCE` (`AT_ONCE` while all
  upstreams are known to be down). In these cases the last label must also be one that people do not use privately
  (`PRIVATE`), and one under which an upstream never answered a name (`AnsweredLabels`).

Whether the client may have the answer is decided for both names: for the short one by the plugins before this one, for
the full one by a query of its own through the whole server.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from publicsuffixlist import PublicSuffixList

from kdns.base.errors import KdnsError, UpstreamError
from kdns.config.directive import Directive
from kdns.config.reading import arguments, no_block, once, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.plugins import ORDER
from kdns.wire.name import MAX_NAME, ROOT, label, label_starts, parse_name, under
from kdns.wire.numbers import IN, NOERROR, NXDOMAIN, SERVFAIL
from kdns.wire.rr import RR

NAME: Final = "shortnames"
PATIENCE: Final = 0.7
"""Seconds that an upstream has to say whether a name exists; busybox gives up after a few."""
AT_ONCE: Final = 0.02
"""Seconds while all upstreams are down: time for `hosts` and `file`, which need no network."""
MAX_LABELS: Final = 1024
"""Labels remembered. An upstream that answers under more than these answers under any."""
PRIVATE: Final = frozenset(
    label(text) for text in ("internal", "corp", "home", "lan", "local", "intranet", "private", "localdomain")
)
"""Last labels of private networks: draft-chapin-additional-reserved-tlds, RFC 6762 appendix G, and ICANN's internal."""
LABELS: Final = "shortnames/answered"
"""Under this key the labels outlive a reload."""
OURSELVES: Final = frozenset({"", *ORDER} - {"forward"})
"""Whose answers do not come from an upstream. A plugin that kdns does not know may ask one."""
UPSTREAMS_DOWN: Final = "forward/down"
"""What `forward` offers: folded name -> True if every upstream that would be asked is known to be down."""
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
    zone_list = zones(words, place)
    if len(zone_list) != 1:
        raise words[0].error("shortnames takes one zone", hint="the cluster's, such as cluster.local")
    return Options(zone_list[0])


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    down = parts.sibling(UPSTREAMS_DOWN)
    short = ShortNames(
        parse_name(options.zone),
        parts.lookup,
        down=down if callable(down) else lambda _: False,
        answered=parts.lasting(LABELS, AnsweredLabels),
        spawn=parts.spawn,
    )
    return Built(plugin=short.plugin, must_see=short.must_see)


class AnsweredLabels:
    """The last labels of the names that were ever answered from behind: the upstream has names of its own there."""

    def __init__(self) -> None:
        self._labels: set[bytes] = set()

    def __contains__(self, last: bytes) -> bool:
        return last in self._labels or len(self._labels) >= MAX_LABELS

    def add(self, last: bytes) -> None:
        """Remember one."""
        if len(self._labels) < MAX_LABELS:
            self._labels.add(last)


class _Outcome(NamedTuple):
    """What came from behind: a response, an error, or nothing yet."""

    response: Response | None = None
    error: KdnsError | None = None

    @property
    def unsaid(self) -> bool:
        """It is not known whether the name exists."""
        return self.response is None or self.response.unclaimed or self.response.rcode == SERVFAIL

    def result(self) -> Response:
        """The response, or the error is raised."""
        if self.error is not None:
            raise self.error
        assert self.response is not None
        return self.response


class ShortNames:
    """Knows which names are short for which. ``lookup`` asks the whole server."""

    def __init__(
        self,
        zone: bytes,
        lookup: Handler,
        *,
        down: Callable[[bytes], bool],
        answered: AnsweredLabels,
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
        patience: float = PATIENCE,
    ) -> None:
        """``down`` as in `UPSTREAMS_DOWN`; ``patience`` in seconds."""
        self._zone, self._lookup, self._down, self._spawn = zone, lookup, down, spawn
        self._answered, self._patience = answered, patience
        self._suffixes = PublicSuffixList(only_icann=True, accept_unknown=False)
        self._delegated = lru_cache(maxsize=4096)(self._is_delegated)

    def plugin(self, following: Handler) -> Handler:
        """See `kdns.dns.api.handler`."""

        async def handle(request: Request) -> Response:
            query = request.query
            full = self.full(query.name) if query.rclass == IN else None
            if full is None:
                response = await following(request)
                self._learn(query.name, response)
                return response
            behind = asyncio.get_running_loop().create_task(self._ask_behind(following, request))
            try:
                outcome = await self._in_time(behind, query.name)
                if (
                    self._may_take(query.name, outcome)
                    and (in_cluster := await self._in_cluster(request, full)) is not None
                ):
                    if not behind.done():
                        self._spawn(_ended(behind), "late answer behind shortnames")
                    return self._renamed(in_cluster, full, query.name)
                return (await behind).result()
            except asyncio.CancelledError:
                behind.cancel()
                raise

        return handle

    async def _ask_behind(self, following: Handler, request: Request) -> _Outcome:
        try:
            response = await following(request)
        except KdnsError as error:
            return _Outcome(error=error)
        self._learn(request.query.name, response)
        return _Outcome(response)

    async def _in_time(self, behind: asyncio.Task[_Outcome], name: bytes) -> _Outcome:
        """What came from behind while there was time for it."""
        await asyncio.wait((behind,), timeout=AT_ONCE if self._down(name) else self._patience)
        return behind.result() if behind.done() else _Outcome()

    def _learn(self, name: bytes, response: Response) -> None:
        """Remember the last label of a name that an upstream has, if it could be that of a short name.

        Each answer of an upstream passes here once under the name of who asked it, before the cache has it.
        """
        if response.plugin in OURSELVES or (response.rcode != NOERROR and not response.answer):
            return
        starts = label_starts(name)
        if not starts or under(name, self._zone):
            return
        last = name[starts[-1] : -1]
        if last not in PRIVATE and last != _SVC and not self._delegated(last[1:]):
            self._answered.add(last)

    def _may_take(self, name: bytes, outcome: _Outcome) -> bool:
        """True if the cluster may answer for a name of the form."""
        if not outcome.unsaid:
            return outcome.result().rcode == NXDOMAIN
        last = name[(label_starts(name) or (0,))[-1] : -1]
        return last not in PRIVATE and last not in self._answered

    async def _in_cluster(self, request: Request, full: bytes) -> Response | None:
        """The cluster's response for the full name; None if there is no such name."""
        question = full + request.query.question[-4:]
        try:
            response = await self._lookup(request._replace(query=request.query._replace(name=full, question=question)))
        except UpstreamError:  # of the target of an ExternalName: the name is the cluster's all the same
            return Response(SERVFAIL, plugin=NAME)
        return None if response.rcode == NXDOMAIN and not response.answer else response

    def must_see(self, name: bytes, below: bool) -> bool:
        """Names of the form, whether or not there is such a Service now."""
        if not below:
            return self.full(name) is not None
        depth = len(label_starts(name) or ())
        return depth < 2 or (depth == 2 and name.endswith(_SVC + ROOT))

    def full(self, name: bytes) -> bytes | None:
        """The full name that a folded name may be short for; None if it has not the form, or is another's."""
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

    def _renamed(self, response: Response, full: bytes, name: bytes) -> Response:
        """The response with the asked name in the place of the full one.

        No SOA goes with it: the zone it is of is not one that the asked name is in (RFC 2308 section 2.2, type 3).
        """
        answer = tuple(rr._replace(owner=name) if rr.owner == full else rr for rr in response.answer)
        additional: Sequence[RR] = response.additional
        authority = response.authority if response.answer and response.rcode == NOERROR else ()
        return replace(response, answer=answer, authority=authority, additional=additional, plugin=NAME)


async def _ended(behind: "asyncio.Task[_Outcome]") -> None:
    """Let what is under way behind end by itself: its answer is kept by the cache."""
    await behind
