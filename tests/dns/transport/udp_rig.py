"""A UDP listener with a fake FakeResponder for each way of moving datagrams, and clients that ask it."""

import asyncio
import socket
from typing import Final, NamedTuple

import pytest

from kdns.dns.api.message_handler import Family
from kdns.dns.transport.udp import ReceiveMethod, UdpListener
from tests.dns.socket_responders import FakeResponder

AF: Final[dict[Family, socket.AddressFamily]] = {1: socket.AF_INET, 2: socket.AF_INET6}
LOOPBACK: Final[dict[Family, str]] = {1: "127.0.0.1", 2: "::1"}


class Case(NamedTuple):
    """One way of moving datagrams on one kind of socket."""

    way: ReceiveMethod
    family: Family
    bind: str


CASES: Final = (
    Case("mmsg", 1, "0.0.0.0"),
    Case("mmsg", 1, "127.0.0.1"),
    Case("mmsg", 2, "::"),
    Case("mmsg", 2, "::1"),
    Case("msg", 1, "0.0.0.0"),
    Case("msg", 1, "127.0.0.1"),
    Case("msg", 2, "::"),
    Case("msg", 2, "::1"),
    Case("plain", 1, "127.0.0.1"),
    Case("plain", 2, "::1"),
)


class Rig:
    """A listener with a fake responder, and clients on connected sockets: replies from other addresses never arrive."""

    def __init__(self, case: Case) -> None:
        self.responder = FakeResponder("udp", case.family)
        self.sock = socket.socket(AF[case.family], socket.SOCK_DGRAM)
        if case.family == 2:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.sock.bind((case.bind, 0))
        self.port = self.sock.getsockname()[1]
        self.listener = UdpListener(self.sock, case.family, self.responder, way=case.way)
        self._family = case.family
        self._clients: list[socket.socket] = []

    def client(self, asked: str | None = None, asking: str | None = None) -> socket.socket:
        """A socket connected to the server at one of its addresses, from one of ours."""
        sock = socket.socket(AF[self._family], socket.SOCK_DGRAM)
        if asking is not None:
            sock.bind((asking, 0))
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        sock.connect((asked or LOOPBACK[self._family], self.port))
        self._clients.append(sock)
        return sock

    def close(self) -> None:
        self.listener.close()
        for sock in self._clients:
            sock.close()


async def receive(sock: socket.socket, count: int) -> list[bytes]:
    """So many datagrams; fails with what has come when they do not come."""
    got: list[bytes] = []
    try:
        async with asyncio.timeout(120):
            while len(got) < count:
                got.append(await asyncio.get_running_loop().sock_recv(sock, 70_000))
    except TimeoutError:
        pytest.fail(f"{len(got)} of {count} replies came: {got[:8]}")
    return got
