"""DNS over TCP and TLS to an upstream (RFC 1035 section 4.2.2, RFC 7766, RFC 7858), on connections that are kept.

A connection has one query under way at a time. One that was kept and turns out to be closed costs nothing: the query
goes out again on another. After any failure a connection is closed, since an answer that comes late would be the next
query's.
"""

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from kdns.base.clock import Clock
from kdns.base.errors import UpstreamError
from kdns.dns.upstream.exchange import STRAYS, Address, Number, endpoints, reason, unguessable
from kdns.dns.upstream.received import Received, receive
from kdns.ops.tls_stream import start_tls
from kdns.wire.message import UpstreamQuery, compose_query
from kdns.wire.numbers import HEADER

HANDSHAKE: Final = 60.0
"""Seconds, where nothing else ends it before; `exchange` does."""
DIALS: Final = 32
"""Connections that are being opened at a time: a thousand handshakes at once would all be too late."""


class Keep(Struct, frozen=True, kw_only=True):
    """How long connections are kept; seconds."""

    expire: float = 10.0
    """Idle."""
    max_age: float = 0.0
    """In all; 0: for ever."""
    most_idle: int = 0
    """At a time; 0: any number."""


class Tls(Struct, frozen=True):
    """How to know the server."""

    context: ssl.SSLContext
    server_name: str


class _Closed(Exception):
    """The other side had closed a kept connection before it read our query."""


class _Connection(Struct, eq=False):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    created: float
    used: float

    @property
    def sock(self) -> socket.socket | None:
        found: socket.socket | None = self.writer.get_extra_info("socket")
        return found

    @property
    def closed(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    def close(self) -> None:
        self.writer.transport.abort()


class Stream:
    """Connections to one upstream: TCP, or TLS over it."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        keep: Keep,
        tls: Tls | None = None,
        *,
        connected: Callable[[bool], None] = lambda _: None,
        number: Number = unguessable,
    ) -> None:
        """``connected`` is called for each query: True if its connection was a kept one."""
        self._address, self._clock, self._keep, self._tls = address, clock, keep, tls
        self._connected, self._number = connected, number
        self._idle: deque[_Connection] = deque()
        self._dials = asyncio.Semaphore(DIALS)
        self._sweep: asyncio.TimerHandle | None = None
        self._ended = False

    async def exchange(self, ask: UpstreamQuery, seconds: float, payload: int | None) -> Received:
        """See `Transport`; dialling counts as waiting."""
        place = f"dial tcp {self._address.text}"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    connection, kept = await self._connection()
                    place = f"read tcp {endpoints(connection.sock, self._address)}"
                    try:
                        return await self._ask(connection, ask, payload, kept=kept)
                    except _Closed:
                        place = f"dial tcp {self._address.text}"
        except ssl.SSLError as error:
            raise UpstreamError(f"{place}: tls: {getattr(error, 'verify_message', '') or error.reason}") from error
        except EOFError as error:  # asyncio.IncompleteReadError
            raise UpstreamError("EOF") from error
        except OSError as error:
            verb = "" if isinstance(error, TimeoutError) else "read: "
            verb = "connect: " if verb and place.startswith("dial") else verb
            raise UpstreamError(f"{place}: {verb}{reason(error)}") from error

    async def close(self) -> None:
        """Close what is kept; what is in use is closed when its query ends."""
        self._ended = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.popleft().close()
        await asyncio.sleep(0)  # let the transports say goodbye

    async def _connection(self) -> tuple[_Connection, bool]:
        """An unused one, and whether it was kept: under load it is rather waited for than dialled."""
        if (kept := self._kept()) is None:
            async with self._dials:
                if (kept := self._kept()) is None:
                    self._connected(False)
                    return await self._dial(), False
        self._connected(True)
        return kept, True

    async def _dial(self) -> _Connection:
        tls, loop = self._tls, asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.Transport | None
        transport, _ = await loop.create_connection(
            asyncio.Protocol if tls is not None else lambda: protocol,
            str(self._address.sockaddr[0]),
            int(str(self._address.sockaddr[1])),
            family=self._address.family,
            local_addr=self._address.local,
        )
        if tls is not None:
            transport = await start_tls(
                transport, protocol, tls.context, server_side=False, server_hostname=tls.server_name, seconds=HANDSHAKE
            )
            if transport is None:
                raise ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
            protocol.connection_made(transport)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        now = self._clock()
        return _Connection(reader, writer, now, now)

    async def _ask(self, connection: _Connection, ask: UpstreamQuery, payload: int | None, *, kept: bool) -> Received:
        number = self._number()
        query = compose_query(number, ask, payload)
        good = False
        try:
            connection.writer.write(len(query).to_bytes(2, "big") + query)
            for _ in range(STRAYS):
                message = await _read(connection.reader, kept)
                kept = False
                received = receive(message, number, ask, query[HEADER : HEADER + len(ask.name) + 4])
                if received is not None:
                    good = True
                    return received
            raise UpstreamError(f"read tcp {endpoints(connection.sock, self._address)}: {STRAYS} messages, none for us")
        finally:
            if good:
                self._put_back(connection)
            else:
                connection.close()

    def _kept(self) -> _Connection | None:
        """The connection that has been idle longest; those too old or closed are dropped on the way."""
        now = self._clock()
        while self._idle:
            connection = self._idle.popleft()
            if not (connection.closed or self._stale(connection, now)):
                return connection
            connection.close()
        return None

    def _stale(self, connection: _Connection, now: float) -> bool:
        keep = self._keep
        if now - connection.used > keep.expire:
            return True
        return bool(keep.max_age) and now - connection.created > keep.max_age

    def _put_back(self, connection: _Connection) -> None:
        full = self._keep.most_idle and len(self._idle) >= self._keep.most_idle
        if self._ended or full or not self._keep.expire:
            connection.close()
            return
        connection.used = self._clock()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._keep.expire, self._swept)

    def _swept(self) -> None:
        """Close what has been idle too long, so that nothing stays open for its own sake."""
        self._sweep = None
        now = self._clock()
        kept = [each for each in self._idle if not (each.closed or self._stale(each, now))]
        for connection in set(self._idle).difference(kept):
            connection.close()
        self._idle = deque(kept)
        if kept:
            self._sweep = asyncio.get_running_loop().call_later(max(self._keep.expire / 2, 0.1), self._swept)


async def _read(reader: asyncio.StreamReader, kept: bool) -> bytes:
    """One message; raises _Closed if the other side has closed a kept connection without a word."""
    try:
        head = await reader.readexactly(2)
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
        if kept and not getattr(error, "partial", b""):
            raise _Closed from error
        raise
    return await reader.readexactly(int.from_bytes(head, "big"))
