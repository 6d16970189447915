"""One resource record in wire form (RFC 1035 section 3.2.1)."""

from typing import NamedTuple

from kdns.wire.numbers import IN


class RR(NamedTuple):
    """A resource record; names in it are uncompressed, and folded but for those that `kdns.wire.rdata` leaves alone."""

    owner: bytes
    rtype: int
    ttl: int
    """Seconds."""
    rdata: bytes
    rclass: int = IN
