"""May a response be kept, in which half of the cache, and for how long (RFC 2308, RFC 2181 section 8)."""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

from kdns.dns.api.handler import Response
from kdns.wire.numbers import (
    ANY,
    CLASS_ANY,
    CNAME,
    NOERROR,
    NOTIMP,
    NS,
    NXDOMAIN,
    RD,
    SERVFAIL,
    SOA,
    TC,
    TRANSFERS,
)
from kdns.wire.query import Query
from kdns.wire.rr import RR
from kdns.wire.walk import Facts

EMPTY: Final = 5
"""Seconds that a response without any record, or with a delegation, is good for."""


class Kind(Enum):
    """What a response is to the cache."""

    SUCCESS = "success"
    DENIAL = "denial"
    """NXDOMAIN or NODATA."""
    FAILURE = "failure"
    """SERVFAIL or NOTIMP: kept among the denials, for a short time."""
    NEVER = "never"
    """It is not kept."""
    UNRELATED = "stray"
    """Its answer section is about something else than the question: not kept, and counted."""


class Bounds(Struct, frozen=True):
    """How long responses of one half are kept, in seconds."""

    most: int
    least: int = 5


def kind_of(query: Query, response: Response) -> Kind:
    """What may be done with the response to a query.

    RFC 1035 section 4.1.1: without RD no recursion is desired. Such a query may be answered with what is kept, but its
    own response is what an upstream happened to have, a referral or nothing: kept, it would be the answer for the
    clients that do want recursion.
    """
    if response.dropped or response.unclaimed or response.flags & TC or query.rtype in TRANSFERS:
        return Kind.NEVER
    if not query.flags & RD:
        return Kind.NEVER
    facts = facts_of(response, query.name)
    if facts is not None:
        return clean_kind(response.rcode, facts)
    if response.rcode in {SERVFAIL, NOTIMP}:
        return Kind.FAILURE
    if response.rcode not in {NOERROR, NXDOMAIN}:
        return Kind.NEVER
    if response.answer and all(rr.owner != query.name for rr in response.answer):
        return Kind.UNRELATED
    bounded = any(rr.rtype == SOA for rr in response.authority)
    if response.rcode == NOERROR and (answers(query, response) or not (response.answer or bounded)):
        return Kind.SUCCESS  # nothing at all, or a delegation, is taken for a success, too
    # RFC 2308 section 5: "Negative responses without SOA records SHOULD NOT be cached as there is no way to prevent
    # the negative responses looping forever". An alias that leads nowhere is such a response as well (section 2.2).
    return Kind.DENIAL if bounded else Kind.NEVER


def clean_kind(rcode: int, facts: Facts) -> Kind:
    """The same of a clean response to a query with RD."""
    if rcode not in {NOERROR, NXDOMAIN}:
        return Kind.FAILURE if rcode in {SERVFAIL, NOTIMP} else Kind.NEVER
    answer = facts.sections.counts[0]
    if answer and not facts.owned:
        return Kind.UNRELATED
    if rcode == NOERROR and (facts.answering or not (answer or facts.soa)):
        return Kind.SUCCESS
    return Kind.DENIAL if facts.soa else Kind.NEVER


def answers(query: Query, response: Response) -> bool:
    """True if the answer section has the type that was asked for, at the end of the aliases that begin at the name."""
    facts = facts_of(response, query.name)
    if facts is not None:
        return facts.answering
    records = [rr for rr in response.answer if query.rclass in {rr.rclass, CLASS_ANY}]
    if query.rtype == ANY:
        return any(rr.owner == query.name for rr in records)
    aliases: dict[bytes, set[bytes]] = {}
    for rr in records:
        if rr.rtype == CNAME:
            aliases.setdefault(rr.owner, set()).add(rr.rdata.lower())
    if query.rtype == CNAME:
        return len(aliases.get(query.name, ())) == 1
    name = query.name
    for _ in range(len(aliases) + 1):
        targets = aliases.get(name)
        if targets is None:
            return any(rr.owner == name and rr.rtype == query.rtype for rr in records)
        if len(targets) > 1:  # RFC 2181 section 10.1: "there may be only one such canonical name"
            return False
        (name,) = targets
    return False  # they lead in a circle


def facts_of(response: Response, name: bytes | None = None) -> Facts | None:
    """What is known of the octets of a response, if no plugin has changed them, and if they are for a folded name."""
    compiled = response.compiled
    if compiled is None or compiled.facts is None:
        return None
    return compiled.facts if response.compiled_for(compiled.name if name is None else name) is compiled else None


def duration(response: Response, kind: Kind, bounds: Bounds, failure: int) -> int:
    """How many seconds a response is good for: its lowest TTL, within bounds."""
    if kind is Kind.FAILURE:
        return failure
    facts = facts_of(response)
    if facts is not None:
        delegation = not response.answer and response.rcode == NOERROR and facts.ns and kind is not Kind.DENIAL
        lowest = EMPTY if delegation or not facts.fields else facts.lowest
        return min(max(lowest, bounds.least), bounds.most)
    records = (*response.answer, *response.authority, *response.additional)
    delegation = not response.answer and response.rcode == NOERROR and any(
        rr.rtype == NS for rr in response.authority
    )  # fmt: skip
    if not records or (delegation and kind is not Kind.DENIAL):
        lowest = EMPTY
    else:
        lowest = min(0 if rr.ttl >= 1 << 31 else rr.ttl for rr in records)  # RFC 2181 section 8: those mean zero
    return min(max(lowest, bounds.least), bounds.most)


def with_ttl(records: Sequence[RR], ttl: int) -> tuple[RR, ...]:
    """The records with another TTL."""
    return tuple([RR(rr.owner, rr.rtype, ttl, rr.rdata, rr.rclass) for rr in records])
