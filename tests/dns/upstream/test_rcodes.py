"""A hostile upstream has 4,096 rcodes to say (RFC 6891 section 6.1.3), and makes no series of them."""

from collections.abc import Callable

from prometheus_client.core import CounterMetricFamily

from kdns.dns.query.fast import kind_of
from kdns.metrics.dns import OTHER, RCODE_LABELS, SocketCounts, collect_sockets
from kdns.wire.query import Edns, Query
from tests.dns.plugins.asking import question
from tests.dns.upstream.forwarding import forwarding
from tests.fakes.upstream import FakeUpstream, reply

DURATION = "coredns_proxy_request_duration_seconds_count"


def saying(rcode: int) -> Callable[[Query], bytes]:
    """Answers with this rcode: four bits of it in the header, eight in the OPT record."""
    return lambda query: reply(query, rcode=rcode)


async def test_what_an_upstream_says_makes_no_series() -> None:
    """A hundred rcodes that nobody knows are one label; those with a name keep it."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text}") as proxy:
        for rcode in (3, 16, 23, *range(24, 4096, 40)):
            upstream.answer = saying(rcode)
            response = await proxy.ask(f"n{rcode}.test", edns=Edns(1232, 0, False))
            assert response.rcode == rcode
        told = {
            sample.labels["rcode"]: sample.value
            for family in proxy.parts.registry.collect()
            for sample in family.samples
            if sample.name == DURATION
        }
    assert told == {"NXDOMAIN": 1, "BADVERS": 1, "BADCOOKIE": 1, OTHER: len(range(24, 4096, 40))}


def test_our_own_replies_make_no_series() -> None:
    """Nor memory: what is kept of them is bounded, too."""
    counts = SocketCounts("dns://:53", "udp", 1)
    for rcode in range(4096):
        counts.note(kind_of(question("a.test"), rcode, 0, ".", "forward"), 40, 40)
    assert len(counts.others) == len(RCODE_LABELS) + 1
    (family,) = (each for each in collect_sockets([counts]) if each.name == "coredns_dns_responses")
    assert isinstance(family, CounterMetricFamily)
    told = {sample.labels["rcode"]: sample.value for sample in family.samples}
    assert set(told) == {*RCODE_LABELS, OTHER}
    assert told[OTHER] == 4096 - len(RCODE_LABELS)
