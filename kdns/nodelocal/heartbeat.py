"""Asks the local server, and knows when it was answered last.

A question goes from the cluster's DNS address to that address, through the kernel, the listener and a server block of
its own; as the answer leaves, the rules renew the address's element (`kdns.nodelocal.nftables`). So nothing has to be
sent to the kernel, and there is no heartbeat without an answer.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from kdns.base.objects import address_text
from kdns.nodelocal.plan import PORT

NAME: Final = "heartbeat.kdns.invalid."
"""What is asked: a name that no client asks for (RFC 6761 section 6.4)."""
_QUESTION: Final = b"".join(bytes((len(part),)) + part.encode() for part in NAME.split(".")) + b"\0\1\0\1"
_IP_FREEBIND: Final = 15
_IPV6_FREEBIND: Final = 78


class Heartbeat:
    """The heartbeat of one address. Belongs to the running loop; close it."""

    def __init__(self, address: bytes, answered: Callable[[bytes], None]) -> None:
        """``answered`` is called with the address at each answer. Raises OSError."""
        four = len(address) == 4
        family = socket.AF_INET if four else socket.AF_INET6
        text = address_text(address)
        self._address, self._answered, self._number = address, answered, 0
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
        self._number = self._number + 1 & 0xFFFF
        try:
            self._socket.send(self._number.to_bytes(2, "big") + b"\0\0\0\1\0\0\0\0\0\0" + _QUESTION)
        except OSError:  # nothing listens there, or there is no route
            return

    def close(self) -> None:
        """Give the socket back."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        try:
            reply = self._socket.recv(512)
        except OSError:  # what an ICMP message said of an earlier question
            return
        if len(reply) >= 4 and reply[2] & 0x80 and not reply[3] & 0x0F:
            self._answered(self._address)
