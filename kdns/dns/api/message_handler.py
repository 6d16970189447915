"""The seam between moving messages and deciding them.

A socket hands each message to its `MessageHandler`. What the Lane cannot answer at once it answers later, through the
reply callback that it was given: an `PendingReply`, which also knows when it is forgotten.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from kdns.dns.api.handler import Client
from kdns.metrics.dns import LaneCounts

Proto = Literal["udp", "tcp"]
Family = Literal[1, 2]
"""1 = IPv4, 2 = IPv6."""
Send = Callable[[bytes], None]
SendPart = Callable[[bytes], Awaitable[bool]]
"""Sends one of several messages that answer one query, and waits until the client has taken most of it; False: the
client is gone."""

_log = logging.getLogger("kdns.dns")


class MessageHandler(Protocol):
    """What one socket asks of the deciding side."""

    @property
    def counts(self) -> LaneCounts:
        """Where this socket's numbers go."""
        ...

    def tick(self) -> None:
        """A batch of messages is about to be handed to `fast`: look at the clock."""
        ...

    def fast(self, message: bytes) -> bytes | None:
        """The whole reply, counted; None: take the slow way."""
        ...

    def slow(self, message: bytes, client: Client, reply: Send, part: SendPart | None = None) -> None:
        """Call ``reply`` at once, later, or never (to drop the message). Never raises.

        Where an answer may be several messages, all but the last are sent with ``part``.
        """
        ...

    def timed(self, count: int, seconds: float) -> None:
        """So many messages were answered by `fast`, each within so many seconds."""
        ...


class Lanes(Protocol):
    """Where sockets get their Lane from."""

    def lane(self, proto: Proto, family: Family, server: str) -> MessageHandler:
        """A Lane for one socket; ``server`` is its label, such as ``dns://:53``."""
        ...


class PendingReplies:
    """How many replies are still owed."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: asyncio.Future[None] | None = None

    def settle(self) -> None:
        """One less."""
        self.count -= 1
        if not self.count and self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    async def settled(self) -> None:
        """Wait until none is owed. For one waiter."""
        if self.count:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting


class PendingReply:
    """One reply that is owed: call it with the octets, once. Letting go of it uncalled drops the message.

    Calls after the first do nothing. ``settled`` runs exactly once, before the reply is sent or when this is let go.
    """

    __slots__ = ("_send", "_settled")

    def __init__(self, send: Send, settled: Callable[[], None]) -> None:
        self._send: Send | None = send
        self._settled = settled

    def __call__(self, reply: bytes) -> None:
        """Send the reply, if its socket is still there."""
        send, self._send = self._send, None
        if send is not None:
            self._settled()
            send(reply)

    def drop(self) -> None:
        """Nothing will be sent."""
        if self._send is not None:
            self._send = None
            self._settled()

    def __del__(self) -> None:
        self.drop()


def panicked(lane: MessageHandler, message: bytes) -> None:
    """Log and count a bug that a message has met, with its first 512 octets; call it from an ``except`` clause."""
    lane.counts.panics += 1
    _log.exception("dropped a %s message that met a bug: %s", lane.counts.proto, message[:512].hex())
