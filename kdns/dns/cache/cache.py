"""A cache in front of a handler: answers from what is kept, asks for what is not, and asks again in time."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgspec.structs import replace

from kdns.base.clock import Clock
from kdns.base.errors import KdnsError
from kdns.dns.api.forward_step import ForwardStep, UpstreamOctets
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.zones import Zones
from kdns.dns.cache.aged import Aged, wants_ad
from kdns.dns.cache.counts import CacheCounts
from kdns.dns.cache.options import Stale
from kdns.dns.cache.partitions import Partitions, half_of, key_of
from kdns.dns.cache.store import Entry, Key
from kdns.wire.name import ROOT
from kdns.wire.numbers import AD, AXFR, CNAME, IXFR, NOERROR, NXDOMAIN, RD, TC
from kdns.wire.query import PLAIN_LIMIT, Query

EXACT: Final = frozenset({"kubernetes", "shortnames", "k8s_external"})
"""Plugins whose answers come from the cluster and are never older than its last event."""

log = logging.getLogger("kdns.dns.plugins.cache")

Spawn = Callable[[Coroutine[Any, Any, None], str], None]
Cluster = Callable[[Query], bool]


class Cache:
    """What is kept for one server block.

    ``cluster`` says whether the cluster itself answers a query now, ``within`` whether it might another time;
    ``restricted`` whether a name is not for everybody: see `kdns.dns.api.plugin.BlockContext.restricted`.
    """

    def __init__(
        self,
        halves: Partitions,
        counts: CacheCounts,
        clock: Clock,
        spawn: Spawn,
        *,
        cluster: Cluster = lambda _: False,
        within: Cluster = lambda _: False,
        restricted: Callable[[bytes, bool], bool] = lambda _name, _below: False,
    ) -> None:
        self._restricted = restricted
        self.halves, self.counts = halves, counts
        self._clock, self._spawn, self._cluster, self._within = clock, spawn, cluster, within
        self._zones = Zones(halves.options.zones)
        self._stale, self._prefetch = halves.options.stale, halves.options.prefetch
        self._following: Handler | None = None

    def plugin(self, following: Handler) -> Handler:
        """Its place in the chain. See `kdns.dns.api.handler.Plugin`."""
        self._following = following
        return self.handle

    @property
    def forward_step(self) -> ForwardStep:
        """Its part in the forward path: for what it does not have. Names of the cluster are `kubernetes`' to find."""
        return ForwardStep(cache=self)

    def missed(self, query: Query) -> Key | None:
        """See `kdns.dns.api.forward_step.ReplyCache.missed`: names that it has nothing to serve for."""
        if not self.covers(query):
            return b""
        key = key_of(query)
        return key if self.halves.choose(key, self._now()) is None else None

    def keep(self, key: Key, query: Query, octets: UpstreamOctets, server: str) -> bytes:
        """See `kdns.dns.api.forward_step.ReplyCache.keep`."""
        self.counts.miss(server)
        facts = octets.facts
        assert facts is not None
        return self.halves.take_clean(key, query, octets.rcode, octets.flags, facts, self._now(), server)

    def covers(self, query: Query) -> bool:
        """True for names that it is to keep answers for."""
        return self._zones.of(query.name) is not None and query.rtype not in {AXFR, IXFR}

    def ready(self, query: Query, rotated: Callable[[], bool]) -> tuple[Aged, Entry] | None:
        """What can be sent past the chain; None: nothing, or the chain must see to it.

        ``rotated``: whether addresses take turns.
        """
        now = self._now()
        entry = self.halves.choose(key_of(query), now) if self.covers(query) else None
        if entry is None:
            return None
        rotate = rotated()
        if entry.left(now) <= 0 or self._within(query) or self.halves.due(entry, now):
            return None
        if rotate and entry.shuffled:
            return None
        if self._restricted(ROOT, True) and self._personal(query, entry.response):  # an acl has come since it was kept
            return None
        return entry.aged(query.name, rotate, self._used if self._prefetch.amount else None), entry

    def _used(self, entry: Entry, now: int) -> bool:
        """One use more past the chain, unless it is time to ask again."""
        entry.used(now, self._prefetch.gap)
        if not self.halves.due(entry, now):
            return True
        entry.hits -= 1  # the chain counts it
        return False

    async def handle(self, request: Request) -> Response:
        """Answer from what is kept, or from the plugins behind."""
        query = request.query
        if not self.covers(query):
            return await self._follow(request)
        now = self._now()
        entry = None if self._cluster(query) else self.halves.choose(key_of(query), now)
        if entry is None:
            return await self._miss(request)
        self.counts.hit(request.server, half_of(entry))
        if entry.left(now) <= 0:
            assert self._stale is not None
            return await self._over(request, entry, self._stale, now)
        if self._prefetch.amount:
            entry.used(now, self._prefetch.gap)
            if self.halves.due(entry, now) and entry.begin(now):
                self._spawn(self._refresh(request, entry), "prefetch")
        return entry.reply(query, now)

    async def _miss(self, request: Request) -> Response:
        counted = False
        try:
            response = await self._ask(request)
            if response.plugin in EXACT:
                self.counts.hit(request.server, "success" if response.answer else "denial")
                counted = True
                return response
        finally:
            if not counted:
                self.counts.miss(request.server)
        return self._for_client(request.query, self._take(request, response)[0])

    async def _over(self, request: Request, entry: Entry, stale: Stale, now: int) -> Response:
        """RFC 8767 section 5: an expired answer is served if asking again fails, or takes too long."""
        if stale.mode == "immediate":
            if entry.begin(now):
                self._spawn(self._refresh(request, entry), "refresh")
        elif not stale.recheck or entry.begin(now):
            fresh = await self._verify(request, entry, stale)
            if fresh is not None:
                return self._for_client(request.query, fresh)
        self.counts.count("served_stale", request.server)
        return entry.reply(request.query, now, stale.ttl or None)

    async def _verify(self, request: Request, entry: Entry, stale: Stale) -> Response | None:
        """The present answer, if it comes in time; if not, asking goes on."""
        if not stale.timeout:
            return await self._renew(request, entry)
        fresh: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()

        async def ask() -> None:
            try:
                response = await self._renew(_beside(request), entry)
                if not fresh.done():
                    fresh.set_result(response)
            finally:
                fresh.cancel()  # does nothing to one that is done

        self._spawn(ask(), "verify")
        await asyncio.wait((fresh,), timeout=stale.timeout)
        return fresh.result() if fresh.done() and not fresh.cancelled() else None

    async def _refresh(self, request: Request, entry: Entry) -> None:
        """Ask again in the background; the entry's ``refreshing`` is set."""
        self.counts.count("prefetch", request.server)
        await self._renew(_beside(request), entry)

    async def _renew(self, request: Request, entry: Entry) -> Response | None:
        """Ask again for what an entry has. None: what came does not replace it."""
        over = entry.left(self._now()) <= 0
        refreshed, response = False, None
        asked = for_all_of(request, entry)
        try:
            fresh = await self._ask(asked)
            if fresh.plugin in EXACT:
                self._forget(key_of(asked.query))
                refreshed, response = True, fresh
            elif not over or _settles(fresh) or self._prefers(fresh):
                response, kept = self._take(asked, fresh)
                if kept is not None and kept is not entry:
                    kept.inherit(entry)
                refreshed = True
                if over and self._stale is not None and self._stale.prefer_positive:
                    refreshed = kept is not None and kept.answering
        except KdnsError as error:
            log.debug("asking again failed: %s", error)
        finally:
            entry.end(self._clock(), refreshed, self._stale.recheck if over and self._stale is not None else 0.0)
        return response if refreshed else None

    def _prefers(self, fresh: Response) -> bool:
        """Under prefer_positive failures are kept, since they do not take the place of anything."""
        return self._stale is not None and self._stale.prefer_positive and not fresh.flags & TC

    def _personal(self, query: Query, response: Response) -> bool:
        """It leads to names that are not for everybody, so what one client gets is nothing for another."""
        if not self._restricted(ROOT, True):
            return False
        names = {rr.owner.lower() for rr in (*response.answer, *response.additional)}
        names.update(rr.rdata.lower() for rr in response.answer if rr.rtype == CNAME)
        return any(self._restricted(name, False) for name in names - {query.name})

    def _take(self, request: Request, response: Response) -> tuple[Response, Entry | None]:
        if self._personal(request.query, response):
            return response, None
        return self.halves.take(request.query, response, self._now(), request.server)

    def _forget(self, key: Key) -> None:
        self.halves.successes.remove(key)
        self.halves.denials.remove(key)

    def _for_client(self, query: Query, response: Response) -> Response:
        if response.flags & AD and not wants_ad(query):
            return replace(response, flags=response.flags & ~AD)
        return response

    async def _ask(self, request: Request) -> Response:
        """Ask the plugins behind. AD says that we want to know (RFC 6840 section 5.7), for clients that ask next."""
        return await self._follow(asking(request))

    async def _follow(self, request: Request) -> Response:
        assert self._following is not None, "a cache that has no place in a chain"
        return await self._following(request)

    def _now(self) -> int:
        return int(self._clock())


def for_all_of(request: Request, entry: Entry) -> Request:
    """The request to renew an entry with: with recursion, and over TCP if it has more than a datagram carries.

    For a client over UDP an upstream's answer may be truncated, and that could not replace the entry.
    """
    query = request.query
    if not query.flags & RD:
        request = request._replace(query=query._replace(flags=query.flags | RD))
    if request.client.proto != "udp" or entry.uncompressed <= PLAIN_LIMIT:
        return request
    return request._replace(client=request.client._replace(proto="tcp"))


def asking(request: Request) -> Request:
    """The request as it goes on from here."""
    query = request.query
    if query.flags & AD:
        return request
    number, flags, question, name, rtype, rclass, edns, serial = query  # `_replace` costs as much as a system call
    asked = Query(number, flags | AD, question, name, rtype, rclass, edns, serial)
    return Request(asked, request.client, request.size, request.server, request.metadata)


def _settles(response: Response) -> bool:
    """RFC 8767 section 4: NOERROR and NXDOMAIN are the answers that take the place of what is over."""
    return response.rcode in {NOERROR, NXDOMAIN} and not response.flags & TC and not response.dropped


def _beside(request: Request) -> Request:
    """The same request, for what goes on when its client has been answered."""
    return request._replace(metadata=dict(request.metadata))
