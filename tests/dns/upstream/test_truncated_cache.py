"""A truncated answer does not take the place of the whole one: not in the cache, nor at the end of an alias."""

import pytest

from kdns.dns.api.chase import chased
from kdns.dns.api.handler import Response, chain
from kdns.dns.cache.cache import for_all_of
from kdns.dns.cache.kinds import Kind
from kdns.dns.cache.store import Entry
from kdns.dns.plugins import cache
from kdns.wire.numbers import AA, TC
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, rr
from tests.dns.upstream.forwarding import forwarding, request
from tests.fakes.upstream import FakeUpstream


async def test_a_cut_answer_is_not_kept() -> None:
    """A client over UDP is told to come over TCP; what he gets there is kept, and cut for the next one over UDP."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as forward:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.truncates = True
        made = built(cache, "cache 30", FakeParts())
        assert made.plugin is not None
        handler = chain((made.plugin,), forward.handler)
        flags, records = [], []
        for proto in ("udp", "udp", "tcp", "udp"):
            response = await handler(request("www.example.org.", proto=proto))
            flags.append(bool(response.flags & TC))
            records.append(len(response.answer))
        assert (flags, records) == ([True, True, False, False], [0, 0, 1, 1])
        assert (len(upstream.sources), upstream.connections) == (2, 1)


async def test_what_an_alias_leads_to_is_cut() -> None:
    """TC of the end of a chain is TC of the answer."""
    alias = Response(0, AA, (rr("a.test. 5 CNAME www.example.org."),), plugin="kubernetes")
    end = Response(0, TC, (rr("www.example.org. 5 A 192.0.2.7"),))
    response = await chased(request("a.test."), alias, b"\3www\7example\3org\0", scripted(end))
    assert response.flags == AA | TC


@pytest.mark.parametrize(("records", "proto", "asked"), [(3, "udp", "udp"), (4000, "udp", "tcp"), (4000, "tls", "tls")])
def test_a_large_entry_is_renewed_over_tcp(records: int, proto: str, asked: str) -> None:
    """What is kept of a large answer is asked for again whole, also if the client who is the reason came over UDP."""
    answer = tuple(rr("www.example.org. 5 A 192.0.2.7") for _ in range(records))
    entry = Entry(Response(0, 0, answer), Kind.SUCCESS, 0, 60)
    assert for_all_of(request("www.example.org.", proto=proto), entry).client.proto == asked
