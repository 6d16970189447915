"""Which upstream is asked, and which one then: policies, attempts, the deadline, and equal questions asked once.

A client's query for what is being asked already waits for that answer: it makes no load, and gives a forger no second
chance to guess (the birthday attack: RFC 5452 section 5).
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Final, Literal

from msgspec import Struct
from prometheus_client import Counter

from kdns.base.clock import Clock
from kdns.base.errors import UpstreamError
from kdns.dns.api.fair_share import FairShare
from kdns.dns.api.inline_task import wait_inline
from kdns.dns.upstream.received import Asked, Received
from kdns.dns.upstream.udp import UdpAttempt
from kdns.dns.upstream.upstream import Upstream
from kdns.wire.message import UpstreamQuery, compose_query
from kdns.wire.message import asked as upstream_query
from kdns.wire.numbers import EDE, REFUSED
from kdns.wire.query import Query, edns_option

DEADLINE: Final = 5.0
"""Seconds that a client's query may take in all."""
MAX_AT_ONCE: Final = 1024
"""Exchanges under way, each with one socket; further ones wait for a place until their deadline."""
MAX_WAITING: Final = 2048
"""Queries that wait for upstreams; further ones are SERVFAIL at once, and those of one client before, see `FairShare`.
Half of `kdns.dns.query.responder.MAX_SLOW`: the rest is for names that need no upstream."""
OVER_SHARE: Final = edns_option(EDE, b"\0\0too many queries of this client under way")
"""RFC 8914 section 4.1: "Other Error", with a text."""
REST: Final = 0.05
"""Seconds before the upstreams are gone through again, where nothing limits how often."""

Policy = Literal["random", "round_robin", "sequential"]


class PoolSettings(Struct, frozen=True, kw_only=True):
    """How upstreams are chosen."""

    policy: Policy = "random"
    max_attempts: int | None = None
    """For one query; None: twice as many as there are upstreams; 0: any number until the deadline."""
    max_concurrent: int = 0
    """Questions under way; 0: any number."""
    failfast: bool = False
    """When all upstreams are down, say so at once instead of trying one."""
    failover: frozenset[int] = frozenset()
    """Answers with these rcodes make us ask the next one."""
    deadline: float = DEADLINE


class PendingQuery(UdpAttempt):
    """A query under way, and who waits for its reply: ``await`` it. It is its own first attempt over UDP."""

    __slots__ = ("began", "key", "order", "outcome", "pool", "task", "tcp", "upstream", "wake")

    def __init__(self, pool: "Pool", key: bytes, asked: Asked, octets: bytes) -> None:
        super().__init__(asked, octets)
        self.pool, self.key = pool, key
        self.tcp = False
        self.began = pool.clock()
        self.outcome: Received | UpstreamError | None = None
        self.wake: list[Callable[[], None]] = []
        """To be called when the outcome is there."""
        self.task: asyncio.Task[None] | None = None
        self.order: Sequence[Upstream] = ()
        self.upstream: Upstream | None = None
        """Who is asked first."""

    @property
    def ask(self) -> UpstreamQuery:
        """What is asked, for attempts that follow."""
        asked = self.asked
        if type(asked) is UpstreamQuery:
            return asked
        assert type(asked) is Query
        return upstream_query(asked, whole=False)._replace(flags=int.from_bytes(self.octets[:2], "big"))

    def answered(self, received: Received) -> None:
        """See `UdpAttempt.answered`."""
        pool, upstream = self.pool, self.upstream
        assert upstream is not None
        if self.outcome is not None:  # `close` came first
            pool.places.give()
        elif received.rcode in pool.settings.failover or not upstream.complete(received):
            pool.go_on(self, received)
        else:
            pool.places.give()
            upstream.observe(received.rcode, self.began)
            received.upstream = upstream.text
            self.settle(received)

    def failed(self, error: UpstreamError) -> None:
        """See `UdpAttempt.failed`."""
        if self.outcome is not None:
            self.pool.places.give()
        else:
            self.pool.go_on(self, error)

    @property
    def result(self) -> Received | None:
        """See `kdns.dns.api.forward_step.Asked.result`."""
        outcome = self.outcome
        return outcome if type(outcome) is Received else None

    def give(self, client: str) -> None:
        """A client that `Pool.begin` has admitted waits no longer."""
        self.pool.waiting.give(client)

    def settle(self, outcome: Received | UpstreamError) -> None:
        """All who wait go on; only the first outcome counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.pool.settled(self)

    def __await__(self) -> Generator[Any, Any, Received]:
        """The reply; raises UpstreamError. A client that is gone takes nothing away from the others."""
        if self.outcome is None:
            yield from wait_inline(self.wake)
        outcome = self.outcome
        if isinstance(outcome, UpstreamError):
            raise UpstreamError(str(outcome), outcome.rcode, outcome.options)
        assert outcome is not None
        return outcome


class _Places:
    """So many exchanges at once; further ones wait in turn."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """One more would have to wait."""
        return self.taken >= self.most

    async def take(self, seconds: float) -> None:
        """Wait for a place, but not longer. Raises TimeoutError."""
        if not self.full:
            self.taken += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except (TimeoutError, asyncio.CancelledError):
            if place.done() and not place.cancelled():  # it came at the same moment
                self.give()
            raise

    def give(self) -> None:
        """Free a place, or hand it on to who waits longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.taken -= 1


class Pool:
    """The upstreams of one ``forward`` line."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        settings: PoolSettings,
        clock: Clock,
        chance: random.Random,
        *,
        all_down: Counter,
        refused: Counter,
        over_share: Counter,
    ) -> None:
        """``all_down`` counts how often no upstream was well, ``refused`` questions over ``max_concurrent``.

        ``over_share`` counts those of clients who had their share of the places already.
        """
        self.upstreams = tuple(upstreams)
        self.settings, self.clock, self._chance = settings, clock, chance
        self._all_down, self._refused, self._over_share = all_down, refused, over_share
        self.places = _Places(MAX_AT_ONCE)
        self._turn = 0
        self._settling: PendingQuery | None = None
        self.waiting = FairShare(MAX_WAITING)
        self._under_way: dict[bytes, PendingQuery] = {}

    @property
    def down(self) -> bool:
        """All upstreams are known to be down."""
        return all(upstream.down for upstream in self.upstreams)

    @property
    def under_way(self) -> int:
        """Different queries that are being asked."""
        return len(self._under_way)

    async def ask(self, ask: UpstreamQuery, tcp: bool, client: str) -> Received:
        """The answer of some upstream, for a client by its address; raises UpstreamError with what went wrong last."""
        octets = compose_query(0, ask)[2:]
        # no query has one octet more than another one that begins like it: the counts say where it ends
        key = octets + bytes((1 + ask.whole + 2 * tcp,)) if ask.whole or tcp else octets
        settling = self._settling
        if settling is not None and settling.key == key:
            return await settling  # its outcome is in hand: no place is taken for that
        waiting = self.waiting
        if waiting.full:
            raise UpstreamError("too many queries under way")
        if waiting.exceeded(client):
            self._over_share.inc()
            raise UpstreamError(f"too many queries of {client} under way", options=OVER_SHARE)
        pending = self._under_way.get(key)
        if pending is None:
            most = self.settings.max_concurrent
            if most and len(self._under_way) >= most:
                self._refused.inc()
                raise UpstreamError(f"concurrent queries exceeded maximum {most}", REFUSED)
            pending = PendingQuery(self, key, ask, octets)
            pending.tcp = tcp
            self._begin(pending)
        waiting.take(client)
        try:
            return await pending
        finally:
            waiting.give(client)

    def begin(self, query: Query, octets: bytes, client: str, wake: Callable[[], None]) -> PendingQuery | None:
        """The same over UDP without waiting, for what a client asks over UDP: ``wake`` is called once, later.

        ``octets``: the query behind its id. Who is woken reads `PendingQuery.result` and calls `PendingQuery.give`.
        What calls `ask` for the same within that call gets the same outcome. None: nothing is asked; `ask` says why.
        """
        pending = self._under_way.get(octets)
        if pending is None and 0 < self.settings.max_concurrent <= len(self._under_way):
            return None
        if not self.waiting.admit(client):
            return None
        if pending is None:
            pending = PendingQuery(self, octets, query, octets)
            self._begin(pending)
        pending.wake.append(wake)
        if pending.outcome is not None:
            asyncio.get_running_loop().call_soon(wake)
        return pending

    def _begin(self, pending: PendingQuery) -> None:
        """Ask what is not being asked yet: the first attempt over UDP needs no task."""
        self._under_way[pending.key] = pending
        upstreams = self.upstreams
        order = pending.order = upstreams if len(upstreams) == 1 else self._order()
        upstream = pending.upstream = order[0]
        places = self.places
        if pending.tcp or places.taken >= places.most or upstream.down:
            self._start(pending, self._placed(pending))
            return
        places.taken += 1
        if not upstream.begin(pending, self.settings.deadline):
            self._start(pending, self._tried(pending))

    def go_on(self, pending: PendingQuery, first: Received | UpstreamError) -> None:
        """The first attempt was not the last: go on in a task."""
        self._start(pending, self._tried(pending, first))

    def _start(self, pending: PendingQuery, work: Coroutine[Any, Any, None]) -> None:
        """Go on in a task, which ends the query."""
        pending.task = asyncio.get_running_loop().create_task(work, name="ask upstream")

    def settled(self, pending: PendingQuery) -> None:
        """Wake all who wait for a query."""
        del self._under_way[pending.key]
        before, self._settling = self._settling, pending
        try:
            waking, pending.wake = pending.wake, []  # not kept, or each query would be a cycle for the collector
            if len(waking) > 1:
                waking.reverse()
            while waking:
                waking.pop()()
        finally:
            self._settling = before
            for wake in reversed(waking):  # after a bug in one of them
                asyncio.get_running_loop().call_soon(wake)

    async def _placed(self, pending: PendingQuery) -> None:
        try:
            await self.places.take(self.settings.deadline)
        except TimeoutError:
            pending.settle(UpstreamError("too many queries under way"))
            return
        await self._tried(pending)

    async def _tried(self, pending: PendingQuery, first: Received | UpstreamError | None = None) -> None:
        """Ask one after the other; the query has a place, and gives it back."""
        try:
            outcome: Received | UpstreamError = await self._attempts(pending, first)
        except UpstreamError as error:
            outcome = error
        except BaseException:
            pending.settle(UpstreamError("proxy: transport stopped"))
            raise
        finally:
            self.places.give()
        pending.settle(outcome)

    async def _attempts(self, pending: PendingQuery, first: Received | UpstreamError | None) -> Received:
        """``first``: what the first one of the order has given already, over UDP."""
        settings, ask, tcp, order = self.settings, pending.ask, pending.tcp, pending.order
        until = pending.began + settings.deadline
        most = 2 * len(order) if settings.max_attempts is None else settings.max_attempts
        attempts = at = down = refusals = 0
        problem: UpstreamError | None = None
        received: Received | None = None
        if isinstance(first, UpstreamError):
            problem, first, attempts, at = first, None, 1, 1
            order[0].suspect()
        while ((left := until - self.clock()) > 0 or first is not None) and not (most and attempts >= most):
            if at >= len(order):
                at = down = 0
                if not most:
                    await asyncio.sleep(REST)
            upstream = order[at]
            at += 1
            if upstream.down and first is None:
                down += 1
                if down < len(order):
                    continue
                self._all_down.inc()
                if settings.failfast:
                    break
                upstream = self._chance.choice(order)  # the probes may be wrong
            began = pending.began if first is not None else None
            try:
                received = await upstream.exchange(ask, tcp, left, first, began)
                received.upstream = upstream.text
            except UpstreamError as error:
                problem = error
                upstream.suspect()
                attempts += 1
                if down >= len(order):
                    break
                continue
            finally:
                first = None
            failed_over = received.rcode in settings.failover
            refusals += failed_over
            if not failed_over or refusals >= len(order):
                return received
        if received is not None:
            return received
        raise UpstreamError(str(problem or "no healthy proxies"))

    def _order(self) -> Sequence[Upstream]:
        upstreams = self.upstreams
        if len(upstreams) == 1:
            return upstreams
        match self.settings.policy:
            case "random":
                return self._chance.sample(upstreams, len(upstreams))
            case "round_robin":
                self._turn = (self._turn + 1) % len(upstreams)
                first = self._turn
                return (upstreams[first], *upstreams[:first], *upstreams[first + 1 :])
            case _:
                return upstreams

    async def close(self) -> None:
        """Give up what is under way, and close all connections."""
        queries = tuple(self._under_way.values())
        tasks = [pending.task for pending in queries if pending.task is not None]
        for pending in queries:
            pending.settle(UpstreamError("proxy: transport stopped"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream in self.upstreams:
            await upstream.close()
