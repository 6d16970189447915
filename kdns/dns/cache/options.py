"""What a Corefile can say about a cache."""

from typing import Final, Literal

from msgspec import Struct

from kdns.dns.cache.kinds import Bounds

CAPACITY: Final = 10_000
LEAST_CAPACITY: Final = 1024
"""A smaller one is taken for this, as in CoreDNS."""


class Prefetch(Struct, frozen=True):
    """Ask again before it is over what is asked often."""

    amount: int = 0
    """Uses that make a response popular; 0: nothing is."""
    gap: float = 60.0
    """Seconds between two uses at most."""
    percent: int = 10
    """How much of its time is left when it is asked again."""


class Stale(Struct, frozen=True):
    """Serve what is over when nothing better is to be had (RFC 8767)."""

    most: float = 3600.0
    """Seconds after its end."""
    mode: Literal["immediate", "verify"] = "immediate"
    """Serve it and ask again beside that, or ask first."""
    timeout: float = 0.0
    """How many seconds ``verify`` waits; 0: until the upstreams have given up."""
    ttl: int = 0
    recheck: float = 0.0
    """Seconds until the next attempt after one that failed."""
    prefer_positive: bool = False
    """Only a response that has what was asked for takes the place of one that had."""


class CacheOptions(Struct, frozen=True, kw_only=True):
    """The ``cache`` plugin's options, with CoreDNS's defaults."""

    zones: tuple[str, ...] = (".",)
    success_capacity: int = CAPACITY
    success: Bounds = Bounds(3600)
    denial_capacity: int = CAPACITY
    denial: Bounds = Bounds(1800)
    prefetch: Prefetch = Prefetch()
    stale: Stale | None = None
    servfail: float = 5.0
    """Seconds that failures are kept; 0: not at all."""
    disable_success: tuple[str, ...] = ()
    disable_denial: tuple[str, ...] = ()
    """Zones of which nothing is kept."""
    keepttl: bool = False
    """TTLs do not run down."""
