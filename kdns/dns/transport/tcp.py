"""DNS over TCP: frames on a connection, many at a time, answered in any order (RFC 1035 section 4.2.2, RFC 7766).

::

    octets ──> frames ──> responder.fast ──> replies of one read leave in one write
                 │             └──> responder.slow ──> each reply leaves when it is ready
                 └── held back while the client does not read, or has `TcpLimits.in_flight` queries open

However a client behaves, for its connection we keep at most `frames.MAX_QUERY` octets of a query, or a read while it is
held back; as replies about `WRITE` octets, one more reply, and what the slow way owes; and the kernel `SEND` octets.
"""

import asyncio
import logging
import socket
import struct
from typing import Final, cast

from kdns.dns.api.handler import Client
from kdns.dns.api.message_handler import Family, MessageHandler, PendingReplies, PendingReply, panicked
from kdns.dns.transport.connection_shares import ConnectionShares
from kdns.dns.transport.frames import Frames
from kdns.dns.transport.sampling import Sampler
from kdns.dns.transport.tcp_limits import READ, SEND, WRITE, TcpLimits
from kdns.wire.numbers import HEADER

TURN: Final = 0.005
"""Seconds of one turn of the loop for all connections of a listener; then it is the others' turn, datagrams first of
all. A thousand connections with a read of pipelined queries each would keep them waiting for seconds."""
CHECKED: Final = 16
"""Queries between two looks at the clock."""
MAX_MESSAGE: Final = 65_535
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset, which frees what was not sent; else the kernel goes on trying for minutes."""

_log = logging.getLogger("kdns.dns")


class TcpListener:
    """All connections to one listening socket."""

    def __init__(self, responder: MessageHandler, family: Family, limits: TcpLimits, proto: str = "tcp") -> None:
        """``proto``: ``tls`` for connections that come through a `kdns.dns.transport.tls_acceptor.TlsAcceptor`."""
        self.proto = proto
        self.responder, self.family, self.limits = responder, family, limits
        self.sampler = Sampler(responder)
        self._shares = ConnectionShares(responder)
        self.buffer = memoryview(bytearray(READ))
        self.pending_replies = PendingReplies()
        """Connections that are open."""
        self._open: dict[Connection, None] = {}
        self._stuck: dict[Connection, None] = {}
        self._deferred: dict[Connection, None] = {}
        self._turn_ends: float | None = None

    def turn(self, loop: asyncio.AbstractEventLoop) -> float:
        """When this turn of the loop is over; what connections have not done by then they `defer` to a later one."""
        if self._turn_ends is None:
            self._turn_ends = loop.time() + TURN
            loop.call_soon(self._next_turn, loop)
        return self._turn_ends

    def defer(self, connection: "Connection") -> None:
        """Have a connection go on in a later turn, one after the other."""
        self._deferred[connection] = None

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_ends = None
        if self._deferred:
            ends = self.turn(loop)
            while self._deferred and loop.time() < ends:
                connection = next(iter(self._deferred))
                del self._deferred[connection]
                connection.go_on()

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
        """Take a connection in, closing the longest idle one if there are too many; False: there is no room.

        If there are too many of its client, only those of that client are closed.
        """
        address, most = connection.address, self.limits.connections
        over = self._shares.over(address, most)
        if over or len(self._open) >= most:
            # the order is that of their last reads, so what is idle stands in front
            others = (other for other in self._open if not other.busy and (not over or other.address == address))
            idle = next(others, None)
            if idle is None:
                return False
            self._leave(idle)
            idle.abort()
        self._open[connection] = None
        self._shares.opened(address)
        self.pending_replies.count += 1
        return True

    def _leave(self, connection: "Connection") -> None:
        """It has no place any more."""
        if connection in self._open:
            del self._open[connection]
            self._shares.closed(connection.address)

    def active(self, connection: "Connection") -> None:
        """A connection has read something: it is the least idle one now."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def stuck(self, connection: "Connection") -> None:
        """A client does not read what it is sent."""
        self._stuck[connection] = None
        if len(self._stuck) > self.limits.stuck:
            longest = next(iter(self._stuck))
            del self._stuck[longest]  # now: in this turn of the loop others may get stuck
            longest.abort()

    def unstuck(self, connection: "Connection") -> None:
        """It reads again, or is gone."""
        self._stuck.pop(connection, None)

    def closed(self, connection: "Connection") -> None:
        """A connection that was taken in is gone."""
        self._leave(connection)
        self._stuck.pop(connection, None)
        self._deferred.pop(connection, None)
        self.pending_replies.done()


class Connection(asyncio.BufferedProtocol):
    """One client's connection. After every event `_steer` decides what is next: read on, hold, close, and by when."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener, self._responder, self._limits = listener, listener.responder, listener.limits
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._client = Client("", 0, "", listener.proto, listener.family)
        self._admitted = self._working = self._ending = self._deferred = False
        self._out: list[bytes] = []
        self._out_size = self._in_flight = self._queries = 0
        self._partial: float | None = None  # when each state began that has a time limit; None outside of it
        self._blocked: float | None = None
        self._closing: float | None = None
        self._active = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """True while a reply is owed."""
        return self._in_flight > 0

    @property
    def address(self) -> str:
        """The client's."""
        return self._client.address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer is not None and local is not None:
            self._client = Client(peer[0], peer[1], local[0], self._listener.proto, self._listener.family)
            self._admitted = self._listener.opened(self)
        if not self._admitted:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE)
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND)
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
        if not self._working:  # with TLS this comes later than the write that was too much
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
            if self._blocked is not None or self._closing is not None:
                self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def _socket(self) -> socket.socket:
        return cast("socket.socket", cast("asyncio.Transport", self._transport).get_extra_info("socket"))

    def go_on(self) -> None:
        """The turn has come in which to do what was deferred."""
        self._deferred = False
        self._work()

    def _work(self) -> None:
        """Answer the frames that are there, as far as the limits let us."""
        if self._transport is None:
            return
        self._active = before = self._loop.time()
        self._working = True
        self._responder.tick()
        answered = taken = 0
        ends = self._listener.turn(self._loop)
        while not self._held():
            if not taken % CHECKED and self._loop.time() >= ends and self._frames.left:
                self._deferred = True
                self._listener.defer(self)
                break
            message = self._frames.take()
            if message is None:
                break
            if len(message) < HEADER:
                self._ending = True  # this is not DNS
                break
            taken += 1
            answered += self._answer(message)
        self._working = False
        self._flush()
        if answered:
            self._responder.timed(answered, self._loop.time() - before)
        if taken:
            self._partial = None
        self._steer()

    def _held(self) -> bool:
        """True while no more queries are taken."""
        if self._ending or self._deferred or self._blocked is not None:
            return True
        return self._in_flight >= self._limits.in_flight

    def _answer(self, message: bytes) -> bool:
        """Answer one query, or pass it on; True if it was answered the fast way."""
        self._queries += 1
        if self._queries == self._limits.queries:
            self._ending = True
        send: PendingReply | None = None
        try:
            reply = self._responder.fast(message)
            if reply is not None:
                self._put(reply)
                if self._responder.top.on:
                    self._listener.sampler.look(message, reply, self._client.address)
                return True
            send = PendingReply(self._send_late, self._reply_done)
            self._in_flight += 1
            self._responder.slow(message, self._client, send, self._send_part)
        except Exception:  # noqa: BLE001 - a bug that one message meets must not end the server: logged and counted
            panicked(self._responder, message)
            if send is not None:
                send.drop()
        return False

    def _reply_done(self) -> None:
        """One reply less is owed; it is sent right after this, or never."""
        self._in_flight -= 1
        if not self._working and self._transport is not None:
            self._loop.call_soon(self._work)

    def _send_late(self, reply: bytes) -> None:
        """Send what the slow way has answered."""
        if self._transport is not None:
            self._put(reply)
            if not self._working:
                self._flush()

    async def _send_part(self, reply: bytes) -> bool:
        """Send one of several messages; the next is made when the client has read most of this: no zone is buffered."""
        self._send_late(reply)
        if self._blocked is not None and self._transport is not None:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)  # others on this connection may wait for the same
        return self._transport is not None

    def _has_room(self) -> None:
        """End the wait for the client to read."""
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
            if self._transport.is_closing():
                return  # asyncio would log each of many writes to a client that is gone
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
        if self._in_flight or self._deferred:
            return None
        return self._active + self._limits.idle if self._partial is None else self._partial + self._limits.read

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
