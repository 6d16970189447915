"""DNS over HTTPS to an upstream: an aiohttp server on a real socket at the other end."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kdns.base.errors import UpstreamError
from kdns.wire.query import parse_query
from tests.dns.upstream.forwarding import forwarding
from tests.fakes.certificates import SERVER, server_context
from tests.fakes.upstream import reply

TYPE = "application/dns-message"
Respond = Callable[[bytes], web.Response]


def right(query: bytes) -> web.Response:
    """The right answer."""
    return web.Response(body=reply(parse_query(query), ("192.0.2.7",)), content_type=TYPE)


class Server:
    """What was asked, and of how many connections."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.requests: list[tuple[str, bytes]] = []
        self.connections: set[asyncio.WriteTransport] = set()
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        """One request."""
        assert isinstance(request.transport, asyncio.WriteTransport)
        self.connections.add(request.transport)
        assert request.headers["Accept"] == TYPE
        if request.method == "POST":
            assert request.content_type == TYPE
            query = await request.read()
        else:
            text = request.query["dns"]
            assert "=" not in text
            query = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        self.requests.append((request.method, query))
        return self.respond(query)


@asynccontextmanager
async def serving(respond: Respond = right) -> AsyncIterator[Server]:
    """A server on a free port."""
    server = Server(respond)
    app = web.Application()
    app.router.add_route("*", "/dns-query", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context())
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("options", "method"), [("", "POST"), ("doh_method GET", "GET"), ("tls_servername kube.example", "POST")]
)
async def test_https(options: str, method: str) -> None:
    """A question and its answer over HTTPS, with id 0, on a connection that is kept."""
    text = f"forward . https://127.0.0.1:{{}} {{{{\n tls {SERVER.cert}\n {options}\n}}}}"
    async with serving() as server, forwarding(text.format(server.port)) as forward:
        for _ in range(3):
            assert await forward.address("a.example.org.") == "192.0.2.7"
        assert [(asked, parse_query(query).id) for asked, query in server.requests] == [(method, 0)] * 3
        assert len(server.connections) == 1
        assert forward.sample("coredns_proxy_request_duration_seconds_count", to=f"127.0.0.1:{server.port}") == 3


async def test_a_kept_connection_that_is_closed() -> None:
    """A query meets a connection that the server has closed: it goes out again, and the server is not blamed."""
    text = f"forward . https://127.0.0.1:{{}} {{{{\n tls {SERVER.cert}\n max_connect_attempts 1\n}}}}"
    async with serving() as server, forwarding(text.format(server.port)) as forward:
        for _ in range(5):
            assert await forward.address("a.example.org.") == "192.0.2.7"
            for transport in server.connections:
                transport.abort()
        assert forward.parts.tasks == []


def other(query: bytes) -> web.Response:
    """An answer to another question."""
    return web.Response(body=reply(parse_query(query), name="evil.example."), content_type=TYPE)


BAD: tuple[tuple[str, Respond, str], ...] = (
    ("an error", lambda _: web.Response(status=503), "expected status 200, got 503"),
    ("somewhere else", lambda _: web.Response(status=302, headers={"Location": "/"}), "expected status 200, got 302"),
    ("a page", lambda _: web.Response(text="hello"), "expected content type application/dns-message, got 'text/plain'"),
    ("noise", lambda _: web.Response(body=b"hello", content_type=TYPE), "does not answer the question"),
    ("another question", other, "does not answer the question"),
    ("too much", lambda _: web.Response(body=bytes(200_000), content_type=TYPE), "does not answer the question"),
)


@pytest.mark.parametrize(("title", "respond", "message"), BAD, ids=[case[0] for case in BAD])
async def test_bad_answers(title: str, respond: Respond, message: str) -> None:
    """What is no answer is an error that says what came instead."""
    text = f"forward . https://127.0.0.1:{{}} {{{{\n tls {SERVER.cert}\n max_connect_attempts 1\n}}}}"
    async with serving(respond) as server, forwarding(text.format(server.port)) as forward:
        with pytest.raises(UpstreamError, match=message):
            await forward.ask("a.example.org.")
        assert len(server.requests) >= 1, title


@pytest.mark.parametrize("name", ["", "tls_servername other.example"])
async def test_a_server_that_cannot_be_trusted(name: str) -> None:
    """Without a certificate that we trust, for the name that we know, nothing is asked."""
    options = f"tls {SERVER.cert}\n {name}" if name else ""
    text = f"forward . https://127.0.0.1:{{}} {{{{\n max_connect_attempts 1\n {options}\n}}}}"
    async with serving() as server, forwarding(text.format(server.port)) as forward:
        with pytest.raises(UpstreamError, match="certificate"):
            await forward.ask("a.example.org.")
        assert server.requests == []


async def test_nobody_listens() -> None:
    """A server that is gone is an error, and its probes fail until it is back."""
    async with serving() as server:
        port = server.port
    text = f"forward . https://127.0.0.1:{port} {{\n max_connect_attempts 1\n}}"
    async with forwarding(text) as forward:
        with pytest.raises(
            UpstreamError, match=rf'"https://127.0.0.1:{port}/dns-query": dial tcp .*: connect: connection refused'
        ):
            await forward.ask("a.example.org.")
        assert [task.get_name() for task in forward.parts.tasks] == [f"probe 127.0.0.1:{port}"]
