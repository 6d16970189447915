"""A client that saturates a DNS server over UDP from one core, and checks every reply.

All messages are laid out once as the kernel wants them (`struct mmsghdr`), so that a batch costs one foreign call and
no Python per message; what must be checked of the replies (id, flags, counts) is cut out of the receive buffer as
columns, one strided slice for a whole batch, and compared after the clock has stopped.
"""

import ctypes
import errno
import gc
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bench.queries import Query

_libc = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter lock: this process has one thread
_HEADER = struct.Struct("=QI4xQQQQi4xI4x")
"""struct mmsghdr of 64-bit Linux: name, its length, iov, its length, control, its length, flags; then msg_len."""
_IOV = struct.Struct("=QQ")
_MSG_WAITFORONE = 0x10000
_STRIDE = 2048
_BATCH = 64
_COLUMNS = (0, 1, 2, 3, 6, 7)
"""Octets of a reply that are kept: message id, both octets of flags, the answer count (RFC 1035 section 4.1.1)."""


class Flooded(NamedTuple):
    """What came of one flood."""

    sent: int
    received: int
    lost: int
    wrong: int
    """Replies that are not the answer to their question: rcode, QR or number of records."""
    truncated: int
    """Replies with TC set."""
    seconds: float


class _Vector:
    """`struct mmsghdr[]` over equal or unequal pieces of one buffer."""

    def __init__(self, buffer: bytearray, pieces: Sequence[tuple[int, int]]) -> None:
        self._buffer = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        start = ctypes.addressof(self._buffer)
        iovs = bytearray(b"".join(_IOV.pack(start + offset, length) for offset, length in pieces))
        self._iovs = (ctypes.c_char * len(iovs)).from_buffer(iovs)
        first = ctypes.addressof(self._iovs)
        headers = bytearray(
            b"".join(_HEADER.pack(0, 0, first + _IOV.size * n, 1, 0, 0, 0, 0) for n in range(len(pieces)))
        )
        self._headers = (ctypes.c_char * len(headers)).from_buffer(headers)
        self.address = ctypes.addressof(self._headers)


def _outgoing(messages: Sequence[bytes]) -> _Vector:
    pieces, offset = [], 0
    for message in messages:
        pieces.append((offset, len(message)))
        offset += len(message)
    return _Vector(bytearray(b"".join(messages)), pieces)


def flood(port: int, queries: Sequence[Query], seconds: float, least: int = 0, window: int = 192) -> Flooded:
    """Ask as fast as the server answers, at most ``window`` questions outstanding, for so many seconds.

    Go on until at least so many questions are asked.

    More outstanding than about 200 overflow the receive buffer that Linux gives a socket by default (208 KiB).
    """
    # Whole batches only, the set repeated when it is small.
    messages = [query.message(number) for number, query in enumerate(queries)]
    count = len(messages) - len(messages) % _BATCH
    vector = _outgoing(messages[:count])
    inbox = bytearray(_STRIDE * _BATCH)
    into = _Vector(inbox, [(_STRIDE * n, _STRIDE) for n in range(_BATCH)])
    columns = tuple(bytearray() for _ in _COLUMNS)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 200_000))
        sock.connect(("127.0.0.1", port))
        gc.disable()
        try:
            limits = (seconds, least, window)
            sent, received, lost, spent = _drive(sock.fileno(), vector, count, into, inbox, columns, limits)
        finally:
            gc.enable()
    wrong, truncated = _check(columns, queries)
    return Flooded(sent, received, lost, wrong, truncated, spent)


def _drive(
    fd: int,
    vector: _Vector,
    count: int,
    into: _Vector,
    inbox: bytearray,
    columns: tuple[bytearray, ...],
    limits: tuple[float, int, int],
) -> tuple[int, int, int, float]:
    sendmmsg, recvmmsg = _libc.sendmmsg, _libc.recvmmsg
    seconds, least, window = limits
    base, step, room = vector.address, _HEADER.size, window - _BATCH
    into_address = ctypes.c_void_p(into.address)
    addresses = [ctypes.c_void_p(base + step * n) for n in range(0, count, _BATCH)]
    sent = received = lost = outstanding = turn = 0
    started = last = time.perf_counter()
    until = started + seconds
    sending = True
    while sending or outstanding > 0:
        if sending and outstanding <= room:
            done = sendmmsg(fd, addresses[turn], _BATCH, 0)
            if done < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            # A batch the socket took only in part goes on with the next one: its rest is asked another time.
            turn = (turn + 1) % len(addresses)
            sent += done
            outstanding += done
            sending = sent < least or time.perf_counter() < until
            continue
        got = recvmmsg(fd, into_address, _BATCH, _MSG_WAITFORONE, None)
        if got < 0:
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            lost += outstanding
            outstanding = 0
            continue
        end = got * _STRIDE
        for column, octet in zip(columns, _COLUMNS, strict=True):
            column.extend(inbox[octet:end:_STRIDE])
        received += got
        outstanding -= got
        last = time.perf_counter()
    return sent, received, lost, last - started


def _check(columns: tuple[bytearray, ...], queries: Sequence[Query]) -> tuple[int, int]:
    """How many replies are wrong, and how many are truncated."""
    wrong = truncated = 0
    for (id_high, id_low, high, low, an_high, an_low), times in Counter(zip(*columns, strict=True)).items():
        number, answers = id_high << 8 | id_low, an_high << 8 | an_low
        query = queries[number] if number < len(queries) else None
        if (
            query is None
            or not high & 0x80
            or low & 0x0F != query.rcode
            or (answers != query.answers if query.answers >= 0 else not (answers or high & 0x02))
        ):
            wrong += times
        if high & 0x02:
            truncated += times
    return wrong, truncated
