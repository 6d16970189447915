"""Addresses of endpoints in their usual spelling, text to octets. Pure, and nearly as quick as what `socket` does.

A cluster has a hundred thousand endpoints, and `kdns.base.addresses` takes ten times as long for each. What it is for,
leading zeros and IPv4-mapped addresses, needs a second look, and gets None here. Addresses of the Pods of a node differ
in their last group only, so what comes before it is remembered.
"""

from ipaddress import IPv6Address
from typing import Final, TypeVar

from kdns.base.addresses import MAPPED

T = TypeVar("T")

REMEMBERED: Final = 4096
"""Beginnings of addresses, of each family."""
_OCTETS: Final = {str(number): bytes((number,)) for number in range(256)}
_FIRST_DIGITS: Final = frozenset("123456789abcdef")

_heads4: dict[str, bytes] = {}
_heads6: dict[str, bytes] = {}
_canonical: dict[str, bool] = {}


def quick_ipv4(text: str) -> bytes | None:
    """Four octets of a dotted quad; None for all else, such as leading zeros."""
    head, _, last = text.rpartition(".")
    try:
        return _heads4[head] + _OCTETS[last]
    except KeyError:
        pass
    try:
        first, second, third, fourth = text.split(".")
        begin = _OCTETS[first] + _OCTETS[second] + _OCTETS[third]
        packed = begin + _OCTETS[fourth]
    except (KeyError, ValueError):
        return None
    _remember(_heads4, head, begin)
    return packed


def quick_ipv6(text: str) -> bytes | None:
    """Sixteen octets of an IPv6 address (RFC 4291 section 2.2); None for all else, such as dotted quads."""
    head, _, last = text.rpartition(":")
    begin = _heads6.get(head)
    if begin is not None and last.isalnum() and len(last) <= 4:
        try:
            return begin + bytes.fromhex(last.rjust(4, "0"))
        except ValueError:
            return None
    packed = _ipv6(text)
    if packed is not None and last:
        _remember(_heads6, head, packed[:14])
    return packed


def _ipv6(text: str) -> bytes | None:
    head, elided, tail = text.partition("::")
    before = head.split(":") if head else []
    after = tail.split(":") if tail else []
    missing = 8 - len(before) - len(after)
    if (missing < 1) if elided else missing:
        return None
    groups = [*before, *["0"] * missing, *after]
    digits = "".join([group.rjust(4, "0") for group in groups])
    if len(digits) != 32 or "" in groups or " " in text:
        return None
    try:
        packed = bytes.fromhex(digits)
    except ValueError:
        return None
    return None if len(packed) != 16 or packed.startswith(MAPPED) else packed


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
        _remember(_canonical, head, known)
    return known


def _remember(memory: dict[str, T], head: str, value: T) -> None:
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[head] = value
