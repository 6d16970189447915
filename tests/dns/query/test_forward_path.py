"""The forward path: the same octets, cache entries and metrics as through the chain."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from kdns.dns.api.forward_step import ForwardStep, Turn, UpstreamOctets
from kdns.dns.api.handler import chain
from kdns.dns.api.plugin import Built
from kdns.dns.plugins import cache, errors, forward, loadbalance, log, rewrite
from kdns.dns.query.forward_path import ForwardedQuery, ForwardPath, forward_path
from kdns.dns.query.responder import Responder, SocketResponder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.dns.upstream import pool
from kdns.dns.upstream.received import Received
from kdns.wire.name import ROOT, parse_name
from kdns.wire.numbers import CNAME, IN, NOERROR, RA, SERVFAIL, TC, A
from kdns.wire.query import edns_option, opt_record
from kdns.wire.rr import RR
from tests.config.text import directives
from tests.dns.messages import CLIENT, query, slow
from tests.dns.parts import FakeParts, fits
from tests.dns.plan import spelled
from tests.dns.query.forward_replies import (
    CHAINED,
    ELSEWHERE,
    NAME,
    OPT,
    QUERIES,
    REORDERED,
    REPLIES,
    Octets,
    address,
    composed,
    meaning,
)  # fmt: skip
from tests.fakes.upstream import FakeUpstream
from tests.running import until


class Noted(ForwardPath, frozen=True):
    """Notes which queries took the forward path, and which replies were for the chain."""

    taken: list[ForwardedQuery] = []  # noqa: RUF012 - msgspec copies it for each
    chained: list[UpstreamOctets] = []  # noqa: RUF012 - likewise

    def begin(self, forwarded: ForwardedQuery) -> bool:
        """See `ForwardPath.begin`."""
        taken = super().begin(forwarded)
        if taken:
            self.taken.append(forwarded)
        return taken

    def fits(self, octets: UpstreamOctets) -> Turn | None:
        """See `ForwardPath.fits`."""
        fits = super().fits(octets)
        assert isinstance(octets, Received)
        if fits is None and octets.asked.rclass == IN:  # those of other classes are always parsed
            self.chained.append(octets)
        return fits


class World:
    """One server block in front of an upstream, with or without its forward path."""

    def __init__(self, corefile: str, upstream: FakeUpstream, *, short: bool) -> None:
        self.parts = FakeParts()
        self.taken: list[ForwardedQuery] = []
        self.chained: list[UpstreamOctets] = []
        lines = {"cache": "cache 30", "errors": "errors", "forward": f"forward . {upstream.text}"}
        lines["loadbalance"] = "loadbalance"
        lines["log"] = 'log . "{remote} {>id} {type} {name} {size} {>do} {rcode} {>rflags} {rsize} {/forward/upstream}"'
        lines["rewrite"] = "rewrite name exact old.test. new.test."
        modules: dict[str, Any] = {
            "log": log, "errors": errors, "rewrite": rewrite, "cache": cache, "loadbalance": loadbalance,
            "forward": forward,
        }  # fmt: skip
        self.built: list[Built] = []
        for name in reversed(corefile.split()):
            module = modules[name]
            options = module.parse(directives(lines[name]), self.parts.place)
            self.built.insert(0, module.build(options, fits(self.parts)))
        path = forward_path(self.built, ForwardStep())
        assert path is not None
        noted = Noted(path.passes, path.leaves, path.ask, path.cache, path.turns, path.notes, self.taken, self.chained)
        block = RoutedBlock(
            zones={ROOT: "."},
            handler=chain([each.plugin for each in self.built if each.plugin is not None]),
            built=tuple(self.built),
            forward_path=noted if short else None,
        )
        self.responder = Responder(Router((block,)), self.parts.clock)
        self.socket: SocketResponder = self.responder.for_socket("udp", 1, "dns://:53")

    async def ask(self, message: bytes) -> bytes | None:
        """The reply."""
        return await slow(self.socket, message)

    def numbers(self) -> dict[str, float]:
        """All samples but those of seconds."""
        found = {}
        for family in self.parts.registry.collect():
            for sample in family.samples:
                if "seconds" not in sample.name and "created" not in sample.name:
                    found[f"{sample.name}{sorted(sample.labels.items())}"] = sample.value
        found["seconds"] = sum(
            sample.value for family in self.parts.registry.collect() for sample in family.samples
            if sample.name.endswith("duration_seconds_count")
        )  # fmt: skip
        self.socket.counts.fold()
        found.update({str(kind): float(sum(sizes[0].counts)) for kind, sizes in self.socket.counts.others.items()})
        return found


@asynccontextmanager
async def worlds(corefile: str, upstream: FakeUpstream) -> AsyncIterator[tuple[World, World]]:
    """One with the forward path, and one without."""
    both = World(corefile, upstream, short=True), World(corefile, upstream, short=False)
    started = [each for world in both for each in world.built]
    for each in started:
        if each.start is not None:
            await each.start()
    try:
        yield both
    finally:
        for each in started:
            if each.close is not None:
                await each.close()
        for world in both:
            await world.parts.close()


BLOCKS: Final = (
    "errors cache forward", "errors cache loadbalance forward", "errors rewrite loadbalance cache forward", "forward",
    "log errors rewrite cache forward",
)  # fmt: skip


@pytest.mark.parametrize("corefile", BLOCKS)
@pytest.mark.parametrize("title", REPLIES)
async def test_both_ways_are_the_same(title: str, corefile: str, caplog: pytest.LogCaptureFixture) -> None:
    """Octets, what is asked of the upstream, what is cached, counted and logged then, for each query and reply."""
    caplog.set_level(logging.INFO, "kdns.query")
    flags, sections, opt = REPLIES[title]
    async with FakeUpstream() as upstream:
        upstream.answer = lambda query: composed(query, flags, sections, opt)
        upstream.no_tcp = True
        async with worlds(corefile, upstream) as (short, long):
            for name, message in QUERIES.items():
                asked = []
                replies = []
                logged = []
                for world in (short, long):
                    before = len(upstream.queries)
                    caplog.clear()
                    replies.append([await world.ask(message), await world.ask(message)])
                    logged.append([record.message for record in caplog.records if record.name == "kdns.query"])
                    asked.append([(each.question, each.flags, each.edns) for each in upstream.queries[before:]])
                assert replies[0][0] is not None, name
                if isinstance(sections, Octets) and "loadbalance" in corefile.split():
                    assert [meaning(reply) for reply in replies[0]] == [meaning(reply) for reply in replies[1]], name
                else:
                    assert replies[0] == replies[1], name
                    assert logged[0] == logged[1], name
                assert asked[0] == asked[1], name
                assert len(logged[0]) == (2 if "log" in corefile.split() else 0)
                for world in (short, long):
                    world.parts.clock.now += 100
            assert short.numbers() == long.numbers()
            assert short.taken
            assert not long.taken
            if "loadbalance" not in corefile.split():
                assert bool(short.chained) == (title in CHAINED)
            elif "loadbalance cache" in corefile:
                assert bool(short.chained) == (title in CHAINED | REORDERED)
            results = [taken.asked.result for taken in short.taken if taken.asked is not None]
            assert {result.upstream for result in results if result is not None} == {upstream.text}


async def test_no_room_beside_the_reason() -> None:
    """RFC 2181 section 9: records that do not fit are missed: TC says so, also where the OPT record takes it all."""
    flags, sections, _ = REPLIES["a long reason"]
    opt = opt_record(1232, False, options=edns_option(15, b"\0\0" + b"x" * 460))  # leaves two of 512 octets
    async with FakeUpstream() as upstream, worlds("errors loadbalance cache forward", upstream) as both:
        upstream.answer = lambda query: composed(query, flags, sections, opt)
        for world in both:
            reply = meaning(await world.ask(QUERIES["512 octets"]))
            assert (reply.truncated, reply.answer) == (True, ())


async def test_errors_go_through_the_chain() -> None:
    """What an upstream does not answer is logged and answered as the chain does it, and is asked for once."""
    async with FakeUpstream() as upstream, worlds("errors cache forward", upstream) as (short, long):
        await upstream.die()
        assert await short.ask(QUERIES["EDNS"]) == await long.ask(QUERIES["EDNS"])
        assert short.numbers() == long.numbers()


async def test_one_query_for_many_clients() -> None:
    """Equal questions share one query, whichever way they go, and each client gets its own id and spelling."""
    async with FakeUpstream() as upstream:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.delay = 0.05
        async with worlds("errors cache forward", upstream) as (short, _):
            messages = [query(spelled(NAME, seed), A, number=seed) for seed in range(1, 60)]
            replies = await asyncio.gather(*map(short.ask, messages))
            assert len(upstream.queries) == 1
            for message, reply in zip(messages, replies, strict=True):
                assert reply is not None
                assert (reply[:2], reply[12:33]) == (message[:2], message[12:33])


async def test_an_answer_in_hand_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits for its share of answers gets each, also those for the chain, when others have come."""
    monkeypatch.setattr(pool, "MAX_WAITING", 8)
    async with FakeUpstream() as upstream:
        upstream.delay = 0.2
        upstream.answer = lambda query: composed(
            query, RA, ([RR(query.name, CNAME, 20, ELSEWHERE), address(ELSEWHERE)],), OPT
        )
        async with worlds("errors cache forward", upstream) as (short, _):
            messages = [query(parse_name(f"n{number}.example.org."), A) for number in range(6)]
            clients = ["192.0.2.53"] * 4 + ["192.0.2.54", "192.0.2.55"]
            replies = await asyncio.gather(
                *(
                    slow(short.socket, message, CLIENT._replace(address=client))
                    for message, client in zip(messages, clients, strict=True)
                )
            )
            assert [reply is not None and reply[3] & 0xF for reply in replies] == [NOERROR] * 6


@pytest.mark.parametrize("silent", [True, False])
async def test_a_reload_meanwhile(silent: bool) -> None:
    """A query that the chain must see goes through the chain that was in service when it came, whose reply it has."""
    async with FakeUpstream() as upstream, worlds("errors cache forward", upstream) as (short, long):
        upstream.silent, upstream.delay = silent, 0.1
        upstream.answer = lambda query: composed(
            query, RA, ([RR(query.name, CNAME, 20, ELSEWHERE), address(ELSEWHERE)],), OPT
        )
        replied: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        short.socket.slow(QUERIES["plain"], CLIENT, replied.set_result)
        await until(lambda: upstream.queries)
        short.responder.site = long.responder.site
        if silent:
            await short.built[-1].close()  # type: ignore[misc]  # forward has one
        assert (await replied)[3] & 0xF == (SERVFAIL if silent else NOERROR)
        assert len(upstream.queries) == 1


@pytest.mark.parametrize("length", [400, 1300, 60_000])
async def test_a_long_reason_is_left_out(length: int) -> None:
    """No reply is longer than what its client can take, however much an upstream has to say (RFC 6891, RFC 8914)."""
    async with FakeUpstream() as upstream, worlds("log errors cache forward", upstream) as both:
        opt = opt_record(1232, False, options=edns_option(15, b"\0\6" + b"x" * length))
        upstream.answer = lambda query: composed(query, RA | SERVFAIL, ([],), opt=opt)
        for world in both:
            for name, limit in (("512 octets", 512), ("EDNS", 1232)):
                reply = await world.ask(QUERIES[name])
                assert reply is not None
                assert (reply[3] & 0xF, reply[2] & TC >> 8, len(reply) <= limit) == (SERVFAIL, 0, True)
                world.parts.clock.now += 100


async def test_a_query_that_is_given_up() -> None:
    """When the server ends, what is on its way is waited for, and then given up; a late reply does nothing."""
    async with FakeUpstream() as upstream:
        upstream.silent = True
        async with worlds("errors cache forward", upstream) as (short, _):
            asking = asyncio.ensure_future(short.ask(QUERIES["plain"]))
            async with asyncio.timeout(60):
                while not upstream.queries:  # noqa: ASYNC110 - the upstream has no event for it
                    await asyncio.sleep(0.001)
            assert short.responder.pending == 1
            await short.responder.drain(0.01)
            assert short.responder.pending == 0
            asking.cancel()


def test_blocks_without_a_forward_path() -> None:
    """A plugin that has not said what it does keeps its block on the chain."""
    silent = Built(plugin=lambda following: following)
    asks = Built(plugin=lambda following: following, forward_step=ForwardStep(ask=lambda *_: None))
    assert forward_path([silent, asks], ForwardStep()) is None
    step = Built(plugin=lambda following: following, forward_step=ForwardStep())
    assert forward_path([step], ForwardStep()) is None
    assert forward_path([Built(), asks, silent], ForwardStep()) is not None


@pytest.mark.parametrize("short_way", [True, False])
async def test_a_query_leaves_no_cycle(short_way: bool) -> None:
    """What a query needed is freed when it is answered: left to the collector, it costs more than the query itself."""
    count = 100
    async with FakeUpstream() as upstream:
        upstream.answer = lambda query: composed(query, RA, ([address(query.name)],), OPT)
        async with worlds("errors cache forward", upstream) as both:
            world = both[0 if short_way else 1]
            messages = [query(parse_name(f"n{number}.example.org."), A) for number in range(count + 1)]
            await world.ask(messages[0])
            gc.collect()
            gc.disable()
            try:
                for message in messages[1:]:
                    await world.ask(message)
                assert gc.collect() < count, "objects that only the collector has found"
            finally:
                gc.enable()
