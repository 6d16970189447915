"""What may be kept, and for how long, as a table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kdns.dns.api.handler import Response
from kdns.dns.cache.kinds import Bounds, Kind, answers, clean_kind, duration, kind_of
from kdns.wire.compose import compose_sections, head
from kdns.wire.message import parse_message
from kdns.wire.name import parse_name
from kdns.wire.numbers import AAAA, CNAME, NOERROR, NOTIMP, NXDOMAIN, QR, REFUSED, SERVFAIL, SOA, A
from kdns.wire.rr import RR
from kdns.wire.walk import walk
from tests.dns.cache.play import asking, reply
from tests.examples import examples

BOUND = "-- test. 60 SOA ns.test. root.test. 1 2 3 4 5"

CASES = (
    ("a.test. A", "NOERROR | a.test. 9 A 192.0.2.1", "success 9"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | b.test. 8 A 192.0.2.1 | ++ x.test. 7 A 192.0.2.1", "success 7"),
    ("a.test. CNAME", "NOERROR | a.test. 9 CNAME b.test.", "success 9"),
    ("a.test. ANY", "NOERROR | a.test. 9 A 192.0.2.1 | a.test. 9 AAAA ::1", "success 9"),
    ("a.test. A", "NOERROR | a.test. 9 A 192.0.2.1 | -- test. 6 NS ns.test.", "success 6"),
    ("a.test. A", "NOERROR | -- test. 60 NS ns.test.", "success 5"),
    ("a.test. A", "NOERROR", "success 5"),
    ("a.test. A", f"NOERROR | {BOUND}", "denial 60"),
    ("a.test. A", f"NOERROR | a.test. 9 CNAME b.test. | {BOUND}", "denial 9"),
    ("a.test. A", f"NOERROR | a.test. 9 CNAME b.test. | b.test. 9 CNAME a.test. | {BOUND}", "denial 9"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | b.test. 9 CNAME a.test.", "never"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | a.test. 9 CNAME c.test. | c.test. 9 A 192.0.2.1", "never"),
    ("a.test. A", "NOERROR | a.test. 9 CNAME b.test. | c.test. 9 A 192.0.2.1", "never"),
    ("a.test. A", "NOERROR | b.test. 9 A 192.0.2.1", "stray"),
    ("a.test. A", f"NXDOMAIN | {BOUND}", "denial 60"),
    ("a.test. A", f"NXDOMAIN | a.test. 9 CNAME b.test. | {BOUND}", "denial 9"),
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


CLASSES = st.sampled_from((1, 1, 3))
NAME = parse_name("www.example.org.")
TEXTS = ("www.example.org.", "example.org.", "a.www.example.org.", "a.example.net.", "www.example.net.")
NAMES = st.sampled_from([parse_name(text) for text in TEXTS])
ANSWERS = st.lists(
    st.one_of(
        st.builds(lambda owner, target, rclass: RR(owner, CNAME, 9, target, rclass), NAMES, NAMES, CLASSES),
        st.builds(lambda owner, target: RR(owner, CNAME, 9, target), NAMES, NAMES),
        st.builds(lambda owner, rclass: RR(owner, A, 9, bytes(4), rclass), NAMES, CLASSES),
        st.builds(lambda owner: RR(owner, AAAA, 9, bytes(16)), NAMES),
    ),
    max_size=6,
)


@given(ANSWERS, st.booleans(), st.sampled_from((NOERROR, NXDOMAIN, SERVFAIL, NOTIMP, REFUSED)))
@settings(max_examples=examples(500))
def test_octets_are_what_their_records_are(answer: list[RR], bounded: bool, rcode: int) -> None:
    """Aliases in any order, in circles, twice, of other classes and with no end: kind and answer are the same."""
    query = asking("www.example.org. A").query
    soa = RR(parse_name("example.org."), SOA, 60, NAME + NAME + bytes(20))
    made = compose_sections(query.name, answer, [soa] if bounded else [])
    octets = b"\0\7" + head(QR | rcode, made.counts, opt=False) + query.question + made.octets
    facts, message = walk(octets, len(query.question)), parse_message(octets)
    assert facts is not None
    records = Response(rcode, 0, message.answer, message.authority)
    assert facts.answering == answers(query, records)
    assert clean_kind(rcode, facts) is kind_of(query, records)
