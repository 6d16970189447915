"""Hits past the chain: the same octets as through it, at every second of an entry's life, and never after it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.dns.api.handler import Response
from kdns.dns.query.fast import MAX_ENTRIES
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, AD, CD, CNAME, IN, MX, NS, NXDOMAIN, RA, RD, SERVFAIL, SOA, SRV, TXT, A
from kdns.wire.rr import RR
from tests.dns.cache.play import Play, reply
from tests.dns.messages import Opt, query, slow, socket_responder
from tests.dns.parts import FakeParts
from tests.dns.plan import spelled
from tests.examples import examples

NAMES = [parse_name(text) for text in ("www.some.test.", "some.test.", "a.b.c.elsewhere.", ".")]
SOA_DATA = NAMES[1] + NAMES[2] + bytes(20)
RDATA = {
    A: st.binary(min_size=4, max_size=4),
    AAAA: st.binary(min_size=16, max_size=16),
    CNAME: st.sampled_from(NAMES),
    NS: st.sampled_from(NAMES),
    MX: st.sampled_from([b"\0\x0a" + name for name in NAMES]),
    SRV: st.sampled_from([bytes(6) + name for name in NAMES]),
    TXT: st.binary(max_size=200).map(lambda text: bytes((len(text),)) + text),
    SOA: st.just(SOA_DATA),
}
RRS = st.tuples(st.sampled_from(NAMES), st.sampled_from(list(RDATA)), st.integers(0, 40)).flatmap(
    lambda drawn: st.builds(RR, st.just(drawn[0]), st.just(drawn[1]), st.just(drawn[2]), RDATA[drawn[1]], st.just(IN))
)
SECTION = st.lists(RRS, max_size=6).map(tuple)
RESPONSES = st.builds(
    Response,
    st.sampled_from((0, 0, 0, NXDOMAIN, SERVFAIL)),
    st.sampled_from((0, RA, AD, RA | AD)),
    SECTION,
    SECTION,
    SECTION,
    st.just("forward"),
)
MESSAGES = st.builds(
    lambda name, rtype, flags, opt, seed: query(spelled(name, seed) if seed else name, rtype, flags=flags, opt=opt),
    st.sampled_from(NAMES[:3]),
    st.sampled_from((A, AAAA, MX, TXT)),
    st.sampled_from([rd | ad | cd for rd in (0, RD) for ad in (0, AD) for cd in (0, CD)]),
    st.sampled_from((None, Opt(), Opt(512), Opt(4096, do=True))),
    st.integers(0, 3),
)
ALL = {
    "cache 15": False,
    "cache 15 {\n keepttl\n}": False,
    "cache 15 {\n prefetch 1000 1h 10%\n}": False,
    "cache {\n success 2000 9000 3700\n}": True,
}


@settings(max_examples=examples(20))
@given(st.sampled_from(list(ALL)), RESPONSES, MESSAGES, st.floats(0, 1), st.sampled_from(("udp", "tcp")))
def test_both_ways_say_the_same(corefile: str, response: Response, message: bytes, start: float, proto: str) -> None:
    """Whatever is kept, the fast way sends what the chain would, second for second, and nothing when it is over."""

    async def play() -> None:
        played = Play(corefile)
        played.parts.clock.now += start
        played.answers(response)
        both, chained = played.for_socket(proto), socket_responder(None, played.handle, proto)
        await slow(chained, message)
        seen = served = 0
        for second in range(40):
            if ALL[corefile] and second == 20:
                played.parts.clock.now += 3680
            both.tick()
            fast, before = both.fast(message), len(played.behind.requests)
            chain = await slow(chained, message)
            if len(played.behind.requests) > before:  # it is not kept, or over: the chain asked again
                assert fast is None
            else:
                assert fast == chain
                served += 1
            seen = len(played.behind.requests)
            played.parts.clock.now += 1
        assert served or seen == 41

    asyncio.run(play())


@pytest.mark.parametrize("corefile", ALL)
async def test_the_fast_way_serves_hits(corefile: str) -> None:
    """The test above compares something: a plain answer is served past the chain, and AA, RA, AD are as they should."""
    play = Play(corefile)
    play.answers(reply("NOERROR ra ad | www.some.test. 10 A 192.0.2.1 | www.some.test. 10 A 192.0.2.2"))
    one = play.for_socket()
    for flags, expected in ((RD, 0x8580), (RD | AD, 0x85A0), (0, 0x8480), (RD | CD, 0x8590)):
        message = query(NAMES[0], A, flags=flags)
        await slow(one, message)
        one.tick()
        found = one.fast(message)
        assert found is not None
        assert int.from_bytes(found[2:4], "big") == expected
        assert found[:2] == message[:2]


async def test_nothing_is_served_by_a_lane_that_is_not_told_the_time() -> None:
    """A socket that never looks at the clock cannot tell what is over: the chain answers."""
    play = Play("cache")
    play.answers(reply("NOERROR | www.some.test. 10 A 192.0.2.1"))
    one, message = play.for_socket(), query(NAMES[0], A)
    await slow(one, message)
    assert [one.fast(message), one.fast(message)] == [None, None]
    one.tick()
    assert one.fast(message) is not None


async def test_a_refresh_is_seen_at_once() -> None:
    """What replaces an entry replaces what sockets remember of it, and what is evicted is no longer served."""
    play = Play("cache 100 {\n prefetch 1 1m 90%\n}")
    play.answers(reply("NOERROR | www.some.test. 100 A 192.0.2.1"))
    one, message = play.for_socket(), query(NAMES[0], A)
    await slow(one, message)
    one.tick()
    first = one.fast(message)
    assert first is not None
    assert first.endswith(bytes((192, 0, 2, 1)))
    play.answers(reply("NOERROR | www.some.test. 100 A 192.0.2.2"))
    play.parts.clock.now += 20
    one.tick()
    assert one.fast(message) is None, "it is popular and nearly over: the chain asks again"
    await slow(one, message)
    await play.parts.settled()
    again = one.fast(message)
    assert again is not None
    assert again.endswith(bytes((192, 0, 2, 2)))


async def test_addresses_take_turns_with_loadbalance() -> None:
    """With loadbalance each address comes first in its turn, with the TTL that is left; without it they stand still."""
    for offers, expected in (({"loadbalance": object()}, 3), ({}, 1)):
        play = Play("cache", FakeParts(offers=offers))
        records = " | ".join(f"web.some.test. 10 A 192.0.2.{number}" for number in (1, 2, 3))
        play.answers(reply(f"NOERROR | www.some.test. 10 CNAME web.some.test. | {records}"))
        one, message = play.for_socket(), query(NAMES[0], A)
        await slow(one, message)
        play.parts.clock.now += 4
        one.tick()
        found = [one.fast(message) for _ in range(6)]
        assert len(set(found)) == expected
        assert found[:3] == found[3:]
        for octets in found:
            assert octets is not None
            assert octets.count(b"\0\1\0\1\0\0\0\x06\0\4\xc0\0\2") == 3
            assert sorted(octets) == sorted(found[0] or b"")


@pytest.mark.parametrize(
    ("kept", "fast"),
    [
        ("NOERROR | www.some.test. 10 A 192.0.2.1", True),
        ("NOERROR | www.some.test. 10 MX 10 a.test. | www.some.test. 10 MX 20 b.test.", False),
        ("NOERROR | www.some.test. 10 MX 10 a.test. | ++ a.test. 10 A 192.0.2.1 | ++ a.test. 10 AAAA ::1", False),
    ],
)
async def test_what_loadbalance_would_shuffle_is_left_to_it(kept: str, fast: bool) -> None:
    """Only addresses at the end of the answer section take turns past the chain; other orders are made in it."""
    play = Play("cache", FakeParts(offers={"loadbalance": object()}))
    play.answers(reply(kept))
    one, message = play.for_socket(), query(NAMES[0], MX if "MX" in kept else A)
    await slow(one, message)
    one.tick()
    assert (one.fast(message) is not None) is fast


async def test_other_spellings_and_0x20() -> None:
    """The client's spelling comes back, and is not remembered."""
    play = Play("cache")
    play.answers(reply("NOERROR | www.some.test. 10 A 192.0.2.1"))
    one, chained = play.for_socket(), socket_responder(None, play.handle)
    await slow(one, query(NAMES[0], A))
    one.tick()
    for seed in range(1, 30):
        message = query(spelled(NAMES[0], seed), A, number=seed)
        assert one.fast(message) == await slow(chained, message)
    assert one.remembers.remembered == (1, 0)
    assert len(play.behind.requests) == 1


async def test_random_names_do_not_grow_memory() -> None:
    """However many names are asked for, entries and what sockets remember of them stay bounded."""
    play = Play("cache {\n success 1500\n denial 1500\n}")
    one = play.for_socket()
    one.tick()
    for number in range(4000):
        name = f"x{number}.some.test."
        denied = f"NXDOMAIN | -- some.test. 60 SOA ns.test. r.test. 1 2 3 4 {number}"
        play.answers(reply(f"NOERROR | {name} 60 A 192.0.2.1" if number % 2 else denied))
        message = query(parse_name(name), A)
        await slow(one, message)
        assert one.fast(message) is not None
    assert play.parts.value("coredns_cache_entries", type="success") == 1500
    assert play.parts.value("coredns_cache_entries", type="denial") == 1500
    assert play.parts.value("coredns_cache_evictions_total", type="denial") == 500
    assert one.remembers.remembered[0] <= 2 * MAX_ENTRIES


async def test_hits_are_counted_when_somebody_looks() -> None:
    """Hits past the chain cost nothing until a scrape, and then each is counted once, and again only for new ones."""
    play = Play("cache")
    play.answers(reply("NOERROR | www.some.test. 10 A 192.0.2.1"))
    one, message = play.for_socket(), query(NAMES[0], A)
    await slow(one, message)
    one.tick()
    for expected in (5, 10):
        for _ in range(5):
            one.fast(message)
        one.counts.settle()
        one.counts.settle()
        assert play.parts.value("coredns_cache_hits_total", type="success") == expected
        assert play.parts.value("coredns_cache_requests_total") == expected + 1
