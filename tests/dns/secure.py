"""Servers with certificates, and clients that ask them over TLS and HTTPS."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from dnslib import DNSRecord

from kdns.dns.api.handler import Client
from kdns.dns.query.responder import SocketResponder
from kdns.dns.server.plan import plan_corefile
from kdns.dns.server.registry import Registry
from kdns.dns.server.serving import Serving
from kdns.dns.transport.https import CONTENT_TYPE
from tests.config.text import corefile
from tests.dns.server.test_plan import server_context
from tests.fakes.certificates import SERVER

WAITING = f"""
tls://.:0 https://.:0 {{
    bind 127.0.0.1
    tls {SERVER.cert} {SERVER.key}
    waits
}}
"""
"""Each answer waits: see `waiting`."""
WAITS = """
import asyncio
from kdns.dns.api.handler import Response
from kdns.dns.api.plugin import Built

NAME = "waits"
BEFORE = "forward"

def parse(directives, place):
    return None

def build(options, parts):
    begun, go_on = asyncio.Event(), asyncio.Event()
    parts.offer(NAME, (begun, go_on))

    def plugin(following):
        async def handle(request):
            begun.set()
            await go_on.wait()
            return Response(3)
        return handle

    return Built(plugin=plugin)
"""
BOTH = f"""
tls://.:0 https://.:0 {{
    bind 127.0.0.1
    tls {SERVER.cert} {SERVER.key}
    cache
    hosts {{
        192.0.2.7 a.test
        ttl 60
    }}
}}
"""
"""The first answer for a name takes the slow way, the next ones are fast."""


def trusting(cert: str = str(SERVER.cert)) -> ssl.SSLContext:
    """A client that trusts the servers of the tests."""
    return ssl.create_default_context(cafile=cert)


def query(name: str = "a.test", rtype: str = "A", number: int = 0x1234) -> bytes:
    """A query as octets."""
    question = DNSRecord.question(name, rtype)
    question.header.id = number
    return bytes(question.pack())


@asynccontextmanager
async def serving(text: str = BOTH, plugins: str = "") -> AsyncIterator[Serving]:
    """A Corefile, served; ``plugins``: a folder of more plugins."""
    made = Serving(server_context())
    try:
        await install(made, text, plugins)
        yield made
    finally:
        await made.stop(1)
        await made.close()


async def install(made: Serving, text: str, plugins: str = "") -> None:
    """Serve a Corefile from now on."""
    await made.install(made.build(plan_corefile(corefile(text), Registry(plugins), "/")))


def slow_ones(made: Serving) -> list[Client]:
    """Who asks what takes the slow way, from now on."""
    found: list[Client] = []

    def noted(socket_responder: SocketResponder) -> Callable[..., None]:
        real = socket_responder.slow

        def slow(message: bytes, client: Client, *rest: Any) -> None:
            found.append(client)
            real(message, client, *rest)

        return slow

    for place in made.places.values():
        for socket_responder in place.responder.sockets:
            socket_responder.slow = noted(socket_responder)  # type: ignore[method-assign]
    return found


def port(made: Serving, scheme: str) -> int:
    """Where it is served."""
    return next(number for listener, number in made.ports().items() if listener.scheme == scheme)


class Stream:
    """A connection of DNS over TLS: ``async with Stream(port) as stream``."""

    def __init__(self, at: int, context: ssl.SSLContext | None = None) -> None:
        self._at, self._context = at, context or trusting()
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(120):
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._at, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send(self, *messages: bytes) -> None:
        """All in one write."""
        self.writer.write(b"".join(struct.pack("!H", len(each)) + each for each in messages))

    async def receive(self) -> bytes:
        """The next reply."""
        async with asyncio.timeout(120):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    @property
    def certificate(self) -> bytes:
        """What the server showed."""
        return bytes(self.writer.get_extra_info("ssl_object").getpeercert(True))


def waiting(folder: Path) -> str:
    """A folder with a plugin that answers when it is told to."""
    (folder / "waits.py").write_text(WAITS)
    return str(folder)


def events(made: Serving) -> tuple[asyncio.Event, asyncio.Event]:
    """It has a question; it may answer."""
    return made.blocks[0].parts.sibling("waits")  # type: ignore[return-value]


async def ask_once(made: Serving, scheme: str) -> tuple[bytes, bytes]:
    """One reply, and what comes after it until the server closes."""
    async with Stream(port(made, scheme)) as stream:
        if scheme == "tls":
            stream.send(query())
            return await stream.receive(), await stream.reader.read()
        head = f"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(query())}"
        stream.writer.write(f"{head}\r\n\r\n".encode() + query())
        told = await stream.reader.readuntil(b"\r\n\r\n")
        size = int(told.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return await stream.reader.readexactly(size), await stream.reader.read()


@asynccontextmanager
async def session(context: ssl.SSLContext | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of HTTPS with one connection."""
    connector = aiohttp.TCPConnector(ssl=context or trusting(), limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as made:
        yield made
