"""What this process asks of Python and of the kernel, once, before it serves."""

import ctypes
import gc
import resource
import sys
from typing import Final

from prometheus_client import disable_created_metrics

THRESHOLDS: Final = (20_000, 20, 50)
"""Allocations, and rounds, between the garbage collector's rounds of each generation.

What is kept for queries and for the cluster has no cycles, so its rounds find nothing there, and with the defaults
(700, 10, 10) they run hundreds of times as often while misses are answered.
"""
OPEN_FILES: Final = 65_536
"""Enough for every TCP connection that all listeners may have, see `kdns.dns.transport.tcp.TcpLimits`."""
MAPPED: Final = 32 * 1024
"""Octets from which on the C library maps memory piece by piece. Else it puts them on its heap (and raises the limit
itself, up to 32 MiB), where holes of long replies do not fit the next ones: each round of 1,000 TCP clients that did
not read cost 50 MB, for good."""
SWITCH: Final = 0.0005
"""Seconds after which a thread that computes lets the event loop run; Python's own 5 ms are a long time for a question.
Rules are encoded and read in threads."""
_M_MMAP_THRESHOLD: Final = -3  # in glibc's malloc.h


def prepare() -> None:
    """Let the collector rest, return memory to the kernel, and open as many files as the hard limit and we allow."""
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()  # what was imported stays; a full round over it takes 46 ms
    sys.setswitchinterval(SWITCH)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside each counter, which CoreDNS does not have
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl needs none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def rest_collector() -> None:
    """For a command that answers once: the rounds of the garbage collector took half of its time, and found nothing."""
    gc.disable()
