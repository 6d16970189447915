"""The tiny servers of a lab's Pods, all in one loop: a socket stays in the network where it was made.

On TCP (and SCTP) each line is answered with ``NAME ADDRESS PORT``: the server's name, and the client as it sees it.
The connection stays open until the client closes it. A line that begins with ``GET`` is an HTTP request: the body is
the name alone, so that ``wget -qO- http://hostnames`` prints which Pod answered, and the header ``X-Client`` is the
client. On UDP each datagram is answered with such a line.
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Final, cast

from kdns.lab import namespaces as kernel
from kdns.lab.background import Background
from kdns.lab.plan import Address

SCTP: Final = 132
"""Its IP protocol number; Python knows it only where the C library does."""
PROTOCOLS: Final = {
    "TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "SCTP": (socket.SOCK_STREAM, SCTP),
}
"""Kind and number of each protocol's sockets."""
LONGEST: Final = 8192
"""Octets of a request at most; a longer one ends the connection."""


def knows(protocol: str) -> bool:
    """Whether this kernel has a protocol (not all have SCTP)."""
    try:
        socket.socket(socket.AF_INET, *PROTOCOLS[protocol]).close()
    except OSError:
        return False
    return True


class Serving:
    """One server: the sockets of a name on a port. Close it, which also ends its connections."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self.listening: list[asyncio.AbstractServer | asyncio.BaseTransport] = []
        self.connections: set[asyncio.Transport] = set()

    def close(self) -> None:
        """Stop listening (new connections are refused) and abort what is open."""
        self.stop_listening()
        self._background.wait_for(self._abort())

    def stop_listening(self) -> None:
        """Stop listening; open connections go on."""
        self._background.wait_for(self._stop_listening())

    async def _stop_listening(self) -> None:
        for listener in self.listening:
            listener.close()
        self.listening.clear()
        await asyncio.sleep(0)

    async def _abort(self) -> None:
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)


class Servers:
    """All servers of a lab, in its loop. Close it."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._all: list[Serving] = []

    def close(self) -> None:
        """Close every server."""
        for serving in self._all:
            serving.close()

    def serve(
        self, network: int, name: str, addresses: Iterable[Address], port: int, protocols: Iterable[str]
    ) -> Serving:
        """Serve a name on a port of addresses in a network. OSError if an address or protocol is not there."""
        serving = Serving(self._background)
        sockets = [
            (protocol, _bound(network, address, port, protocol)) for protocol in protocols for address in addresses
        ]
        self._background.wait_for(self._serve(serving, name, sockets))
        self._all.append(serving)
        return serving

    async def _serve(self, serving: Serving, name: str, sockets: Iterable[tuple[str, socket.socket]]) -> None:
        for protocol, made in sockets:
            if protocol == "UDP":
                transport, _ = await self._background.loop.create_datagram_endpoint(lambda: _Datagrams(name), sock=made)
                serving.listening.append(transport)
            else:
                server = await self._background.loop.create_server(
                    lambda: _Connection(name, serving.connections), sock=made, backlog=512
                )
                serving.listening.append(server)


def _bound(network: int, address: Address, port: int, protocol: str) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = kernel.socket_in(network, family, *PROTOCOLS[protocol])
    try:
        if protocol == "TCP":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(address), port))
    except BaseException:
        made.close()
        raise
    return made


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # it has the methods without the name

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._transport.sendto(_line(self._name, addr), addr)


class _Connection(asyncio.Protocol):
    def __init__(self, name: str, connections: set[asyncio.Transport]) -> None:
        self._name, self._connections, self._read = name, connections, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client = transport.get_extra_info("peername")
        self._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if len(self._read) > LONGEST:
            self._transport.abort()
        elif self._read.startswith(b"GET "):
            if b"\r\n\r\n" in self._read:
                self._transport.write(_http(self._name, self._client))
                self._transport.close()
        else:
            *lines, self._read = self._read.split(b"\n")
            for _ in lines:
                self._transport.write(_line(self._name, self._client))


def _line(name: str, client: tuple[Any, ...]) -> bytes:
    return f"{name} {client[0]} {client[1]}\n".encode()


def _http(name: str, client: tuple[Any, ...]) -> bytes:
    body = f"{name}\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return f"{head}X-Client: {client[0]} {client[1]}\r\n\r\n{body}".encode()
