"""Which upstream is asked, and which one then: policies, attempts, the deadline, and equal questions asked once.

A client's query for what is being asked already waits for that answer: it makes no load, and gives a forger no second
chance to guess (the birthday attack: RFC 5452 section 5).
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct
from prometheus_client import Counter

from kdns.base.clock import Clock
from kdns.base.errors import UpstreamError
from kdns.dns.api.driving import parked
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


class _Question:
    """A question under way, and who waits for its answer: ``await`` it."""

    __slots__ = ("ask", "began", "outcome", "settled", "task", "tcp", "until", "wake")

    def __init__(self, ask: UpstreamQuery, tcp: bool, began: float, settled: "Callable[[_Question], None]") -> None:
        """``settled`` is called once, and wakes those who wait."""
        self.ask, self.tcp, self.began, self.until = ask, tcp, began, began + DEADLINE
        self.settled = settled
        self.outcome: Answer | UpstreamError | None = None
        self.wake: list[Callable[[], None]] = []
        self.task: asyncio.Task[None] | None = None

    def settle(self, outcome: Answer | UpstreamError) -> None:
        """All who wait go on; only the first outcome counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.settled(self)

    def __await__(self) -> Generator[Any, Any, Answer]:
        """The answer; raises UpstreamError. A client that is gone takes nothing away from the others."""
        if self.outcome is None:
            yield from parked(self.wake)
        outcome = self.outcome
        if isinstance(outcome, UpstreamError):
            raise UpstreamError(str(outcome), outcome.rcode, outcome.options)
        assert outcome is not None
        return outcome


class _Places:
    """So many exchanges at once; further ones wait in turn."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """One more would have to wait."""
        return self.taken >= self._most

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
        self._places = _Places(MAX_AT_ONCE)
        self._turn = 0
        self._settling: _Question | None = None
        self._waiting = FairShare(MAX_WAITING)
        self._under_way: dict[tuple[UpstreamQuery, bool], _Question] = {}

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
        waiting = self._waiting
        if waiting.full:
            raise UpstreamError("too many queries under way")
        if waiting.exceeded(client):
            self._over_share.inc()
            raise UpstreamError(f"too many queries of {client} under way", options=OVER_SHARE)
        question = self._present(ask, tcp) or self._begin(ask, tcp)
        waiting.take(client)
        try:
            return await question
        finally:
            waiting.give(client)

    def begin(self, ask: UpstreamQuery, client: str, done: Callable[[Answer | None], None]) -> bool:
        """The same over UDP without waiting: ``done`` is called once, later, with None for an error.

        What calls `ask` for the same question within that call gets the same outcome. False: nothing is asked, and
        `ask` says why.
        """
        waiting = self._waiting
        if waiting.full or waiting.exceeded(client):
            return False
        question = self._under_way.get((ask, False))
        if question is None:
            if self._rules.max_concurrent and len(self._under_way) >= self._rules.max_concurrent:
                return False
            question = self._begin(ask, False)
        waiting.take(client)

        def wake() -> None:
            waiting.give(client)
            outcome = question.outcome
            done(None if isinstance(outcome, UpstreamError) else outcome)

        question.wake.append(wake)
        if question.outcome is not None:
            asyncio.get_running_loop().call_soon(wake)
        return True

    def _present(self, ask: UpstreamQuery, tcp: bool) -> _Question | None:
        """The same question, if it is under way, or has its outcome this very moment."""
        settling = self._settling
        if settling is not None and settling.tcp == tcp and settling.ask == ask:
            return settling
        return self._under_way.get((ask, tcp))

    def _begin(self, ask: UpstreamQuery, tcp: bool) -> _Question:
        """Ask for what is not being asked yet: the first attempt over UDP needs no task. Raises UpstreamError."""
        most = self._rules.max_concurrent
        if most and len(self._under_way) >= most:
            self._refused.inc()
            raise UpstreamError(f"concurrent queries exceeded maximum {most}", REFUSED)
        question = _Question(ask, tcp, self._clock(), self._settled)
        self._under_way[ask, tcp] = question
        order = self._order()
        upstream = order[0]
        if tcp or self._places.full or upstream.down:
            self._start(question, self._placed(question))
            return question
        self._places.taken += 1

        def arrived(outcome: Message | UpstreamError) -> None:
            if question.outcome is not None:  # `close` came first
                self._places.give()
            elif isinstance(outcome, UpstreamError) or not self._final(outcome, upstream, ask):
                self._start(question, self._tried(question, order, outcome))
            else:
                self._places.give()
                upstream.observe(outcome, question.began)
                question.settle(Answer(outcome, upstream))

        if not upstream.begin(ask, DEADLINE, arrived):
            self._start(question, self._tried(question, order))
        return question

    def _final(self, message: Message, upstream: Upstream, ask: UpstreamQuery) -> bool:
        """Nothing more is to be asked."""
        return message.rcode not in self._rules.failover and upstream.complete(ask, message)

    def _start(self, question: _Question, work: Coroutine[Any, Any, None]) -> None:
        """Go on in a task, which ends the question."""
        question.task = asyncio.get_running_loop().create_task(work, name="ask upstream")

    def _settled(self, question: _Question) -> None:
        del self._under_way[question.ask, question.tcp]
        before, self._settling = self._settling, question
        try:
            waking, question.wake = question.wake, []  # not kept, or each question would be a cycle for the collector
            waking.reverse()
            while waking:
                waking.pop()()
        finally:
            self._settling = before
            for wake in reversed(waking):  # after a bug in one of them
                asyncio.get_running_loop().call_soon(wake)

    async def _placed(self, question: _Question) -> None:
        try:
            await self._places.take(DEADLINE)
        except TimeoutError:
            question.settle(UpstreamError("too many queries under way"))
            return
        await self._tried(question, self._order())

    async def _tried(
        self, question: _Question, order: Sequence[Upstream], first: Message | UpstreamError | None = None
    ) -> None:
        """Ask one after the other; the question has a place, and gives it back."""
        try:
            outcome: Answer | UpstreamError = await self._attempts(question, order, first)
        except UpstreamError as error:
            outcome = error
        except BaseException:
            question.settle(UpstreamError("proxy: transport stopped"))
            raise
        finally:
            self._places.give()
        question.settle(outcome)

    async def _attempts(
        self, question: _Question, order: Sequence[Upstream], first: Message | UpstreamError | None
    ) -> Answer:
        """``first``: what the first one of the order has given already, over UDP."""
        rules, ask, tcp = self._rules, question.ask, question.tcp
        most = 2 * len(order) if rules.max_attempts is None else rules.max_attempts
        attempts = at = down = refusals = 0
        problem: UpstreamError | None = None
        answer: Answer | None = None
        if isinstance(first, UpstreamError):
            problem, first, attempts, at = first, None, 1, 1
            order[0].suspect()
        while ((left := question.until - self._clock()) > 0 or first is not None) and not (most and attempts >= most):
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
                if rules.failfast:
                    break
                upstream = self._chance.choice(order)  # the probes may be wrong
            began = question.began if first is not None else None
            try:
                answer = Answer(await upstream.exchange(ask, tcp, left, first, began), upstream)
            except UpstreamError as error:
                problem = error
                upstream.suspect()
                attempts += 1
                if down >= len(order):
                    break
                continue
            finally:
                first = None
            refusals += answer.message.rcode in rules.failover
            if answer.message.rcode not in rules.failover or refusals >= len(order):
                return answer
        if answer is not None:
            return answer
        raise UpstreamError(str(problem or "no healthy proxies"))

    def _order(self) -> Sequence[Upstream]:
        upstreams = self.upstreams
        if len(upstreams) == 1:
            return upstreams
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
        questions = tuple(self._under_way.values())
        tasks = [question.task for question in questions if question.task is not None]
        for question in questions:
            question.settle(UpstreamError("proxy: transport stopped"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream in self.upstreams:
            await upstream.close()
