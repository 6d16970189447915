"""What bounds the connections of an HTTP port: their number, how long they may be idle, and how slowly they may read.

As DNS over HTTPS has it; any Pod can reach these ports where no NetworkPolicy forbids it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from kdns.base.listen_address import Address
from kdns.ops.http_connections import Bounds
from kdns.ops.port import Answer, open_port

PATIENT = 3600.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello(_: web.BaseRequest) -> web.StreamResponse:
    """A page."""
    return web.Response(text="hello")


class Connected:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ended(self) -> bool:
        """Wait for the end of the connection."""
        try:
            return not await asyncio.wait_for(self.reader.read(), 120)
        except ConnectionError:
            return True

    async def asks(self, octets: bytes = GET) -> bytes:
        """The head of the response."""
        self.writer.write(octets)
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 120)


class Port:
    """An open port, and its clients."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.clients: list[Connected] = []

    async def client(self) -> Connected:
        """A new connection."""
        self.clients.append(Connected(*await asyncio.open_connection("127.0.0.1", self.number)))
        return self.clients[-1]


@asynccontextmanager
async def opened(
    answer: Answer = hello, *, connections: int = 100, idle: float = PATIENT, write: float = PATIENT
) -> AsyncIterator[Port]:
    """A port with these bounds."""
    port = await open_port(Address("127.0.0.1", 0), answer, Bounds(connections, idle, write))
    made = Port(port.port)
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.close()
        await port.close()


@pytest.mark.parametrize("octets", [b"", b"GET / HT", GET[:-2], b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 50])
async def test_a_head_that_does_not_come_ends_the_connection(octets: bytes) -> None:
    """Silence and half a head have the same end."""
    async with opened(idle=0.05) as port:
        client = await port.client()
        client.writer.write(octets)
        assert await client.ended()


async def test_an_idle_connection_ends_after_its_answer() -> None:
    """A scrape keeps its connection for a while, and not for ever."""
    async with opened(idle=0.05) as port:
        client = await port.client()
        assert b"200 OK" in await client.asks()
        await client.reader.readexactly(5)
        assert await client.ended()


async def test_one_too_many_closes_the_one_idle_longest() -> None:
    """The client that came first and has asked last is kept."""
    async with opened(connections=3) as port:
        first, second, third = [await port.client() for _ in range(3)]
        for client in (first, second, third, first):
            assert b"200 OK" in await client.asks()
            await client.reader.readexactly(5)
        fourth = await port.client()
        assert b"200 OK" in await fourth.asks()
        assert await second.ended()
        assert b"200 OK" in await first.asks()


async def test_those_being_answered_are_kept() -> None:
    """If all are busy, the new one is closed."""
    go_on = asyncio.Event()
    busy = asyncio.Semaphore(0)

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        busy.release()
        await go_on.wait()
        return web.Response(text="hello")

    async with opened(slow, connections=2) as port:
        asked = [asyncio.create_task((await port.client()).asks()) for _ in range(2)]
        await busy.acquire()
        await busy.acquire()
        assert await (await port.client()).ended()
        go_on.set()
        assert [b"200 OK" in head for head in await asyncio.gather(*asked)] == [True, True]


async def test_who_does_not_read_is_cut_off() -> None:
    """A long page that no one takes does not stay in memory."""

    cut_off = asyncio.Event()

    class Watched(web.Response):
        async def write_eof(self, data: bytes = b"") -> None:
            try:
                await super().write_eof(data)
            finally:
                cut_off.set()

    async def long(_: web.BaseRequest) -> web.StreamResponse:
        return Watched(body=bytes(32 << 20))

    async with opened(long, write=0.05) as port:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", port.number)) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, GET)
            await asyncio.wait_for(cut_off.wait(), 120)
            total = 0
            with suppress(ConnectionError):
                while octets := await loop.sock_recv(client, 1 << 20):
                    total += len(octets)
    assert total < 32 << 20


async def bug(_: web.BaseRequest) -> web.StreamResponse:
    """A page with a bug."""
    raise RuntimeError("a bug")


async def gone(_: web.BaseRequest) -> web.StreamResponse:
    """Not there."""
    raise web.HTTPNotFound


async def only_get(_: web.BaseRequest) -> web.StreamResponse:
    """Another method."""
    raise web.HTTPMethodNotAllowed("POST", ("GET", "HEAD"))


@pytest.mark.parametrize(
    ("answer", "octets", "status"),
    [(hello, GET, 200), (gone, GET, 404), (only_get, GET, 405), (bug, GET, 500), (hello, b"\x16\x03\x01\xff", 400)],
)
async def test_no_response_names_a_version(answer: Answer, octets: bytes, status: int) -> None:
    """Neither Python's nor aiohttp's: it would tell an attacker what to try."""
    async with opened(answer) as port:
        head = await (await port.client()).asks(octets)
    lines = head.decode().split("\r\n")
    assert lines[0].split()[1] == str(status)
    assert [line for line in lines if line.lower().startswith("server:")] == ["Server: kdns"]
    assert "python" not in head.decode().lower()
    assert "aiohttp" not in head.decode().lower()
    assert ("Allow: GET,HEAD" in lines) is (status == 405)
