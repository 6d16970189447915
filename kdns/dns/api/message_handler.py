"""The interface between moving messages and deciding what is answered.

A transport hands each message to its `MessageHandler`. A reply is octets everywhere; what takes them is called
``send``. What the handler cannot answer at once it sends later, through a `PendingReply`, which also notices when it
is released without a reply.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from kdns.dns.api.handler import Client
from kdns.metrics.dns import SocketCounts

Proto = Literal["udp", "tcp"]
Family = Literal[1, 2]
"""1 = IPv4, 2 = IPv6."""
Send = Callable[[bytes], None]
"""Takes the octets of one reply."""
SendPart = Callable[[bytes], Awaitable[bool]]
"""Sends one of several messages that answer one query, and waits until the client has taken most of it; False: the
client is gone."""

_log = logging.getLogger("kdns.dns")


class Sampling(Protocol):
    """Looks at some of the messages that the fast path has answered, see `kdns.dns.query.top`."""

    on: bool

    def gap(self) -> int:
        """How many messages are to be passed over before the next one is looked at."""
        ...

    def sample(self, message: bytes, reply: bytes, address: str, weight: int) -> None:
        """A message, its reply, who asked, and for how many messages it stands."""
        ...

    def refused(self, address: str, why: str) -> None:
        """A client was refused before it asked anything."""
        ...


class MessageHandler(Protocol):
    """What a transport asks of the side that decides, for one socket."""

    @property
    def counts(self) -> SocketCounts:
        """Where this socket's numbers go."""
        ...

    @property
    def top(self) -> Sampling:
        """What looks at some of the messages."""
        ...

    def tick(self) -> None:
        """A batch of messages is about to be handed to `fast`: look at the clock."""
        ...

    def fast(self, message: bytes) -> bytes | None:
        """The whole reply, counted; None: take the slow way."""
        ...

    def asks(self, asker: Callable[[], bytes]) -> None:
        """``asker`` gives the packed address of the client of the message that `fast` was given last.

        Without it, `fast` answers nothing that depends on who asks.
        """
        ...

    def slow(self, message: bytes, client: Client, send: Send, send_part: SendPart | None = None) -> None:
        """Call ``send`` at once, later, or never (to drop the message). Never raises.

        Where an answer may be several messages, all but the last are sent with ``send_part``.
        """
        ...

    def timed(self, count: int, seconds: float) -> None:
        """So many messages were answered by `fast`, each within so many seconds."""
        ...


class MessageHandlers(Protocol):
    """Makes the `MessageHandler` of each socket."""

    def for_socket(self, proto: Proto, family: Family, server: str) -> MessageHandler:
        """The handler of one socket; ``server`` is its label, such as ``dns://:53``."""
        ...


class PendingReplies:
    """How many replies are pending."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: asyncio.Future[None] | None = None

    def done(self) -> None:
        """One fewer is pending."""
        self.count -= 1
        if not self.count and self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    async def drained(self) -> None:
        """Wait until no reply is pending. For one waiter."""
        if self.count:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting


class PendingReply:
    """A `Send` for one reply: call it with the octets, once. Releasing it uncalled drops the message.

    Calls after the first do nothing. ``done`` runs exactly once: before the reply is sent, or when this is released.
    """

    __slots__ = ("_done", "_send")

    def __init__(self, send: Send, done: Callable[[], None]) -> None:
        self._send: Send | None = send
        self._done = done

    def __call__(self, reply: bytes) -> None:
        """Send the reply, if its socket is still there."""
        send, self._send = self._send, None
        if send is not None:
            self._done()
            send(reply)

    def drop(self) -> None:
        """No reply will be sent."""
        if self._send is not None:
            self._send = None
            self._done()

    def __del__(self) -> None:
        self.drop()


def panicked(handler: MessageHandler, message: bytes) -> None:
    """Log and count a bug that a message has met, with its first 512 octets; call it from an ``except`` clause."""
    handler.counts.panics += 1
    _log.exception("dropped a %s message that met a bug: %s", handler.counts.proto, message[:512].hex())
