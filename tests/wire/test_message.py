"""Responses of upstreams as records; whatever octets they are, the outcome is a Message or FormError."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import FormError
from kdns.wire.compose import compose_sections, head
from kdns.wire.message import (
    PART,
    Message,
    UpstreamQuery,
    asked,
    compose_query,
    parse_message,
    parse_reply,
    passed_options,
)
from kdns.wire.name import parse_name
from kdns.wire.numbers import AD, CD, CNAME, HTTPS, IN, MX, NS, PTR, QR, RA, RD, SOA, SRV, TC, TXT, A
from kdns.wire.query import edns_option, opt_record, parse_query
from kdns.wire.rr import RR

QUESTION = b"\3wWw\7example\3org\0" + struct.pack("!HH", A, IN)
NAME = parse_name("www.example.org.")
ASK = UpstreamQuery(NAME, A)


def message(*sections: bytes, counts: tuple[int, int, int] = (1, 0, 0), flags: int = QR | RA, number: int = 7) -> bytes:
    """A response with one question."""
    return struct.pack("!6H", number, flags, 1, *counts) + QUESTION + b"".join(sections)


def record(rtype: int, rdata: bytes, owner: bytes = b"\xc0\x0c", ttl: int = 60) -> bytes:
    """One record in wire form."""
    return owner + struct.pack("!HHIH", rtype, IN, ttl, len(rdata)) + rdata


RDATA = (
    ("an address", A, bytes((192, 0, 2, 7)), bytes((192, 0, 2, 7))),
    ("NS, compressed and in capitals", NS, b"\3NS1\xc0\x10", parse_name("ns1.example.org.")),
    ("CNAME, only a pointer", CNAME, b"\xc0\x10", parse_name("example.org.")),
    ("PTR keeps its spelling, which people read", PTR, b"\2My\xc0\x10", b"\2My\7example\3org\0"),
    ("MX", MX, b"\0\x0a\xc0\x10", b"\0\x0a" + parse_name("example.org.")),
    (
        "SOA",
        SOA,
        b"\xc0\x10\1h\xc0\x10" + bytes(20),
        parse_name("example.org.") + parse_name("h.example.org.") + bytes(20),
    ),
    ("MINFO", 14, b"\1a\xc0\x10\1b\xc0\x10", b"\1a\7example\3org\0\1b\7example\3org\0"),
    ("RP", 17, b"\xc0\x10\0", b"\7example\3org\0\0"),
    ("AFSDB", 18, b"\0\1\xc0\x10", b"\0\1\7example\3org\0"),
    ("SRV must not be compressed, and some do it", SRV, bytes(6) + b"\xc0\x10", bytes(6) + parse_name("example.org.")),
    ("NAPTR", 35, b"\0\1\0\2\1u\0\4!.*!\xc0\x10", b"\0\1\0\2\1u\0\4!.*!\7example\3org\0"),
    ("DNAME", 39, b"\xc0\x10", parse_name("example.org.")),
    ("RRSIG", 46, bytes(18) + b"\xc0\x10sig", bytes(18) + b"\7example\3org\0sig"),
    ("NSEC", 47, b"\1A\xc0\x10\0\1\x40", b"\1A\7example\3org\0\0\1\x40"),
    ("HTTPS", HTTPS, b"\0\1\0\0\1\0\3\2h2", b"\0\1\0\0\1\0\3\2h2"),
    ("TXT that looks like a pointer", TXT, b"\2\xc0\x0c", b"\2\xc0\x0c"),
    ("a type that nobody knows", 4711, b"\xc0\x0c", b"\xc0\x0c"),
    ("no octet at all", 4711, b"", b""),
)


@pytest.mark.parametrize(("title", "rtype", "rdata", "whole"), RDATA, ids=[case[0] for case in RDATA])
def test_rdata_is_whole(title: str, rtype: int, rdata: bytes, whole: bytes) -> None:
    """Names in rdata are uncompressed wherever one may be."""
    assert parse_message(message(record(rtype, rdata))).answer == (RR(NAME, rtype, 60, whole),), title


BAD = (
    ("nothing", b""),
    ("eleven octets", bytes(11)),
    ("a query", message(flags=0, counts=(0, 0, 0))),
    ("a notify", message(flags=QR | 0x2000, counts=(0, 0, 0))),
    ("two questions", struct.pack("!6H", 7, QR, 2, 0, 0, 0) + QUESTION * 2),
    ("fewer records than said", message(counts=(1, 0, 0))),
    ("an address of three octets", message(record(A, bytes(3)))),
    ("a pointer to itself", message(record(A, bytes(4), b"\xc0\x21"))),
    ("a pointer ahead", message(record(A, bytes(4), b"\xc0\x30"))),
    ("a pointer into the header", message(record(A, bytes(4), b"\xc0\x02"))),
    ("a label of an unknown kind", message(record(A, bytes(4), b"\x80\0"))),
    ("a name of 256 octets", message(record(A, bytes(4), (b"\x3f" + b"x" * 63) * 4 + b"\0"))),
    ("rdata that ends within a name", message(record(CNAME, b"\3ab"))),
    ("rdata with something behind its name", message(record(CNAME, b"\xc0\x10z"))),
    ("an SOA without numbers", message(record(SOA, b"\xc0\x10\xc0\x10"))),
    ("an OPT record among the answers", message(opt_record(1232, False))),
    ("two OPT records", message(opt_record(1232, False) * 2, counts=(0, 0, 2))),
    ("an OPT record with an owner", message(record(41, b""), counts=(0, 0, 1))),
)


@pytest.mark.parametrize(("title", "octets"), BAD, ids=[case[0] for case in BAD])
def test_bad_messages(title: str, octets: bytes) -> None:
    """What is no response is FormError, with the id if there is one, and is nobody's reply."""
    with pytest.raises(FormError) as caught:
        parse_message(octets)
    assert caught.value.id in {int.from_bytes(octets[:2], "big"), None}, title
    assert parse_reply(octets, 7, ASK) is None


@pytest.mark.parametrize("count", [1, 200, 300, 4000])
@pytest.mark.parametrize("section", [0, 1, 2])
def test_a_long_message_is_read_in_part(count: int, section: int) -> None:
    """For a client over UDP no record is read that begins beyond 4,096 octets; what is shorter is read whole."""
    counts = [0, 0, 0]
    counts[section] = count
    octets = message(record(A, bytes(4)) * count, counts=(counts[0], counts[1], counts[2]))
    whole = parse_message(octets)
    part = parse_reply(octets, 7, ASK._replace(whole=False))
    assert part is not None
    read = (part.answer, part.authority, part.additional)[section]
    assert read == (whole.answer, whole.authority, whole.additional)[section][: len(read)]
    fits = len(octets) <= PART
    assert part.truncated is not fits
    assert len(read) == count if fits else 4096 // 16 - 5 < len(read) <= 4096 // 16 + 1
    assert parse_reply(octets, 7, ASK) == whole


def test_names_of_many_pointers() -> None:
    """A small message cannot be made into a huge one, nor a long chain of pointers into long work."""
    long = (b"\x3f" + b"x" * 63) * 3 + b"\0"
    many = record(A, bytes(4), long) + record(14, b"\xc0\x21\xc0\x21") * 4000
    with pytest.raises(FormError, match="records of over 1048576 octets"):
        parse_message(message(many, counts=(4001, 0, 0)))
    ends = [0x0C] + [0x21 + 12 + 14 * number for number in range(300)]  # the rdata of each record points to the last's
    links = b"".join(record(4711, struct.pack("!H", 0xC000 | end)) for end in ends[:-1])
    with pytest.raises(FormError, match="a name of over 127 pointers"):
        parse_message(message(links, record(A, bytes(4), struct.pack("!H", 0xC000 | ends[-1])), counts=(301, 0, 0)))


def test_sections_and_opt() -> None:
    """Sections stay apart; OPT and TSIG are not among the records; the rcode has its upper bits."""
    octets = message(
        record(A, bytes(4)),
        record(NS, b"\xc0\x10", b"\xc0\x10"),
        record(A, bytes(4), b"\1X\xc0\x10", ttl=0x80000001),
        opt_record(1232, True, 1, edns_option(15, b"\0\3stale")),
        record(250, b"whatever"),
        counts=(1, 1, 3),
    )
    assert parse_message(octets) == Message(
        7,
        QR | RA,
        16,
        NAME,
        A,
        IN,
        (RR(NAME, A, 60, bytes(4)),),
        (RR(parse_name("example.org."), NS, 60, parse_name("example.org.")),),
        (RR(parse_name("x.example.org."), A, 0, bytes(4)),),
        edns_option(15, b"\0\3stale"),
    )


@pytest.mark.parametrize("cut", range(len(QUESTION) + 12, len(message(record(A, bytes(4)) * 2))))
def test_truncated_messages_may_end_anywhere(cut: int) -> None:
    """With TC the whole records are used; without it the same octets are FormError."""
    octets = message(record(A, bytes(4)) * 2, record(A, bytes(4)), counts=(2, 0, 1), flags=QR | TC)[:cut]
    parsed = parse_message(octets)
    assert (len(parsed.answer), parsed.additional) == ((cut - len(QUESTION) - 12) // 16, ())
    with pytest.raises(FormError):
        parse_message(octets[:2] + QR.to_bytes(2, "big") + octets[4:])


REPLIES = (
    ("the answer", 7, ASK, message(record(A, bytes(4))), True),
    ("another id", 8, ASK, message(record(A, bytes(4))), False),
    ("another type", 7, UpstreamQuery(NAME, MX), message(record(A, bytes(4))), False),
    ("another class", 7, UpstreamQuery(NAME, A, 3), message(record(A, bytes(4))), False),
    ("another name", 7, UpstreamQuery(parse_name("ww.example.org."), A), message(record(A, bytes(4))), False),
    ("a bare FORMERR", 7, ASK, struct.pack("!6H", 7, QR | 1, 0, 0, 0, 0), True),
    ("a bare NXDOMAIN", 7, ASK, struct.pack("!6H", 7, QR | 3, 0, 0, 0, 0), False),
)


@pytest.mark.parametrize(("title", "number", "ask", "octets", "ours"), REPLIES, ids=[case[0] for case in REPLIES])
def test_which_reply_is_ours(title: str, number: int, ask: UpstreamQuery, octets: bytes, ours: bool) -> None:
    """Only a response with our id and our question is believed."""
    assert (parse_reply(octets, number, ask) is not None) == ours, title


def test_queries() -> None:
    """A client's query becomes ours: its RD, AD, CD and DO, our id and payload, the folded name."""
    octets = struct.pack("!6H", 99, RD | AD | CD, 1, 0, 0, 1) + QUESTION + opt_record(4096, True)
    ask = asked(parse_query(octets))
    assert ask == UpstreamQuery(NAME, A, IN, RD | AD | CD, True)
    ours = compose_query(1, ask)
    assert ours == struct.pack("!6H", 1, RD | AD | CD, 1, 0, 0, 1) + QUESTION.lower() + opt_record(1232, True)
    assert compose_query(1, ask, None)[12:] == QUESTION.lower()


def test_options_that_are_passed() -> None:
    """Only reasons are, and only whole ones."""
    reason = edns_option(15, b"\0\3stale")
    cookie = edns_option(10, b"12345678")
    assert passed_options(cookie + reason + edns_option(15, b"\0") + reason + b"\0\x0f\0\x09cut") == reason * 2
    assert passed_options(None) == b""


@given(st.binary(max_size=600))
def test_any_octets(octets: bytes) -> None:
    """Any octets at all are a Message or FormError, and the reply to our query or not."""
    try:
        parse_message(octets)
    except FormError:
        assert parse_reply(octets, int.from_bytes(octets[:2], "big"), ASK) is None


pointers = st.integers(0, 80).map(lambda at: struct.pack("!H", 0xC000 | at))
labels = st.binary(min_size=1, max_size=5).map(lambda label: bytes((len(label),)) + label)
names = st.builds(lambda parts, end: b"".join(parts) + end, st.lists(labels, max_size=4), pointers | st.just(b"\0"))
types = st.sampled_from((A, NS, CNAME, SOA, PTR, MX, TXT, SRV, 14, 17, 35, 39, 41, 46, 47, 64, 250, 999))
rdatas = st.builds(lambda *parts: b"".join(parts), st.binary(max_size=8), names, names, st.binary(max_size=20))
records = st.builds(record, types, names | rdatas, names)


@given(st.lists(records, max_size=5), st.tuples(*[st.integers(0, 3)] * 3), st.sampled_from((QR, QR | TC, QR | RA)))
def test_octets_that_are_nearly_right(parts: list[bytes], counts: tuple[int, int, int], flags: int) -> None:
    """What is parsed can be composed again, and is the same when parsed once more."""
    octets = message(*parts, counts=counts, flags=flags)
    try:
        parsed = parse_message(octets)
    except FormError:
        return
    sections = compose_sections(NAME, parsed.answer, parsed.authority, parsed.additional)
    again = b"\0\7" + head(flags & ~TC, sections.counts, False) + QUESTION + sections.octets
    second = parse_message(again)
    assert second[6:9] == parsed[6:9]
