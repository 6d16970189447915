"""How long replies may be kept, as octets say it."""

import pytest
from dnslib import EDNS0, RR, DNSRecord

from kdns.base.errors import FormError
from kdns.wire.ttl import lifetime


def reply(answer: str = "", authority: str = "", additional: str = "", *, rcode: int = 0, opt: bool = True) -> bytes:
    """A reply with compressed names."""
    message = DNSRecord.question("www.a.test", "A").reply()
    message.header.id = 1  # as it stands in the name of the test, it must be the same in each process
    message.header.rcode = rcode
    message.add_answer(*RR.fromZone(answer))
    message.add_auth(*RR.fromZone(authority))
    message.add_ar(*RR.fromZone(additional))
    if opt:
        message.add_ar(EDNS0(udp_len=1232))
    return bytes(message.pack())


SOA = "a.test. 30 IN SOA ns.a.test. x.a.test. 1 2 3 4 5"


@pytest.mark.parametrize(
    ("octets", "seconds"),
    [
        (reply("www.a.test. 60 IN A 192.0.2.1"), 60),
        (reply("www.a.test. 60 IN CNAME b.a.test.\nb.a.test. 7 IN A 192.0.2.1", SOA), 7),
        (reply("www.a.test. 0 IN A 192.0.2.1"), 0),
        (reply("www.a.test. 90000 IN A 192.0.2.1"), 3600),
        (reply("www.a.test. 60 IN A 192.0.2.1", "", "x.a.test. 9 IN A 192.0.2.2"), 9),
        (reply("", SOA, rcode=3), 30),
        (reply("", SOA), 30),
        (reply("", SOA, rcode=2), 5),
        (reply(), 5),
        (reply(opt=False), 5),
        (b"\0\1\x81\1" + bytes(8), 5),
    ],
    ids=str,
)
def test_lifetime(octets: bytes, seconds: int) -> None:
    """The smallest TTL but that of OPT; little where there is none."""
    assert lifetime(octets) == seconds


@pytest.mark.parametrize("cut", range(60))
def test_cut(cut: int) -> None:
    """Octets that end too early are an error, or an answer; never anything else."""
    octets = reply("www.a.test. 60 IN A 192.0.2.1")
    try:
        assert lifetime(octets[:cut]) <= 3600
    except FormError:
        assert cut < len(octets)
