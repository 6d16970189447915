"""What the ways of moving datagrams share: the path of a batch, one buffer size, one count of losses."""

import errno
import logging
import os
from collections.abc import Callable
from typing import Final, Protocol

from kdns.dns.api.message_handler import MessageHandler, panicked

Address = tuple[str, int] | tuple[str, int, int, int]
"""A peer as the socket module has it: address, port, and for IPv6 flow label and scope."""
Hand = Callable[[bytes, Address, bytes | None], None]
"""Takes what needs the slow way: the message, who sent it, and the packet info that came with it."""

SLOT: Final = 4096
"""Octets of a datagram that are read. A query is never longer: 4096 is what EDNS implementations offer at most in
practice (RFC 6891 section 6.2.5), and padding (RFC 8467) goes to 468."""
BATCH: Final = 64
"""Datagrams in a batch at most: 64 in one call cost a few percent less than 32."""

_PASSING: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EINTR, errno.EAGAIN}
"""Errors that other hosts can cause, and a full send buffer: counted, not worth a warning."""

_log = logging.getLogger("kdns.dns")


class Datagrams(Protocol):
    """One way of moving datagrams through a non-blocking socket, a batch at a time. Never blocks."""

    def receive(self) -> list[bytes]:
        """What has arrived, at most `BATCH` messages; fewer when the socket is empty.

        Of a datagram over `SLOT` octets only the header, which is enough to answer FORMERR and cannot be mistaken
        for a whole query. Errors that the network reports end the batch and are counted.
        """
        ...

    def origin(self, number: int) -> tuple[Address, bytes | None]:
        """Who sent the message of that number in the last batch, and the packet info that came with it."""
        ...

    def send(self, replies: list[bytes | None]) -> int:
        """Send the replies to the last batch, one for each message or None; returns how many were to be sent.

        What the kernel does not take is dropped and counted.
        """
        ...


class Exchange:
    """The one way from datagrams to replies, whatever moves them: the fast path, or else the slow one."""

    def __init__(self, datagrams: Datagrams, handler: MessageHandler, hand: Hand) -> None:
        self._receive, self._origin, self._send = datagrams.receive, datagrams.origin, datagrams.send
        self._handler, self._hand = handler, hand

    def exchange(self) -> tuple[int, int]:
        """Take a batch and send what can be answered at once; the rest goes to ``hand``.

        Returns how many messages were taken (fewer than `BATCH` when the socket is empty) and how many of them were
        answered. Survives bugs that a message meets: it is dropped, logged and counted.
        """
        messages = self._receive()
        fast = self._handler.fast
        replies: list[bytes | None] = []
        answer = replies.append
        for message in messages:
            try:
                reply = fast(message)
            except Exception:  # noqa: BLE001 - a bug that one message meets must not end the server: logged and counted
                panicked(self._handler, message)
                answer(None)
                continue
            if reply is None:
                self._hand(message, *self._origin(len(replies)))
            answer(reply)
        return len(messages), self._send(replies) if replies else 0


class Losses:
    """Replies that could not be sent, and errors met on receiving: counted, and each new kind logged once."""

    def __init__(self, label: str) -> None:
        self.unsent = 0
        """Replies dropped: the send buffer was full, or the kernel refused this one."""
        self._label = label
        self._seen: set[int] = set(_PASSING)

    def sending(self, code: int, count: int = 1) -> None:
        """So many replies were dropped because of an error number."""
        self.unsent += count
        self._say("could not send a reply", code)

    def receiving(self, code: int) -> None:
        """Receiving met an error number; the next call goes on."""
        self._say("could not receive", code)

    def _say(self, what: str, code: int) -> None:
        if code not in self._seen:
            self._seen.add(code)
            _log.warning("%s: %s: %s (logged once)", self._label, what, os.strerror(code))
