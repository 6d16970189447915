"""Servers with certificates, and clients that ask them over TLS and HTTPS."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from dnslib import DNSRecord

from kdns.assemble import plan_corefile
from kdns.dns.registry import Registry
from kdns.serving import Serving
from tests.config.text import corefile
from tests.fakes.certificates import SERVER
from tests.test_assemble import hub

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
async def serving(text: str = BOTH) -> AsyncIterator[Serving]:
    """A Corefile, served."""
    made = Serving(hub())
    try:
        await install(made, text)
        yield made
    finally:
        await made.stop(1)
        await made.close()


async def install(made: Serving, text: str) -> None:
    """Serve a Corefile from now on."""
    await made.install(made.build(plan_corefile(corefile(text), Registry(), "/")))


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
        async with asyncio.timeout(10):
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._at, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send(self, *messages: bytes) -> None:
        """All in one write."""
        self.writer.write(b"".join(struct.pack("!H", len(each)) + each for each in messages))

    async def receive(self) -> bytes:
        """The next reply."""
        async with asyncio.timeout(10):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    @property
    def certificate(self) -> bytes:
        """What the server showed."""
        return bytes(self.writer.get_extra_info("ssl_object").getpeercert(True))


@asynccontextmanager
async def session(context: ssl.SSLContext | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of HTTPS with one connection."""
    connector = aiohttp.TCPConnector(ssl=context or trusting(), limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as made:
        yield made
