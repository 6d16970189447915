"""What metrics say, in the words of the first page: of one server or proxy, and of the programs of a lab. Pure."""

from collections.abc import Mapping, Sequence
from math import isinf
from typing import Final

from msgspec import Struct

from kdns.metrics.scraped import Scraped
from kdns.status.numbers import Numbers

QUESTIONS: Final = "coredns_dns_requests_total"
DURATION: Final = "coredns_dns_request_duration_seconds"
SYNC: Final = "kubeproxy_sync_proxy_rules_"
LONGEST_BOUND: Final = 8.192
"""Seconds: the last bound of that histogram but infinity."""


class Count(Struct, frozen=True):
    """One line of a small table."""

    label: str
    value: float


class DnsPart(Struct, frozen=True):
    """What a server does."""

    listening: tuple[str, ...]
    total: int
    rate: float
    """Questions a second."""
    rcodes: tuple[Count, ...]
    types: tuple[Count, ...]
    median: float | None
    """Seconds within which half of the replies left, as a bound of a bucket; None: nothing was asked yet."""
    slowest: float | None
    """The same for 99 of 100."""
    cache_hits: int
    cache_misses: int
    panics: int


class ProxyPart(Struct, frozen=True):
    """What a proxy does."""

    node: str
    mode: str
    service_ports: int | None
    """None: its metrics do not say."""
    pending: bool
    """The kernel was not given all that is known."""
    synced: float | None
    """Seconds since the last sync that was a success; None: there was none."""
    failures: int
    took: float | None
    """Seconds within which half of the changes were in force since the cluster began them; None: none was measured."""


class Program(Struct, frozen=True):
    """A DNS server, a proxy, or both, of a lab."""

    name: str
    """``NAMESPACE/POD``"""
    node: str
    questions: int | None
    """None: it answers none."""
    proxy: ProxyPart | None
    problem: str
    """Why its metrics could not be read; empty: they were."""


def dns_part(numbers: Numbers, listening: Sequence[str], rate: float) -> DnsPart:
    """What one server counts, or several together."""
    return DnsPart(
        tuple(listening),
        int(numbers.total(QUESTIONS)),
        rate,
        _counts(numbers.by("coredns_dns_responses_total", "rcode")),
        _counts(numbers.by(QUESTIONS, "type")),
        _bound(numbers.quantile(DURATION, 0.5)),
        _bound(numbers.quantile(DURATION, 0.99)),
        int(numbers.total("coredns_cache_hits_total")),
        int(numbers.total("coredns_cache_misses_total")),
        int(numbers.total("coredns_panics_total")),
    )


def proxy_part(
    numbers: Numbers, node: str, mode: str, now: float, *, pending: bool, service_ports: int | None = None
) -> ProxyPart:
    """What a proxy counts; ``now`` is Unix seconds."""
    last = max(numbers.by(f"{SYNC}last_timestamp_seconds", "ip_family").values(), default=0.0)
    failures = sum(
        numbers.total(f"{SYNC}{name}_total") for name in ("nftables_sync_failures", "iptables_restore_failures")
    )
    return ProxyPart(
        node,
        mode,
        service_ports,
        pending,
        max(0.0, now - last) if last else None,
        int(failures),
        _bound(numbers.quantile("kubeproxy_network_programming_duration_seconds", 0.5)),
    )


def program(scraped: Scraped, now: float) -> Program:
    """One of a lab; ``now`` is Unix seconds."""
    numbers = Numbers(scraped.families)
    proxy = None
    if scraped.mode and not scraped.problem:
        waiting = sum(numbers.total(f"{SYNC}{what}_changes_pending") for what in ("service", "endpoint"))
        proxy = proxy_part(numbers, scraped.node, scraped.mode, now, pending=bool(waiting))
    answers = any(family.name.startswith("coredns_dns_") for family in scraped.families)
    questions = int(numbers.total(QUESTIONS)) if answers else None
    return Program(scraped.name, scraped.node, questions, proxy, scraped.problem)


def _counts(values: Mapping[str, float]) -> tuple[Count, ...]:
    return tuple(Count(label, value) for label, value in values.items())


def _bound(seconds: float | None) -> float | None:
    """JSON has no infinity: what took longer than the last bound is shown as that."""
    return LONGEST_BOUND if seconds is not None and isinf(seconds) else seconds
