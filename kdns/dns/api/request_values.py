"""What query lines and expressions say of a request, in CoreDNS's words."""

from ipaddress import IPv6Address, ip_address

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


def client(request: Request) -> bytes:
    """The client's packed address, an IPv4 one also where it came in over IPv6 (::ffff:192.0.2.1)."""
    address = ip_address(request.client.address.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed


def do(request: Request) -> bool:
    """The client wants DNSSEC records."""
    edns = request.query.edns
    return edns is not None and edns.do
