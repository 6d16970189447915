"""What one listener for connections bears."""

from msgspec import Struct


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
