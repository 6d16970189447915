"""Addresses and ports become sockets, and errors that an operator can act on."""

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from kdns.base.errors import ConfigError
from kdns.dns.transport.listeners import Bound, Server, label, parse_listen, refusal
from kdns.dns.transport.tcp_limits import TcpLimits
from tests.dns.socket_responders import FakeResponders, answer, fast, has_ipv6, slow
from tests.ports import free_port

needs_ipv6 = pytest.mark.needs_kernel(has_ipv6(), "IPv6: no ::1")


@contextlib.asynccontextmanager
async def started(
    *listen: str, port: int = 0, limits: TcpLimits | None = None
) -> AsyncIterator[tuple[Server, FakeResponders]]:
    sockets = FakeResponders()
    server = Server(sockets, listen or ("",), port, limits=limits)
    await server.start()
    try:
        yield server, sockets
    finally:
        await server.stop(0)


async def ask_udp(address: str, port: int, message: bytes) -> bytes:
    """Over a connected socket: a reply from any other address would not arrive."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((address, port))
        sock.send(message)
        return await asyncio.wait_for(loop.sock_recv(sock, 65_535), 120)


async def ask_tcp(address: str, port: int, message: bytes) -> bytes:
    async with asyncio.timeout(120):
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()
        return reply


@needs_ipv6
async def test_no_address_means_every_address() -> None:
    """Both families, both transports, one port that the kernel chose; each address replies for itself."""
    async with started() as (server, sockets):
        assert [(one.address, one.family) for one in server.bound] == [("0.0.0.0", 1), ("::", 2)]
        assert {one.port for one in server.bound} == {server.port}
        for address in ("127.0.0.1", "127.0.0.2", "::1"):
            message = fast(address)
            assert await ask_udp(address, server.port, message) == answer(message)
            assert await ask_tcp(address, server.port, message) == answer(message)
        assert sockets.of("udp", 1).seen == [fast("127.0.0.1"), fast("127.0.0.2")]
        assert sockets.of("tcp", 2).seen == [fast("::1")]
        assert {made.counts.server for made in sockets.made} == {f"dns://:{server.port}"}


async def test_only_the_addresses_given_are_served() -> None:
    """Each has a label of its own, and another address of this machine is not answered."""
    async with started("127.0.0.1", "127.0.0.2") as (server, sockets):
        assert server.bound == (Bound("127.0.0.1", server.port, 1), Bound("127.0.0.2", server.port, 1))
        assert await ask_udp("127.0.0.2", server.port, fast("a")) == answer(fast("a"))
        assert await ask_tcp("127.0.0.1", server.port, fast("b")) == answer(fast("b"))
        with pytest.raises(ConnectionRefusedError):
            await ask_udp("127.0.0.3", server.port, fast("c"))
        assert [made.counts.server for made in sockets.made] == [
            f"dns://{address}:{server.port}" for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2")
        ]


LABELS: Final = (
    ("", 53, "dns://:53"),
    ("127.0.0.1", 1053, "dns://127.0.0.1:1053"),
    ("0.0.0.0", 53, "dns://0.0.0.0:53"),
    ("::1", 53, "dns://[::1]:53"),
)


@pytest.mark.parametrize(("address", "port", "expected"), LABELS)
def test_labels(address: str, port: int, expected: str) -> None:
    """Servers are named as CoreDNS names them."""
    assert label(address, port) == expected


LISTENS: Final[tuple[tuple[tuple[str, ...], list[str]], ...]] = (
    (("",), ["0.0.0.0", "::"]),
    (("0.0.0.0",), ["0.0.0.0"]),
    (("::", "[::1]"), ["::", "::1"]),
    (("", "0.0.0.0", "127.0.0.1", "127.0.0.1"), ["0.0.0.0", "::", "127.0.0.1"]),
    (("fe80::1%eth0", "0:0::1"), ["fe80::1%eth0", "::1"]),
)


@pytest.mark.parametrize(("listen", "expected"), LISTENS)
def test_addresses_to_listen_on(listen: tuple[str, ...], expected: list[str]) -> None:
    """Each is bound once, in its canonical spelling."""
    assert [one.address for one in parse_listen(listen, 53)] == expected


@pytest.mark.parametrize(
    ("listen", "port", "problem"),
    [
        (("localhost",), 53, "cannot listen on 'localhost'"),
        (("127.0.0.1:53",), 53, "cannot listen on '127.0.0.1:53'"),
        (("",), 65_536, "invalid port 65536"),
        (("",), -1, "invalid port -1"),
    ],
)
def test_what_is_no_address(listen: tuple[str, ...], port: int, problem: str) -> None:
    """It is refused before anything is bound."""
    with pytest.raises(ConfigError, match=problem) as refused:
        Server(FakeResponders(), listen, port)
    assert refused.value.hint


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
async def test_a_taken_port_is_an_error_that_says_what_to_do(kind: socket.SocketKind) -> None:
    """Whoever holds one of the two, the error names it, and nothing of ours stays open."""
    with socket.socket(socket.AF_INET, kind) as holder:
        port = free_port()
        holder.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        server = Server(FakeResponders(), ("127.0.0.1",), port)
        name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1 port {port} \({name}\): the port is taken") as refused:
            await server.start()
        assert "--port" in refused.value.hint
        assert "\n" not in refused.value.problem + refused.value.hint
    async with started("127.0.0.1", port=port):
        pass


async def test_two_servers_do_not_share_a_port() -> None:
    """The second is told so, instead of taking half of the queries; after the first is gone it can have it."""
    async with started("127.0.0.1") as (first, _):
        with pytest.raises(ConfigError, match="the port is taken"):
            await Server(FakeResponders(), ("127.0.0.1",), first.port).start()
        assert await ask_udp("127.0.0.1", first.port, fast("a")) == answer(fast("a"))
        assert await ask_tcp("127.0.0.1", first.port, fast("a")) == answer(fast("a"))
    async with started("127.0.0.1", port=first.port) as (second, _):
        assert await ask_tcp("127.0.0.1", second.port, fast("b")) == answer(fast("b"))


REFUSALS: Final = (
    (errno.EACCES, "no permission", ("ip_unprivileged_port_start", "CAP_NET_BIND_SERVICE", "--port 1053")),
    (errno.EADDRINUSE, "taken", ("ss -lunp", "--port", "--listen")),
    (errno.EADDRNOTAVAIL, "no such address", ("127.0.0.1",)),
    (errno.ENOBUFS, "No buffer space", ("--listen",)),
)


@pytest.mark.parametrize(("code", "problem", "hints"), REFUSALS)
def test_refusals_say_what_to_do(code: int, problem: str, hints: tuple[str, ...]) -> None:
    """Each names the address and port, what is wrong, and what helps."""
    error = refusal("UDP", "0.0.0.0", 53, OSError(code, "No buffer space"))
    assert error.problem.startswith("cannot listen on 0.0.0.0 port 53 (UDP): ")
    assert problem in error.problem
    for hint in hints:
        assert hint in error.hint


class Failing(socket.socket):
    """A socket that cannot be bound where a script says so: (family, type) -> error number."""

    script: dict[tuple[int, int], list[int]] = {}  # noqa: RUF012 - set by each test

    def bind(self, address: Any) -> None:
        codes = self.script.get((self.family, self.type))
        if codes:
            code = codes.pop(0)
            raise OSError(code, errno.errorcode[code])
        super().bind(address)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    monkeypatch.setattr(Failing, "script", {})
    monkeypatch.setattr("kdns.dns.transport.listeners.socket.socket", Failing)
    return Failing


async def test_no_permission_is_an_error_that_says_what_to_do(failing: type[Failing]) -> None:
    """As for port 53 without the capability."""
    failing.script = {(socket.AF_INET, socket.SOCK_DGRAM): [errno.EACCES]}
    with pytest.raises(ConfigError, match="no permission") as refused:
        await Server(FakeResponders(), ("",), 53).start()
    assert "CAP_NET_BIND_SERVICE" in str(refused.value)


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
async def test_without_ipv6_there_is_ipv4(failing: type[Failing], code: int, caplog: pytest.LogCaptureFixture) -> None:
    """One line says so, and everything else works."""
    failing.script = {(socket.AF_INET6, socket.SOCK_DGRAM): [code]}
    with caplog.at_level(logging.INFO):
        async with started() as (server, _):
            assert [one.address for one in server.bound] == ["0.0.0.0"]
            assert await ask_udp("127.0.0.1", server.port, fast("a")) == answer(fast("a"))
    assert [record.message for record in caplog.records if "IPv6" in record.message] == [
        "this machine has no IPv6: serving IPv4 only"
    ]


async def test_an_ipv6_address_that_was_asked_for_must_be_there(failing: type[Failing]) -> None:
    """Only for "every address" the missing family is no error."""
    failing.script = {(socket.AF_INET6, socket.SOCK_DGRAM): [errno.EADDRNOTAVAIL]}
    with pytest.raises(ConfigError, match="no such address"):
        await Server(FakeResponders(), ("::1",), 0).start()


async def test_a_chosen_port_is_free_for_all(failing: type[Failing]) -> None:
    """When the port that the kernel chose for UDP is taken for TCP, another is tried."""
    failing.script = {(socket.AF_INET, socket.SOCK_STREAM): [errno.EADDRINUSE] * 3}
    async with started("127.0.0.1") as (server, _):
        assert await ask_tcp("127.0.0.1", server.port, fast("a")) == answer(fast("a"))
    assert failing.script == {(socket.AF_INET, socket.SOCK_STREAM): []}


async def test_choosing_a_port_ends(failing: type[Failing]) -> None:
    """If none is free, that is the error."""
    failing.script = {(socket.AF_INET, socket.SOCK_STREAM): [errno.EADDRINUSE] * 1000}
    with pytest.raises(ConfigError, match="taken"):
        await Server(FakeResponders(), ("127.0.0.1",), 0).start()


async def test_stop_finishes_what_is_in_flight() -> None:
    """What was asked before is answered over both transports, what comes after is not, then all is closed."""
    async with started("127.0.0.1") as (server, sockets):
        port = server.port
        asked = [
            asyncio.create_task(ask_udp("127.0.0.1", port, slow("u"))),
            asyncio.create_task(ask_tcp("127.0.0.1", port, slow("t"))),
        ]
        udp, tcp = sockets.of("udp"), sockets.of("tcp")
        while not (udp.waiting and tcp.waiting):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
        stopping = asyncio.create_task(server.stop(10))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await ask_tcp("127.0.0.1", port, fast("late"))
        assert not stopping.done()
        udp.finish(slow("u"))
        tcp.finish(slow("t"))
        assert await asyncio.gather(*asked) == [answer(slow("u")), answer(slow("t"))]
        assert await asyncio.wait_for(stopping, 120)
        with pytest.raises(ConnectionRefusedError):
            await ask_udp("127.0.0.1", port, fast("late"))


async def test_stop_does_not_wait_for_ever() -> None:
    """After the limit everything closes; a reply that comes later still goes nowhere."""
    async with started("127.0.0.1") as (server, sockets):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        message = slow("t")
        writer.write(struct.pack("!H", len(message)) + message)
        responder = sockets.of("tcp")
        while not responder.waiting:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
        assert await server.stop(0.01) is False
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        responder.finish(message)
        writer.close()


async def test_stop_with_nothing_to_do_is_quick_and_can_be_repeated() -> None:
    """No query was asked, nothing is owed; a server that never started can be closed too."""
    async with started("127.0.0.1") as (server, _):
        assert await server.stop(10)
        assert await server.stop(10)
    never = Server(FakeResponders(), ("127.0.0.1",), 0)
    assert await never.stop(10)
