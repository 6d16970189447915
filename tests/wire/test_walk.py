"""Responses that are sent on as they came: the walk accepts less than the parser, and all of that has one meaning."""

import struct
from collections.abc import Callable
from typing import Any, Final, SupportsIndex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.base.errors import FormError
from kdns.wire.compose import compose_sections, head
from kdns.wire.message import parse_message
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, CNAME, HEADER, MX, NS, NXDOMAIN, QR, SOA, SRV, TXT, A
from kdns.wire.query import opt_record
from kdns.wire.rr import RR
from kdns.wire.walk import MOST_LED, Facts, walk, with_lowest
from kdns.wire.walk import _addresses as addresses
from kdns.wire.walk import _walk as long_walk
from tests.examples import examples

NAME = parse_name("www.example.org.")
QUESTION = NAME + b"\0\1\0\1"
START = 12 + len(QUESTION)
OWN = b"\xc0\x0c"
"""A pointer to the name of the question."""


def message(*parts: bytes, counts: tuple[int, int, int], rcode: int = 0) -> bytes:
    """A response to the question; ``counts`` with the OPT record."""
    return b"\0\7" + head(QR | rcode, counts, opt=False) + QUESTION + b"".join(parts)


def record(owner: bytes, rtype: int, rdata: bytes, ttl: int = 300) -> bytes:
    """One record as it stands in a message."""
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(rdata)) + rdata


ADDRESS = record(OWN, A, b"\xc0\0\2\1")
MNAME = b"\2ns\xc0\x10"
"""``ns.example.org.``, by a pointer to the question's second label."""
START_OF_AUTHORITY = record(b"\xc0\x10", SOA, MNAME + MNAME + bytes(20), 60)


def test_what_it_finds() -> None:
    """Sections, TTLs and kinds of usual responses: addresses, a denial, and an OPT record that is left out."""
    found = walk(
        message(ADDRESS, record(OWN, A, b"\xc0\0\2\2", 30), opt_record(512, False), counts=(2, 0, 1)), len(QUESTION)
    )
    assert found is not None
    assert found.sections == (ADDRESS + record(OWN, A, b"\xc0\0\2\2", 30), (16, 32), (2, 0, 0))
    assert (found.fields, found.lowest, found.owned, found.answering) == ((6, 22), 30, True, True)
    assert (found.options, found.extended, found.uncompressed) == (b"", 0, 2 * (len(NAME) + 14))
    denial = walk(message(START_OF_AUTHORITY, counts=(0, 1, 0), rcode=NXDOMAIN), len(QUESTION))
    assert denial is not None
    assert (denial.soa, denial.ns, denial.owned, denial.lowest, denial.options) == (True, False, False, 60, None)
    nothing = walk(message(counts=(0, 0, 0)), len(QUESTION))
    assert nothing == Facts(nothing.sections, (), 0, 0, (), False, False, False, False, 0, None) if nothing else False


NOT_CLEAN = (
    ("a pointer into a TTL", (record(b"\xc0" + bytes((START + 6,)), A, bytes(4)),)),
    ("a pointer to itself", (record(b"\xc0" + bytes((START,)), A, bytes(4)),)),
    ("a pointer forward", (record(b"\xc0\xff", A, bytes(4)),)),
    ("a pointer into the header", (record(b"\xc0\x04", A, bytes(4)),)),
    ("a pointer into a label", (record(b"\xc0\x0e", A, bytes(4)),)),
    ("a pointer to a pointer", (record(b"\1a" + OWN, A, bytes(4)), record(b"\xc0" + bytes((START + 2,)), A, bytes(4)))),
    (
        "a pointer into rdata that is not a name",
        (record(OWN, TXT, b"\1a\0"), record(b"\xc0" + bytes((START + 12,)), A, bytes(4))),
    ),
    ("an address of five octets", (record(OWN, A, bytes(5)),)),
    ("an IPv6 address of four", (record(OWN, AAAA, bytes(4)),)),
    ("a compressed name in a later type", (record(OWN, SRV, bytes(6) + OWN),)),
    ("a name longer than its rdata", (record(OWN, CNAME, b"\5ab"),)),
    ("octets behind the name", (record(OWN, CNAME, b"\1a" + OWN + b"\0"),)),
    ("a TTL with its first bit", (record(OWN, A, bytes(4), 1 << 31),)),
    ("a TTL with its first bit before a lower one", (record(OWN, A, bytes(4), 1 << 31), ADDRESS)),
    ("a TTL with its first bit behind a lower one", (ADDRESS, record(OWN, A, bytes(4), 1 << 31))),
    ("a label of an unknown kind", (record(b"\x40" + bytes(64) + b"\0", A, bytes(4)),)),
    ("OPT among the answers", (opt_record(512, False),)),
    ("OPT that is not the last", (ADDRESS, opt_record(512, False), ADDRESS)),
    ("OPT of another owner", (ADDRESS, OWN + opt_record(512, False)[1:])),
    ("TSIG", (ADDRESS, record(b"\0", 250, b""))),
    ("cut in an owner", (ADDRESS[:1],)),
    ("cut in the fixed part", (ADDRESS[:8],)),
    ("cut in rdata", (ADDRESS[:-1],)),
)


@pytest.mark.parametrize(("title", "parts"), NOT_CLEAN, ids=[title for title, _ in NOT_CLEAN])
def test_what_is_parsed_instead(title: str, parts: tuple[bytes, ...]) -> None:
    """What could change its meaning with another TTL or a cut, or what clients should not get as it is."""
    counts = (1, 0, len(parts) - 1)
    assert walk(message(*parts, counts=counts), len(QUESTION)) is None, title


@pytest.mark.parametrize("place", range(3))
def test_a_ttl_with_its_first_bit_among_others(place: int) -> None:
    """RFC 2181 section 8: it counts as zero, wherever it stands among the addresses; so the response is parsed."""
    ttls = [1 << 31 if number == place else 300 for number in range(3)]
    octets = message(*(record(OWN, A, bytes(4), ttl) for ttl in ttls), counts=(3, 0, 0))
    assert walk(octets, len(QUESTION)) is None


class Counted(bytes):
    """Octets that count how often some of them are looked at."""

    looks = 0

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        self.looks += 1
        return super().__getitem__(at)


LONG: Final = b"".join(b"\1" + bytes((ord("a") + number % 26,)) for number in range(126))
BEHIND: Final[dict[str, Callable[[int, bytes], bytes]]] = {
    "a pointer": lambda _number, first: first,
    "a label and a pointer": lambda _number, first: b"\1a" + pointer(first, 2),
    "another label and a pointer": lambda number, first: b"\1" + bytes((ord("a") + number % 26,)) + pointer(first, 2),
}


def pointer(to: bytes, behind: int) -> bytes:
    """To what stands so many octets behind what another pointer leads to."""
    return (int.from_bytes(to, "big") + behind).to_bytes(2, "big")


@pytest.mark.parametrize("title", BEHIND)
@pytest.mark.parametrize("rtype", [A, CNAME])
def test_long_names_behind_pointers_are_read_once(title: str, rtype: int) -> None:
    """A reply of names as long as the asked one costs no more looks than twice its octets."""
    name = LONG + b"\1x\0"
    question, other = name + A.to_bytes(2, "big") + b"\0\1", LONG + b"\1y\0"
    first = (0xC000 | HEADER + len(question)).to_bytes(2, "big")
    owners = [other, *(BEHIND[title](number, first) for number in range(60))]
    data = bytes(4) if rtype == A else first
    records = b"".join(record(owner, rtype, data) for owner in owners)
    octets = Counted(b"\0\7" + head(QR, (len(owners), 0, 0), opt=False) + question + records)
    assert walk(octets, len(question)) is not None
    assert octets.looks < 2 * len(octets)


TEXTS = ("www.example.org.", "example.org.", "a.www.example.org.", "ns.example.net.", "net.", "other.example.org.", ".")
NAMES = st.sampled_from([parse_name(text) for text in TEXTS])
DATA = st.one_of(
    st.tuples(st.just(A), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(AAAA), st.binary(min_size=16, max_size=16)),
    st.tuples(st.just(TXT), st.binary(max_size=20)),
    st.tuples(st.sampled_from((CNAME, NS)), NAMES),
    st.tuples(st.just(MX), NAMES.map(lambda name: b"\0\1" + name)),
    st.tuples(st.just(SRV), NAMES.map(lambda name: bytes(6) + name)),
    st.tuples(st.just(SOA), st.tuples(NAMES, NAMES).map(lambda names: names[0] + names[1] + bytes(20))),
)
RECORDS = st.lists(
    st.builds(lambda owner, data, ttl: RR(owner, data[0], ttl, data[1]), NAMES, DATA, st.integers(0, 1 << 31)),
    max_size=4,
)


def meaning(octets: bytes, ttl: int | None = None) -> tuple[list[list[RR]], bytes | None]:
    """The records of a message, with their names folded, and with one TTL in all of them if it is given."""
    found = parse_message(octets)
    sections = (found.answer, found.authority, found.additional)
    return [[rr if ttl is None else rr._replace(ttl=ttl) for rr in section] for section in sections], found.options


@given(RECORDS, RECORDS, RECORDS, st.booleans(), st.integers(0, (1 << 31) - 1), st.data())
@settings(max_examples=examples(300))
def test_it_means_what_the_parser_reads(
    answer: list[RR], authority: list[RR], additional: list[RR], edns: bool, ttl: int, data: st.DataObject
) -> None:
    """Octets that it accepts are the same records to the parser: with other TTLs, another spelling, cut anywhere."""
    sections = compose_sections(NAME, answer, authority, additional)
    octets = bytearray(b"\0\7" + head(QR, sections.counts, edns) + QUESTION + sections.octets)
    octets += opt_record(512, False) if edns else b""
    for at in data.draw(st.lists(st.integers(START, len(octets) - 1), max_size=2)) if len(octets) > START else ():
        octets[at] = data.draw(st.integers(0, 255))
    facts = walk(bytes(octets), len(QUESTION))
    if facts is None:
        return
    before, options = meaning(bytes(octets))
    assert options == facts.options
    other = with_lowest(facts, ttl).sections
    spelled = QUESTION.replace(b"www", b"wWw")
    whole = bytes(2) + head(QR, other.counts, False) + spelled + other.octets
    assert meaning(whole)[0] == [[rr._replace(ttl=ttl) for rr in section] for section in before]
    assert facts.lowest == min((rr.ttl for section in before for rr in section), default=0)
    assert facts.owned == any(rr.owner == NAME for rr in before[0])
    assert facts.rtypes == tuple(rr.rtype for section in before for rr in section)
    if CNAME not in facts.rtypes[: len(before[0])]:  # with aliases: tests/dns/cache/test_kinds.py
        assert facts.answering == any((rr.owner, rr.rtype, rr.rclass) == (NAME, A, 1) for rr in before[0])
    assert facts.soa == any(rr.rtype == SOA for rr in before[1])
    assert facts.ns == any(rr.rtype == NS for rr in before[1])
    assert facts.uncompressed == sum(len(rr.owner) + 10 + len(rr.rdata) for section in before for rr in section)
    size, counts = other.cut(data.draw(st.integers(0, len(other.octets))))
    kept = meaning(bytes(2) + head(QR, counts, False) + spelled + other.octets[:size], ttl)[0]
    flat = [rr._replace(ttl=ttl) for section in before for rr in section]
    assert [rr for section in kept for rr in section] == flat[: sum(counts)]


@given(st.binary(max_size=200), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_any_octets(tail: bytes, answers: int, authorities: int, additionals: int) -> None:
    """Whatever follows the question, it never raises, and never accepts what the parser refuses."""
    octets = message(tail, counts=(answers, authorities, additionals))
    if walk(octets, len(QUESTION)) is not None:
        try:
            parse_message(octets)
        except FormError as error:
            raise AssertionError(octets.hex()) from error


def test_the_asked_name_written_out() -> None:
    """An owner that is the question's name in other octets, or in another spelling, is the asked name, too."""
    for owner in (NAME, NAME.upper(), b"\3WWW\xc0\x10"):
        found = walk(message(record(owner, A, bytes(4)), counts=(1, 0, 0)), len(QUESTION))
        assert found is not None
        assert (found.owned, found.answering) == (True, True)
    found = walk(message(record(b"\3www\7example\3net\0", A, bytes(4)), counts=(1, 0, 0)), len(QUESTION))
    assert found is not None
    assert (found.owned, found.answering) == (False, False)


def test_long_answers_with_aliases_are_parsed() -> None:
    """Names are read for each record of an answer with an alias: what that costs has a bound."""
    alias = record(OWN, CNAME, b"\1a\xc0\x10")
    address = record(b"\xc0" + bytes((START + 12,)), A, bytes(4))
    for count, clean in ((MOST_LED - 1, True), (MOST_LED, False)):
        found = walk(message(alias, address * count, counts=(count + 1, 0, 0)), len(QUESTION))
        assert (found is not None) == clean
        assert found is None or found.answering


def test_names_of_mail_exchangers() -> None:
    """Names in rdata may lead to names in rdata before them."""
    first = record(OWN, MX, b"\0\1\4mail" + b"\xc0\x10")
    at = START + 12 + 2
    second = record(OWN, MX, b"\0\2\1b\xc0" + bytes((at,)))
    found = walk(message(first, second, counts=(2, 0, 0)), len(QUESTION))
    assert found is not None
    assert meaning(message(first, second, counts=(2, 0, 0)))[0][0][1].rdata == b"\0\2" + parse_name(
        "b.mail.example.org."
    )


ADDRESSES = st.lists(
    st.builds(
        record,
        st.sampled_from((OWN, OWN, OWN, OWN, b"\xc0\x10", NAME)),
        st.sampled_from((A, A, A, AAAA, TXT)),
        st.sampled_from((bytes(4), bytes(4), bytes(16))),
        st.sampled_from((0, 30, 300, (1 << 31) - 1, 1 << 31)),
    ),
    max_size=4,
)


@given(ADDRESSES, st.integers(0, 1), st.sampled_from((0, 0, 0, 1)), st.binary(max_size=3), st.data())
@settings(max_examples=examples(300))
def test_addresses_are_walked_faster_and_not_otherwise(
    records: list[bytes], edns: int, missing: int, behind: bytes, data: st.DataObject
) -> None:
    """What the walk finds of addresses, nearly all of one type, is what the long walk finds."""
    opt = opt_record(512, True, data.draw(st.integers(0, 255)), data.draw(st.sampled_from((b"", b"\0\x0f\0\2\0\6"))))
    whole = message(*records, opt * edns, behind, counts=(len(records) + missing, 0, edns))
    octets = whole[: data.draw(st.integers(START, len(whole)))] if data.draw(st.booleans()) else whole
    assert walk(octets, len(QUESTION)) == _tried(octets)


def _tried(octets: bytes) -> Facts | None:
    """The long walk, which says of cut octets by an exception that they are not clean."""
    try:
        return long_walk(octets, len(QUESTION))
    except (IndexError, struct.error):
        return None


def test_common_addresses_take_the_fast_walk() -> None:
    """One and several addresses of the asked name, with and without EDNS: otherwise the test above shows nothing."""
    for count in (1, 2, 5):
        for edns in (0, 1):
            octets = message(ADDRESS * count, opt_record(1232, False) * edns, counts=(count, 0, edns))
            assert addresses(octets, len(QUESTION)) == long_walk(octets, len(QUESTION))
            assert addresses(octets, len(QUESTION)) is not None
