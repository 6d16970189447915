"""Datagrams to and from an upstream: what is believed, what is ignored, what an onlooker can guess."""

import asyncio
import os
from collections import Counter
from itertools import pairwise

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Response
from kdns.wire.numbers import AA, AD, CD, NXDOMAIN, QR, RA, RD, SERVFAIL, TC, A
from kdns.wire.query import Edns, edns_option
from tests.dns.upstream.forwarding import forwarding
from tests.fakes.upstream import Before, FakeUpstream, broken, garbage, query_back, reply, wrong_id, wrong_question


async def test_an_answer_comes_back() -> None:
    """Addresses, rcode and flags are the upstream's; the question goes out with RD and EDNS of ours."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["www.example.org."] = ("192.0.2.7", "192.0.2.8")
        response = await forward.ask("www.Example.org.")
        assert [rr.rdata[-1] for rr in response.answer] == [7, 8]
        assert (response.rcode, response.flags, response.plugin) == (0, RA, "forward")
        assert (await forward.ask("gone.example.org.")).rcode == NXDOMAIN
        asked = upstream.queries[0]
        assert (asked.flags, asked.rtype, asked.edns) == (RD, A, Edns(1232, 0, False))


FORGERIES = (
    ("another id", (wrong_id,)),
    ("another question", (wrong_question,)),
    ("noise with our id", (garbage,)),
    ("our answer, cut", (broken,)),
    ("no response but a query", (query_back,)),
    ("many of all kinds", (wrong_id, wrong_question, garbage, broken, query_back) * 40),
)


@pytest.mark.parametrize(("title", "before"), FORGERIES, ids=[title for title, _ in FORGERIES])
async def test_what_is_no_answer_is_ignored(title: str, before: tuple[Before, ...]) -> None:
    """A datagram that is not the answer changes nothing: the right one that comes after it is used."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.before.extend(before)
        assert await forward.address("www.example.org.") == "192.0.2.7", title
        assert len(upstream.queries) == 1


async def test_only_forgeries_are_a_timeout() -> None:
    """When nothing but forgeries come, waiting ends with the timeout, and the error says so."""
    async with FakeUpstream() as upstream:
        upstream.answer = lambda query: wrong_id(query, b"")
        text = f"forward . {upstream.text} {{\n read_timeout 50ms\n max_connect_attempts 1\n}}"
        async with forwarding(text) as forward:
            with pytest.raises(UpstreamError, match=rf"read udp 127.0.0.1:\d+->{upstream.text}: i/o timeout"):
                await forward.ask("www.example.org.")


async def test_ports_and_ids_differ() -> None:
    """Each query has a source port and an id of its own, and neither goes up or down in steps."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        for number in range(200):
            await forward.ask(f"n{number}.example.org.")
        ports = [port for _, port in upstream.sources]
        ids = [query.id for query in upstream.queries]
        for values in (ports, ids):
            assert len(set(values)) > 190
            steps = Counter(after - before for before, after in pairwise(values))
            assert steps.most_common(1)[0][1] < 10
            assert 60 < sum(after > before for before, after in pairwise(values)) < 140


async def test_flags_are_passed_on() -> None:
    """CD, AD and DO of a client reach the upstream; AA, AD, RA and reasons come back, other options do not."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        options = edns_option(10, b"12345678") + edns_option(15, b"\0\6bogus")
        upstream.answer = lambda query: reply(query, ("192.0.2.7",), flags=QR | RA | AA | AD, options=options)
        response = await forward.ask("www.example.org.", flags=RD | CD | AD, edns=Edns(4096, 0, True, b"\0\x0a\0\0"))
        asked = upstream.queries[0]
        assert (asked.flags, asked.edns) == (RD | CD | AD, Edns(1232, 0, True))
        assert (response.flags, response.options) == (RA | AA | AD, edns_option(15, b"\0\6bogus"))


async def test_extended_rcodes() -> None:
    """The upper bits of an rcode come from the OPT record; a client that has none could not be told."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.answer = lambda query: reply(query, rcode=16)
        assert (await forward.ask("www.example.org.", edns=Edns(1232, 0, False))).rcode == 16
        assert (await forward.ask("www.example.org.")).rcode == SERVFAIL
        count = forward.sample("coredns_proxy_request_duration_seconds_count", to=upstream.text, rcode="BADVERS")
        assert count == 2


async def test_a_server_that_knows_no_edns() -> None:
    """A bare FORMERR is asked again without EDNS (RFC 6891 section 6.2.2)."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.no_edns = True
        assert await forward.address("www.example.org.") == "192.0.2.7"
        assert [query.edns is None for query in upstream.queries] == [False, True]


@pytest.mark.parametrize(
    ("options", "proto", "asked_over_udp", "connections"),
    [("", "tcp", 0, 1), ("prefer_udp", "tcp", 1, 1), ("force_tcp", "udp", 0, 1)],
)
async def test_truncated_answers(options: str, proto: str, asked_over_udp: int, connections: int) -> None:
    """For a client over TCP, what is truncated over UDP is asked again over TCP; what is first follows the options."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text} {{\n {options}\n}}") as forward:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.truncates = True
        assert await forward.address("www.example.org.", proto=proto) == "192.0.2.7"
        assert (len(upstream.sources), upstream.connections) == (asked_over_udp, connections)


@pytest.mark.parametrize("options", ["", "prefer_udp"])
async def test_a_datagram_does_not_fetch_a_whole_answer(options: str) -> None:
    """A client over UDP gets the upstream's truncated answer and TC: he asks again over TCP if he wants more."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text} {{\n {options}\n}}") as forward:
        upstream.truncates = True
        assert await forward.ask("www.example.org.") == Response(0, RA | TC, plugin="forward")
        assert (len(upstream.sources), upstream.connections) == (1, 0)


async def test_truncated_and_no_tcp() -> None:
    """Where TCP does not work, the truncated answer has to do: the client sees TC."""
    text = "forward . {} {{\n prefer_udp\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.truncates = upstream.no_tcp = True
        assert await forward.ask("www.example.org.", proto="tcp") == Response(0, RA | TC, plugin="forward")


async def test_a_thousand_at_once() -> None:
    """A thousand different questions to an upstream 50 ms away are all answered, each once, and nothing stays open."""
    before = len(os.listdir("/proc/self/fd"))
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.delay = 0.05
        upstream.zone.update({f"n{number}.example.org.": ("192.0.2.7",) for number in range(1000)})
        found = await asyncio.gather(*(forward.address(name) for name in upstream.zone))
        assert set(found) == {"192.0.2.7"}
        assert len(set(upstream.names)) == 1000
        assert upstream.most_under_way > 100
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_ipv6_and_the_source_address() -> None:
    """An upstream at an IPv6 address is asked from the address that the Corefile gives."""
    async with FakeUpstream("::1") as upstream:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        async with forwarding(f"forward . {upstream.text} {{\n source_address ::1\n}}") as forward:
            assert await forward.address("www.example.org.") == "192.0.2.7"
            assert upstream.sources[0][0] == "::1"
    async with (
        FakeUpstream() as upstream,
        forwarding(f"forward . {upstream.text} {{\nsource_address 127.0.0.2\n}}") as forward,
    ):
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        assert await forward.address("www.example.org.") == "192.0.2.7"
        assert await forward.address("www.example.org.", proto="tcp") == "192.0.2.7"
        assert upstream.sources[0][0] == "127.0.0.2"
