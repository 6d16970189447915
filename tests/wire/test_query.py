"""Octets from strangers: a Query, or a FormError that knows the id (RFC 1035 section 4.1, RFC 6891 section 6.1)."""

import struct
from typing import NamedTuple

import pytest
from dnslib import EDNS0, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import FormError
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, CD, IN, OPT, QR, RD, SRV, TC, A
from kdns.wire.query import Edns, Query, edns_option, edns_options, opt_record, parse_header, parse_query, reply_payload

NAME = b"\3WeB\4Shop\3svc\7cluster\5local\0"
QUESTION = NAME + struct.pack("!HH", A, IN)
SOA_RR = b"\xc0\x0c" + struct.pack("!HHIH", 6, IN, 0, 22) + b"\0\0" + bytes(20)


def header(counts: tuple[int, int, int, int] = (1, 0, 0, 0), flags: int = RD, id_: int = 0x1234) -> bytes:
    return struct.pack("!6H", id_, flags, *counts)


def opt(payload: int = 1232, version: int = 0, do: bool = False, options: bytes = b"", extended: int = 0) -> bytes:
    return struct.pack("!BHHBBHH", 0, OPT, payload, extended, version, 0x8000 if do else 0, len(options)) + options


class Good(NamedTuple):
    title: str
    message: bytes
    edns: Edns | None = None


COOKIE = struct.pack("!HH", 10, 8) + b"12345678"
GOOD = (
    Good("a plain question", header() + QUESTION),
    Good("with EDNS", header((1, 0, 0, 1)) + QUESTION + opt(), Edns(1232, 0, False)),
    Good("with DO", header((1, 0, 0, 1)) + QUESTION + opt(4096, do=True), Edns(4096, 0, True)),
    Good("of an EDNS version to come", header((1, 0, 0, 1)) + QUESTION + opt(version=1), Edns(1232, 1, False)),
    Good("with an option", header((1, 0, 0, 1)) + QUESTION + opt(options=COOKIE), Edns(1232, 0, False, COOKIE)),
    Good("with a payload of nothing", header((1, 0, 0, 1)) + QUESTION + opt(0), Edns(0, 0, False)),
    Good(
        "with an extended rcode, which means nothing in a query",
        header((1, 0, 0, 1)) + QUESTION + opt(extended=7),
        Edns(1232, 0, False),
    ),
    Good("an IXFR client's SOA in authority is skipped", header((1, 0, 1, 0)) + QUESTION + SOA_RR),
    Good("EDNS behind another record", header((1, 0, 1, 1)) + QUESTION + SOA_RR + opt(), Edns(1232, 0, False)),
    Good("EDNS before another record", header((1, 0, 0, 2)) + QUESTION + opt() + SOA_RR, Edns(1232, 0, False)),
    Good("what is behind the last record is ignored", header() + QUESTION + b"junk"),
)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.title)
def test_a_query_is_read(case: Good) -> None:
    """Header, question and EDNS are what the octets say; the spelling is kept beside the folded name."""
    assert parse_query(case.message) == Query(
        0x1234, RD, QUESTION, parse_name("web.shop.svc.cluster.local."), A, IN, case.edns
    )


class Bad(NamedTuple):
    title: str
    message: bytes
    id: int | None = 0x1234


ONE_EDNS = header((1, 0, 0, 1)) + QUESTION
BAD = (
    Bad("nothing", b"", None),
    Bad("one octet", b"\x12", None),
    Bad("half a header", header()[:11]),
    Bad("no question", header((0, 0, 0, 0))),
    Bad("no question, though there are octets for one", header((0, 0, 0, 0)) + QUESTION),
    Bad("two questions", header((2, 0, 0, 0)) + QUESTION * 2),
    Bad("a header that promises a question", header()),
    Bad("a question cut in its name", header() + QUESTION[:5]),
    Bad("a question cut before its type", header() + NAME),
    Bad("a question cut in its class", header() + QUESTION[:-1]),
    Bad("a name without an end", header() + NAME[:-1]),
    Bad("a compressed question", header() + b"\xc0\x0c" + struct.pack("!HH", A, IN)),
    Bad("a label of type 01", header() + b"\x41" + b"a" * 65 + b"\0" + struct.pack("!HH", A, IN)),
    Bad(
        "a name of 256 octets",
        header() + (b"\x3f" + b"x" * 63) * 3 + b"\x3e" + b"y" * 62 + b"\0" + struct.pack("!HH", A, IN),
    ),
    Bad("no record where one is promised", ONE_EDNS),
    Bad("a record cut in its owner", ONE_EDNS + b"\3ab"),
    Bad("a record cut in its fixed part", ONE_EDNS + opt()[:8]),
    Bad("a record cut in its rdata", ONE_EDNS + opt(options=COOKIE)[:-1]),
    Bad("a record with a length beyond the end", ONE_EDNS + opt()[:-2] + b"\xff\xff"),
    Bad("two OPT records", header((1, 0, 0, 2)) + QUESTION + opt() * 2),
    Bad("an OPT record in authority", header((1, 0, 1, 0)) + QUESTION + opt()),
    Bad("an OPT record in answer", header((1, 1, 0, 0)) + QUESTION + opt()),
    Bad("an OPT record that is not the root's", ONE_EDNS + b"\1a" + opt()),
    Bad("65,535 records that are not there", header((1, 65535, 65535, 65535)) + QUESTION),
)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.title)
def test_what_is_no_query_is_a_form_error(case: Bad) -> None:
    """It raises FormError, which knows the id as soon as two octets are there."""
    with pytest.raises(FormError) as caught:
        parse_query(case.message)
    assert caught.value.id == case.id


@pytest.mark.parametrize(
    "case", [case for case in GOOD if not case.message.endswith(b"junk")], ids=lambda case: case.title
)
def test_every_cut_of_a_query_is_a_form_error(case: Good) -> None:
    """Ending at any octet before the last, no message reads out of bounds or is taken for whole."""
    for size in range(len(case.message)):
        with pytest.raises(FormError):
            parse_query(case.message[:size])


def test_the_longest_name_is_read() -> None:
    """A name of 255 octets is a name (RFC 1035 section 2.3.4)."""
    name = (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"y" * 61 + b"\0"
    assert len(name) == 255
    assert parse_query(header() + name + struct.pack("!HH", A, IN)).name == name


def test_only_the_name_is_folded() -> None:
    """Type 65 is the letter A and stays type 65; class and spelling stay as they came."""
    question = NAME + struct.pack("!HH", 65, 3)
    query = parse_query(header() + question)
    assert (query.rtype, query.rclass, query.question) == (65, 3, question)
    assert query.name == NAME.lower()


def test_a_header_tells_what_kind_of_message_it_is() -> None:
    """Responses and opcodes are seen from twelve octets alone."""
    update = parse_header(header(flags=5 << 11))
    assert (update.is_response, update.opcode) == (False, 5)
    response = parse_header(header((1, 2, 3, 4), flags=QR | TC))
    assert (response.is_response, response.opcode) == (True, 0)
    assert response[2:] == (1, 2, 3, 4)


LIMITS = (
    ("no EDNS over UDP", "udp", None, 512),
    ("less than 512 is 512", "udp", Edns(100, 0, False), 512),
    ("what the client can take", "udp", Edns(800, 0, False), 800),
    ("at most 1232", "udp", Edns(4096, 0, False), 1232),
    ("everything over TCP", "tcp", None, 65535),
    ("whatever EDNS says there", "tcp", Edns(512, 0, False), 65535),
)


@pytest.mark.parametrize(("title", "proto", "edns", "octets"), LIMITS, ids=[row[0] for row in LIMITS])
def test_the_size_of_a_reply(title: str, proto: str, edns: Edns | None, octets: int) -> None:
    """min(client, 1232) over UDP, 512 without EDNS, 65,535 over TCP."""
    assert Query(1, 0, QUESTION, NAME.lower(), A, IN, edns).limit(proto) == octets


@pytest.mark.parametrize(("payload", "shown"), [(0, 512), (512, 512), (1000, 1000), (1232, 1232), (65535, 1232)])
def test_the_payload_in_our_opt_record(payload: int, shown: int) -> None:
    """Never under 512, never over 1232, never more than the client offers."""
    assert reply_payload(Edns(payload, 0, False)) == shown


@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("extended", [0, 1])
def test_our_opt_record_is_read_by_others(do: bool, extended: int) -> None:
    """dnslib reads payload, version 0, DO and the upper bits of the rcode, and no options."""
    octets = header((0, 0, 0, 1), flags=QR) + opt_record(1232, do, extended)
    (record,) = DNSRecord.parse(octets).ar
    assert record.rtype == OPT
    assert (record.edns_len, record.edns_ver, record.edns_do, record.edns_rcode) == (1232, 0, int(do), extended)
    assert record.rdata == []


@given(st.binary(max_size=200))
def test_any_octets_are_a_query_or_a_form_error(message: bytes) -> None:
    """Nothing else is raised, and the id is known from two octets on."""
    _check(message)


@given(
    st.tuples(*[st.integers(0, 3)] * 4),
    st.integers(0, 0xFFFF),
    st.lists(
        st.sampled_from([QUESTION, NAME, opt(), SOA_RR, b"\xc0\x0c", b"\0", b"\xff", b"\x3f", opt(options=COOKIE)]),
        max_size=6,
    ),
    st.integers(0, 100),
)
def test_any_shuffle_of_real_parts_too(
    counts: tuple[int, int, int, int], flags: int, parts: list[bytes], cut: int
) -> None:
    """Messages made of whole and cut pieces reach every branch, and are a Query or a FormError."""
    message = header(counts, flags) + b"".join(parts)
    _check(message[: max(0, len(message) - cut)])


def _check(message: bytes) -> None:
    outcome = _outcome(message)
    known = int.from_bytes(message[:2], "big") if len(message) >= 2 else None
    assert outcome.id == known
    if isinstance(outcome, Query):
        assert message[12:].startswith(outcome.question)
        assert outcome.question[:-4].lower() == outcome.name
        assert outcome.name[-1] == 0
        assert 512 <= outcome.limit("udp") <= 1232


def _outcome(message: bytes) -> Query | FormError:
    try:
        return parse_query(message)
    except FormError as error:
        return error


LABELS = st.lists(st.text("abcXYZ019_-", min_size=1, max_size=20), min_size=1, max_size=6)


@given(
    LABELS, st.sampled_from([A, AAAA, SRV, 65]), st.integers(0, 65535), st.none() | st.integers(0, 65535), st.booleans()
)
def test_what_others_compose_is_read(labels: list[str], rtype: int, id_: int, payload: int | None, do: bool) -> None:
    """A query composed by dnslib comes out with its id, name, type and EDNS."""
    record = DNSRecord(DNSHeader(id=id_, rd=1), q=DNSQuestion(".".join(labels), rtype))
    record.header.bitmap |= CD
    if payload is not None:
        record.add_ar(EDNS0(udp_len=payload, flags="do" if do else ""))
    query = parse_query(record.pack())
    assert (query.id, query.rtype, query.rclass) == (id_, rtype, IN)
    assert query.flags & (RD | CD) == RD | CD
    assert query.name == parse_name(".".join(labels))
    assert query.edns == (None if payload is None else Edns(payload, 0, do))


OPTION_LISTS: tuple[tuple[bytes, list[tuple[int, bytes]]], ...] = (
    (b"", []),
    (edns_option(3, b"") + edns_option(10, b"12345678"), [(3, b""), (10, b"12345678")]),
    (edns_option(3, b"a") + b"\0\x0a\0\x08cut", [(3, b"a")]),
    (b"\0\x03\0", []),
)


@pytest.mark.parametrize(("octets", "options"), OPTION_LISTS)
def test_edns_options(octets: bytes, options: list[tuple[int, bytes]]) -> None:
    """Options are read one by one, up to one that is cut."""
    assert list(edns_options(octets)) == options
