"""Values as the API server spells them, and how a bad one is quoted. Pure."""

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Final

from kdns.base.objects import Network

Warn = Callable[[str], None]
"""Told in one line what was left out of an object, without the object's name."""
QUOTED: Final = 64
"""Characters shown of a bad value."""


def quoted(value: object) -> str:
    """Whatever the object holds, short and on one line."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= QUOTED else text[: QUOTED - 4] + "..."


def keep_addresses(texts: Iterable[str | None], called: str, warn: Warn | None = None) -> tuple[bytes, ...]:
    """Packed addresses, each once, in their order; what is none is left out and told to `warn` as ``called 'text'``."""
    found: dict[bytes, None] = {}
    for text in texts:
        if not text:
            continue
        try:
            found[_address(text)] = None
        except ValueError:
            if warn is not None:
                warn(f"{called} {quoted(text)} left out: not an address")
    return tuple(found)


def keep_networks(texts: Iterable[str | None], called: str, warn: Warn | None = None) -> tuple[Network, ...]:
    """Ranges in CIDR notation, white space around them allowed; what is none is left out and told to `warn`.

    Bits beyond the length are cleared, as Go's net.ParseCIDR does.
    """
    found: dict[Network, None] = {}
    for text in texts:
        if not text or not text.strip():
            continue
        try:
            found[parse_network(text.strip())] = None
        except ValueError:
            if warn is not None:
                warn(f"{called} {quoted(text)} left out: not a range such as 10.0.0.0/8")
    return tuple(found)


def parse_network(text: str) -> Network:
    """``10.0.0.0/8`` or ``fd00::/8``: an address, a slash and a length. ValueError for all else."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()):
        raise ValueError(f"{quoted(text)} has no length")  # ip_network also takes masks, and bare addresses
    _address(address)
    network = ip_network(text, strict=False)
    return Network(network.network_address.packed, network.prefixlen)


def _address(text: str) -> bytes:
    if "%" in text:
        raise ValueError(f"{quoted(text)} has a zone")  # which packing would lose
    return ip_address(text).packed
