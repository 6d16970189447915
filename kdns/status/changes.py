"""The last changes of Services: how long each took to be answered, and to reach the kernel. Pure.

Times begin when the watch event came. DNS and proxy each have a watch of their own: what both saw of a change is put
together by the Service and the moment.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct

from kdns.watch.recent import Recent

TOGETHER: Final = 5.0
"""Seconds between the events of two watches that are about the same change."""


class Changed(Struct, frozen=True):
    """A change of a Service."""

    namespace: str
    name: str
    ago: float
    """Seconds."""
    gone: bool
    answered: float | None
    """Seconds from the watch event until DNS answered with it; None: not known, or not by this process."""
    in_kernel: float | None
    """Seconds from the watch event until the rules were written; None likewise, or they are not written yet."""
    pending: bool
    """The proxy knows of it, and its rules are not written yet."""
    took: float | None
    """Seconds until it was answered since the cluster began it, or since the event if that is not known."""
    since: str
    """What `took` is counted from: ``trigger``, ``arrival``, or empty."""


def changes(
    answered: Iterable[Recent], programmed: Iterable[Recent], in_kernel: Callable[[Recent], float | None], now: float
) -> Iterator[Changed]:
    """The newest first; of the two watches' changes each with the oldest first. ``now`` is Unix seconds."""
    left = list(programmed)
    rows: list[tuple[Recent | None, Recent | None]] = []
    for change in answered:
        same = [other for other in left if other.key == change.key and abs(other.at - change.at) <= TOGETHER]
        partner = min(same, key=lambda other: abs(other.at - change.at), default=None)
        if partner is not None:
            left.remove(partner)
        rows.append((change, partner))
    rows += [(None, change) for change in left]
    rows.sort(key=lambda row: -max(change.at for change in row if change is not None))
    for dns, proxy in rows:
        yield _changed(dns, proxy, in_kernel, now)


def _changed(
    dns: Recent | None, proxy: Recent | None, in_kernel: Callable[[Recent], float | None], now: float
) -> Changed:
    known = dns if dns is not None else proxy
    assert known is not None  # a row has one of them at least
    answered = None
    if dns is not None and dns.arrived is not None:
        answered = max(0.0, dns.applied - dns.arrived)
    written = in_kernel(proxy) if proxy is not None else None
    return Changed(
        known.key.namespace,
        known.key.name,
        max(0.0, now - known.at),
        known.gone,
        answered,
        written,
        proxy is not None and proxy.arrived is not None and written is None,
        dns.seconds if dns is not None else None,
        (dns.since if dns is not None else None) or "",
    )
