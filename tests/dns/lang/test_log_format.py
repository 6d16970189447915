"""The default format in one step writes what its parts write."""

import itertools

import pytest

from kdns.dns.api.compiled import from_facts
from kdns.dns.api.handler import Client, Request, Response
from kdns.dns.lang.log_format import COMMON, Asked, line, line_of, parse_format
from kdns.wire.compose import compose_sections, head
from kdns.wire.name import parse_name
from kdns.wire.numbers import AA, AD, CD, NXDOMAIN, QR, RA, RD, A
from kdns.wire.query import Edns, Query, edns_option
from kdns.wire.rr import RR
from kdns.wire.walk import walk

NAME = parse_name("www.Exam\\.ple.org.")
QUESTION = NAME + b"\0\1\0\1"
EDNS = (None, Edns(512, 0, True), Edns(4096, 0, False, edns_option(10, b"cookie!!")))


def compiled_response(count: int, rcode: int, flags: int, options: bytes) -> Response:
    """So many addresses, as octets that came from an upstream."""
    records = [RR(NAME, A, 60, bytes((192, 0, 2, number))) for number in range(count)]
    sections = compose_sections(NAME, records)
    octets = bytes(2) + head(QR, sections.counts, False) + QUESTION + sections.octets
    facts = walk(octets, len(QUESTION))
    assert facts is not None
    compiled = from_facts(NAME, facts, lambda: (records, (), ()))
    return Response(
        rcode, flags, compiled.answer, compiled.authority, compiled.additional, "forward", options, compiled=compiled
    )


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
def test_the_default_format_in_one_step(count: int, proto: str) -> None:
    """For each combination of EDNS, flags, rcodes, options and clients, cut replies among them."""
    whole, parts = line_of(COMMON), parse_format(COMMON)
    values = itertools.product(
        EDNS, (RD, 0, RD | CD | AD), (0, NXDOMAIN, 16, 3841), (b"", edns_option(15, b"\0\6bogus")),
        (RA, AA | RA | AD), ("10.1.0.7", "fd00::7"), (0.0, 0.25, 1.5e-6, -1.0),
    )  # fmt: skip
    for edns, query_flags, rcode, options, flags, address, seconds in values:
        query = Query(7, query_flags, QUESTION, NAME, A, 1, edns)
        request = Request(query, Client(address, 4053, "10.96.0.10", proto, 1), 45, "dns://:53", {})
        asked = Asked(request, compiled_response(count, rcode, flags, options), seconds)
        assert whole(asked) == line(parts, asked)


def test_other_formats_are_made_of_their_parts() -> None:
    """A format of one's own, and the default one for a response without octets."""
    query = Query(7, RD, QUESTION, NAME, A, 1)
    asked = Asked(Request(query, Client("10.1.0.7", 4053, "", "udp", 1), 45), Response(2), 0.25)
    assert line_of("{name} {rcode}")(asked) == "www.exam\\.ple.org. SERVFAIL"
    assert line_of(COMMON)(asked) == line(parse_format(COMMON), asked)
