"""How long a reply may be kept, from its octets alone."""

from typing import Final

from kdns.base.errors import FormError
from kdns.wire.numbers import HEADER, NOERROR, NXDOMAIN, OPT
from kdns.wire.query import parse_header, question_end

ERROR_LIFETIME: Final = 5
"""Seconds, for a reply without records or with another error than NXDOMAIN; as in CoreDNS."""
MAX_LIFETIME: Final = 3600
"""Seconds, as in CoreDNS."""


def lifetime(reply: bytes) -> int:
    """Seconds: the smallest TTL of all records but OPT, `MAX_LIFETIME` at most (RFC 8484 section 5.1).

    Raises FormError for octets that are no reply with one question.
    """
    header = parse_header(reply)
    count = header.answers + header.authorities + header.additionals
    if header.flags & 0xF not in {NOERROR, NXDOMAIN} or not count:
        return ERROR_LIFETIME
    try:
        at = question_end(reply) + 4 if header.questions else HEADER
        shortest: int | None = None
        for _ in range(count):
            while reply[at] and reply[at] < 0xC0:
                at += 1 + reply[at]
            at += 2 if reply[at] else 1
            if int.from_bytes(reply[at : at + 2], "big") != OPT:
                ttl = int.from_bytes(reply[at + 4 : at + 8], "big")
                shortest = ttl if shortest is None else min(shortest, ttl)
            at += 10 + int.from_bytes(reply[at + 8 : at + 10], "big")
    except IndexError as error:
        raise FormError("a record ends too early", header.id) from error
    return ERROR_LIFETIME if shortest is None else min(shortest, MAX_LIFETIME)
