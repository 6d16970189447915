"""A resolver for the servers that forward: every name has the same address, told so many seconds after the question.

``python -m bench.upstream PORT SECONDS``
"""

import collections
import select
import socket
import struct
import sys
import time

ADDRESS = bytes((198, 18, 0, 1))
TTL = 3600
_A = 1
_BATCH = 64


def answer(query: bytes) -> bytes:
    """The reply to one query (RFC 1035 section 4.1): an address for A, nothing for other types; OPT if it had one."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    end += 5
    address = int.from_bytes(query[end - 4 : end - 2]) == _A
    edns = query[10:12] != b"\0\0"
    reply = query[:2] + struct.pack("!5H", 0x8180, 1, address, 0, edns) + query[12:end]
    if address:
        reply += struct.pack("!3HIH", 0xC00C, _A, 1, TTL, len(ADDRESS)) + ADDRESS
    return reply + (bytes.fromhex("00 0029 04d0 00000000 0000") if edns else b"")


def serve(port: int, delay: float) -> None:
    """Answer for ever; what waits is in the order of its time, since all wait equally long."""
    waiting: collections.deque[tuple[float, bytes, tuple[str, int]]] = collections.deque()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        while True:
            patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            if select.select((sock,), (), (), patience)[0]:
                for _ in range(_BATCH):
                    try:
                        query, client = sock.recvfrom(4096)
                    except OSError:  # no more of them, or a client that has gone
                        break
                    waiting.append((time.monotonic() + delay, answer(query), client))
            while waiting and waiting[0][0] <= time.monotonic():
                _, reply, client = waiting.popleft()
                sock.sendto(reply, client)


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
