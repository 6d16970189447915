"""DNS over HTTPS: GET and POST of ``/dns-query`` over HTTP/1.1 (RFC 8484).

::

    request ──bounds, form──> message ──> responder.fast, or responder.slow ──> 200 with the reply, whatever its rcode
                  └── 400, 404, 405, 413, 415: what cannot be read as a query is not passed on
"""

import asyncio
import base64
import logging
import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from kdns.base.errors import FormError
from kdns.dns.api.handler import Client
from kdns.dns.api.message_handler import Family, MessageHandler, PendingReplies, PendingReply, panicked
from kdns.dns.transport.connection_shares import ConnectionShares
from kdns.dns.transport.sampling import Sampler
from kdns.dns.transport.tcp import MAX_MESSAGE
from kdns.dns.transport.tcp_limits import TcpLimits
from kdns.ops.http_connections import Bounds, HttpConnection, HttpConnections
from kdns.wire.query import parse_header, parse_query
from kdns.wire.ttl import lifetime

PATH: Final = "/dns-query"
CONTENT_TYPE: Final = "application/dns-message"
MAX_HTTP_LINE: Final = 8190
"""Octets of a request line, and of each header: a query of more than about 6000 octets must be a POST."""
CONNECTIONS: Final = 200
"""As CoreDNS has it; one more closes that which has been idle longest."""
SERVER: Final = {"Server": "kdns"}
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")

_log = logging.getLogger("kdns.dns")
_silent = logging.getLogger("kdns.dns.transport.https.protocol")
_silent.setLevel(logging.CRITICAL + 1)  # invalid HTTP is the client's fault, and answered with 400


class Wrong(Exception):
    """A request that is not a query: its status, and a line of text for the client."""

    def __init__(self, status: int, text: str, headers: dict[str, str] = {}) -> None:  # noqa: B006
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


class HttpsListener:
    """All connections to one listening socket; they are secure already."""

    def __init__(
        self, responder: MessageHandler, family: Family, limits: TcpLimits, responded: Callable[[int], None]
    ) -> None:
        """``responded`` is called with the status of each response."""
        self.responder, self.family, self.limits, self.responded = responder, family, limits, responded
        self.pending_replies = PendingReplies()
        """Connections that are open."""
        self._ending = False
        self._sampler = Sampler(responder)
        self._shares = ConnectionShares(responder)
        self._connections = HttpConnections(self._bounds, self._gone)
        self._server = _Server(self)

    def connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        return self._server()

    def stop(self) -> None:
        """Take no more requests; each connection closes when it has sent what it owes."""
        self._ending = True
        self._connections.stop()

    def abort(self) -> None:
        """Close every connection now."""
        self._connections.abort()

    def _bounds(self) -> Bounds:
        limits = self.limits
        return Bounds(min(CONNECTIONS, limits.connections), limits.idle, limits.write)

    def opened(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection in, or end it if all others are busy; see `TcpListener.opened`."""
        peer = transport.get_extra_info("peername")
        if peer is None or transport.get_extra_info("sockname") is None:
            transport.abort()  # it is gone already
            return
        address = peer[0]
        over = self._shares.over(address, self._bounds().connections)
        if over and not self._connections.close_idle(lambda other: _address(other) == address):
            transport.abort()
        elif self._connections.opened(handler, transport) is not None:
            self._shares.opened(address)
            self.pending_replies.count += 1

    def closed(self, handler: web.RequestHandler) -> None:
        """A connection is gone."""
        self._connections.gone(handler)

    def _gone(self, connection: HttpConnection) -> None:
        self._shares.closed(_address(connection))
        self.pending_replies.done()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and have it sent."""

        async def respond(connection: HttpConnection) -> web.Response:
            response = await self._respond(request, connection)
            if self._ending or response.status in {413, 415}:
                response.force_close()  # after these its body may still be on its way
            self.responded(response.status)
            return response

        response = await self._connections.serve(request, respond)
        return response if response is not None else web.Response(status=503)

    async def _respond(self, request: web.BaseRequest, connection: HttpConnection) -> web.Response:
        try:
            async with asyncio.timeout(self.limits.read):
                message = await query_of(request)
            reply = await self._answer(message, connection)
        except TimeoutError:
            wrong = Wrong(408, "the query did not come in time")
        except Wrong as error:
            wrong = error
        else:
            if reply is None:
                return web.Response(status=500, text="no answer\n", headers=SERVER)
            headers = {**SERVER, "Content-Type": CONTENT_TYPE, "Cache-Control": f"max-age={lifetime(reply)}"}
            return web.Response(body=reply, headers=headers)
        return web.Response(status=wrong.status, text=f"{wrong.text}\n", headers={**SERVER, **wrong.headers})

    async def _answer(self, message: bytes, connection: HttpConnection) -> bytes | None:
        """The reply; None: there is none. Raises Wrong for an invalid query."""
        responder, client = self.responder, _client(connection, self.family)
        started = asyncio.get_running_loop().time()
        try:
            responder.tick()
            if (quick := responder.fast(message)) is not None:
                responder.timed(1, asyncio.get_running_loop().time() - started)
                if responder.top.on:
                    self._sampler.look(message, quick, client.address)
                return quick
            check(message)
            loop = asyncio.get_running_loop()
            reply: asyncio.Future[bytes | None] = loop.create_future()

            def send(octets: bytes | None) -> None:
                if not reply.done():
                    reply.set_result(octets)

            def done() -> None:  # called first when there is a reply, alone when there is none
                if not loop.is_closed():
                    loop.call_soon(send, None)

            responder.slow(message, client, PendingReply(send, done))
            return await reply
        except Wrong:
            raise
        except Exception:  # noqa: BLE001 - a bug that one message meets must not end the server: logged and counted
            panicked(responder, message)
            return None


class _Protocol(web.RequestHandler):
    """aiohttp's protocol of one connection; invalid HTTP is answered with a line of text, and counted."""

    __slots__ = ("_listener",)

    def __init__(self, server: "_Server", listener: HttpsListener) -> None:
        super().__init__(
            server, loop=asyncio.get_running_loop(), access_log=_silent, logger=_silent, auto_decompress=False,
            max_line_size=MAX_HTTP_LINE, max_field_size=MAX_HTTP_LINE, keepalive_timeout=24 * 3600.0,
            lingering_time=0.0,
        )  # fmt: skip
        self._listener = listener

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The response to what is not a request, or met a bug; the connection is closed after it."""
        if status >= 500 and exc is not None:
            self._listener.responder.counts.panics += 1
            _log.error("a request of HTTPS met a bug", exc_info=exc)
        self._listener.responded(status)
        response = web.Response(
            status=status, text="not a request of HTTP/1.1\n" if status < 500 else "", headers=SERVER
        )
        response.force_close()
        return response


class _Server(web.Server):
    """Makes those, and tells us when they begin and end."""

    def __init__(self, listener: HttpsListener) -> None:
        super().__init__(listener.handle)
        self._listener = listener

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, self._listener)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._listener.opened(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._listener.closed(handler)


def _address(connection: HttpConnection) -> str:
    address: str = connection.peer[0]
    return address


def _client(connection: HttpConnection, family: Family) -> Client:
    """Who asks."""
    return Client(connection.peer[0], connection.peer[1], connection.local[0], "https", family)


async def query_of(request: web.BaseRequest) -> bytes:
    """The DNS message of a request. Raises Wrong."""
    if request.path != PATH:
        raise Wrong(404, f"only {PATH} is here")
    if request.method == "GET":
        return _from_query(request)
    if request.method != "POST":
        raise Wrong(405, "GET or POST", {"Allow": "GET, POST"})
    if request.content_type != CONTENT_TYPE or request.headers.get("Content-Encoding", "identity") != "identity":
        raise Wrong(415, f"the body must be {CONTENT_TYPE}")
    if (request.content_length or 0) > MAX_MESSAGE:
        raise Wrong(413, f"a query has at most {MAX_MESSAGE} octets")
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > MAX_MESSAGE:
            raise Wrong(413, f"a query has at most {MAX_MESSAGE} octets")
    return bytes(body)


def _from_query(request: web.BaseRequest) -> bytes:
    several = request.query.getall("dns", [])
    if len(several) != 1:
        raise Wrong(400, "one parameter must be named dns")
    text = several[0]
    # RFC 8484 section 6: "Padding characters for base64url MUST NOT be included."
    if _BASE64URL.fullmatch(text) is None or len(text) % 4 == 1:
        raise Wrong(400, "dns must be base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check(message: bytes) -> None:
    """Raises Wrong for what cannot be read as a query; other opcodes have an answer."""
    try:
        header = parse_header(message)
        if header.is_response:
            raise Wrong(400, "that is a response")
        if not header.opcode:
            parse_query(message)
    except FormError as error:
        raise Wrong(400, f"no DNS query: {error}") from error
