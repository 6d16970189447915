"""A zone file with many records at one name is read in time: the thread that reads it takes from all queries."""

from kdns.dns.zonefile.zone import StaticZone
from kdns.wire.name import parse_name
from kdns.wire.numbers import SOA, A
from kdns.wire.rr import RR
from tests.effort import processor_time

APEX = parse_name("example.org")
START = RR(APEX, SOA, 60, parse_name("ns.example.org") + parse_name("h.example.org") + bytes(20))


def test_many_records_at_one_name() -> None:
    """Each once, with the TTL of the first, in the order of the file, and not in the square of their number."""
    owner = parse_name("a.example.org")
    many = [RR(owner, A, 60 + number % 2, number.to_bytes(4, "big")) for number in range(50_000)]
    with processor_time(20.0):  # 100 times as long as it takes; the square of it would be minutes
        zone = StaticZone(APEX, (START, *many, *many[:100]))
    assert zone.lookup(owner, A).answer == tuple(each._replace(ttl=60) for each in many)
