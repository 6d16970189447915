"""Replies of upstreams, and queries for them: what the forward path and the chain have to answer alike."""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from kdns.wire.compose import compose_sections, head
from kdns.wire.message import Message, parse_message
from kdns.wire.name import parse_name
from kdns.wire.numbers import (
    AA,
    AAAA,
    AD,
    CD,
    CNAME,
    DNAME,
    FORMERR,
    MX,
    NOTIMP,
    NS,
    NXDOMAIN,
    QR,
    RA,
    RD,
    REFUSED,
    RRSIG,
    SERVFAIL,
    SOA,
    TC,
    A,
)
from kdns.wire.query import Query, edns_option, opt_record
from kdns.wire.rr import RR
from tests.dns.messages import Opt, query
from tests.dns.plan import spelled

NAME: Final = parse_name("www.example.org.")
ELSEWHERE: Final = parse_name("a.example.net.")
OWN: Final = b"\xc0\x0c"
"""A pointer to the name of the question; and one to its second label."""
PARENT: Final = b"\xc0\x10"
BEGIN: Final = 12 + len(NAME) + 4
"""Where the sections begin."""
FURTHER: Final = parse_name("b.a.example.net.")
SAME: Final = parse_name("www.example.net.")
"""As long as the asked name."""
START_OF_AUTHORITY: Final = RR(parse_name("example.org."), SOA, 60, NAME + NAME + bytes(20))


class Octets(NamedTuple):
    """Sections that are compressed otherwise than ours, behind a question for `NAME`."""

    counts: tuple[int, int, int]
    octets: bytes


def composed(query: Query, flags: int, sections: Sequence[list[RR]] | Octets, opt: bytes = b"") -> bytes:
    """An upstream's reply."""
    if isinstance(sections, Octets):
        start = query.id.to_bytes(2, "big") + head(QR | flags, sections.counts, bool(opt)) + query.question
        return start + sections.octets + opt
    answer, authority, additional = (*sections, [], [], [])[:3]
    made = compose_sections(query.name, answer, authority, additional)
    return query.id.to_bytes(2, "big") + head(QR | flags, made.counts, bool(opt)) + query.question + made.octets + opt


def meaning(reply: bytes | None) -> Message:
    """What a reply says, however it is compressed."""
    assert reply is not None
    return parse_message(reply)


def record(owner: bytes, rtype: int, ttl: int, rdata: bytes) -> bytes:
    """One record as it stands in a message."""
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(rdata)) + rdata


def addresses(count: int, owner: bytes = NAME) -> list[RR]:
    """So many A records."""
    return [address(owner, last) for last in range(1, count + 1)]


def long_addresses(count: int, owner: bytes = NAME) -> list[RR]:
    """So many AAAA records."""
    return [RR(owner, AAAA, 300, bytes((*bytes(15), last))) for last in range(1, count + 1)]


def address(owner: bytes = NAME, last: int = 1, ttl: int = 300) -> RR:
    """One A record."""
    return RR(owner, A, ttl, bytes((192, 0, 2, last)))


OPT: Final = opt_record(1232, False)
REPLIES: Final[dict[str, tuple[int, tuple[list[RR], ...] | Octets, bytes]]] = {
    "one address": (RA, ([address()],), OPT),
    "one address, no EDNS": (RA | RD, ([address()],), b""),
    "authoritative and authentic": (RA | AA | AD, ([address()],), OPT),
    "a short and a long time to live": (RA, ([address(ttl=1)], [], [address(ELSEWHERE, 2, 90_000)]), OPT),
    "two addresses": (RA, ([address(), address(last=2)],), OPT),
    "three addresses": (RA, (addresses(3),), OPT),
    "ten addresses": (RA, (addresses(10),), OPT),
    "ten addresses, no EDNS": (RA, (addresses(10),), b""),
    "more addresses than a client may get": (RA, (addresses(100),), OPT),
    "two long addresses": (RA, (long_addresses(2),), OPT),
    "ten long addresses": (RA, (long_addresses(10),), OPT),
    "addresses of both kinds": (RA, (addresses(2) + long_addresses(2),), OPT),
    "addresses with other times to live": (RA, ([address(ttl=9), address(last=2, ttl=90)],), OPT),
    "two refused addresses": (RA | REFUSED, (addresses(2),), OPT),
    "addresses at the end of an alias": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE), *addresses(3, ELSEWHERE)],), OPT),
    "addresses at the end of aliases": (
        RA,
        ([RR(NAME, CNAME, 20, ELSEWHERE), RR(ELSEWHERE, CNAME, 20, FURTHER), *long_addresses(10, FURTHER)],),
        OPT,
    ),
    "addresses of another name": (RA, (addresses(3, ELSEWHERE),), OPT),
    "addresses before a text": (RA, ([*addresses(2), RR(NAME, 16, 9, b"\1x")],), OPT),
    "addresses behind a text": (RA, ([RR(NAME, 16, 9, b"\1x"), *addresses(2)],), OPT),
    "a mail exchanger and its addresses": (
        RA,
        ([RR(NAME, MX, 9, b"\0\1" + ELSEWHERE)], [], addresses(3, ELSEWHERE)),
        OPT,
    ),
    "two mail exchangers": (RA, ([RR(NAME, MX, 9, b"\0\1" + ELSEWHERE), RR(NAME, MX, 9, b"\0\2" + FURTHER)],), OPT),
    "addresses before a mail exchanger": (RA, ([*addresses(2), RR(NAME, MX, 9, b"\0\1" + ELSEWHERE)],), OPT),
    "addresses in all sections": (RA, (addresses(2), addresses(3), addresses(4)), OPT),
    "the asked name written out": (
        RA,
        Octets((2, 0, 0), record(NAME, A, 9, bytes(4)) + record(OWN, A, 9, b"\1" * 4)),
        OPT,
    ),
    "addresses of pointers to a written name": (
        RA,
        Octets(
            (3, 0, 0),
            record(b"\1a" + PARENT, A, 9, bytes(4))
            + b"".join(record(b"\xc0" + bytes((BEGIN,)), A, 9, bytes(3) + bytes((last,))) for last in (1, 2)),
        ),
        OPT,
    ),
    "an alias into the question": (
        RA,
        Octets(
            (3, 0, 0),
            record(OWN, CNAME, 20, b"\1a" + PARENT)
            + b"".join(record(b"\xc0" + bytes((BEGIN + 12,)), A, 9, bytes(3) + bytes((last,))) for last in (1, 2)),
        ),
        OPT,
    ),
    "aliases into aliases": (
        RA,
        Octets(
            (3, 0, 0),
            record(OWN, CNAME, 20, b"\1A\3cdn\3net\0")
            + record(b"\xc0" + bytes((BEGIN + 12,)), CNAME, 20, b"\1b\xc0" + bytes((BEGIN + 14,)))
            + record(b"\xc0" + bytes((BEGIN + 12 + 11 + 12,)), A, 9, bytes(4)),
        ),
        OPT,
    ),
    "an alias that is a pointer": (
        RA,
        Octets((2, 0, 0), record(OWN, CNAME, 20, PARENT) + record(PARENT, A, 9, bytes(4))),
        OPT,
    ),
    "an alias written in another spelling": (
        RA,
        Octets((2, 0, 0), record(OWN, CNAME, 20, ELSEWHERE.upper()) + record(ELSEWHERE, A, 9, bytes(4))),
        OPT,
    ),
    "an alias": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE), address(ELSEWHERE)],), OPT),
    "an alias that leads nowhere": (RA | NXDOMAIN, ([RR(NAME, CNAME, 20, ELSEWHERE)], [START_OF_AUTHORITY]), OPT),
    "aliases of aliases": (
        RA,
        ([RR(NAME, CNAME, 20, ELSEWHERE), RR(ELSEWHERE, CNAME, 900, FURTHER), address(FURTHER, ttl=40)],),
        OPT,
    ),
    "aliases out of order": (
        RA,
        ([address(FURTHER), RR(ELSEWHERE, CNAME, 20, FURTHER), RR(NAME, CNAME, 20, ELSEWHERE)],),
        OPT,
    ),
    "aliases in a circle": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE), RR(ELSEWHERE, CNAME, 20, NAME)],), OPT),
    "aliases in a circle, bounded": (
        RA,
        ([RR(NAME, CNAME, 20, ELSEWHERE), RR(ELSEWHERE, CNAME, 20, NAME)], [START_OF_AUTHORITY]),
        OPT,
    ),
    "an alias of itself": (RA, ([RR(NAME, CNAME, 20, NAME), address()],), OPT),
    "two aliases of one name": (
        RA,
        ([RR(NAME, CNAME, 20, ELSEWHERE), RR(NAME, CNAME, 20, FURTHER), address(ELSEWHERE), address(FURTHER)],),
        OPT,
    ),
    "an alias twice": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE)] * 2 + [address(ELSEWHERE)],), OPT),
    "an alias of a name of the same length": (RA, ([RR(NAME, CNAME, 20, SAME), address(SAME)],), OPT),
    "an alias without its end": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE)],), OPT),
    "an alias without an address": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE)], [START_OF_AUTHORITY]), OPT),
    "an alias and a stray": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE), address(FURTHER)],), OPT),
    "aliases of other names only": (RA, ([RR(ELSEWHERE, CNAME, 20, FURTHER), address(FURTHER)],), OPT),
    "an alias without a time to live": (RA, ([RR(NAME, CNAME, 0, ELSEWHERE), address(ELSEWHERE)],), OPT),
    "an alias, no EDNS": (RA, ([RR(NAME, CNAME, 20, ELSEWHERE), address(ELSEWHERE)],), b""),
    "an alias and a signature": (
        RA | AD,
        ([RR(NAME, CNAME, 20, ELSEWHERE), RR(NAME, RRSIG, 20, bytes(18) + NAME + bytes(64)), address(ELSEWHERE)],),
        opt_record(1232, True),
    ),
    "a DNAME": (
        RA,
        ([RR(parse_name("example.org."), DNAME, 20, parse_name("example.net.")), RR(NAME, CNAME, 20, ELSEWHERE)],),
        OPT,
    ),
    "an alias behind more than a datagram has": (
        RA,
        ([*(RR(NAME, 16, 9, b"\xff" + b"x" * 255) for _ in range(5)), RR(NAME, CNAME, 20, ELSEWHERE)],),
        OPT,
    ),
    "something else than was asked for": (RA, ([address(ELSEWHERE)],), OPT),
    "no such name": (RA | NXDOMAIN, ([], [START_OF_AUTHORITY]), OPT),
    "no such type": (RA, ([], [START_OF_AUTHORITY]), OPT),
    "nothing at all": (RA, ([],), OPT),
    "a delegation": (RA, ([], [RR(parse_name("example.org."), NS, 900, ELSEWHERE)], [address(ELSEWHERE)]), OPT),
    "no such name without proof": (RA | NXDOMAIN, ([],), OPT),
    "a failure": (RA | SERVFAIL, ([],), OPT),
    "a refusal": (RA | REFUSED, ([],), OPT),
    "a refusal with records": (RA | REFUSED, ([address()], [START_OF_AUTHORITY]), OPT),
    "a failure without EDNS": (RA | SERVFAIL, ([],), b""),
    "a failure with records": (RA | SERVFAIL, ([address()], [START_OF_AUTHORITY]), OPT),
    "not implemented": (RA | NOTIMP, ([],), OPT),
    "a format error with EDNS": (RA | FORMERR, ([],), OPT),
    "another rcode": (RA | 9, ([],), OPT),
    "an extended rcode": (RA, ([],), opt_record(1232, False, 1)),
    "a reason": (RA | SERVFAIL, ([],), opt_record(1232, False, options=edns_option(15, b"\0\6bogus"))),
    "a reason for an address": (RA, ([address()],), opt_record(1232, False, options=edns_option(15, b"\0\3stale"))),
    "a reason among others": (
        RA | NXDOMAIN,
        ([], [START_OF_AUTHORITY]),
        opt_record(1232, False, options=edns_option(10, b"cookie!!") + edns_option(15, b"\0\x11blocked") * 2),
    ),
    "a reason that is cut": (RA | SERVFAIL, ([],), opt_record(1232, False, options=b"\0\x0f\0\1\0")),
    "a long reason": (
        RA,
        ([address(last=last) for last in range(30)],),
        opt_record(1232, False, options=edns_option(15, b"\0\0" + b"x" * 500)),
    ),
    "a long reason for nothing": (
        RA | SERVFAIL,
        ([],),
        opt_record(1232, False, options=edns_option(15, b"\0\0" + b"x" * 500)),
    ),
    "options for us alone": (RA, ([address()],), opt_record(1232, False, options=edns_option(10, b"cookie!!" * 2))),
    "truncated": (RA | TC, ([],), OPT),
    "no EDNS there": (FORMERR, ([],), b""),
    "more than a datagram to the client has": (
        RA,
        ([], [], [RR(ELSEWHERE, 16, 9, b"\xff" + b"x" * 255) for _ in range(4)]),
        OPT,
    ),
}
CHAINED: Final = frozenset({
    "an alias and a signature", "a DNAME", "an extended rcode", "truncated",
})  # fmt: skip
"""Replies that are parsed, or that need an OPT record: the chain composes those."""
REORDERED: Final = frozenset({
    "addresses of both kinds", "two mail exchangers", "addresses of another name", "addresses before a text",
    "aliases out of order", "an alias behind more than a datagram has", "the asked name written out",
    "addresses of pointers to a written name",
})  # fmt: skip
"""Replies that ``loadbalance`` composes: in their order, or compression, octets of addresses cannot change places."""
QUERIES: Final = {
    "plain": query(NAME, A),
    "its spelling": query(spelled(NAME, 5), A),
    "EDNS": query(NAME, A, opt=Opt()),
    "DO": query(NAME, A, opt=Opt(4096, do=True)),
    "512 octets": query(NAME, A, opt=Opt(512, options=edns_option(10, b"cookie!!"))),
    "AD and CD": query(NAME, A, flags=RD | AD | CD),
    "no recursion": query(NAME, A, flags=0),
    "another type": query(NAME, AAAA),
    "another class": query(NAME, A, rclass=3),
}
