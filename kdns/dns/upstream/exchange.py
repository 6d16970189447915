"""What the transports share: their shape, their limits, and the texts of their failures.

The texts of errors are those that operators know from CoreDNS's log, such as
``read udp 10.244.0.5:40053->10.0.0.10:53: i/o timeout``.
"""

import errno
import secrets
import socket
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.received import Received
from kdns.dns.upstream.upstream_address import UpstreamAddress
from kdns.wire.message import UpstreamQuery

STRAYS: Final = 64
"""Messages on one connection that are not for us, before we think that the other side is confused."""


class Transport(Protocol):
    """One way to talk to one upstream."""

    async def exchange(self, ask: UpstreamQuery, seconds: float, payload: int | None) -> Received:
        """Ask, and wait for the response at most this long; raises UpstreamError.

        ``payload``: octets that we take over UDP; None for a query without EDNS.
        """

    async def close(self) -> None:
        """Close all that is open."""


class Address(NamedTuple):
    """Where to send."""

    family: socket.AddressFamily
    sockaddr: tuple[object, ...]
    text: str
    """``ADDRESS:PORT``"""
    source: str = ""
    """Our own address to send from; empty: the system chooses."""

    @property
    def local(self) -> tuple[str, int] | None:
        """Where to bind."""
        return (self.source, 0) if self.source else None


def address_of(target: UpstreamAddress, source: str = "") -> Address:
    """The address of a resolved target. Raises UpstreamError when its zone is not an interface of this machine."""
    try:
        found = socket.getaddrinfo(
            target.host, target.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise UpstreamError(f"dial {target.text}: {error.strerror or error}") from error
    family, _, _, _, sockaddr = found[0]
    return Address(family, sockaddr, target.text, source)


def unguessable() -> int:
    """The id of a query: it cannot be worked out from those before (RFC 5452 section 9.2)."""
    return secrets.randbits(16)


Number = Callable[[], int]
"""Gives the ids of queries."""

_REASONS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EPIPE: "broken pipe",
    errno.ENETUNREACH: "network is unreachable",
    errno.EHOSTUNREACH: "no route to host",
    errno.EMFILE: "too many open files",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
}


def reason(error: BaseException) -> str:
    """An error of a socket in the words of CoreDNS's log."""
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    if isinstance(error, OSError) and error.errno in _REASONS:
        return _REASONS[error.errno]
    return str(error) or type(error).__name__


def endpoints(sock: socket.socket | None, address: Address) -> str:
    """``LOCAL->REMOTE``, for an error."""
    try:
        name = sock.getsockname() if sock is not None else None
    except OSError:
        name = None
    if not name:
        return address.text
    host, port = name[:2]
    return f"[{host}]:{port}->{address.text}" if ":" in host else f"{host}:{port}->{address.text}"
