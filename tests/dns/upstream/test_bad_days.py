"""Upstreams that misbehave in every way at once: a right answer or an error, in time, and nothing left behind."""

import asyncio
import contextlib
import os
import random

import pytest

from kdns.base.errors import UpstreamError
from tests.dns.upstream.forwarding import Forwarding, forwarding
from tests.fakes.upstream import FakeUpstream, broken, garbage, query_back, wrong_id, wrong_question
from tests.running import PATIENCE

FORGERIES = (broken, garbage, query_back, wrong_id, wrong_question)
FAULTS = ("silent", "truncates", "no_edns", "no_tcp", "resets")
NAMES = tuple(f"n{number}.example.org." for number in range(20))


async def trouble(upstreams: list[FakeUpstream], chance: random.Random) -> None:
    """Change what the upstreams do, again and again; each is dead now and then."""
    while True:
        upstream = chance.choice(upstreams)
        upstream.delay = chance.choice((0, 0, 0.01, 0.05))
        upstream.before[:] = chance.sample(FORGERIES, chance.randrange(4))
        for fault in FAULTS:
            setattr(upstream, fault, chance.random() < 0.2)
        upstream.answers_on_connection = chance.choice((0, 0, 1, 2))
        match chance.randrange(6):
            case 0:
                await upstream.die()
                await asyncio.sleep(0.03)
                await upstream.live()
            case 1:
                upstream.hang_up()
        await asyncio.sleep(0.02)


async def well_again(upstreams: list[FakeUpstream], forward: Forwarding) -> None:
    """Once all of them answer as they should, questions are answered."""
    for upstream in upstreams:
        await upstream.die()
        upstream.before.clear()
        upstream.delay = upstream.answers_on_connection = 0
        for fault in FAULTS:
            setattr(upstream, fault, False)
        await upstream.live()
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(UpstreamError):
                assert (await forward.ask(NAMES[0])).rcode == 0
                return


@pytest.mark.parametrize("seed", range(3))
async def test_a_right_answer_or_an_error(seed: int) -> None:
    """Whatever upstreams do, a client gets the right answer or an error, and each gets one."""
    chance = random.Random(seed)
    before = len(os.listdir("/proc/self/fd"))
    found = {"right": 0, "error": 0}
    async with FakeUpstream() as first, FakeUpstream() as second, FakeUpstream() as third:
        upstreams = [first, second, third]
        for upstream in upstreams:
            upstream.zone.update(dict.fromkeys(NAMES, ("192.0.2.7",)))
        to = " ".join(upstream.text for upstream in upstreams)
        text = f"forward . {to} {{\n read_timeout 100ms\n health_check 50ms\n expire 100ms\n max_idle_conns 2\n}}"
        async with forwarding(text, deadline=1.0, probe_timeout=0.1) as forward:
            troubling = asyncio.ensure_future(trouble(upstreams, chance))

            async def client() -> None:
                for _ in range(30):
                    try:
                        proto = chance.choice(("udp", "udp", "tcp"))
                        response = await forward.ask(chance.choice(NAMES), proto=proto)
                        if not response.flags & 0x0200:  # a truncated answer is right, too, where TCP does not work
                            assert [rr.rdata for rr in response.answer] == [bytes((192, 0, 2, 7))]
                        found["right"] += 1
                    except UpstreamError:
                        found["error"] += 1

            await asyncio.gather(*(client() for _ in range(20)))
            troubling.cancel()
            await asyncio.gather(troubling, return_exceptions=True)
            await well_again(upstreams, forward)
    assert sum(found.values()) == 600
    assert found["right"] > 0
    assert len(os.listdir("/proc/self/fd")) <= before
