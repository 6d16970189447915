"""What is counted, declared once, with the names and labels of CoreDNS.

A precompiled answer cannot afford a ``labels()`` call: lanes count in plain dictionaries whose keys were made when
the answer was compiled, and a collector turns them into metric families when somebody scrapes.
"""

from bisect import bisect_left
from collections import defaultdict
from typing import Final, NamedTuple

DURATION_BUCKETS: Final = tuple(0.00025 * 2**k for k in range(16))
"""Seconds: 0.25 ms doubling up to 8.192 s."""


class Counted(NamedTuple):
    """Replies that are counted together; all but the length of the query is the same for them."""

    zone: str
    """The server block's zone, or ``dropped`` when the message was answered before any block saw it."""
    rtype: int
    rcode: int
    do: bool
    """The query asked for DNSSEC records (EDNS flag DO)."""
    grow: int
    """Octets of the reply minus octets of the query."""
    plugin: str
    """Who wrote the reply; empty for the server itself."""


class LaneCounts:
    """The counters of one socket: written on the hot path, read at scrape."""

    def __init__(self, server: str, proto: str, family: int) -> None:
        self.server, self.proto, self.family = server, proto, family
        self.tallies: defaultdict[Counted, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        """For each kind of reply: octets of the query -> how many."""
        self.durations = [0] * (len(DURATION_BUCKETS) + 1)
        """How many replies took at most as long as each bucket; the last is for everything longer."""
        self.duration_sum = 0.0
        self.panics = 0
        """Bugs met while answering: logged, answered with SERVFAIL, and counted here."""

    def timed(self, count: int, seconds: float) -> None:
        """Note that so many replies took this long each."""
        self.durations[bisect_left(DURATION_BUCKETS, seconds)] += count
        self.duration_sum += count * seconds
