"""What kind of response one is (RFC 2308 section 2): for log, minimal, and plugins that tell "no" from "elsewhere"."""

from typing import Final, Literal

from kdns.dns.api.handler import Response
from kdns.wire.numbers import NOERROR, NOTIMP, NS, NXDOMAIN, SERVFAIL, SOA, TRANSFERS

Kind = Literal["NOERROR", "NXDOMAIN", "NODATA", "DELEGATION", "SERVERERROR", "META", "OTHERERROR"]
"""CoreDNS's words for them."""
Class = Literal["success", "denial", "error"]

CLASS_OF: Final[dict[Kind, Class]] = {
    "NOERROR": "success", "DELEGATION": "success", "NXDOMAIN": "denial", "NODATA": "denial",
    "SERVERERROR": "error", "META": "error", "OTHERERROR": "error",
}  # fmt: skip


def kind_of(rtype: int, response: Response) -> Kind:
    """The kind of the response to a question for a type."""
    if response.dropped:
        return "OTHERERROR"
    if rtype in TRANSFERS:
        return "META"
    rcode = response.rcode
    if response.answer:
        return "NOERROR" if rcode == NOERROR else "OTHERERROR" if rcode == NXDOMAIN else _error(rcode)
    if rcode == NXDOMAIN:
        return "NXDOMAIN"
    if rcode != NOERROR:
        return _error(rcode)
    types = {each.rtype for each in response.authority}
    return "NODATA" if SOA in types else "DELEGATION" if NS in types else "NOERROR"


def _error(rcode: int) -> Kind:
    return "SERVERERROR" if rcode in {SERVFAIL, NOTIMP} else "OTHERERROR"
