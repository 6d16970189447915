"""Addresses of endpoints in their usual spelling, text to octets. Pure.

A cluster has a hundred thousand endpoints, and `kdns.base.addresses` takes ten times as long for each. What it is for,
leading zeros and IPv4-mapped addresses, needs a second look, and gets None here. How RFC 5952 writes an address is
remembered by what comes before its last group, in which alone addresses of the Pods of a node differ.
"""

from ipaddress import IPv6Address
from typing import Final

from kdns.base.addresses import MAPPED
from kdns.base.octets import AF_INET, AF_INET6, inet_pton

REMEMBERED: Final = 4096
"""Beginnings of addresses."""
_FIRST_DIGITS: Final = frozenset("123456789abcdef")

_canonical: dict[str, bool] = {}


def quick_ipv4(text: str) -> bytes | None:
    """Four octets of a dotted quad; None for all else, such as leading zeros."""
    try:
        return inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return None


def quick_ipv6(text: str) -> bytes | None:
    """Sixteen octets of an IPv6 address (RFC 4291 section 2.2); None for all else, and for IPv4-mapped ones."""
    try:
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    return None if packed.startswith(MAPPED) else packed


def canonical(packed: bytes, text: str) -> bool:
    """Whether `text` is how RFC 5952 writes the IPv6 address.

    Below ::/80 libraries disagree (dotted quads or not), so that nothing counts as canonical there.
    """
    head, _, last = text.rpartition(":")
    if last[:1] not in _FIRST_DIGITS or (not last.islower() and not last.isdigit()):
        return any(packed[:10]) and str(IPv6Address(packed)) == text
    known = _canonical.get(head)  # the last group is neither 0 nor odd: the rest decides
    if known is None:
        known = any(packed[:10]) and str(IPv6Address(packed)) == text
        if len(_canonical) >= REMEMBERED:
            _canonical.clear()
        _canonical[head] = known
    return known
