"""Records from text. Those marked "seen" are as CoreDNS 1.14.7 answered them."""

import pytest

from kdns.dns.zonefile.reading import parse_record
from tests.dns.plugins.asking import line

CASES = (
    ("a.test. 60 IN A 10.0.0.1", "a.test. 60 A 10.0.0.1"),
    ("a.test 1h30m A 1.2.3.4", "a.test. 5400 A 1.2.3.4"),  # seen
    ("a.test. IN 7 A 1.2.3.5", "a.test. 7 A 1.2.3.5"),  # seen
    ("@ IN A 1.2.3.6", ". 3600 A 1.2.3.6"),  # seen
    ("rel A 1.2.3.7", "rel. 3600 A 1.2.3.7"),  # seen
    ("a.test. 5 AAAA fd00::1", "a.test. 5 AAAA fd00::1"),
    ("a.test. 60 IN CNAME google.com", "a.test. 60 CNAME google.com."),
    ("a.test. 60 IN NS ns", "a.test. 60 NS ns."),
    ("1.in-addr.arpa. PTR a.test.", "1.in-addr.arpa. 3600 PTR a.test."),
    ("a.test. 60 IN MX 10 m.test.", "a.test. 60 MX 10 m.test."),
    ("_a._tcp.test. 60 IN SRV 1 2 3 a.test.", "_a._tcp.test. 60 SRV 1 2 3 a.test."),
    ("c.test. 60 IN SOA ns.c.test. h.c.test. (1 1h 2m\n 3 4) ; a comment",
     "c.test. 60 SOA ns.c.test. h.c.test. 1 3600 120 3 4"),
    ("a.test. HINFO \"a b\" x", 'a.test. 3600 HINFO "a b" "x"'),
    ("  a.test. 60 A 10.0.0.1\n", "a.test. 60 A 10.0.0.1"),
    ("a.test. 60 CH HINFO a b", 'a.test. 60 CH HINFO "a" "b"'),
)  # fmt: skip
OCTETS = (
    (r'a. TXT "a \"b\" \065" c', b'\x07a "b" A\x01c'),
    ('a. TXT ""', b"\x00"),
    (f"a. TXT {'x' * 300}", b"\xff" + b"x" * 255 + b"\x2d" + b"x" * 45),
    (r"a. TYPE1234 \# 3 01 0203", b"\1\2\3"),
    ('a. TXT "a\nb" ; a comment', b"\x03a\nb"),
    (r"a. A \# 4 0a000001", b"\x0a\0\0\1"),
    ('a. NAPTR 1 2 u "s" "" r.test.', b"\0\1\0\2\1u\1s\0\1r\4test\0"),
    ('a. CAA 0 issue "ca.test"', b"\0\5issueca.test"),
    ("a. HTTPS 1 . alpn=h2", b"\0\1\0\0\1\0\3\2h2"),
)
MISTAKES = (
    ("", "there is no record"),
    ("a. A 1.2.3.4\nb. A 1.2.3.4", "invalid A data: unexpected word after the last field"),
    ("a.test. 60 IN", "this record has no type"),
    ("a.test. 60 IN NOPE x", "unknown record type 'NOPE'"),
    ("a.test. A 1.2.3", "invalid A data: Expected 4 octets in '1.2.3'"),
    ("a.test. A fd00::1", "invalid A data: Expected 4 octets in 'fd00::1'"),
    ("a.test. AAAA 1.2.3.4", "invalid AAAA data: At least 3 parts expected in '1.2.3.4'"),
    ("a.test. A 1.2.3.4 5.6.7.8", "invalid A data: unexpected word after the last field"),
    ("a.test. MX 70000 a", "invalid MX data: 70000 has over 16 bits"),
    ("a.test. MX x a", "invalid MX data: expecting an integer"),
    ("a.test. 99999999999 A 1.2.3.4", "invalid TTL '99999999999': seconds, or such as 1h30m"),
    ("a..test. A 1.2.3.4", "empty label in 'a..test.'"),
    ('a. TXT "x', "this quotation mark is never closed in its line"),
    ("a. TXT", "invalid TXT data: expected TEXT..."),
    (f"a. HINFO a {'x' * 256}", "invalid HINFO data: string too long"),
    (r"a. TXT \999", r"invalid TXT data: '\\999' is malformed"),
    (r"a. A \# 3 0a000001", "invalid A data: generic rdata hex data has wrong length"),
)


@pytest.mark.parametrize(("text", "result"), CASES)
def test_records(text: str, result: str) -> None:
    """A line of a zone file, and the record that it is."""
    assert line(parse_record(text)) == result


@pytest.mark.parametrize(("text", "rdata"), OCTETS)
def test_rdata(text: str, rdata: bytes) -> None:
    """Types whose rdata is easier to read as octets."""
    assert parse_record(text).rdata == rdata


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_what_is_no_record(text: str, problem: str) -> None:
    """ValueError says what is wrong."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        parse_record(text)
    assert str(caught.value) == problem
