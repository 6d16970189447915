"""Ports that a test may name before anything listens on them, and may find free when it listens on them once more.

A port that the system picks (a bind to port 0) may be another process's the moment it is closed. These lie below the
ports that Linux gives to connections and binds (32768-60999, net.ipv4.ip_local_port_range), and each process has a
block of them to itself: an abstract Unix socket holds the block, which ends with the process and belongs to a
network namespace, as ports do. So no client's port is one of them either, and none connects to itself.
"""

import itertools
import socket
from collections.abc import Iterator
from typing import Final

FIRST: Final = 20_000
BLOCK: Final = 100
"""Ports of one process."""
BLOCKS: Final = 100


def _reserved() -> tuple[socket.socket, int]:
    """A block that no other process has, and what holds it."""
    for first in range(FIRST, FIRST + BLOCKS * BLOCK, BLOCK):
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0kdns-test-ports-{first}")
        except OSError:
            holder.close()
        else:
            return holder, first
    raise OSError(f"{BLOCKS} processes have reserved ports of tests")


def _free(port: int) -> bool:
    """It can be bound for TCP and for UDP, on every IPv4 address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as attempt:
            if kind is socket.SOCK_STREAM:  # connections that have ended lately do not count
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("", port))
            except OSError:
                return False
    return True


def _ports() -> Iterator[int]:
    """The ports of this process, round and round."""
    yield from (port for port in itertools.cycle(range(_FIRST, _FIRST + BLOCK)) if _free(port))


_HOLDER, _FIRST = _reserved()
_PORTS = _ports()


def free_port() -> int:
    """A port that is free for TCP and UDP, and stays it until this process uses it."""
    return next(_PORTS)
