"""Which upstream is asked: policies, health, attempts, deadlines, and questions that are shared."""

import asyncio
import random
import time

import pytest
from prometheus_client import Counter

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Response
from kdns.dns.upstream import pool
from kdns.dns.upstream.received import Asked, Received, parsed
from kdns.dns.upstream.udp import UdpAttempt
from kdns.dns.upstream.upstream import Upstream
from kdns.wire.message import Message, UpstreamQuery
from kdns.wire.numbers import CD, MX, NS, RD, REFUSED, SERVFAIL
from kdns.wire.query import Edns, Query
from tests.dns.upstream.forwarding import forwarding
from tests.fakes.upstream import FakeUpstream
from tests.running import until

BROKEN = "coredns_forward_healthcheck_broken_total"
REJECTS = "coredns_forward_max_concurrent_rejects_total"
FAILED = "coredns_proxy_healthcheck_failures_total"


async def test_equal_questions_share_one_query() -> None:
    """While a question is being asked, equal ones wait for the same answer; other spellings are equal."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["a.example.org."] = ("192.0.2.7",)
        upstream.delay = 0.1
        names = ("a.example.org.", "A.Example.ORG.") * 50
        assert set(await asyncio.gather(*map(forward.address, names))) == {"192.0.2.7"}
        assert len(upstream.queries) == 1
        await forward.ask("a.example.org.")
        assert len(upstream.queries) == 2


async def test_different_questions_do_not() -> None:
    """Another type, DO, CD or transport may have another answer."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.delay = 0.05
        name = "a.example.org."
        await asyncio.gather(
            forward.ask(name),
            forward.ask(name, MX),
            forward.ask(name, edns=Edns(1232, 0, True)),
            forward.ask(name, flags=RD | CD),
            forward.ask(name, rclass=3),
            forward.ask(name, proto="tcp"),
            forward.ask(name, edns=Edns(1232, 0, False)),
        )
        assert len(upstream.queries) == 6


async def test_a_client_that_is_gone() -> None:
    """When one of those who wait is cancelled, the others still get the answer."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["a.example.org."] = ("192.0.2.7",)
        upstream.delay = 0.1
        first, second = (asyncio.ensure_future(forward.address("a.example.org.")) for _ in range(2))
        await until(lambda: upstream.queries)
        first.cancel()
        assert await second == "192.0.2.7"


async def test_a_block_that_ends() -> None:
    """A question that is under way when the block ends is an error for its client, who is not cancelled."""
    async with FakeUpstream() as upstream:
        upstream.silent = True
        async with forwarding(f"forward . {upstream.text}") as forward:
            asking = asyncio.ensure_future(forward.ask("a.example.org."))
            await until(lambda: upstream.queries)
        with pytest.raises(UpstreamError, match="transport stopped"):
            await asking


async def test_max_concurrent() -> None:
    """A question that would be one too many is refused and counted; an equal one under way may be waited for."""
    text = "forward . {} {{\n max_concurrent 2\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.delay = 0.1
        names = ("a.example.org.", "b.example.org.", "c.example.org.", "a.example.org.")
        found = await asyncio.gather(*map(forward.ask, names), return_exceptions=True)
        refused = found[2]
        assert isinstance(refused, UpstreamError)
        assert (str(refused), refused.rcode) == ("concurrent queries exceeded maximum 2", REFUSED)
        assert all(isinstance(found[number], Response) for number in (0, 1, 3))
        assert forward.sample(REJECTS) == 1
        assert upstream.probes == 0


async def test_places_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many exchanges are under way; the others wait for their turn."""
    monkeypatch.setattr(pool, "MAX_AT_ONCE", 10)
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.delay = 0.02
        await asyncio.gather(*(forward.ask(f"n{number}.example.org.") for number in range(50)))
        assert len(upstream.queries) == 50
        assert upstream.most_under_way <= 10


async def test_silence_outside_holds_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is SERVFAIL at once, whatever it asks for: places in the chain are left for names of the cluster."""
    monkeypatch.setattr(pool, "MAX_WAITING", 3)
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.delay = 0.1
        names = ("a.example.org.", "a.example.org.", "b.example.org.", "c.example.org.")
        asked = [forward.ask(name, client=f"10.1.0.{number}") for number, name in enumerate(names)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [Response, Response, Response, UpstreamError]
        assert str(found[3]) == "too many queries under way"
        assert isinstance(await forward.ask("c.example.org."), Response)


async def test_one_client_leaves_places_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names whose servers are silent fill no more than a client's share; others are answered, and it is again later."""
    monkeypatch.setattr(pool, "MAX_WAITING", 8)
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.silent = True
        greedy = [asyncio.ensure_future(forward.ask(f"n{number}.example.org.")) for number in range(20)]
        await asyncio.wait(greedy, return_when=asyncio.FIRST_EXCEPTION)
        refused = [each.exception() for each in greedy if each.done()]
        assert len(refused) == 16
        assert {str(error) for error in refused} == {"too many queries of 192.0.2.53 under way"}
        assert {error.options for error in refused if isinstance(error, UpstreamError)} == {pool.OVER_SHARE}
        assert forward.sample("kdns_forward_client_share_rejects_total") == 16
        upstream.silent = False
        assert await forward.address("www.example.org.", client="10.1.0.99") == "192.0.2.7"
        for each in greedy:
            each.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
        assert await forward.address("www.example.org.") == "192.0.2.7"


async def test_a_dead_upstream_costs_one_timeout() -> None:
    """The next upstream is asked after one timeout, and after failed probes the dead one is not asked any more."""
    async with FakeUpstream() as dead, FakeUpstream() as alive:
        dead.silent = True
        alive.zone["a.example.org."] = ("192.0.2.7",)
        text = f"forward . {dead.text} {alive.text} {{\n policy sequential\n read_timeout 200ms\n health_check 10ms\n}}"
        async with forwarding(text) as forward:
            assert await forward.address("a.example.org.") == "192.0.2.7"
            assert dead.names == ["a.example.org."]
            await until(lambda: forward.sample(FAILED, to=dead.text) >= 3)
            assert await forward.address("a.example.org.") == "192.0.2.7"
            assert dead.names == ["a.example.org."]
            dead.silent, dead.zone = False, {"a.example.org.": ("192.0.2.8",)}
            await until(lambda: not any("probe" in task.get_name() and not task.done() for task in forward.parts.tasks))
            assert await forward.address("a.example.org.") == "192.0.2.8"
            assert forward.sample(BROKEN) == 0


async def test_death_and_return() -> None:
    """An upstream that refuses is skipped at once, and used again when its probe is answered, on the same port."""
    async with FakeUpstream() as upstream:
        upstream.zone["a.example.org."] = ("192.0.2.7",)
        async with forwarding(f"forward . {upstream.text} {{\n health_check 20ms\n}}") as forward:
            assert await forward.address("a.example.org.") == "192.0.2.7"
            await upstream.die()
            for _ in range(3):
                with pytest.raises(UpstreamError, match="connection refused"):
                    await forward.ask("a.example.org.")
            await until(lambda: forward.sample(FAILED) >= 3)
            with pytest.raises(UpstreamError, match="connection refused"):
                await forward.ask("a.example.org.")
            assert forward.sample(BROKEN) >= 1
            await upstream.live()
            assert await forward.address("a.example.org.") == "192.0.2.7"
            await until(lambda: upstream.probes == 1)


async def test_failfast_when_all_are_down() -> None:
    """With the option, no upstream is tried when all are down."""
    async with FakeUpstream() as upstream:
        upstream.silent = True
        options = "health_check 50ms\n read_timeout 50ms\n failfast_all_unhealthy_upstreams\n max_fails 1"
        text = f"forward . {{}} {{{{\n {options}\n}}}}"
        async with forwarding(text.format(upstream.text)) as forward:
            with pytest.raises(UpstreamError, match="i/o timeout"):
                await forward.ask("a.example.org.")
            await until(lambda: forward.sample(FAILED) >= 2)
            asked = len(upstream.names)
            with pytest.raises(UpstreamError, match="no healthy proxies"):
                await forward.ask("a.example.org.")
            assert len(upstream.names) == asked
            assert forward.sample(BROKEN) == 1


async def test_max_fails_0_never_probes() -> None:
    """With max_fails 0 an upstream is never probed and never down."""
    text = "forward . {} {{\n max_fails 0\n read_timeout 20ms\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.silent = True
        with pytest.raises(UpstreamError):
            await forward.ask("a.example.org.")
        assert forward.parts.tasks == []


@pytest.mark.parametrize(
    ("options", "name", "flags"),
    [("", ".", RD), ("health_check 10ms no_rec domain example.net", "example.net.", 0), ("force_tcp", ".", RD)],
)
async def test_probes(options: str, name: str, flags: int) -> None:
    """A probe asks for NS as the options say, over TCP when that is forced."""
    text = f"forward . {{}} {{{{\n {options}\n read_timeout 20ms\n max_connect_attempts 1\n}}}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.silent = True
        with pytest.raises(UpstreamError):
            await forward.ask("a.example.org.")
        await until(lambda: any(query.rtype == NS for query in upstream.queries))
        probe = next(query for query in upstream.queries if query.rtype == NS)
        assert (probe.question[:-4], probe.flags) == (b"\0" if name == "." else b"\7example\3net\0", flags)
        over_tcp = options == "force_tcp"
        assert (bool(upstream.connections), bool(upstream.sources)) == (over_tcp, not over_tcp)


@pytest.mark.parametrize(
    ("options", "attempts"), [("", 4), ("max_connect_attempts 3", 3), ("max_connect_attempts 1", 1)]
)
async def test_attempts(options: str, attempts: int) -> None:
    """Upstreams that fail are gone through twice, or as often as the options say."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        first.no_tcp = second.no_tcp = True
        text = f"forward . {first.text} {second.text} {{\n force_tcp\n max_fails 0\n {options}\n}}"
        async with forwarding(text) as forward:
            with pytest.raises(UpstreamError, match="EOF"):
                await forward.ask("a.example.org.")
            assert first.connections + second.connections == attempts


async def test_the_deadline() -> None:
    """Without a limit of attempts, the deadline ends them, and they are not made as fast as can be."""
    text = "forward . {} {{\n force_tcp\n max_connect_attempts 0\n max_fails 0\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text), deadline=1.0) as forward:
        upstream.no_tcp = True
        with pytest.raises(UpstreamError, match="EOF"):
            await forward.ask("a.example.org.")
        assert 1 < upstream.connections < 40


async def test_policies() -> None:
    """sequential always begins with the first, round_robin with the next one, random with any."""
    async with FakeUpstream() as first, FakeUpstream() as second, FakeUpstream() as third:
        upstreams = (first, second, third)
        to = " ".join(upstream.text for upstream in upstreams)

        async def asked(policy: str) -> list[int]:
            for upstream in upstreams:
                upstream.queries.clear()
            text = f"forward . {to} {{\n {policy}\n}}"
            async with forwarding(text) as forward:
                for number in range(30):
                    await forward.ask(f"n{number}.example.org.")
            return [len(upstream.queries) for upstream in upstreams]

        assert await asked("policy sequential") == [30, 0, 0]
        assert await asked("policy round_robin") == [10, 10, 10]
        assert min(await asked("policy random")) > 2
        assert min(await asked("")) > 2


async def test_failover() -> None:
    """With failover an rcode makes the next upstream be asked; when all say so, the last answer is the answer."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        first.rcode = SERVFAIL
        text = f"forward . {first.text} {second.text} {{\n policy sequential\n failover servfail REFUSED\n}}"
        async with forwarding(text) as forward:
            second.zone["a.example.org."] = ("192.0.2.7",)
            assert await forward.address("a.example.org.") == "192.0.2.7"
            second.rcode = REFUSED
            assert await forward.address("b.example.org.") == f"rcode {REFUSED}"
            assert (len(first.queries), len(second.queries)) == (2, 2)
            await second.die()
            assert await forward.address("b.example.org.") == f"rcode {SERVFAIL}"


async def test_durations_are_counted() -> None:
    """Each answer is counted under its upstream and rcode."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        await forward.ask("a.example.org.")
        labels = {"proxy_name": "forward", "to": upstream.text, "rcode": "NXDOMAIN"}
        assert forward.sample("coredns_proxy_request_duration_seconds_count", **labels) == 1
        assert forward.sample("coredns_proxy_request_duration_seconds_bucket", le="8.192", **labels) == 1
        assert forward.sample("coredns_proxy_conn_cache_misses_total", proto="udp", to=upstream.text) == 1


class Waiting(Upstream):
    """An upstream whose answer comes when the test says so."""

    down = False
    text = "192.0.2.1:53"

    def __init__(self) -> None:
        self.asked: list[UdpAttempt] = []

    def begin(self, attempt: UdpAttempt, seconds: float) -> bool:
        """Keep who wants to know."""
        self.asked.append(attempt)
        return True

    def observe(self, rcode: int, began: float) -> None:
        """Nothing is measured."""


async def test_a_bug_at_one_client_leaves_the_others() -> None:
    """All who share a question get its answer, though what one of them does with it is a bug; that is not hidden."""
    upstream, counter = Waiting(), Counter("errors", "Of a test.", registry=None)
    counters = {"all_down": counter, "refused": counter, "over_share": counter}
    asking = pool.Pool([upstream], pool.PoolSettings(), time.monotonic, random.Random(1), **counters)
    answered = asyncio.Event()

    def broken() -> None:
        raise ValueError("a bug")

    question = b"\1a\0\0\1\0\1"
    query, octets = Query(0, RD, question, b"\1a\0", 1, 1), bytes(10) + question
    assert asking.begin(query, octets, "192.0.2.1", broken)
    assert asking.begin(query, octets, "192.0.2.2", answered.set)
    (attempt,) = upstream.asked
    with pytest.raises(ValueError, match="a bug"):
        attempt.answered(parsed(Message(1, 0x8180, 0, b"\1a\0", 1, 1), attempt.asked))
    async with asyncio.timeout(120):
        await answered.wait()


class Prompt(Upstream):
    """An upstream that answers at once, and notes that it was asked."""

    down = False

    def __init__(self, text: str, asked: list[str]) -> None:
        self.text, self.asked = text, asked

    def begin(self, attempt: UdpAttempt, seconds: float) -> bool:
        """See `Upstream.begin`."""
        self.asked.append(self.text)
        asyncio.get_running_loop().call_soon(attempt.answered, self._response(attempt.asked))
        return True

    async def exchange(
        self, ask: UpstreamQuery, tcp: bool, seconds: float, first: Received | None = None, began: float | None = None
    ) -> Received:
        """See `Upstream.exchange`."""
        self.asked.append(self.text)
        return self._response(ask)

    def _response(self, asked: Asked) -> Received:
        return parsed(Message(1, 0x8180, 0, asked.name, 1, 1), asked)

    def observe(self, rcode: int, began: float) -> None:
        """Nothing is measured."""


class Down(Prompt):
    """One that is known to be down."""

    down = True


async def test_round_robin_takes_one_step_for_each_query() -> None:
    """Also where the turn comes to an upstream that is down: the next one stands in for it, and keeps its own turn."""
    asked: list[str] = []
    counter = Counter("turns", "Of a test.", registry=None)
    counters = {"all_down": counter, "refused": counter, "over_share": counter}
    settings = pool.PoolSettings(policy="round_robin")
    upstreams = [Down("a", asked), Prompt("b", asked), Prompt("c", asked)]
    asking = pool.Pool(upstreams, settings, time.monotonic, random.Random(1), **counters)
    for number in range(6):
        await asking.ask(UpstreamQuery(bytes((1, 97 + number, 0)), 1), False, "192.0.2.1")
    assert asked == ["b", "c", "b", "b", "c", "b"]
