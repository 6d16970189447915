"""What query lines and expressions say of a request, in CoreDNS's words."""

from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from kdns.dns.api.handler import Request
from kdns.wire.query import PLAIN_LIMIT, TCP_LIMIT


def proto(request: Request) -> str:
    """``udp`` or ``tcp``: TLS and HTTPS are TCP."""
    return "udp" if request.client.proto == "udp" else "tcp"


def bufsize(request: Request) -> int:
    """Octets of a reply that the client can take, as it says."""
    if request.client.proto != "udp":
        return TCP_LIMIT
    edns = request.query.edns
    return PLAIN_LIMIT if edns is None else max(edns.payload, PLAIN_LIMIT)


_MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an IPv4 address begins as one of IPv6 (RFC 4291 section 2.5.5.2)."""


def client(request: Request) -> bytes:
    """The client's packed address, an IPv4 one also where it came in over IPv6 (::ffff:192.0.2.1)."""
    address = request.client.address
    if ":" not in address:
        return inet_pton(AF_INET, address)  # a tenth of what `ipaddress` costs
    packed = inet_pton(AF_INET6, address.partition("%")[0])
    return packed[len(_MAPPED) :] if packed.startswith(_MAPPED) else packed


def do(request: Request) -> bool:
    """The client wants DNSSEC records."""
    edns = request.query.edns
    return edns is not None and edns.do
