"""HTTPS and SVCB records of a zone: owners, additional addresses, transfers (RFC 9460)."""

import pytest

from kdns.dns.zonefile.reading import read_zone
from kdns.dns.zonefile.zone import StaticZone
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import HTTPS, SVCB
from kdns.wire.types import type_number, type_text

ZONE = """\
$TTL 3600
$ORIGIN example.org.
@      IN SOA ns1 hostmaster 1 7200 3600 1209600 300
s      IN A 10.1.1.2
s      IN AAAA 2001:db8::2
h1     IN HTTPS 1 S alpn=h2
h0     IN HTTPS 0 h1
gone   IN HTTPS 0 .
own    IN HTTPS 1 . alpn=h2
own    IN A 10.1.1.3
away   IN HTTPS 1 www.example.com. alpn=h2
two    IN HTTPS 1 s alpn=h2
two    IN HTTPS 2 own port=8443 alpn=h3
_dns   IN SVCB 1 s alpn=dot
*.wild IN HTTPS 1 . alpn=h2
*.wild IN A 10.1.1.4
$GENERATE 1-2 g$ HTTPS $ s alpn=h2
"""
S = ["s A", "s AAAA"]
CASES: tuple[tuple[str, list[str], list[str]], ...] = (
    ("h1 HTTPS", ["h1 HTTPS"], S),
    ("h0 HTTPS", ["h0 HTTPS"], ["h1 HTTPS"]),  # section 4.1: of an alias the records that it leads to as well
    ("gone HTTPS", ["gone HTTPS"], []),  # section 2.5.1: the service does not exist
    ("own HTTPS", ["own HTTPS"], ["own A"]),  # section 2.5.2: the owner itself
    ("away HTTPS", ["away HTTPS"], []),
    ("two HTTPS", ["two HTTPS", "two HTTPS"], [*S, "own A"]),
    ("_dns SVCB", ["_dns SVCB"], S),
    ("a.wild HTTPS", ["a.wild HTTPS"], ["a.wild A"]),
    ("g2 HTTPS", ["g2 HTTPS"], S),
)


def static_zone() -> StaticZone:
    """The zone of these tests."""
    origin = parse_name("example.org.")
    return StaticZone(origin, read_zone(ZONE.splitlines(), origin, "db"))


@pytest.mark.parametrize(("question", "answer", "additional"), CASES)
def test_addresses_come_along(question: str, answer: list[str], additional: list[str]) -> None:
    """The addresses of a target that the zone has are in the additional section (RFC 9460 section 4.1)."""
    name, kind = question.split()
    result = static_zone().lookup(parse_name(f"{name}.example.org."), type_number(kind) or 0)
    shown = [
        [f"{name_text(rr.owner).removesuffix('.example.org.')} {type_text(rr.rtype)}" for rr in records]
        for records in (result.answer, result.additional)
    ]
    assert shown == [answer, additional]


def test_a_transfer_has_them_whole() -> None:
    """What a transfer sends is what a lookup answers, with the keys in increasing order (RFC 9460 section 2.2)."""
    zone = static_zone()
    sent = {(record.owner, record.rdata) for record in zone.records() if record.rtype in {HTTPS, SVCB}}
    assert len(sent) == 11
    two = parse_name("two.example.org.")
    assert {(two, record.rdata) for record in zone.lookup(two, HTTPS).answer} == {
        each for each in sent if each[0] == two
    }
    second = b"\x00\x02" + parse_name("own.example.org.") + b"\x00\x01\x00\x03\x02h3\x00\x03\x00\x02\x20\xfb"
    assert (two, second) in sent
