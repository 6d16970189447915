"""A client that asks at a steady rate, far from saturation: each query is a wake-up of its own, as in most clusters.

It waits by looking at the clock, not by sleeping, so that its own wake-ups are no part of the latencies.
"""

import gc
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.queries import Query


class Paced(NamedTuple):
    """What came of it."""

    sent: int
    lost: int
    wrong: int
    waits: list[float]
    """Seconds that each answered question waited."""


def paced(port: int, queries: Sequence[Query], rate: int, seconds: float) -> Paced:
    """Ask so many questions a second, one after the other from one socket, whether the last one is answered or not."""
    count = min(int(rate * seconds), 65_536)
    messages = [queries[number % len(queries)].message(number) for number in range(count)]
    waits: list[float] = []
    asked, wrong = [0.0] * count, 0
    clock = time.perf_counter
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        gc.disable()
        try:
            began, at, until = clock(), 0, 0.0
            while at < count or (len(waits) < count and clock() < until):
                now = clock()
                if at < count and now >= began + at / rate:
                    asked[at] = clock()
                    sock.send(messages[at])
                    at += 1
                    until = now + 1.0
                try:
                    reply = sock.recv(4096)
                except BlockingIOError:
                    continue
                now = clock()
                number = int.from_bytes(reply[:2])
                waits.append(now - asked[number])
                query = queries[number % len(queries)]
                wrong += reply[3] & 0x0F != query.rcode or reply[7] != query.answers
        finally:
            gc.enable()
    return Paced(count, count - len(waits), wrong, waits)
