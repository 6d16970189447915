"""What the ways of moving datagrams share: the path of a batch, one buffer size, one count of losses."""

import errno
import logging
import os
from collections.abc import Callable
from typing import Final, Protocol

from kdns.dns.api.message_handler import MessageHandler, panicked
from kdns.dns.transport.sampling import Sampler

Address = tuple[str, int] | tuple[str, int, int, int]
"""A peer as the socket module has it: address, port, and for IPv6 flow label and scope."""
RawOrigin = tuple[bytes, bytes]
"""The same and the control messages that came with a datagram, as the kernel has them."""
Hand = Callable[[bytes, Address, bytes | None, RawOrigin | None], None]
"""Takes what needs the slow way: the message, who sent it, the packet info that came with it, and both as octets."""

Origin = Callable[[int], tuple[Address, bytes | None, RawOrigin | None]]
"""Where a message stands in its batch -> who sent it, the packet info that came with it, and both as octets."""
Answer = Callable[[bytes, int], bytes | None]
"""A message and where it stands in its batch -> the reply; None: it was handed on, or dropped since it met a bug."""

SLOT: Final = 4096
"""Octets of a datagram that are read. A query is never longer: 4096 is what EDNS implementations offer at most in
practice (RFC 6891 section 6.2.5), and padding (RFC 8467) goes to 468."""
MAX_LOCALS: Final = 64
"""Packet infos that are remembered: there is one for each address of ours, and for each interface."""
BATCH: Final = 64
"""Datagrams in a batch at most: 64 in one call cost a few percent less than 32."""

_PASSING: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EINTR, errno.EAGAIN}
"""Errors that other hosts can cause, and a full send buffer: counted, not worth a warning."""

_log = logging.getLogger("kdns.dns")


class Exchange(Protocol):
    """One way of moving datagrams between a non-blocking socket and what answers them, see `answering`."""

    def exchange(self) -> tuple[int, int]:
        """Take what has arrived, at most `BATCH`, and send what can be answered at once; the rest is handed on.

        Returns how many datagrams were taken, fewer than `BATCH` when the socket is empty, and how many of them were
        answered. Of a datagram over `SLOT` octets only the header is taken, which is enough to answer FORMERR and
        cannot be mistaken for a whole query. Never blocks, and survives errors that the network reports.
        """
        ...


def answering(
    handler: MessageHandler, hand: Hand, origin: Origin, packed: Callable[[int], bytes] | None = None
) -> Answer:
    """The one way from a message to its reply, whatever moves them: the fast path, or else ``hand``.

    ``packed`` is the client's address from where a message stands in its batch, for a fast path that must know it.

    ``origin`` is asked only for what is handed on, and for the messages that `Sampler` takes. One more call costs
    1 % of a datagram; to collect the messages and the replies of a batch in lists cost 10 % where a batch is a single
    one.
    """
    fast, top, sampler = handler.fast, handler.top, Sampler(handler)
    current = left = 0
    if packed is not None:
        handler.asks(lambda: packed(current))

    def answer(message: bytes, at: int) -> bytes | None:
        nonlocal current, left
        current = at
        try:
            reply = fast(message)
        except Exception:  # noqa: BLE001 - a bug that one message meets must not end the server: logged and counted
            panicked(handler, message)
            return None
        if reply is None:
            hand(message, *origin(at))
        elif top.on:  # `Sampler.look`, written out
            left -= 1
            if left < 0:
                left = sampler.take(message, reply, origin(at)[0][0])
        return reply

    return answer


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
