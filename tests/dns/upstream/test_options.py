"""EDNS options that the Corefile sets reach the upstream, whatever the transport, and keep questions apart.

CoreDNS's rewrite README: the options are set in the request that goes on; RFC 7871 section 7.3.1: an answer for one
network is not one for all.
"""

import asyncio
from typing import Literal

import pytest

from kdns.dns.api.handler import Request, Response
from kdns.dns.plugins import cache, rewrite
from kdns.wire.numbers import NXDOMAIN
from kdns.wire.query import Edns, Query, edns_option, edns_options, parse_query
from tests.config.text import directives
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import client, request
from tests.dns.upstream.forwarding import Forwarding, forwarding
from tests.dns.upstream.test_https import serving
from tests.fakes.certificates import SERVER, server_context
from tests.fakes.upstream import FakeUpstream

SUBNET = "rewrite edns0 subnet set 32 128"


async def through(text: str, forward: Forwarding, asked: Request) -> Response:
    """The response to a request that passes rewrite first."""
    parts = FakeParts()
    built = rewrite.build(rewrite.parse(directives(text), parts.place), parts)
    assert built.plugin is not None
    return await built.plugin(forward.handler)(asked)


def sent(query: Query) -> dict[int, bytes]:
    """The options of a query that an upstream got."""
    return dict(edns_options(query.edns.options if query.edns else b""))


OWN = Edns(1232, 0, False, edns_option(10, b"cookie!!") + edns_option(12, bytes(9)))


@pytest.mark.parametrize("edns", [None, OWN])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_they_are_in_the_query(edns: Edns | None, transport: Literal["udp", "tcp"]) -> None:
    """With and without EDNS from the client, whose own options stay between it and us."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        await through(SUBNET, forward, request("a.test.", edns, client("10.1.0.7", transport)))
        assert sent(upstream.queries[-1]) == {8: b"\0\1\x20\0\x0a\1\0\7"}


async def test_they_are_in_the_query_over_tls() -> None:
    """DNS over TLS."""
    async with FakeUpstream(tls=server_context()) as upstream:
        text = f"forward . tls://{upstream.text} {{\n tls {SERVER.cert}\n}}"
        async with forwarding(text) as forward:
            await through(SUBNET, forward, request("a.test."))
        assert sent(upstream.queries[-1]) == {8: b"\0\1\x20\0\x0a\1\0\7"}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_they_are_in_the_query_over_https(method: str) -> None:
    """DNS over HTTPS."""
    async with serving() as server:
        text = f"forward . https://127.0.0.1:{server.port} {{\n tls {SERVER.cert}\n doh_method {method}\n}}"
        async with forwarding(text) as forward:
            await through(SUBNET, forward, request("a.test."))
        assert sent(parse_query(server.requests[-1][1])) == {8: b"\0\1\x20\0\x0a\1\0\7"}


async def test_a_truncated_answer_is_asked_for_again_with_them() -> None:
    """Over TCP, too, for a client that can take the whole."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text} {{\n prefer_udp\n}}") as forward:
        upstream.truncates = True
        upstream.zone["a.test."] = ("192.0.2.7",)
        await through(SUBNET, forward, request("a.test.", None, client("10.1.0.7", "tcp")))
        assert [sent(query).keys() for query in upstream.queries] == [{8}, {8}]


async def test_an_upstream_without_edns_is_asked_without() -> None:
    """After FORMERR the second try has no OPT record, so no options either (RFC 6891 section 6.2.2)."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.no_edns = True
        upstream.zone["a.test."] = ("192.0.2.7",)
        response = await through(SUBNET, forward, request("a.test."))
        assert [query.edns is None for query in upstream.queries] == [False, True]
        assert len(response.answer) == 1


@pytest.mark.parametrize("how", ["failover", "next"])
async def test_the_next_one_gets_them_as_well(how: str) -> None:
    """Another upstream of the line, and another line."""
    async with FakeUpstream() as first, FakeUpstream() as second:
        text = (
            f"forward . {first.text} {second.text} {{\n policy sequential\n failover NXDOMAIN\n}}"
            if how == "failover"
            else f"forward . {first.text} {{\n next NXDOMAIN\n}}\nforward . {second.text}"
        )
        second.zone["a.test."] = ("192.0.2.7",)
        first.rcode = NXDOMAIN
        async with forwarding(text) as forward:
            response = await through(SUBNET, forward, request("a.test."))
        assert len(response.answer) == 1
        assert [sent(upstream.queries[-1]).keys() for upstream in (first, second)] == [{8}, {8}]


async def test_different_options_do_not_share_a_query() -> None:
    """Two clients of one subnet wait for one answer; one of another subnet has its own."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.delay = 0.2
        asked = [request("a.test.", None, client(address)) for address in ("10.1.0.7", "10.1.0.8", "10.9.0.7")]
        await asyncio.gather(*(through("rewrite edns0 subnet set 24 56", forward, each) for each in asked))
        networks = sorted(sent(query)[8] for query in upstream.queries if query.name != b"\0")
        assert networks == [b"\0\1\x18\0\x0a\1\0", b"\0\1\x18\0\x0a\x09\0"]


async def test_different_options_do_not_share_a_cache_entry() -> None:
    """What was answered for one client's network is asked anew for another's."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["a.test."] = ("192.0.2.7",)
        parts = FakeParts()
        kept = cache.build(cache.parse(directives("cache 30"), parts.place), parts)
        assert kept.plugin is not None
        caching = forward._replace(handler=kept.plugin(forward.handler))
        for address in ("10.1.0.7", "10.1.0.8", "10.9.0.7", "10.9.0.9"):
            response = await through(
                "rewrite edns0 subnet set 24 56", caching, request("a.test.", None, client(address))
            )
            assert len(response.answer) == 1
        plain = await caching.handler(request("a.test."))
        assert len(plain.answer) == 1
        assert [len(sent(query)) for query in upstream.queries if query.name != b"\0"] == [1, 1, 0]
        await parts.close()
