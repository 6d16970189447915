"""What may be kept, and for how long, as a table."""

import pytest
from msgspec.structs import replace

from kdns.dns.api.handler import Response
from kdns.dns.cache.kinds import Bounds, Kind, duration, kind_of
from kdns.wire.name import parse_name
from kdns.wire.numbers import SERVFAIL
from tests.dns.cache.play import asking, reply

SOA = "-- test. 60 SOA ns.test. root.test. 1 2 3 4 5"

CASES = (
    ("a.test. A", "NOERROR | a.test. 9 A 192.0.2.1", "success 9"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | b.test. 8 A 192.0.2.1 | ++ x.test. 7 A 192.0.2.1", "success 7"),
    ("a.test. CNAME", "NOERROR | a.test. 9 CNAME b.test.", "success 9"),
    ("a.test. ANY", "NOERROR | a.test. 9 A 192.0.2.1 | a.test. 9 AAAA ::1", "success 9"),
    ("a.test. A", "NOERROR | a.test. 9 A 192.0.2.1 | -- test. 6 NS ns.test.", "success 6"),
    ("a.test. A", "NOERROR | -- test. 60 NS ns.test.", "success 5"),
    ("a.test. A", "NOERROR", "success 5"),
    ("a.test. A", f"NOERROR | {SOA}", "denial 60"),
    ("a.test. A", f"NOERROR | a.test. 9 CNAME b.test. | {SOA}", "denial 9"),
    ("a.test. A", f"NOERROR | a.test. 9 CNAME b.test. | b.test. 9 CNAME a.test. | {SOA}", "denial 9"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | b.test. 9 CNAME a.test.", "never"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | a.test. 9 CNAME c.test. | c.test. 9 A 192.0.2.1", "never"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | c.test. 9 A 192.0.2.1", "never"),
    ("a.test. A", "NOERROR | b.test. 9 A 192.0.2.1", "stray"),
    ("a.test. A", f"NXDOMAIN | {SOA}", "denial 60"),
    ("a.test. A", f"NXDOMAIN | a.test. 9 CNAME b.test. | {SOA}", "denial 9"),
    ("a.test. A", "NXDOMAIN", "never"),
    ("a.test. A", "NXDOMAIN | -- test. 60 NS ns.test.", "never"),
    ("a.test. A", "SERVFAIL", "failure 3"),
    ("a.test. A", "NOTIMP", "failure 3"),
    ("a.test. A", "REFUSED", "never"),
    ("a.test. A", "NOERROR tc | a.test. 9 A 192.0.2.1", "never"),
    ("a.test. AXFR", "NOERROR | a.test. 9 A 192.0.2.1", "never"),
    ("a.test. A", "NOERROR | a.test. 2147483648 A 192.0.2.1", "success 5"),
    ("a.test. A", "NOERROR | a.test. 2147483647 A 192.0.2.1", "success 3600"),
)


@pytest.mark.parametrize(("question", "response", "expected"), CASES)
def test_kinds(question: str, response: str, expected: str) -> None:
    """Kind and seconds of each response."""
    query, value = asking(question).query, reply(response)
    kind = kind_of(query, value)
    seconds = f" {duration(value, kind, Bounds(3600), 3)}" if kind not in {Kind.NEVER, Kind.UNRELATED} else ""
    assert kind.value + seconds == expected


def test_the_end_of_a_chain_is_not_kept() -> None:
    """No plugin has answered: CoreDNS's cache does not see such a SERVFAIL, and a reload may bring a plugin."""
    assert kind_of(asking("a.test. A").query, Response(SERVFAIL, unclaimed=True)) is Kind.NEVER


def test_a_chain_is_followed_whatever_its_spelling() -> None:
    """The target of an ExternalName keeps the spelling that the object has; names differ by more than case."""
    value = reply("NOERROR | a.test. 9 CNAME b.test. | b.test. 9 A 192.0.2.1")
    alias, address = value.answer
    value = replace(value, answer=(alias._replace(rdata=parse_name("B.Test.", fold=False)), address))
    assert kind_of(asking("a.test. A").query, value) is Kind.SUCCESS
