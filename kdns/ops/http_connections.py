"""The connections of one HTTP port, bounded in number and in time: for pages, and for DNS over HTTPS."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web


class Bounds(NamedTuple):
    """How many connections, and for how long; times are seconds."""

    connections: int
    """One more closes the one that has been idle longest, or is closed itself if all are being answered."""
    idle: float
    """For the head of a request, and between two requests."""
    write: float
    """In which a client must take its response."""


class HttpConnection:
    """One client's connection."""

    def __init__(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self.handler, self.transport = handler, transport
        self.peer, self.local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        """Socket addresses; None if it was gone before it was taken in."""
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


class HttpConnections:
    """Those that are open. ``bounds`` gives the bounds of this moment."""

    def __init__(self, bounds: Callable[[], Bounds], closed: Callable[[HttpConnection], None] = lambda _: None) -> None:
        """``closed`` is called once for each connection that was taken in, when it is gone."""
        self._bounds, self._closed = bounds, closed
        self._open: dict[web.RequestHandler, HttpConnection] = {}
        """The one that has been idle longest comes first."""

    def opened(self, handler: web.RequestHandler, transport: asyncio.Transport) -> HttpConnection | None:
        """Take a connection in; None: it is closed, since all others are busy."""
        bounds = self._bounds()
        if len(self._open) >= bounds.connections and not self.close_idle():
            transport.abort()
            return None
        self._open[handler] = made = HttpConnection(handler, transport)
        made.wait(bounds.idle)
        return made

    def close_idle(self, eligible: Callable[[HttpConnection], bool] = lambda _: True) -> bool:
        """Close the connection that has been idle longest of the eligible ones; False: each is being answered."""
        idle = next(
            (connection for connection in self._open.values() if not connection.busy and eligible(connection)), None
        )
        if idle is None:
            return False
        self.gone(idle.handler)
        idle.transport.abort()
        return True

    def gone(self, handler: web.RequestHandler) -> None:
        """A connection is gone, if it was taken in at all."""
        connection = self._open.pop(handler, None)
        if connection is not None:
            connection.wait(None)
            self._closed(connection)

    def stop(self) -> None:
        """Close those that are idle."""
        for connection in tuple(self._open.values()):
            if not connection.busy:
                connection.transport.close()

    def abort(self) -> None:
        """Close every connection now."""
        for connection in tuple(self._open.values()):
            connection.transport.abort()

    async def serve(
        self, request: web.BaseRequest, respond: Callable[[HttpConnection], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse | None:
        """Answer one request, and have its response sent; None: the connection is being closed."""
        connection = self._open.get(request.protocol)
        if connection is None:
            return None
        connection.busy = True
        connection.wait(None)
        self._open[connection.handler] = self._open.pop(connection.handler)  # the least idle one now
        try:
            response = await respond(connection)
            try:
                async with asyncio.timeout(self._bounds().write):
                    await response.prepare(request)
                    await response.write_eof()
            except (TimeoutError, ConnectionError):
                connection.transport.abort()
            return response
        finally:
            connection.busy = False
            if connection.handler in self._open:
                connection.wait(self._bounds().idle)
