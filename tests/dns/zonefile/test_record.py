"""The data of a record from text, in zone files and in templates.

Expected octets are those of CoreDNS's library (`coredns_octets.txt`), and where that differs from the RFC, the RFC's.
"""

from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.dns.zonefile.reading import parse_record, read_zone
from kdns.wire.name import parse_name
from kdns.wire.types import TYPE_TEXT, is_data

ORIGIN = parse_name("example.org.")
COREDNS = [
    tuple(line.split(" -> "))
    for line in (Path(__file__).parent / "coredns_octets.txt").read_text().splitlines()
    if not line.startswith("#")
]
UNLIKE_COREDNS = (
    # types that miekg/dns has no name for
    ("WKS 192.0.2.1 TCP 25 80", "c0000201060000004000000000000080"),  # RFC 1035 section 3.4.2
    ("NSAP 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00", "47000580005a0000000001e133ffffff00016100"),  # RFC 1706
    ("DSYNC CDS NOTIFY 5359 scan", "003b0114ef047363616e076578616d706c65036f726700"),  # RFC 9859 section 2.1
    ('WALLET "BTC" "x"', "034254430178"),
    (r"HHIT \# 2 0102", "0102"),
    (r"BRID \# 2 0102", "0102"),
    (r"DOA \# 2 0102", "0102"),
    (r"CLA \# 2 0102", "0102"),
    (r"IPN \# 2 0102", "0102"),
    (r"SINK \# 2 0102", "0102"),
    (r"A6 \# 2 0102", "0102"),
    # RFC 1183 section 3.2: the subaddress is optional; CoreDNS adds an empty one
    ("ISDN 150862028003217", "0f313530383632303238303033323137"),
    # RFC 8777 section 4.2: with the discovery bit set CoreDNS leaves out the relay
    ("AMTRELAY 10 1 2 2001:db8::15", "0a8220010db8000000000000000000000015"),
    ("AMTRELAY 128 1 3 amt", "808303616d74076578616d706c65036f726700"),
    # RFC 9460 section 2.1: a known key may be written as its number; CoreDNS refuses it
    (r"HTTPS 1 . key1=\002h2", "00010000010003026832"),
    # RFC 9460 appendix D.2: the multi-octet values and the escapes
    (
        "SVCB 16 foo.example.org. (alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1)",
        "001003666f6f076578616d706c65036f7267000000000400010004000100090268320568332d313900040004c0000201",
    ),
    (f"TXT {'x' * 300}", "ff" + "78" * 255 + "2d" + "78" * 45),
    (f'SPF "{"x" * 256}"', "ff" + "78" * 255 + "0178"),
    ('TXT ""', "00"),
    ('TXT "\u00e9"', "02c3a9"),
)


def rdata(text: str) -> str:
    """Rdata in hexadecimal digits, of the zone reader."""
    (record,) = read_zone([f"x 60 IN {text}"], ORIGIN, "db")
    return record.rdata.hex()


IN_ZONES = [(text, octets) for text, octets in (*COREDNS, *UNLIKE_COREDNS) if not text.startswith("NSEC3")]


@pytest.mark.parametrize(("text", "octets"), IN_ZONES)
def test_octets(text: str, octets: str) -> None:
    """Every type becomes the octets that it should, in the zone reader (which refuses NSEC3: see test_file)."""
    assert rdata(text) == octets


@pytest.mark.parametrize("text", [text for text, _ in IN_ZONES])
def test_templates_read_the_same(text: str) -> None:
    """A template's record is that of a zone whose origin is the root."""
    (record,) = read_zone([f"x.example.org. 60 IN {text}"], parse_name("."), "db")
    assert parse_record(f"x.example.org. 60 IN {text}") == record
    assert parse_record(f"x.example.org 60 {text}") == record


@pytest.mark.parametrize(("text", "octets"), [each for each in COREDNS if each[0].startswith("NSEC3")])
def test_templates_may_have_nsec3(text: str, octets: str) -> None:
    """A template answers with whatever record it makes, as in CoreDNS."""
    assert parse_record(f"x. {text}").rdata.hex() == octets


def test_every_type_is_there() -> None:
    """The tables have a line for each type of IANA's table that a zone can have."""
    tried = {text.split()[0] for text, _ in (*COREDNS, *UNLIKE_COREDNS)}
    assert {name for rtype, name in TYPE_TEXT.items() if is_data(rtype)} - tried == {"NXT"}


MISTAKES = (
    ("HTTPS 1 . alpn=h2 alpn=h3", 'db:1:27: invalid HTTPS data: duplicate key "1"'),  # RFC 9460 section 2.1
    (r"HTTPS 1 . alpn=h2 key1=\002h3", 'db:1:27: invalid HTTPS data: duplicate key "1"'),
    ("HTTPS 1 . no-default-alpn", "no-default-alpn present, but alpn missing"),  # section 7.1.1
    ("HTTPS 1 . mandatory=alpn", "key 1 declared mandatory but not present"),  # section 8
    ("HTTPS 1 . alpn=h2 mandatory=mandatory,alpn", "listed the mandatory key"),  # section 8
    ("HTTPS 1 . alpn", "value cannot be empty"),  # section 7.1.1
    ("HTTPS 1 . port=65536", "db:1:19: invalid HTTPS data: "),
    ("HTTPS 1 . ipv4hint=2001:db8::1", "db:1:19: invalid HTTPS data: "),
    ("HTTPS 1 . ohttp=1", "ohttp with non-empty value"),  # RFC 9540 section 4
    ("HTTPS 1 . nosuchkey=1", "db:1:19: invalid HTTPS data: "),
    ("HTTPS x .", "db:1:15: invalid HTTPS data: expecting an integer"),
    ("HTTPS 1", "db:1:15: invalid HTTPS data: a field is missing at the end"),
    ("TLSA 3 1 1 xyz", "db:1:20: invalid TLSA data: "),
    (r"TXT \999", r"db:1:13: invalid TXT data: '\\999' is malformed"),
    ("OPT x", "db:1:9: unknown record type 'OPT'"),
    ("NXNAME x", "db:1:9: unknown record type 'NXNAME'"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes(text: str, problem: str) -> None:
    """File, line and column, and what is wrong; a template is refused with the same words."""
    with pytest.raises(ConfigError) as caught:
        rdata(text)
    assert problem in str(caught.value)
    with pytest.raises(ValueError, match=" ") as refused:
        parse_record(f"x.example.org. 60 IN {text}")
    assert str(refused.value) == caught.value.problem


def test_names_keep_the_spelling_that_people_read() -> None:
    """Names that are asked for next are folded; those of PTR and of later types stay as they were written."""
    assert rdata("CNAME Web") == rdata("CNAME web")
    assert rdata("PTR Web") == "03576562" + ORIGIN.hex()
    assert rdata("HTTPS 1 Web") == "000103576562" + ORIGIN.hex()
    assert rdata(r"PTR \087eb") == rdata("PTR Web")


def test_the_largest_data() -> None:
    """65,000 octets are the limit in both readers, so that owner and question fit into a message beside them."""
    assert len(rdata(rf"TYPE65280 \# 65000 {'00' * 65000}")) == 130_000
    with pytest.raises(ConfigError, match="data of 65001 octets, at most 65000"):
        rdata(rf"TYPE65280 \# 65001 {'00' * 65001}")
    with pytest.raises(ValueError, match="data of 65001 octets, at most 65000"):
        parse_record(rf"x. TYPE65280 \# 65001 {'00' * 65001}")
