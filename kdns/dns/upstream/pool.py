"""Which upstream is asked, and which one then: policies, attempts, the deadline, and equal questions asked once.

A client's query for what is being asked already waits for that answer: it makes no load, and gives a forger no second
chance to guess (the birthday attack: RFC 5452 section 5).
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from prometheus_client import Counter

from kdns.base.clock import Clock
from kdns.base.errors import UpstreamError
from kdns.dns.api.fair_share import FairShare
from kdns.dns.upstream.upstream import Upstream
from kdns.wire.message import Message, UpstreamQuery
from kdns.wire.numbers import EDE, REFUSED
from kdns.wire.query import edns_option

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


class Rules(Struct, frozen=True, kw_only=True):
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


class Answer(NamedTuple):
    """A message, and who it is from."""

    message: Message
    upstream: Upstream


class Pool:
    """The upstreams of one ``forward`` line."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        rules: Rules,
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
        self._rules, self._clock, self._chance = rules, clock, chance
        self._all_down, self._refused, self._over_share = all_down, refused, over_share
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._turn = 0
        self._waiting = FairShare(MAX_WAITING)
        self._under_way: dict[tuple[UpstreamQuery, bool], asyncio.Task[Answer]] = {}

    @property
    def down(self) -> bool:
        """All upstreams are known to be down."""
        return all(upstream.down for upstream in self.upstreams)

    @property
    def under_way(self) -> int:
        """Different questions that are being asked."""
        return len(self._under_way)

    async def ask(self, ask: UpstreamQuery, tcp: bool, client: str) -> Answer:
        """The answer of some upstream, for a client by its address; raises UpstreamError with what went wrong last."""
        if self._waiting.full:
            raise UpstreamError("too many queries under way")
        if self._waiting.exceeded(client):
            self._over_share.inc()
            raise UpstreamError(f"too many queries of {client} under way", options=OVER_SHARE)
        key = ask, tcp
        task = self._under_way.get(key)
        if task is None:
            most = self._rules.max_concurrent
            if most and len(self._under_way) >= most:
                self._refused.inc()
                raise UpstreamError(f"concurrent queries exceeded maximum {most}", REFUSED)
            task = asyncio.get_running_loop().create_task(self._asked(ask, tcp), name="ask upstream")
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        with self._waiting.place(client):
            try:
                return await asyncio.shield(task)  # one client that is gone must not take the others' answer away
            except asyncio.CancelledError:
                if task.cancelled():  # it was not the client, but `close`
                    raise UpstreamError("proxy: transport stopped") from None
                raise

    def _done(self, key: tuple[UpstreamQuery, bool], task: asyncio.Task[Answer]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # perhaps no client waits for it any more

    async def _asked(self, ask: UpstreamQuery, tcp: bool) -> Answer:
        until = self._clock() + DEADLINE
        try:
            async with asyncio.timeout(DEADLINE):
                await self._places.acquire()
        except TimeoutError:
            raise UpstreamError("too many queries under way") from None
        try:
            return await self._tried(ask, tcp, until)
        finally:
            self._places.release()

    async def _tried(self, ask: UpstreamQuery, tcp: bool, until: float) -> Answer:
        rules, order = self._rules, self._order()
        most = 2 * len(order) if rules.max_attempts is None else rules.max_attempts
        attempts = at = down = refusals = 0
        problem: UpstreamError | None = None
        answer: Answer | None = None
        while (left := until - self._clock()) > 0 and not (most and attempts >= most):
            if at >= len(order):
                at = down = 0
                if not most:
                    await asyncio.sleep(REST)
            upstream = order[at]
            at += 1
            if upstream.down:
                down += 1
                if down < len(order):
                    continue
                self._all_down.inc()
                if rules.failfast:
                    break
                upstream = self._chance.choice(order)  # the probes may be wrong
            try:
                answer = Answer(await upstream.exchange(ask, tcp, left), upstream)
            except UpstreamError as error:
                problem = error
                upstream.suspect()
                attempts += 1
                if down >= len(order):
                    break
                continue
            refusals += answer.message.rcode in rules.failover
            if answer.message.rcode not in rules.failover or refusals >= len(order):
                return answer
        if answer is not None:
            return answer
        raise UpstreamError(str(problem or "no healthy proxies"))

    def _order(self) -> Sequence[Upstream]:
        upstreams = self.upstreams
        match self._rules.policy:
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
        tasks = tuple(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream in self.upstreams:
            await upstream.close()
