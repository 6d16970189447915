"""Any octets from an upstream: the forwarder answers, or gives up in time, and lives on."""

import asyncio
from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdns.base.errors import FormError, KdnsError
from kdns.dns.api.handler import Handler, Request, Response, chain
from kdns.dns.plugins import cache, dns64, header, loadbalance, minimal, rewrite
from kdns.dns.query.responder import compose_reply
from kdns.wire.message import parse_message
from kdns.wire.numbers import AAAA, MX, A
from kdns.wire.query import Edns, Query
from tests.dns.parts import FakeParts
from tests.dns.plugins.asking import built
from tests.dns.upstream.forwarding import Forwarding, forwarding, request
from tests.examples import examples
from tests.fakes.upstream import FakeUpstream, reply
from tests.wire.test_message import records

Change = Callable[[Query, bytes], bytes]
PLUGINS: Final = (
    (loadbalance, "loadbalance"),
    (dns64, "dns64 {\n allow_ipv4\n}"),
    (rewrite, "rewrite stop name suffix .fuzz.test .test answer auto"),
    (cache, "cache 60 {\n serve_stale 1h\n prefetch 1\n}"),
    (header, "header {\n response set aa\n}"),
    (minimal, "minimal"),
)
"""All that look into replies, in front of forward."""


def whole(_query: Query, octets: bytes, tail: bytes) -> bytes:
    """Anything at all."""
    return tail or octets


def changed(right: bytes, at: int, by: int) -> bytes:
    """One octet of the right answer is another."""
    octets = bytearray(right)
    octets[at % len(octets)] ^= by
    return bytes(octets)


def with_records(query: Query, right: bytes, parts: list[bytes], counts: tuple[int, int, int]) -> bytes:
    """The right head and question, and then records that may be nearly right."""
    head = bytearray(right[: 12 + len(query.question)])
    for index, count in enumerate(counts):
        head[6 + 2 * index : 8 + 2 * index] = count.to_bytes(2, "big")
    return bytes(head) + b"".join(parts)


CHANGES: Final[st.SearchStrategy[Change]] = st.one_of(
    st.builds(lambda octets: lambda _query, _right: octets, st.binary(max_size=80)),
    st.builds(lambda tail: lambda query, _right: query.id.to_bytes(2, "big") + tail, st.binary(max_size=80)),
    st.builds(lambda end: lambda _query, right: right[:end], st.integers(0, 60)),
    st.builds(lambda at, by: lambda _query, right: changed(right, at, by), st.integers(0, 200), st.integers(1, 255)),
    st.builds(
        lambda parts, counts: lambda query, right: with_records(query, right, parts, counts),
        st.lists(records, max_size=5),
        st.tuples(*[st.integers(0, 4)] * 3),
    ),
    st.builds(lambda more: lambda _query, right: right + more, st.binary(max_size=600)),
)


def in_front(proxy: Forwarding, parts: FakeParts) -> Handler:
    """Everything that looks into replies, before the forwarder."""
    plugins = [made.plugin for made in (built(module, text, parts) for module, text in PLUGINS) if made.plugin]
    return chain(plugins, proxy.handler)


async def outcome(handler: Handler, asked: Request) -> Response | None:
    """The response, which can be sent to clients of all kinds; None: it was given up."""
    try:
        response = await handler(asked)
    except KdnsError:
        return None
    for proto in ("udp", "tcp"):
        parse_message(compose_reply(asked.query, response, proto))  # dnslib has no labels but ASCII
    return response


async def survives(change: Change, proto: str, rtype: int) -> None:
    """One such upstream, with and without a right answer behind what is wrong; afterwards it is well again."""
    async with FakeUpstream() as upstream:
        text = f"forward . {upstream.text} {{\n read_timeout 60ms\n max_fails 0\n max_connect_attempts 2\n}}"
        async with forwarding(text) as proxy:
            parts = FakeParts()
            handler = in_front(proxy, parts)
            upstream.zone |= {"well.test.": ("192.0.2.7",), "right.test.": ("192.0.2.8",)}
            upstream.answer = lambda query: change(query, reply(query, ("192.0.2.66",)))
            for name in ("bad.test", "bad.fuzz.test", "bad.test"):
                asked = request(name, rtype, proto=proto, edns=Edns(1232, 0, True))
                async with asyncio.timeout(120):
                    await outcome(handler, asked)
            upstream.answer = None
            for _ in range(2):  # a connection that was broken is made anew
                async with asyncio.timeout(120):
                    found = await outcome(handler, request("well.test", A, proto=proto))
                if found is not None and found.answer:
                    break
            assert found is not None
            assert [rr.rdata for rr in found.answer] == [bytes((192, 0, 2, 7))]
            await parts.close()


@settings(max_examples=examples(15), suppress_health_check=list(HealthCheck))
@given(CHANGES, st.sampled_from(("udp", "tcp")), st.sampled_from((A, AAAA, MX)))
def test_any_reply(change: Change, proto: str, rtype: int) -> None:
    """Over UDP and TCP, for types that plugins look into."""
    asyncio.run(survives(change, proto, rtype))


@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(st.lists(CHANGES, min_size=1, max_size=4))
def test_what_comes_before_the_right_answer(changes: list[Change]) -> None:
    """Over UDP whatever is not an answer to the question is passed over: what counts is the first that is one."""

    async def body() -> None:
        async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as proxy:
            upstream.zone["right.test."] = ("192.0.2.8",)
            sent: list[bytes] = []

            def noted(change: Change) -> Change:
                def before(query: Query, right: bytes) -> bytes:
                    sent.append(change(query, right))
                    return sent[-1]

                return before

            upstream.before = [noted(change) for change in changes]
            async with asyncio.timeout(120):
                response = await proxy.ask("right.test")
            first = bytes((192, 0, 2, 8)) in [rr.rdata for rr in response.answer]
            assert first or any(_may_be_an_answer(octets) for octets in sent)

    asyncio.run(body())


def _may_be_an_answer(octets: bytes) -> bool:
    try:
        parse_message(octets)
    except FormError:
        return len(octets) >= 12 and bool(octets[2] & 2)  # TC: what was cut is asked for over TCP
    return True
