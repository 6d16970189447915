"""A steady stream of questions over UDP, and how long each waited for its reply.

``python -m bench.steady PORT RATE`` asks RATE questions a second of 127.0.0.1 until its stdin ends, then prints one
JSON list of pairs: when a question left (seconds of CLOCK_REALTIME), and after how many seconds the reply had come
(null: never). Replies carry the time at which the kernel had them (SO_TIMESTAMPNS), so that a client which is late
itself measures nothing wrong.
"""

import json
import select
import socket
import struct
import sys
import time
from typing import Final

from bench import machine, plan
from bench.queries import Query

_SO_TIMESTAMPNS: Final = 35
_TIME: Final = struct.Struct("=qq")
_IDS: Final = 1 << 16
LAST: Final = 1.0
"""Seconds for which replies to the last questions are waited for."""


def ask(port: int, rate: int) -> list[tuple[float, float | None]]:
    """The pairs; see above."""
    messages = [Query(plan.service_owner(number * 7 % (plan.SERVICES - 1))).message(0)[2:] for number in range(4096)]
    pairs: list[tuple[float, float | None]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        due, end = time.time(), float("inf")
        while time.time() < end + LAST:
            now = time.time()
            if now >= due and end > now:
                number = len(pairs)
                pairs.append((now, None))
                sock.send(struct.pack("!H", number % _IDS) + messages[number % len(messages)])
                due = max(due + 1 / rate, now - 0.1)
            ready, _, _ = select.select(
                [sock, *([sys.stdin] if end > now else ())], [], [], max(0.0, due - time.time())
            )
            if sock in ready:
                _receive(sock, pairs)
            if sys.stdin in ready:
                end = time.time()
                due = end + LAST
    return pairs


def _receive(sock: socket.socket, pairs: list[tuple[float, float | None]]) -> None:
    reply, ancillary, _, _ = sock.recvmsg(512, 64)
    seconds, nanoseconds = _TIME.unpack(ancillary[0][2])
    identifier = int.from_bytes(reply[:2], "big")
    number = len(pairs) - 1 - (len(pairs) - 1 - identifier) % _IDS
    if number >= 0 and reply[3] & 0x0F == 0 and reply[7] == 1:
        pairs[number] = pairs[number][0], seconds + nanoseconds / 1e9 - pairs[number][0]


if __name__ == "__main__":
    machine.pin(machine.CLIENT_CPU)
    print(json.dumps(ask(*map(int, sys.argv[1:]))))
