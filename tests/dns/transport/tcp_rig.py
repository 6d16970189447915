"""A TCP listener with a fake FakeResponder, and clients that connect to it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from kdns.dns.transport.tcp import TcpListener
from kdns.dns.transport.tcp_limits import TcpLimits
from tests.dns.socket_responders import FakeResponder

PATIENT: Final = TcpLimits(idle=30.0, read=30.0, write=30.0)
"""Limits of time that no test reaches."""


def frame(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


class Rig:
    """A listener with a fake FakeResponder."""

    def __init__(self, limits: TcpLimits) -> None:
        self.responder = FakeResponder("tcp", 1)
        self.listener = TcpListener(self.responder, 1, limits)
        self.address = ("", 0)
        self.clients: list[Client] = []

    async def client(self, address: str = "127.0.0.1") -> "Client":
        """A connection from one of the loopback addresses."""
        made = Client(*await asyncio.open_connection(*self.address, local_addr=(address, 0)))
        self.clients.append(made)
        return made


class Client:
    """One connection to the listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: bytes) -> None:
        """All in one write."""
        self.writer.write(b"".join(map(frame, messages)))

    async def receive(self) -> bytes:
        """The next reply."""
        async with asyncio.timeout(120):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    async def receive_all(self, count: int) -> list[bytes]:
        return [await self.receive() for _ in range(count)]

    async def ended(self) -> bytes:
        """Wait until the server closes; returns what came before."""
        async with asyncio.timeout(120):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def serving(limits: TcpLimits = PATIENT) -> AsyncIterator[Rig]:
    rig = Rig(limits)
    server = await asyncio.get_running_loop().create_server(rig.listener.connection, "127.0.0.1", 0)
    rig.address = server.sockets[0].getsockname()
    try:
        yield rig
    finally:
        server.close()
        for client in rig.clients:
            client.writer.close()
        rig.listener.abort()
        await rig.listener.pending_replies.drained()
        await asyncio.sleep(0)
