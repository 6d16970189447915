"""A responder with behaviour, and what waits for it: what the socket edge is tested with."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from kdns.dns.api.handler import Client
from kdns.dns.api.message_handler import Family, Proto, Send, SendPart
from kdns.dns.query.top import Top
from kdns.metrics.dns import SocketCounts

HEAD: Final = b"\0\1" + bytes(10)
"""Twelve octets, so that a message is long enough to be one."""


def fast(text: str) -> bytes:
    """A message that is answered at once."""
    return HEAD + b"F" + text.encode()


def named(text: str, number: int = 1) -> bytes:
    """A message that is answered at once, with an id and a question for a name of one label of four octets."""
    return number.to_bytes(2, "big") + HEAD[2:] + b"\4" + text.encode().ljust(4, b"-") + bytes(5)


def slow(text: str) -> bytes:
    """A message that is answered when the test says so."""
    return HEAD + b"S" + text.encode()


def at_once(text: str) -> bytes:
    """A message that takes the slow way, and is answered there without waiting."""
    return HEAD + b"O" + text.encode()


def drop(text: str) -> bytes:
    """A message that gets no answer."""
    return HEAD + b"D" + text.encode()


def bug(text: str, where: str = "B") -> bytes:
    """A message that raises: ``B`` on the fast way, ``b`` on the slow one."""
    return HEAD + where.encode() + text.encode()


def big(size: int) -> bytes:
    """A message whose reply has so many octets."""
    return HEAD + b"G" + str(size).encode()


def answer(message: bytes) -> bytes:
    """What `FakeResponder` answers."""
    if message[12:13] == b"G":
        return message[:12].ljust(int(message[13:]), b"g")
    return message[:12] + b"=" + message[12:]


class FakeResponder:
    """Decides by the first octet after the header; keeps what the slow way was given."""

    def __init__(self, proto: Proto = "udp", family: Family = 1, server: str = "dns://test:53") -> None:
        self.counts = SocketCounts(server, proto, family)
        self.top = Top()
        self.seen: list[bytes] = []
        """All messages, in the order they came."""
        self.waiting: dict[bytes, tuple[Client, Send]] = {}
        self.clients: list[Client] = []
        self.times: list[tuple[int, float]] = []
        self.asker: Callable[[], bytes] | None = None
        self.askers: list[bytes] = []
        """Who has sent the messages, where the transport can tell while they are answered."""

    def tick(self) -> None:
        pass

    def asks(self, asker: Callable[[], bytes]) -> None:
        self.asker = asker

    def fast(self, message: bytes) -> bytes | None:
        self.seen.append(message)
        if self.asker is not None:
            self.askers.append(self.asker())
        match message[12:13]:
            case b"F" | b"G" | b"\4":
                return answer(message)
            case b"B":
                raise RuntimeError("a bug on the fast way")
            case _:
                return None

    def slow(self, message: bytes, client: Client, send: Send, send_part: SendPart | None = None) -> None:
        self.clients.append(client)
        match message[12:13]:
            case b"S":
                self.waiting[message] = (client, send)
            case b"O" | b"":
                send(answer(message))
            case b"b":
                raise RuntimeError("a bug on the slow way")

    def timed(self, count: int, seconds: float) -> None:
        self.times.append((count, seconds))

    def finish(self, message: bytes) -> None:
        """Answer a slow message now."""
        self.waiting.pop(message)[1](answer(message))


class FakeResponders:
    """Makes a `FakeResponder` for each socket and keeps them."""

    def __init__(self) -> None:
        self.made: list[FakeResponder] = []

    def for_socket(self, proto: Proto, family: Family, server: str) -> FakeResponder:
        self.made.append(FakeResponder(proto, family, server))
        return self.made[-1]

    def of(self, proto: Proto, family: Family = 1) -> FakeResponder:
        """The one FakeResponder of a transport and family."""
        (found,) = (made for made in self.made if (made.counts.proto, made.counts.family) == (proto, family))
        return found


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(120):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


def has_ipv6() -> bool:
    """True if this machine has ``::1``."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
