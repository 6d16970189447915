"""The serial that comes with an IXFR question (RFC 1995 section 3), and what is none."""

import dnslib
import pytest

from kdns.wire.query import parse_query

SOA = "example.org. 0 IN SOA ns1.example.org. root.example.org. 4294967295 1 2 3 4"
A = "example.org. 0 IN A 192.0.2.1"


@pytest.mark.parametrize(
    ("kind", "answer", "authority", "serial"),
    [
        ("IXFR", (), (SOA,), 4294967295),
        ("IXFR", (), (SOA.replace("ns1.example.org. root.example.org.", ". ."),), 4294967295),
        ("IXFR", (), (), None),
        ("IXFR", (), (A,), None),
        ("IXFR", (), (SOA, SOA), None),
        ("IXFR", (A,), (SOA,), None),
        ("AXFR", (), (SOA,), None),
        ("SOA", (), (SOA,), None),
    ],
)
def test_serial(kind: str, answer: tuple[str, ...], authority: tuple[str, ...], serial: int | None) -> None:
    """One SOA record in the authority section of an IXFR question, its names compressed or not."""
    message = dnslib.DNSRecord.question("example.org", kind)
    for line in answer:
        message.add_answer(*dnslib.RR.fromZone(line))
    for line in authority:
        message.add_auth(*dnslib.RR.fromZone(line))
    assert parse_query(bytes(message.pack())).serial == serial
