"""From octets to octets: the fast way is only faster, and whatever comes in is answered or dropped."""

import struct
from collections import Counter

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ApiError
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import Request, Response, chain
from kdns.dns.plugins.kubernetes import kubernetes
from kdns.metrics.dns import Counted
from kdns.wire.name import parse_name
from kdns.wire.numbers import AXFR, CNAME, IXFR, NOERROR, NXDOMAIN, PTR, REFUSED, SERVFAIL, SOA, SRV, A
from kdns.wire.rr import RR
from tests.build import tcp, view
from tests.dns.messages import CLIENT, Opt, query, replies, slow, socket_responder
from tests.dns.plan import NAMES, OBJECTS, OPTS, RTYPES
from tests.records.shop import SHOP
from tests.records.zone_text import cluster

ANSWERABLE = st.builds(
    query,
    st.sampled_from(NAMES),
    st.sampled_from(RTYPES),
    flags=st.integers(0, 0xFFFF),
    opt=st.sampled_from(OPTS),
    rclass=st.sampled_from((0, 1, 3, 255)),
)


@given(
    st.one_of(
        st.binary(max_size=600),
        st.tuples(ANSWERABLE, st.integers(0, 60), st.binary(max_size=4)).map(
            lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
        ),
        st.tuples(ANSWERABLE, st.integers(0, 80)).map(lambda parts: parts[0][: parts[1]]),
        st.tuples(ANSWERABLE, st.binary(max_size=40)).map(lambda parts: parts[0] + parts[1]),
    )
)
async def test_any_octets_are_answered_or_dropped(message: bytes) -> None:
    """Whatever arrives, the responder answers a query with its id, or drops it; it never answers a response."""
    one = socket_responder(cluster(*SHOP))
    for _ in range(2):
        (reply,) = await replies(one, [message])
        if len(message) < 12 or message[2] & 0x80:
            assert reply is None
            continue
        assert reply is not None
        assert reply[:2] == message[:2]
        assert reply[2] & 0x80
        assert len(reply) <= 1232
        if reply[3] & 0xF in {RCODE.FORMERR, RCODE.NOTIMP, RCODE.REFUSED}:
            assert len(reply) <= len(message), "an error must not be longer than what it answers"
    assert one.counts.panics == 0


BARE = (
    ("no question", struct.pack("!6H", 7, 0x0100, 0, 0, 0, 0), RCODE.FORMERR),
    (
        "two questions",
        struct.pack("!6H", 7, 0, 2, 0, 0, 0) + NAMES[0] + b"\0\1\0\1" + NAMES[0] + b"\0\1\0\1",
        RCODE.FORMERR,
    ),
    ("a cut name", struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\3web", RCODE.FORMERR),
    ("a compressed name", struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", RCODE.FORMERR),
    ("a label of 64", struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", RCODE.FORMERR),
    ("a name of 257", struct.pack("!6H", 7, 0, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", RCODE.FORMERR),
    (
        "two OPTs",
        query(NAMES[0], A, opt=Opt())[:10] + b"\0\2" + query(NAMES[0], A)[12:] + Opt().octets() * 2,
        RCODE.FORMERR,
    ),
    ("a status query", query(NAMES[0], A, flags=0x1000), RCODE.NOTIMP),
    ("a notify", query(NAMES[0], SOA, flags=0x2400), RCODE.NOTIMP),
    ("an update", query(NAMES[0], SOA, flags=0x2800), RCODE.NOTIMP),
)


@pytest.mark.parametrize(("title", "message", "rcode"), BARE, ids=[title for title, _, _ in BARE])
async def test_what_cannot_be_read_gets_a_bare_header(title: str, message: bytes, rcode: int) -> None:
    """Twelve octets with the id, the opcode and the rcode: no amplification."""
    (reply,) = await replies(socket_responder(cluster(*SHOP)), [message])
    assert reply is not None, title
    assert len(reply) == 12
    assert reply[:2] == message[:2]
    assert reply[3] & 0xF == rcode
    assert reply[2] & 0x78 == message[2] & 0x78


async def test_other_classes_and_transfers_are_refused() -> None:
    """The zone is of class IN, and no zone leaves by AXFR or IXFR."""
    one = socket_responder(cluster(*SHOP))
    messages = [
        query(NAMES[0], SOA, rclass=3),
        query(NAMES[0], SOA, rclass=255),
        query(NAMES[0], AXFR),
        query(NAMES[0], IXFR),
    ]
    for reply in await replies(one, messages):
        assert reply is not None
        assert reply[3] & 0xF == REFUSED
        assert not reply[2] & 0x04


EDNS = (
    # the query's OPT, the payload that the reply's OPT must have (None: there is none), DO copied
    (None, None, False),
    (Opt(1232), 1232, False),
    (Opt(4096), 1232, False),
    (Opt(512), 512, False),
    (Opt(100), 512, False),
    (Opt(0), 512, False),
    (Opt(900, do=True), 900, True),
    (Opt(1232, options=b"\0\x0a\0\x08cookie!!"), 1232, False),
)


@pytest.mark.parametrize(("opt", "payload", "do"), EDNS)
@pytest.mark.parametrize("name", ["web.shop.svc.cluster.local.", "nope.shop.svc.cluster.local."])
async def test_opt_is_echoed_only_if_asked_for(opt: Opt | None, payload: int | None, do: bool, name: str) -> None:
    """Our OPT has version 0, DO as the client set it, at most 1232 octets of payload, and no options."""
    (reply,) = await replies(socket_responder(cluster(*SHOP)), [query(parse_name(name), A, opt=opt)])
    assert reply is not None
    opts = [rr for rr in DNSRecord.parse(reply).ar if rr.rtype == QTYPE.OPT]
    assert [(rr.rclass, rr.ttl, rr.rdata) for rr in opts] == ([] if payload is None else [(payload, 0x8000 * do, [])])


async def test_an_edns_version_of_the_future_is_badvers() -> None:
    """RFC 6891 section 6.1.3: extended rcode 16, our version in the OPT, and no records."""
    (reply,) = await replies(
        socket_responder(cluster(*SHOP)), [query(parse_name("web.shop.svc.cluster.local."), A, opt=Opt(version=9))]
    )
    assert reply is not None
    message = DNSRecord.parse(reply)
    (opt,) = message.ar
    assert (message.header.rcode, opt.ttl >> 24, (opt.ttl >> 16) & 0xFF, message.header.a) == (0, 1, 0, 0)


TRUNCATED = (
    # name, type, OPT, transport, records in the answer, in additional without OPT, TC
    ("hundred", A, None, "udp", 29, 0, True),
    ("hundred", A, Opt(1232), "udp", 73, 0, True),
    ("hundred", A, Opt(65535), "udp", 73, 0, True),
    ("hundred", A, None, "tcp", 100, 0, False),
    ("thousands", A, None, "tcp", 4092, 0, True),
    ("db", A, None, "udp", 2, 0, False),
    ("db", SRV, None, "udp", 2, 3, False),
    ("hundred", SRV, None, "tcp", 100, 100, False),
)


@pytest.mark.parametrize(("name", "rtype", "opt", "proto", "answers", "additional", "cut"), TRUNCATED)
async def test_what_does_not_fit_is_cut_whole_and_said(
    name: str, rtype: int, opt: Opt | None, proto: str, answers: int, additional: int, cut: bool
) -> None:
    """Whole records up to the limit, TC exactly when something was left out."""
    one = socket_responder(cluster(*OBJECTS), proto=proto)
    (reply,) = await replies(one, [query(parse_name(f"{name}.shop.svc.cluster.local."), rtype, opt=opt)])
    assert reply is not None
    assert len(reply) <= (65535 if proto == "tcp" else 512 if opt is None else min(opt.payload, 1232))
    message = DNSRecord.parse(reply)
    assert (len(message.rr), len([rr for rr in message.ar if rr.rtype != QTYPE.OPT])) == (answers, additional)
    assert bool(message.header.tc) is cut


async def test_additional_records_are_cut_first_and_said() -> None:
    """An SRV answer whose addresses do not fit keeps its SRV records and has TC set."""
    endpoints = [f"10.244.7.{i}" for i in range(9)]
    objects = (*SHOP, view("shop/nine", ips=("None",), ports=(tcp(80, "http"),), endpoints=endpoints))
    message = query(parse_name("nine.shop.svc.cluster.local."), SRV)
    udp, tcp_ = [
        (await replies(socket_responder(cluster(*objects), proto=proto), [message]))[0] for proto in ("udp", "tcp")
    ]
    assert udp is not None
    assert tcp_ is not None
    small, whole = DNSRecord.parse(udp), DNSRecord.parse(tcp_)
    assert len(tcp_) > 512
    assert small.header.tc
    assert not whole.header.tc
    assert len(small.rr) < 9 or len(small.ar) < 9
    assert not small.ar or len(small.rr) == 9, "no additional record may stand where an answer was left out"


@pytest.mark.parametrize(
    ("name", "proto", "count"), [("hundred", "tcp", 100), ("hundred", "udp", 100), ("thousands", "tcp", 4500)]
)
async def test_every_address_comes_first_equally_often(name: str, proto: str, count: int) -> None:
    """One round of queries brings each endpoint forward exactly once, also when the answer is cut."""
    one = socket_responder(cluster(*OBJECTS), proto=proto)
    message = query(parse_name(f"{name}.shop.svc.cluster.local."), A)
    at = message.find(b"\0\1\0\1", 12) + 4
    first: Counter[bytes] = Counter()
    for reply in await replies(one, [message] * count):
        assert reply is not None
        first[reply[at + 12 : at + 16]] += 1
    assert len(first) == count
    assert set(first.values()) == {1}


async def test_a_bug_costs_one_servfail_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A plugin that raises answers SERVFAIL, is logged with the question, and the next query is served."""
    calls = 0

    async def breaks(request: Request) -> Response:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("a bug")
        return Response(NOERROR)

    one = socket_responder(None, breaks)
    message = query(parse_name("www.example.com."), A)
    first, second = await replies(one, [message, message])
    assert first is not None
    assert second is not None
    assert (first[3] & 0xF, second[3] & 0xF) == (SERVFAIL, NOERROR)
    assert one.counts.panics == 1
    assert b"www".hex() in caplog.text
    assert "a bug" in caplog.text


CHASED = (
    # what the chain elsewhere says, the rcode and the types of the whole answer
    (Response(NOERROR, answer=(RR(parse_name("www.example.com."), A, 60, b"\xc6\x33\x64\x01"),)), NOERROR, [CNAME, A]),
    (Response(NXDOMAIN), NXDOMAIN, [CNAME]),
    (Response(SERVFAIL), SERVFAIL, [CNAME]),
    (ApiError(0, "timeout"), SERVFAIL, [CNAME]),
)


@pytest.mark.parametrize(("found", "rcode", "rtypes"), CHASED)
async def test_a_chain_ends_with_the_rcode_of_its_end(
    found: Response | ApiError, rcode: int, rtypes: list[int]
) -> None:
    """RFC 6604: the CNAME is in the answer whatever its target is, and the rcode is that of the target."""
    answers = cluster(*SHOP)
    answers.chased_elsewhere = True
    asked: list[bytes] = []

    async def elsewhere(request: Request) -> Response:
        asked.append(request.query.name)
        if isinstance(found, ApiError):
            raise found
        return found

    one = socket_responder(answers, chain([kubernetes(answers, elsewhere)]), chase=elsewhere)
    message = query(parse_name("outside.shop.svc.cluster.local."), A)
    assert one.fast(message) is None
    reply = await slow(one, message)
    assert reply is not None
    assert asked == [parse_name("www.example.com.")]
    parsed = DNSRecord.parse(reply)
    assert (parsed.header.rcode, [rr.rtype for rr in parsed.rr]) == (rcode, rtypes)


async def test_fallthrough_goes_on_to_the_next_plugin() -> None:
    """A name that does not exist in a fallthrough zone is the next plugin's; one that exists is not."""
    answers = cluster(*SHOP, options=KubernetesOptions(fallthrough=("in-addr.arpa.",)))

    async def following(_: Request) -> Response:
        return Response(NOERROR, plugin="next")

    one = socket_responder(answers, chain([kubernetes(answers)], following))
    questions = [("1.2.3.4.in-addr.arpa.", PTR), ("9.0.96.10.in-addr.arpa.", PTR), ("nope.shop.svc.cluster.local.", A)]
    for name, rtype in questions:
        one.slow(query(parse_name(name), rtype), CLIENT, lambda _: None)
        if one.fast(query(parse_name(name), rtype)) is None:
            assert name.startswith("1.2")
    await one.settled(5)
    assert {(key.plugin, key.rcode) for key in (*one.counts.tallies, *one.counts.others)} == {
        ("next", NOERROR), ("kubernetes", NOERROR), ("kubernetes", NXDOMAIN)}  # fmt: skip


async def test_early_replies_count_as_dropped() -> None:
    """What is answered before any plugin saw it counts under zone `dropped`, as in CoreDNS."""
    one = socket_responder(cluster(*SHOP))
    message = query(NAMES[0], A, flags=0x2800)
    await replies(one, [message, query(NAMES[0], SOA, rclass=3)])
    assert not one.counts.tallies
    assert {key.zone for key in one.counts.others} == {"dropped"}
    queries, replies_ = one.counts.others[Counted("dropped", 0, RCODE.NOTIMP, False, 0, "")]
    assert (queries.sum, replies_.sum) == (len(message), 12)
    assert sum(one.counts.durations) == 2


async def test_counting_does_not_grow_memory() -> None:
    """Queries of any length, with options, of any version, or no queries at all: what is counted stays bounded."""
    one = socket_responder(cluster(*SHOP), proto="tcp")
    messages = [
        query(NAMES[0], A, opt=Opt(version=version, options=b"\xfd\xe9" + size.to_bytes(2, "big") + bytes(size)))
        for size in range(500)
        for version in (0, 1)
    ]
    garbage = [b"\0\1" + flags + bytes(size) for size in range(10, 500) for flags in (b"\x28\0", b"\1\0")]
    await replies(one, messages + garbage)
    assert sum(sum(queries.counts) for queries, _ in one.counts.others.values()) == len(messages) + len(garbage)
    assert len(one.counts.tallies) + len(one.counts.others) < 10
