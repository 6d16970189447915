"""Asks the local server, and says when it was answered.

A question goes from the cluster's DNS address to that address, through the kernel, the listener and a server block of
its own; as the answer leaves, the rules renew the address's element (`kdns.nodelocal.nftables`). So nothing has to be
sent to the kernel, and there is no heartbeat without an answer.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable
from typing import Final

from kdns.base.clock import Clock
from kdns.base.objects import address_text
from kdns.nodelocal.plan import PORT

NAME: Final = "heartbeat.kdns.invalid."
"""What is asked: a name that no client asks for (RFC 6761 section 6.4)."""
OUTSTANDING: Final = 32
"""Questions that an answer may still come to."""
_QUESTION: Final = b"".join(bytes((len(part),)) + part.encode() for part in NAME.split(".")) + b"\0\1\0\1"
_HEADER: Final = 12
_IP_FREEBIND: Final = 15
_IPV6_FREEBIND: Final = 78


class Questions:
    """Those that were asked, and which of them a message answers (RFC 5452 section 9.1: id and question are equal)."""

    def __init__(self) -> None:
        self._number = secrets.randbits(16)
        self._asked: dict[int, float] = {}

    def compose(self, now: float) -> bytes:
        """The next question, asked now."""
        self._number = self._number + 1 & 0xFFFF
        self._asked[self._number] = now
        if len(self._asked) > OUTSTANDING:
            del self._asked[next(iter(self._asked))]
        return self._number.to_bytes(2, "big") + b"\0\0\0\1\0\0\0\0\0\0" + _QUESTION

    def answered(self, message: bytes) -> float | None:
        """When the question was asked that a message answers with NOERROR; None: it answers none that is waiting.

        Every question is answered once, and one that was asked after it has made an earlier one too old.
        """
        if len(message) < _HEADER + len(_QUESTION) or not message[2] & 0x80 or message[2] & 0x78 or message[3] & 0x0F:
            return None
        if message[4:6] != b"\0\1" or message[_HEADER : _HEADER + len(_QUESTION)] != _QUESTION:
            return None
        number = int.from_bytes(message[:2], "big")
        asked = self._asked.get(number)
        if asked is not None:
            self._asked = {other: at for other, at in self._asked.items() if at > asked}
        return asked


class UdpHeartbeat:
    """The heartbeat of one address. Belongs to the running loop; close it."""

    def __init__(self, address: bytes, answered: Callable[[bytes, float], None], clock: Clock = time.monotonic) -> None:
        """``answered`` is called at each answer, with the address and when that question was asked. Raises OSError."""
        four = len(address) == 4
        family = socket.AF_INET if four else socket.AF_INET6
        text = address_text(address)
        self._address, self._answered, self._clock, self._questions = address, answered, clock, Questions()
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            level, option = (socket.IPPROTO_IP, _IP_FREEBIND) if four else (socket.IPPROTO_IPV6, _IPV6_FREEBIND)
            self._socket.setsockopt(level, option, 1)
            self._socket.bind((text, 0))
            self._socket.connect((text, PORT))
        except OSError:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def ask(self) -> None:
        """Send a question; one that cannot be sent is one that is not answered."""
        try:
            self._socket.send(self._questions.compose(self._clock()))
        except OSError:  # nothing listens there, or there is no route
            return

    def close(self) -> None:
        """Give the socket back."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        try:
            message = self._socket.recv(512)
        except OSError:  # an ICMP message about an earlier question
            return
        asked = self._questions.answered(message)
        if asked is not None:
            self._answered(self._address, asked)
