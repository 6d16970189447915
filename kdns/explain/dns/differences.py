"""Where CoreDNS answers otherwise than kdns, as docs/coming-from-coredns.md lists it. Pure.

Only what a client notices while a Service is looked up: whether there is an answer, and its rcode.
"""

from typing import NamedTuple

from kdns.records.answers import Answers
from kdns.records.reasons import Missing, Reason
from kdns.records.rrset import Result
from kdns.wire.numbers import CNAME, NOERROR, NXDOMAIN, PTR, SERVFAIL, SOA, TXT


class Difference(NamedTuple):
    """CoreDNS's answer."""

    rcode: int
    records: bool
    """It has an answer."""
    why: str


def of_coredns(answers: Answers, name: bytes, rtype: int) -> Difference | None:
    """What CoreDNS answers for a folded name of the cluster, where that is something else; None: the same."""
    result = answers.lookup(name, rtype)
    if isinstance(result, Missing) or result.fallthrough:
        return None
    if result.answer:
        return _alias(result)
    return _missing(result.missing, rtype) if result.missing is not None else None


def _missing(missing: Missing, rtype: int) -> Difference | None:
    match missing.reason:
        case Reason.NO_TARGET:
            return Difference(NXDOMAIN, False, "the ExternalName is an address: CoreDNS answers NXDOMAIN")
        case Reason.EMPTY:
            return _above(rtype)
        case _ if missing.reason.rcode == NXDOMAIN and rtype == SOA:
            return Difference(NOERROR, False, "CoreDNS answers SOA questions for names that do not exist with NODATA")
        case _:
            return None


def _above(rtype: int) -> Difference | None:
    if rtype in {TXT, PTR}:
        return Difference(NXDOMAIN, False, "CoreDNS answers NXDOMAIN for names that are only above others")
    return None


def _alias(result: Result) -> Difference | None:
    """An ExternalName whose target is one of the cluster's own names."""
    if result.answer[0].rtype != CNAME:
        return None
    if result.rcode == SERVFAIL:
        return Difference(NOERROR, False, "the chain of CNAMEs has no end: CoreDNS answers NODATA")
    if result.chase is None and len(result.answer) == 1:
        return Difference(NOERROR, False, "the ExternalName's target has no such record: CoreDNS leaves the CNAME out")
    return None
