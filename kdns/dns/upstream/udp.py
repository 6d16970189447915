"""One datagram to an upstream and its answer, each from a socket of its own.

A fresh socket is a fresh random source port, which the kernel chooses, and no other address may send to it: it is
connected. So a forger has to guess port and id at once, for a question that is asked only once at a time (RFC 5452).
A datagram that is not the answer is ignored, and waiting goes on: what a forger sends too early does no harm.
"""

import asyncio
import socket
from typing import Final

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.exchange import Address, Number, endpoints, reason, unguessable
from kdns.wire.message import Message, UpstreamQuery, compose_query, parse_reply

LARGEST: Final = 65535
DRAIN: Final = 32
"""Datagrams read in one turn of the loop: a flood of forged ones must not hold it."""


class Udp:
    """Plain DNS over UDP (RFC 1035 section 4.2.1)."""

    def __init__(self, address: Address, number: Number = unguessable) -> None:
        self._address, self._number = address, number

    async def exchange(self, ask: UpstreamQuery, seconds: float, payload: int | None) -> Message:
        """See `Transport`."""
        address = self._address
        number = self._number()
        try:
            sock = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise UpstreamError(f"dial udp {address.text}: {reason(error)}") from error
        with sock:
            try:
                if address.local is not None:
                    sock.bind(address.local)
                sock.connect(address.sockaddr)
            except OSError as error:
                raise UpstreamError(f"dial udp {address.text}: connect: {reason(error)}") from error
            try:
                sock.send(compose_query(number, ask, payload))
                return await _answer(sock, number, ask, seconds)
            except TimeoutError as error:
                raise UpstreamError(f"read udp {endpoints(sock, address)}: i/o timeout") from error
            except OSError as error:
                raise UpstreamError(f"read udp {endpoints(sock, address)}: read: {reason(error)}") from error

    async def close(self) -> None:
        """Nothing stays open."""


async def _answer(sock: socket.socket, number: int, ask: UpstreamQuery, seconds: float) -> Message:
    """Read until the answer comes. Raises TimeoutError, or OSError if the upstream's machine refuses."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Message] = loop.create_future()

    def readable() -> None:
        for _ in range(DRAIN):
            if found.done():
                return
            try:
                octets = sock.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                found.set_exception(error)
                return
            message = parse_reply(octets, number, ask)
            if message is not None:
                found.set_result(message)

    fd = sock.fileno()  # given a socket, the selector would write its repr into an error that is not read
    loop.add_reader(fd, readable)
    try:
        async with asyncio.timeout(seconds):
            return await found
    finally:
        loop.remove_reader(fd)
