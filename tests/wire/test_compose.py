"""Records become sections: what dnslib reads back is what was put in, in as few octets as RFC 1035 allows."""

import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from dnslib import DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from kdns.wire.compose import Sections, compose_rrsets, compose_sections, head
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, CNAME, IN, MX, NS, PTR, QR, SOA, SRV, TXT, A
from kdns.wire.rr import RR

WEB = parse_name("web.shop.svc.cluster.local.")
ZONE = parse_name("cluster.local.")


class RRset(NamedTuple):
    """Records of one owner and type."""

    owner: bytes
    rtype: int
    ttl: int
    rdatas: tuple[bytes, ...]


def soa(zone: bytes, mname: bytes, rname: bytes) -> RR:
    return RR(zone, SOA, 5, mname + rname + struct.pack("!5I", 1, 7200, 1800, 86400, 5))


def srv(owner: bytes, port: int, target: bytes) -> RR:
    return RR(owner, SRV, 5, struct.pack("!HHH", 0, 50, port) + target)


def a(owner: bytes, address: str) -> RR:
    packed = ip_address(address).packed
    return RR(owner, A if len(packed) == 4 else AAAA, 5, packed)


def record(owner: bytes, rtype: int, ttl: int, rdata: bytes) -> RR:
    return RR(owner, rtype, ttl, rdata)


def message(qname: bytes, sections: Sections, size: int | None = None) -> bytes:
    """Header, question and the sections, all of them or cut to a size."""
    kept, counts = (len(sections.octets), sections.counts) if size is None else sections.cut(size)
    return b"\x12\x34" + head(QR, counts, False) + qname + struct.pack("!HH", A, IN) + sections.octets[:kept]


def read(octets: bytes) -> tuple[list[RR], list[RR], list[RR]]:
    """The sections as dnslib reads them, rdata uncompressed."""
    parsed = DNSRecord.parse(octets)
    return tuple([_uncompressed(rr) for rr in section] for section in (parsed.rr, parsed.auth, parsed.ar))  # type: ignore[return-value]


def _uncompressed(rr: object) -> RR:
    owner, rtype, ttl, rdata = (getattr(rr, field) for field in ("rname", "rtype", "ttl", "rdata"))
    match rtype:
        case int() if rtype in {CNAME, NS, PTR}:
            octets = parse_name(str(rdata.label))
        case int() if rtype == SRV:
            octets = struct.pack("!HHH", rdata.priority, rdata.weight, rdata.port) + parse_name(str(rdata.target))
        case int() if rtype == MX:
            octets = struct.pack("!H", rdata.preference) + parse_name(str(rdata.label))
        case int() if rtype == SOA:
            octets = parse_name(str(rdata.mname)) + parse_name(str(rdata.rname)) + struct.pack("!5I", *rdata.times)
        case int() if rtype == TXT:
            octets = b"".join(bytes((len(text),)) + text for text in rdata.data)
        case _:
            octets = bytes(rdata.data)
    return RR(parse_name(str(owner)), rtype, ttl, octets)


class Case(NamedTuple):
    title: str
    qname: bytes
    answer: Sequence[RR] = ()
    authority: Sequence[RR] = ()
    additional: Sequence[RR] = ()
    size: int = 0
    """Octets of the sections when every name that may be compressed is."""


HTTP = parse_name("_http._tcp.web.shop.svc.cluster.local.")
CASES = (
    Case("nothing", WEB, size=0),
    Case("an owner that is the question is a pointer to it", WEB, [a(WEB, "10.96.0.9")], size=16),
    Case("so for each of several", WEB, [a(WEB, f"10.96.0.{n}") for n in range(5)], size=80),
    Case(
        "an SOA owner is a pointer into the question, its names end in one",
        WEB,
        authority=[soa(ZONE, parse_name("ns.dns.cluster.local."), parse_name("hostmaster.cluster.local."))],
        size=2 + 10 + (3 + 4 + 2) + (11 + 2) + 20,
    ),
    Case(
        "the target of an SRV record is whole, the owner of its address points at it",
        HTTP,
        [srv(HTTP, 80, WEB)],
        additional=[a(WEB, "10.96.0.9")],
        size=(2 + 10 + 6 + len(WEB)) + 16,
    ),
    Case(
        "a CNAME's target is compressed, and the next owner points at it",
        parse_name("alias.shop.svc.cluster.local."),
        [
            RR(parse_name("alias.shop.svc.cluster.local."), CNAME, 5, WEB),
            a(WEB, "10.96.0.9"),
        ],
        size=(2 + 10 + 4 + 2) + 16,
    ),
    Case(
        "an owner that stands nowhere yet is written once and pointed to after that",
        parse_name("x.example."),
        [a(WEB, "10.96.0.9"), a(WEB, "10.96.0.10"), a(WEB, "fd00::1")],
        size=(len(WEB) + 14) + 16 + 28,
    ),
    Case(
        "an owner partly known is written as far as it is new, each time for its own octets",
        ZONE,
        [a(parse_name("a.b.cluster.local."), "10.96.0.9"), a(parse_name("c.b.cluster.local."), "10.96.0.9")],
        size=(2 + 2 + 2 + 14) + (2 + 2 + 14),
    ),
    Case("the root is not compressed", b"\0", [RR(b"\0", NS, 5, parse_name("a.example."))], size=1 + 10 + 11),
    Case("opaque rdata stays as it is", WEB, [RR(WEB, TXT, 28800, b"\x051.1.0")], size=18),
    Case("an MX preference stays before its name", WEB, [RR(WEB, MX, 5, b"\0\x0a" + WEB)], size=16),
    Case(
        "a PTR target is written whole in a reverse answer",
        parse_name("9.0.96.10.in-addr.arpa."),
        [RR(parse_name("9.0.96.10.in-addr.arpa."), PTR, 5, WEB)],
        size=12 + len(WEB),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_what_is_composed_can_be_read(case: Case) -> None:
    """dnslib reads the same records in the same sections and order, and no octet is wasted."""
    sections = compose_sections(case.qname, case.answer, case.authority, case.additional)
    assert read(message(case.qname, sections)) == (list(case.answer), list(case.authority), list(case.additional))
    assert len(sections.octets) == case.size
    assert sections.counts == (len(case.answer), len(case.authority), len(case.additional))


def test_a_no_is_the_same_octets_for_every_name_of_one_length() -> None:
    """An SOA is compressed against its own owner only, whatever the question holds besides."""
    negative = soa(ZONE, parse_name("ns.dns.cluster.local."), parse_name("hostmaster.cluster.local."))
    names = ("abcdef.ghij.cluster.local.", "abcd.ns.dns.cluster.local.", "abcdefghijk.cluster.local.")
    questions = [parse_name(name) for name in names]
    assert len(set(map(len, questions))) == 1
    composed = [compose_sections(qname, (), [negative]) for qname in questions]
    assert len({sections.octets for sections in composed}) == 1
    for qname, sections in zip(questions, composed, strict=True):
        assert read(message(qname, sections))[1] == [negative]


LABELS = st.sampled_from(["a", "b", "web", "shop", "svc", "cluster", "local", "x" * 63, "_tcp"])
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(lambda parts: parse_name(".".join(parts)))
RRS = st.one_of(
    st.builds(record, NAMES, st.just(A), st.integers(0, 2**31 - 1), st.binary(min_size=4, max_size=4)),
    st.builds(record, NAMES, st.just(AAAA), st.just(5), st.binary(min_size=16, max_size=16)),
    st.builds(record, NAMES, st.sampled_from([CNAME, NS, PTR]), st.just(5), NAMES),
    st.builds(srv, NAMES, st.integers(0, 65535), NAMES),
    st.builds(soa, NAMES, NAMES, NAMES),
    st.builds(record, NAMES, st.just(MX), st.just(5), NAMES.map(lambda name: b"\0\1" + name)),
    st.builds(
        record, NAMES, st.just(TXT), st.just(5), st.binary(min_size=1, max_size=20).map(lambda t: bytes((len(t),)) + t)
    ),
)
SECTION = st.lists(RRS, max_size=6)


@given(NAMES, SECTION, SECTION, SECTION)
def test_any_records_survive(qname: bytes, answer: list[RR], authority: list[RR], additional: list[RR]) -> None:
    """Whatever names repeat or contain each other, dnslib reads back the records that were put in."""
    sections = compose_sections(qname, answer, authority, additional)
    assert read(message(qname, sections)) == (answer, authority, additional)
    assert len(sections.ends) == len(answer) + len(authority) + len(additional)
    assert sections.ends[-1:] == ((len(sections.octets),) if sections.ends else ())


@given(NAMES, SECTION, SECTION, SECTION, st.integers(0, 2000))
def test_cutting_leaves_whole_records(
    qname: bytes, answer: list[RR], authority: list[RR], additional: list[RR], size: int
) -> None:
    """As many records as fit are left, whole, from the front: additional goes first, then authority, then answer."""
    sections = compose_sections(qname, answer, authority, additional)
    kept, counts = sections.cut(size)
    assert kept <= size
    every = [*answer, *authority, *additional]
    left = sum(counts)
    assert kept == (sections.ends[left - 1] if left else 0)
    assert left == len(every) or sections.ends[left] > size
    assert counts[1] == 0 or counts[0] == len(answer)
    assert counts[2] == 0 or counts[:2] == (len(answer), len(authority))
    got = read(message(qname, sections, size))
    assert [rr for section in got for rr in section] == every[:left]
    assert tuple(map(len, got)) == counts


RRSETS = st.lists(
    st.one_of(
        st.builds(
            RRset, NAMES, st.just(A), st.just(5), st.lists(st.binary(min_size=4, max_size=4), min_size=1).map(tuple)
        ),
        st.builds(
            RRset, NAMES, st.just(SRV), st.just(5), st.lists(NAMES.map(lambda n: bytes(6) + n), min_size=1).map(tuple)
        ),
        st.builds(RRset, NAMES, st.just(PTR), st.just(5), st.lists(NAMES, min_size=1).map(tuple)),
    ),
    max_size=5,
)


@given(NAMES, RRSETS, RRSETS, RRSETS)
def test_rrsets_are_their_records(
    qname: bytes, answer: list[RRset], authority: list[RRset], additional: list[RRset]
) -> None:
    """Composing whole RRsets gives exactly what composing their records one by one gives."""

    def single(rrsets: list[RRset]) -> list[RR]:
        return [RR(each.owner, each.rtype, each.ttl, rdata) for each in rrsets for rdata in each.rdatas]

    whole = compose_rrsets(qname, answer, authority, additional)
    assert whole == compose_sections(qname, single(answer), single(authority), single(additional))
    assert read(message(qname, whole)) == (single(answer), single(authority), single(additional))


def test_a_cut_is_exact_to_the_octet() -> None:
    """A record stays if its last octet fits, and goes if one is missing."""
    records = [a(WEB, "10.96.0.9"), srv(WEB, 80, WEB), a(ZONE, "fd00::1"), a(WEB, "10.96.0.10")]
    sections = compose_sections(WEB, records[:1], records[1:2], records[2:])
    assert sections.cut(0) == (0, (0, 0, 0))
    for number, end in enumerate(sections.ends, 1):
        assert sum(sections.cut(end - 1)[1]) == number - 1
        assert sections.cut(end)[0] == end
        assert sum(sections.cut(end)[1]) == number
    assert sections.cut(65535) == (len(sections.octets), (1, 1, 2))


def test_no_pointer_reaches_beyond_fourteen_bits() -> None:
    """RFC 1035 section 4.1.4: an offset has 14 bits; names first written behind octet 16,383 are not pointed to."""
    owners = [parse_name(f"{n}-{'x' * 50}.example{n}.") for n in range(700)]
    records = [a(owner, "10.0.0.1") for owner in owners for _ in range(2)]
    sections = compose_sections(WEB, records)
    assert len(sections.octets) > 0x4000
    assert read(message(WEB, sections))[0] == records


def test_a_reply_of_the_greatest_size_counts_about_four_thousand_addresses() -> None:
    """65,535 octets hold some 4,090 A records of one owner, each 16 octets."""
    sections = compose_sections(WEB, [a(WEB, str(ip_address(n + 1))) for n in range(5000)])
    kept, counts = sections.cut(65535 - 12 - len(WEB) - 4)
    assert counts == ((65535 - 12 - len(WEB) - 4) // 16, 0, 0)
    assert kept == counts[0] * 16
    assert 4080 <= counts[0] <= 4095


def test_the_head_counts_an_opt_record_as_additional() -> None:
    """Flags and counts are the header's (RFC 1035 section 4.1.1), the OPT record one more additional."""
    assert head(0x8583, (1, 2, 3), False) == struct.pack("!5H", 0x8583, 1, 1, 2, 3)
    assert head(0x8583, (1, 2, 3), True) == struct.pack("!5H", 0x8583, 1, 1, 2, 4)
