"""Addresses and ranges as API servers store them and as kube-proxy reads them. Pure.

Kubernetes reads them with Go's old rules (``ParseIPSloppy`` and ``ParseCIDRSloppy`` of k8s.io/utils/net), since objects
written before Go 1.17 may hold such text and are never checked again (KEP-4858): leading zeros mean nothing, so that
``010.0.0.1`` is 10.0.0.1 and not octal, and an IPv4-mapped address (``::ffff:10.0.0.1``) is the IPv4 address.
White space around a text is allowed.
"""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final

from kdns.base.objects import Network

MAPPED: Final = bytes(10) + b"\xff\xff"
"""How the 16 octets of an IPv4-mapped address begin (RFC 4291 section 2.5.5.2)."""
LONGEST_TEXT: Final = 256
"""Characters of a text that is looked at: zeros may lead, but not for ever."""
_ZEROS: Final = re.compile(r"(?<![0-9A-Fa-f])0+(?=[0-9A-Fa-f])")
"""Leading zeros of a decimal or hexadecimal group, but not its last digit."""
_FOUR: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def is_address(text: str) -> bool:
    """An IP address of either family as Python's ipaddress reads it, maybe with a zone: no spaces, no leading zeros."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def parse_address(text: str) -> bytes:
    """4 or 16 octets. ValueError for all that is not an address, also for one with a zone (``fe80::1%eth0``)."""
    octets = _octets(text.strip())
    return octets[12:] if octets.startswith(MAPPED) else octets


def parse_network(text: str) -> Network:
    """``10.0.0.0/8`` or ``fd00::/8``: an address, a slash and a length in bits; ValueError for all else.

    Bits beyond the length are cleared.
    """
    address, slash, length_text = text.strip().partition("/")
    if not slash or not (length_text.isascii() and length_text.isdigit() and len(length_text) < LONGEST_TEXT):
        raise ValueError(f"{text[:64]!a} has no length")
    octets, length = _octets(address), int(length_text)
    spare = len(octets) * 8 - length
    if spare < 0:
        raise ValueError(f"{text[:64]!a} has a length above {len(octets) * 8}")
    octets = (int.from_bytes(octets, "big") >> spare << spare).to_bytes(len(octets), "big")
    if octets.startswith(MAPPED) and length >= 96:
        return Network(octets[12:], length - 96)
    return Network(octets, length)


def _octets(text: str) -> bytes:
    """As many octets as the text spells: 16 for an IPv4-mapped address."""
    if len(text) <= LONGEST_TEXT and text.isascii() and "%" not in text:
        bare = _ZEROS.sub("", text)
        try:
            if ":" in bare:
                return IPv6Address(bare).packed
            if _FOUR.fullmatch(bare):
                return bytes(map(int, bare.split(".")))
        except ValueError:  # an octet above 255, say
            pass
    raise ValueError(f"{text[:64]!a} is not an address")
