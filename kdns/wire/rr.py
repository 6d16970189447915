"""One resource record in wire form (RFC 1035 section 3.2.1)."""

from typing import NamedTuple

from kdns.wire.numbers import IN


class RR(NamedTuple):
    """A resource record; names in it are folded and uncompressed."""

    owner: bytes
    rtype: int
    ttl: int
    """Seconds."""
    rdata: bytes
    rclass: int = IN
