"""DNS over TCP: frames on a connection, many at a time, answered in any order (RFC 1035 section 4.2.2, RFC 7766).

::

    octets ──> frames ──> lane.fast ──> replies of one read leave in one write
                 │             └──> lane.slow ──> each reply leaves when it is ready
                 └── held back while the client does not read, or has `TcpLimits.in_flight` queries open

However a client behaves, for its connection we keep at most a read and a frame, and as replies about `WRITE` octets,
one more reply, and what the slow way owes.
"""

import asyncio
import logging
from typing import Final, cast

from msgspec import Struct

from kdns.dns.handler import Client
from kdns.dns.lane import Debts, Family, Lane, Owed, panicked

READ: Final = 64 * 1024
"""Octets of one read; one buffer serves all connections of a listener, since a read is copied out at once."""
WRITE: Final = 16 * 1024
"""Octets of replies that are gathered into one write, and that may lie unsent before a client counts as stuck."""
MAX_MESSAGE: Final = 65_535
HEADER: Final = 12
"""Octets of a DNS header: a frame with fewer is no DNS (RFC 1035 section 4.1.1)."""

_log = logging.getLogger("kdns.dns")


class TcpLimits(Struct, frozen=True, kw_only=True):
    """What one listener bears. Times are seconds, and those of CoreDNS."""

    connections: int = 1000
    """One more closes that which has been idle longest."""
    queries: int | None = None
    """On one connection, which is closed after them; None means any number."""
    in_flight: int = 100
    """Queries of one connection that wait for the slow way; more are read when some of these are answered."""
    stuck: int = 100
    """Connections whose clients do not read; one more aborts that which has been stuck longest."""
    idle: float = 10.0
    """Without a query or a reply that is owed (RFC 7766 section 6.2.3 wants "on the order of a few seconds")."""
    read: float = 3.0
    """From the first octet of a frame to its last."""
    write: float = 5.0
    """For a client that does not read, and for the last octets of a connection that is closed."""


class Frames:
    """Cuts a stream of octets into messages: each after its length in two octets (RFC 1035 section 4.2.2)."""

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0

    def feed(self, octets: bytes) -> None:
        """Take in what was read."""
        rest = self._octets[self._at :]
        self._octets = rest + octets if rest else octets
        self._at = 0

    def take(self) -> bytes | None:
        """The next message; None when it is not complete."""
        octets, begin = self._octets, self._at + 2
        if begin > len(octets):
            return None
        end = begin + (octets[begin - 2] << 8 | octets[begin - 1])
        if end > len(octets):
            return None
        self._at = end
        return octets[begin:end]

    @property
    def left(self) -> int:
        """Octets that are not taken yet."""
        return len(self._octets) - self._at


class TcpListener:
    """All connections to one listening socket."""

    def __init__(self, lane: Lane, family: Family, limits: TcpLimits, proto: str = "tcp") -> None:
        """``proto``: ``tls`` for connections that come through a `kdns.dns.door.Door`."""
        self.proto = proto
        self.lane, self.family, self.limits = lane, family, limits
        self.buffer = memoryview(bytearray(READ))
        self.debts = Debts()
        """Connections that are open."""
        self._open: dict[Connection, None] = {}
        self._stuck: dict[Connection, None] = {}

    def connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        return Connection(self)

    def stop(self) -> None:
        """Read no more; each connection closes when it has sent what it owes."""
        for connection in tuple(self._open):
            connection.finish()

    def abort(self) -> None:
        """Close every connection now."""
        for connection in tuple(self._open):
            connection.abort()

    def opened(self, connection: "Connection") -> bool:
        """Take a connection in, closing the longest idle one if there are too many; False: there is no room."""
        if len(self._open) >= self.limits.connections:
            # the order is that of their last reads, so what is idle stands in front
            idle = next((other for other in self._open if not other.busy), None)
            if idle is None:
                return False
            del self._open[idle]
            idle.abort()
        self._open[connection] = None
        self.debts.count += 1
        return True

    def active(self, connection: "Connection") -> None:
        """A connection has read something: it is the least idle one now."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def stuck(self, connection: "Connection") -> None:
        """A client does not read what it is sent."""
        self._stuck[connection] = None
        if len(self._stuck) > self.limits.stuck:
            next(iter(self._stuck)).abort()

    def unstuck(self, connection: "Connection") -> None:
        """It reads again, or is gone."""
        self._stuck.pop(connection, None)

    def closed(self, connection: "Connection") -> None:
        """A connection that was taken in is gone."""
        self._open.pop(connection, None)
        self._stuck.pop(connection, None)
        self.debts.settle()


class Connection(asyncio.BufferedProtocol):
    """One client's connection. After every event `_steer` decides anew: read on, hold, close, and by when."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener, self._lane, self._limits = listener, listener.lane, listener.limits
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._client = Client("", 0, "", listener.proto, listener.family)
        self._admitted = self._working = self._ending = False
        self._out: list[bytes] = []
        self._out_size = self._in_flight = self._queries = 0
        # when the state began that has a time limit; None outside of it
        self._partial: float | None = None
        self._blocked: float | None = None
        self._closing: float | None = None
        self._active = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """True while a reply is owed."""
        return self._in_flight > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer is None or local is None or not self._listener.opened(self):
            self._transport.abort()
            return
        self._admitted = True
        self._client = Client(peer[0], peer[1], local[0], self._listener.proto, self._listener.family)
        self._transport.set_write_buffer_limits(high=WRITE)
        self._steer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; replies that come later go nowhere."""
        self._transport = None
        self._frames, self._out = Frames(), []
        self._has_room()
        if self._timer is not None:
            self._timer.cancel()
        if self._admitted:
            self._listener.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Octets have come."""
        self._frames.feed(bytes(self._listener.buffer[:nbytes]))
        self._listener.active(self)
        self._work()

    def eof_received(self) -> bool:
        """The client sends no more; what is owed is still sent, and closing is ours to do.

        With TLS it is not: a session is closed by both at once.
        """
        self.finish()
        return self._listener.proto == "tcp"

    def pause_writing(self) -> None:
        """The client does not read: take no more queries from it."""
        self._blocked = self._loop.time()
        self._listener.stuck(self)
        if not self._working:  # with TLS it is told later than the write that was too much
            self._steer()

    def resume_writing(self) -> None:
        """It has read: go on with what was held back."""
        self._blocked = None
        self._has_room()
        self._listener.unstuck(self)
        self._work()

    def finish(self) -> None:
        """Take no more queries; close when all replies are sent."""
        self._ending = True
        self._steer()

    def abort(self) -> None:
        """Close now, whatever is owed."""
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        """Answer the frames that are there, as far as the limits let us."""
        if self._transport is None:
            return
        self._active = before = self._loop.time()
        self._working = True
        self._lane.tick()
        answered = taken = 0
        while not self._held():
            message = self._frames.take()
            if message is None:
                break
            if len(message) < HEADER:
                self._ending = True  # whoever speaks here, it is not DNS
                break
            taken += 1
            answered += self._answer(message)
        self._working = False
        self._flush()
        if answered:
            self._lane.timed(answered, self._loop.time() - before)
        if taken:
            self._partial = None
        self._steer()

    def _held(self) -> bool:
        """True while no more queries are taken."""
        return self._ending or self._blocked is not None or self._in_flight >= self._limits.in_flight

    def _answer(self, message: bytes) -> bool:
        """Answer one query, or pass it on; True if it was answered the fast way."""
        self._queries += 1
        if self._queries == self._limits.queries:
            self._ending = True
        owed: Owed | None = None
        try:
            reply = self._lane.fast(message)
            if reply is not None:
                self._put(reply)
                return True
            owed = Owed(self._late, self._settled)
            self._in_flight += 1
            self._lane.slow(message, self._client, owed, self._part)
        except Exception:  # noqa: BLE001 - a bug that one message meets must not end the server: logged and counted
            panicked(self._lane, message)
            if owed is not None:
                owed.drop()
        return False

    def _settled(self) -> None:
        """One reply less is owed; it is sent right after this, or never."""
        self._in_flight -= 1
        if not self._working and self._transport is not None:
            self._loop.call_soon(self._work)

    def _late(self, reply: bytes) -> None:
        """Send what the slow way has answered."""
        if self._transport is not None:
            self._put(reply)
            if not self._working:
                self._flush()

    async def _part(self, reply: bytes) -> bool:
        """Send one of several messages; the next is made when the client has read most of this: no zone is buffered."""
        self._late(reply)
        if self._blocked is not None and self._transport is not None:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)  # others on this connection may wait for the same
        return self._transport is not None

    def _has_room(self) -> None:
        """Whoever waits for the client to read waits no longer."""
        room, self._room = self._room, None
        if room is not None:
            room.set_result(None)

    def _put(self, reply: bytes) -> None:
        size = len(reply)
        if size > MAX_MESSAGE:
            _log.error("dropped a reply of %d octets to %s: TCP carries %d", size, self._client.address, MAX_MESSAGE)
            return
        self._out += (size.to_bytes(2, "big"), reply)
        self._out_size += size
        if self._out_size >= WRITE:
            self._flush()

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            out, self._out, self._out_size = self._out, [], 0
            self._transport.write(b"".join(out))  # runs pause_writing when the client does not read

    def _steer(self) -> None:
        """Read on, hold, or close; and set the timer for the limit that applies."""
        transport = self._transport
        if transport is None:
            return
        if self._ending and not self._in_flight and self._closing is None:
            self._closing = self._loop.time()
            transport.close()  # what is written is sent first
        if self._held():
            self._partial = None
            transport.pause_reading()
        else:
            if not self._frames.left:
                self._partial = None
            elif self._partial is None:
                self._partial = self._loop.time()
            transport.resume_reading()
        self._arm()

    def _due(self) -> float | None:
        """When patience ends; None while the client waits for us."""
        if self._closing is not None:
            return self._closing + self._limits.write
        if self._blocked is not None:
            return self._blocked + self._limits.write
        if self._in_flight:
            return None
        if self._partial is not None:
            return self._partial + self._limits.read
        return self._active + self._limits.idle

    def _arm(self) -> None:
        """Have `_tick` run when patience ends, or before: moving a timer with every read would cost more."""
        due = self._due()
        at = self._loop.time() + self._limits.idle if due is None else due
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        due = self._due()
        if due is None or due > self._loop.time():
            self._arm()
        elif self._closing is not None or self._blocked is not None:
            self.abort()
        else:
            self.finish()
