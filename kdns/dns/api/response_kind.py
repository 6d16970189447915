"""What kind of response one is (RFC 2308 section 2): for log, minimal, and plugins that tell "no" from "elsewhere"."""

from typing import Final, Literal

from kdns.dns.api.handler import Response
from kdns.wire.compose import Sections
from kdns.wire.numbers import NOERROR, NOTIMP, NS, NXDOMAIN, SERVFAIL, SOA, TRANSFERS

Kind = Literal["NOERROR", "NXDOMAIN", "NODATA", "DELEGATION", "SERVERERROR", "META", "OTHERERROR"]
"""CoreDNS's words for them."""
Class = Literal["success", "denial", "error"]

POINTER: Final = 0xC0
"""RFC 1035 section 4.1.4: an octet of at least so much begins a pointer of two octets."""

CLASS_OF: Final[dict[Kind, Class]] = {
    "NOERROR": "success", "DELEGATION": "success", "NXDOMAIN": "denial", "NODATA": "denial",
    "SERVERERROR": "error", "META": "error", "OTHERERROR": "error",
}  # fmt: skip


def kind_of(rtype: int, response: Response) -> Kind:
    """The kind of the response to a question for a type."""
    if response.dropped:
        return "OTHERERROR"
    answered = bool(response.answer)
    authority = frozenset[int]() if answered else frozenset(rr.rtype for rr in response.authority)
    return kind_by(rtype, response.rcode, answered, authority)


def kind_by(rtype: int, rcode: int, answered: bool, authority: frozenset[int]) -> Kind:
    """The same from what decides it; ``authority`` has the types of that section."""
    if rtype in TRANSFERS:
        return "META"
    if answered:
        return "NOERROR" if rcode == NOERROR else "OTHERERROR" if rcode == NXDOMAIN else _error(rcode)
    if rcode == NXDOMAIN:
        return "NXDOMAIN"
    if rcode != NOERROR:
        return _error(rcode)
    return "NODATA" if SOA in authority else "DELEGATION" if NS in authority else "NOERROR"


def authority_types(sections: Sections) -> frozenset[int]:
    """The types of the authority section of sections without an answer."""
    octets, types = sections.octets, set[int]()
    for at in (0, *sections.ends)[: sections.counts[1]]:
        end = at
        while 0 < octets[end] < POINTER:
            end += 1 + octets[end]
        end += 2 if octets[end] else 1
        types.add(int.from_bytes(octets[end : end + 2], "big"))
    return frozenset(types)


def _error(rcode: int) -> Kind:
    return "SERVERERROR" if rcode in {SERVFAIL, NOTIMP} else "OTHERERROR"
