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


class Bounds(NamedTuple):
    """How many connections, and for how long."""

    connections: int = CONNECTIONS
    idle: float = IDLE
    write: float = WRITE


BOUNDS: Final = Bounds()


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


class _Connection:
    """One client's connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.busy = False
        """While a request is answered."""
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, seconds: float | None) -> None:
        """For the head of the next request at most so long; None: without an end."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.abort)


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
        self._answer, self._bounds = answer, bounds
        self._open: dict[web.RequestHandler, _Connection] = {}
        """The one that has been idle longest comes first."""

    def __call__(self) -> web.RequestHandler:
        return _Protocol(
            self, loop=asyncio.get_running_loop(), access_log=_silent, logger=SERVER, auto_decompress=False,
            keepalive_timeout=24 * 3600.0, lingering_time=0.0,
        )  # fmt: skip

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._open) >= self._bounds.connections:
            idle = next((one for one, connection in self._open.items() if not connection.busy), None)
            if idle is None:
                transport.abort()
                return
            self._forget(idle).transport.abort()
        self._open[handler] = made = _Connection(transport)
        made.wait(self._bounds.idle)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if handler in self._open:
            self._forget(handler)

    def _forget(self, handler: web.RequestHandler) -> _Connection:
        connection = self._open.pop(handler)
        connection.wait(None)
        return connection

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and have it sent."""
        connection = self._open.get(request.protocol)
        if connection is None:
            return web.Response(status=503, headers=_HEADERS)  # it is being closed
        connection.busy = True
        connection.wait(None)
        self._open[request.protocol] = self._open.pop(request.protocol)  # the least idle one now
        try:
            try:
                response = await self._answer(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f"{error.status}: {error.reason}\n")
                if "Allow" in error.headers:
                    response.headers["Allow"] = error.headers["Allow"]
            response.headers.update(_HEADERS)
            try:
                async with asyncio.timeout(self._bounds.write):
                    await response.prepare(request)
                    await response.write_eof()
            except (TimeoutError, ConnectionError):
                connection.transport.abort()
            return response
        finally:
            connection.busy = False
            if request.protocol in self._open:
                connection.wait(self._bounds.idle)
