"""Values as the API server spells them, and how a bad one is quoted. Pure."""

from collections.abc import Callable, Iterable
from typing import Final

from kdns.base.addresses import parse_address, parse_network
from kdns.base.objects import Network

Warn = Callable[[str], None]
"""Called with one line about what was left out of an object, without the object's name."""
QUOTED: Final = 64
"""Characters shown of a bad value."""


def quoted(value: object) -> str:
    """A value of an object, short and on one line."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= QUOTED else text[: QUOTED - 4] + "..."


def keep_addresses(texts: Iterable[str | None], called: str, warn: Warn | None = None) -> tuple[bytes, ...]:
    """Packed addresses, each once, in their order. Invalid ones are left out and reported as ``called 'text'``."""
    addresses: dict[bytes, None] = {}
    for text in texts:
        if not text:
            continue
        try:
            addresses[parse_address(text)] = None
        except ValueError:
            if warn is not None:
                warn(f"{called} {quoted(text)} left out: not an address")
    return tuple(addresses)


def keep_networks(texts: Iterable[str | None], called: str, warn: Warn | None = None) -> tuple[Network, ...]:
    """Ranges in CIDR notation, each once, in their order. Invalid ones are left out and reported."""
    return read_networks((text for text in texts if text and text.strip()), called, warn)[0]


def read_networks(
    texts: Iterable[str | None], called: str, warn: Warn | None = None
) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """As `keep_networks`, with the quoted texts of the invalid ones, empty ones among them.

    For a filter: what it excludes is not known as long as one of its ranges is not.
    """
    networks: dict[Network, None] = {}
    invalid: dict[str, None] = {}
    for text in texts:
        try:
            networks[parse_network(text or "")] = None
        except ValueError:
            invalid[quoted(text)] = None
            if warn is not None:
                warn(f"{called} {quoted(text)} left out: not a range such as 10.0.0.0/8")
    return tuple(networks), tuple(invalid)
