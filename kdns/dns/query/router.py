"""All server blocks behind one socket: which one a name belongs to, and what is ready to send for it.

A question belongs to the block with the longest zone it is in, by whole labels; DS questions to the block of the
parent. A reload puts a new Site in the place of the old one.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.dns.api.handler import Handler, Metadata, Request, Response
from kdns.dns.api.plugin import AccessPolicy, Built, KnownChildren, PrecompiledAnswer
from kdns.dns.query.forward_path import ForwardPath
from kdns.wire.name import ROOT, label_starts, under
from kdns.wire.numbers import DS, REFUSED
from kdns.wire.query import Query

DROPPED: Final = "dropped"
"""The zone under which messages are counted that no block answered, as in CoreDNS."""


class RoutedBlock(Struct, frozen=True, kw_only=True):
    """One server block, built."""

    zones: dict[bytes, str]
    """Folded apexes, and how each is called in metrics: ``cluster.local.``, ``.``."""
    handler: Handler
    """Its chain of plugins."""
    built: tuple[Built, ...] = ()
    """The plugins of the chain, from the client inwards."""
    policy: AccessPolicy | None = None
    """Its acl."""
    accepts: Callable[[Request], bool] | None = None
    """A view: only the requests that it wants are this block's."""
    forward_path: ForwardPath | None = None
    """Its path for queries that an upstream answers."""
    collect: Callable[[Request], None] | None = None
    """What the view may read: fills the metadata with what is known before the chain."""

    def find(self, query: Query) -> PrecompiledAnswer | None:
        """What some plugin has ready and no plugin before it must see."""
        watching: list[Built] = []
        for number, built in enumerate(self.built):
            if built.precompiled is not None and (ready := built.precompiled(query)) is not None:
                watched = _watched(query, ready, watching)
                if watched is None:
                    return None
                annotate = (before.annotate for before in reversed(self.built[:number]) if before.annotate is not None)
                return reduce(lambda so_far, add: add(query, so_far), annotate, watched)
            if built.must_see(query.name, False):
                if built.ignores is None and built.watch is None:
                    return None
                watching.append(built)
        return None


def _watched(query: Query, ready: PrecompiledAnswer, before: Sequence[Built]) -> PrecompiledAnswer | None:
    """An answer with the watch of the plugin before it that must see some of its uses; None if one must see each."""
    for built in before:
        if built.ignores is not None and built.ignores(query, ready):
            continue
        watch = built.watch(query, ready) if built.watch is not None else None
        if watch is None or ready.watch is not None:
            return None
        ready = ready._replace(watch=watch)
    return ready


class Ready(NamedTuple):
    """An answer that is ready, and under which zone it is counted."""

    answer: PrecompiledAnswer
    zone: str


class Admitted(NamedTuple):
    """A query may take a forward path."""

    path: ForwardPath
    zone: str
    """What it is counted under."""
    key: bytes
    """What its reply is kept under; empty: it is not kept."""


class Missed(NamedTuple):
    """A plain query without a precompiled answer."""

    message: bytes
    query: Query
    """Its id is 0, and its question folded."""
    admitted: Admitted | None = None
    """An upstream may be asked at once; None: the chain must see it."""


class Router:
    """The server blocks of one port."""

    def __init__(self, blocks: Sequence[RoutedBlock]) -> None:
        self.blocks = tuple(blocks)
        self.classes = any(built.classes for block in blocks for built in block.built)
        """Some plugin answers questions of other classes than IN."""
        self.needs_task = any(built.needs_task for block in blocks for built in block.built)
        """Some chain may only run in a task of its own."""
        self.has_policies = any(block.policy is not None for block in blocks)
        """Some block has an acl."""
        self._by_zone: dict[bytes, list[RoutedBlock]] = {}
        for block in blocks:
            for apex in block.zones:
                self._by_zone.setdefault(apex, []).append(block)
        self._everything = (ROOT, self._by_zone[ROOT]) if self._by_zone.keys() == {ROOT} else None
        """The one zone that there is, if it is the root."""

    def candidates(self, name: bytes, rtype: int) -> tuple[bytes, Sequence[RoutedBlock]] | None:
        """The longest zone a folded name is in, and its blocks (more than one only with views)."""
        everything = self._everything
        if everything is not None:
            return everything if label_starts(name) is not None else None
        return next(self._routes(name, rtype), None)

    def _routes(self, name: bytes, rtype: int) -> Iterator[tuple[bytes, Sequence[RoutedBlock]]]:
        """The zones a folded name is in and their blocks, the longest zone first."""
        starts = label_starts(name)
        if starts is None:
            return
        own: tuple[bytes, Sequence[RoutedBlock]] | None = None
        for start in (*starts, len(name) - 1):
            apex = name[start:]
            blocks = self._by_zone.get(apex)
            if blocks is None:
                continue
            if rtype == DS and not start:
                own = apex, blocks  # RFC 4035 section 3.1.4.1: DS is found in the zone above, if we have that
            else:
                yield apex, blocks
        if own is not None:
            yield own

    def find(self, query: Query) -> Ready | None:
        """What is ready to send for a query of a plain form; None: it must go through the chain."""
        routed = self.candidates(query.name, query.rtype)
        if routed is None:
            return None
        apex, blocks = routed
        if len(blocks) > 1 or blocks[0].accepts is not None:
            return None
        answer = blocks[0].find(query)
        return Ready(answer, blocks[0].zones[apex]) if answer is not None else None

    def forwarded(self, query: Query) -> Admitted | None:
        """The forward path of a query that an upstream may answer; None: the chain must see the query."""
        routed = self.candidates(query.name, query.rtype)
        if routed is None:
            return None
        apex, blocks = routed
        block = blocks[0]
        path = block.forward_path
        if path is None or len(blocks) > 1 or block.accepts is not None:
            return None
        key = path.admits(query)
        return None if key is None else Admitted(path, block.zones[apex], key)

    def known_children(self, name: bytes, missing: PrecompiledAnswer) -> KnownChildren | None:
        """What a "no" for a folded name says of its neighbours; None: nothing.

        Nothing if another block has a zone among them, or a plugin must see questions for one of them.
        """
        parent = name[1 + name[0] :] if name[0] else b""
        if missing.known_children is None or not parent:
            return None
        if missing.watch is not None and not missing.watch.covers(parent):
            return None
        if any(zone != parent and under(zone, parent) for zone in self._by_zone):
            return None
        routed = self.candidates(parent, 0)
        own = self.candidates(name, 0)
        if routed is None or own is None or routed[1] is not own[1]:
            return None
        for built in routed[1][0].built:
            if (
                built.precompiled is not None and built.precompiled == missing.source
            ):  # each access makes another bound method, so not `is`
                return missing.known_children(parent)
            passes = built.ignores is not None or built.watch is not None
            if built.must_see(parent, True) and not (passes and built.must_see(name, False)):
                return None  # where it was asked about this name, it lets the neighbours pass as well
        return None

    def block(self, request: Request) -> tuple[RoutedBlock, bytes] | None:
        """The block that a question belongs to, and the apex it is there by. Raises UpstreamError as `Built.admits`."""
        chosen = self._choose(request)
        return None if chosen is None else chosen[:2]

    def _choose(self, request: Request) -> tuple[RoutedBlock, bytes, Metadata] | None:
        """The block, its apex, and the metadata that its view has read.

        It is the first that wants the request, of the longest zone that has one: core/dnsserver/server.go of CoreDNS.
        """
        for apex, blocks in self._routes(request.query.name, request.query.rtype):
            for block in blocks:
                if block.accepts is None:
                    return block, apex, {}
                tried = request._replace(metadata={})
                if block.collect is not None:
                    block.collect(tried)
                if block.accepts(tried):
                    return block, apex, tried.metadata
        return None

    def policy_for(self, request: Request) -> AccessPolicy | None:
        """The acl of the block that a question belongs to."""
        chosen = self.block(request) if self.has_policies else None
        return None if chosen is None else chosen[0].policy

    def restricted(self, name: bytes, below: bool) -> bool:
        """Some acl has something to say about a folded name, or about any name under it."""
        return any(block.policy is not None and block.policy.must_see(name, below) for block in self.blocks)

    async def handle(self, request: Request) -> tuple[Response, str]:
        """The response of the block that a question belongs to, and the zone it is counted under."""
        chosen = self._choose(request)
        if chosen is None:
            return Response(REFUSED, unclaimed=True), DROPPED
        block, apex, metadata = chosen
        if metadata:
            request.metadata.update(metadata)
        return await block.handler(request), block.zones[apex]
