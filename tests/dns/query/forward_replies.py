"""Replies of upstreams, and queries for them: what the forward path and the chain have to answer alike."""

from typing import Final

from kdns.wire.compose import compose_sections, head
from kdns.wire.name import parse_name
from kdns.wire.numbers import (
    AA,
    AAAA,
    AD,
    CD,
    CNAME,
    DNAME,
    FORMERR,
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
FURTHER: Final = parse_name("b.a.example.net.")
SAME: Final = parse_name("www.example.net.")
"""As long as the asked name."""
START_OF_AUTHORITY: Final = RR(parse_name("example.org."), SOA, 60, NAME + NAME + bytes(20))


def composed(query: Query, flags: int, *sections: list[RR], opt: bytes = b"") -> bytes:
    """An upstream's reply."""
    answer, authority, additional = (*sections, [], [], [])[:3]
    made = compose_sections(query.name, answer, authority, additional)
    return query.id.to_bytes(2, "big") + head(QR | flags, made.counts, bool(opt)) + query.question + made.octets + opt


def address(owner: bytes = NAME, last: int = 1, ttl: int = 300) -> RR:
    """One A record."""
    return RR(owner, A, ttl, bytes((192, 0, 2, last)))


OPT: Final = opt_record(1232, False)
REPLIES: Final[dict[str, tuple[int, tuple[list[RR], ...], bytes]]] = {
    "one address": (RA, ([address()],), OPT),
    "one address, no EDNS": (RA | RD, ([address()],), b""),
    "authoritative and authentic": (RA | AA | AD, ([address()],), OPT),
    "a short and a long time to live": (RA, ([address(ttl=1)], [], [address(ELSEWHERE, 2, 90_000)]), OPT),
    "two addresses": (RA, ([address(), address(last=2)],), OPT),
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
