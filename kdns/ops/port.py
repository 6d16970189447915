"""One HTTP port (aiohttp): opened, answered by a function, bounded, closed.

Any client that can reach such a port may open connections to it, and they are for probes and scrapes, which take
milliseconds: so there are `CONNECTIONS` at most, and each may be idle, or begin a request, for `IDLE` seconds. DNS over
HTTPS has the same bounds of its own (`kdns.dns.transport.https`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from html import escape
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kdns.base.listen_address import Address
from kdns.ops.http_connections import Bounds, HttpConnection, HttpConnections
from kdns.ops.listen import listen

SERVER: Final = logging.getLogger("kdns.ops.http.server")
"""Bugs in pages. What is no HTTP is the client's fault: four octets must not write twenty lines of traceback."""
SERVER.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))

CONNECTIONS: Final = 100
"""To one port; one more closes the one that has been idle longest, or is closed itself if all are being answered."""
IDLE: Final = 10.0
"""Seconds for the head of a request, and between two requests."""
WRITE: Final = 10.0
"""Seconds in which a client must take its response."""
_silent = logging.getLogger("kdns.ops.http.access")
_silent.setLevel(logging.CRITICAL + 1)
_HEADERS: Final = {"Server": "kdns"}
"""No version: it would only tell an attacker what to try."""

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HttpPort(NamedTuple):
    """An address that is listened on."""

    runner: web.ServerRunner
    port: int
    """The real one, if the system was to choose."""

    async def close(self) -> None:
        """Stop listening; what is being answered is finished, for a second at most."""
        await self.runner.cleanup()


BOUNDS: Final = Bounds(CONNECTIONS, IDLE, WRITE)


async def open_port(address: Address, answer: Answer, bounds: Bounds = BOUNDS, *, move: str = "") -> HttpPort:
    """Listen, and answer every request, whatever its path and method.

    Raises ConfigError when the address is taken or not ours to bind; ``move`` says how to choose another one.
    """
    # A scrape or probe takes milliseconds; the default of a minute would hold up the exit.
    runner = web.ServerRunner(_Server(answer, bounds), handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        sock = listen(address, move)
        await web.SockSite(runner, sock).start()
    except BaseException:
        await runner.cleanup()
        raise
    return HttpPort(runner, sock.getsockname()[1])


def links_page(title: str, paths: Iterable[str]) -> web.Response:
    """What a port has, as a small page of links: for people who look at ``/``."""
    items = "".join(f'<li><a href="{escape(path)}">{escape(path)}</a></li>\n' for path in paths)
    title = escape(title)
    text = f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{items}</ul>\n"
    return web.Response(text=text, content_type="text/html")


class _Protocol(web.RequestHandler):
    """aiohttp's protocol of one connection, its errors without a version of anything."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The response to what is not a request, or met a bug; the connection is closed after it."""
        if status >= 500 and exc is not None:
            SERVER.error("a page met a bug", exc_info=exc)
        text = "not a request of HTTP/1.1\n" if status < 500 else "this page met a bug\n"
        response = web.Response(status=status, text=text, headers=_HEADERS)
        response.force_close()
        return response


class _Server(web.Server):
    """Makes those, and bounds them."""

    def __init__(self, answer: Answer, bounds: Bounds) -> None:
        super().__init__(self._handle)
        self._answer = answer
        self._bounded = HttpConnections(lambda: bounds)

    def __call__(self) -> web.RequestHandler:
        return _Protocol(
            self, loop=asyncio.get_running_loop(), access_log=_silent, logger=SERVER, auto_decompress=False,
            keepalive_timeout=24 * 3600.0, lingering_time=0.0,
        )  # fmt: skip

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._bounded.opened(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._bounded.gone(handler)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and have it sent."""

        async def respond(_: HttpConnection) -> web.StreamResponse:
            try:
                response = await self._answer(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f"{error.status}: {error.reason}\n")
                if "Allow" in error.headers:
                    response.headers["Allow"] = error.headers["Allow"]
            response.headers.update(_HEADERS)
            return response

        response = await self._bounded.serve(request, respond)
        return response if response is not None else web.Response(status=503, headers=_HEADERS)
