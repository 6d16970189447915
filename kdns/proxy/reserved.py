"""Addresses that the proxy never writes a rule for, neither as a frontend nor as an endpoint. Pure.

A frontend of 169.254.169.254, say, would catch the credentials that clouds serve, and an endpoint of 127.0.0.1 would
lead Pods to what the node has for itself alone (CVE-2020-8558). API servers refuse such endpoints; files need not.
"""

from typing import Final

from kdns.base.addresses import parse_network

RESERVED: Final = tuple(
    (parse_network(text), reason)
    for text, reason in (
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("0.0.0.0/8", "unspecified"),
        ("255.255.255.255/32", "broadcast"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("::/128", "unspecified"),
    )
)
_FIRST_OCTETS: Final = {
    width: frozenset(
        first
        for network, _ in RESERVED
        if len(network.address) == width
        for first in range(network.address[0], network.address[0] + (1 << max(0, 8 - network.length)))
    )
    for width in (4, 16)
}
"""Of addresses that may be reserved, for speed: nearly all endpoints begin otherwise."""


def reserved(address: bytes) -> str | None:
    """Why a packed address is left out, such as ``loopback``; None: it may be used."""
    if address[0] not in _FIRST_OCTETS[len(address)]:
        return None
    return next((reason for network, reason in RESERVED if address in network), None)
