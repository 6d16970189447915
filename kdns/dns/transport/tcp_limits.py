"""What one listener for connections bears."""

from typing import Final

from msgspec import Struct

READ: Final = 16 * 1024
"""Octets of one read, about 300 queries; each connection may hold one until its turn comes. One buffer serves all
connections of a listener, since a read is copied out at once."""
WRITE: Final = 16 * 1024
"""Octets of replies that are gathered into one write, and that may lie unsent before a client counts as stuck."""
SEND: Final = 64 * 1024
"""Octets of replies that the kernel keeps for a client, times two by its own count. Left alone it keeps megabytes for
one that does not read, which a container's memory limit counts as ours; and writes them before those of others."""


class TcpLimits(Struct, frozen=True, kw_only=True):
    """What one listener bears. Times are seconds, and those of CoreDNS."""

    connections: int = 1000
    """One more closes that which has been idle longest; one of a client over its share closes one of its own."""
    queries: int | None = None
    """On one connection, which is closed after them; None means any number."""
    in_flight: int = 100
    """Queries of one connection that wait for the slow way; more are read when some of these are answered."""
    stuck: int = 100
    """Connections whose clients do not read; one more aborts that which has been stuck longest."""
    idle: float = 10.0
    """Without a query or a reply that is owed (RFC 7766 section 6.2.3 wants "on the order of a few seconds")."""
    read: float = 3.0
    """From the first octet of a frame to its last."""
    write: float = 5.0
    """For a client that does not read, and for the last octets of a connection that is closed."""
