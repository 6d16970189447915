"""Reverse names (RFC 1035 section 3.5, RFC 3596 section 2.5), and zones written as CIDRs."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from kdns.wire.name import parse_name

IN_ADDR: Final = parse_name("in-addr.arpa.")
IP6: Final = parse_name("ip6.arpa.")
CIDR: Final = re.compile(r"[0-9A-Fa-f.:]+/[0-9]+")
"""With letters after the slash it is a name: RFC 2317 has zones such as 0/25.2.0.192.in-addr.arpa."""


def zone_names(text: str) -> Iterator[bytes]:
    """The zones a text stands for: a name is itself, a CIDR the reverse zones that cover it.

    A mask is widened to the next octet (IPv4) or nibble (IPv6) by listing every zone: 10.0.0.0/15 is
    0.10.in-addr.arpa and 1.10.in-addr.arpa. Raises ValueError for what is neither name nor CIDR.
    """
    if not CIDR.fullmatch(text):
        yield parse_name(text)
        return
    network = ipaddress.ip_network(text, strict=False)
    step = 8 if network.version == 4 else 4
    new_prefix = min(-(-network.prefixlen // step) * step, network.max_prefixlen)
    for part in network.subnets(new_prefix=new_prefix) if new_prefix != network.prefixlen else (network,):
        yield reverse_name(part.network_address.packed, new_prefix // step)


def reverse_name(address: bytes, digits: int | None = None) -> bytes:
    """The name under in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596 section 2.5) of a packed address.

    ``digits``: only so many leading octets (IPv4) or nibbles (IPv6).
    """
    if len(address) == 4:
        parts = [str(octet) for octet in address]
        apex = IN_ADDR
    else:
        parts = list(address.hex())
        apex = IP6
    if digits is not None:
        parts = parts[:digits]
    return b"".join(bytes((len(part),)) + part.encode("ascii") for part in reversed(parts)) + apex
