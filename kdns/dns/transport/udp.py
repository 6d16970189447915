"""One datagram socket, drained: read until it is empty, answered in batches, bounded in each turn of the loop.

asyncio's datagram endpoints take one datagram for each turn of the loop and cost five to seven times as much.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final, Literal

from kdns.dns.api.handler import Client
from kdns.dns.api.message_handler import Family, MessageHandler, PendingReplies, panicked
from kdns.dns.transport import mmsg, packet_info
from kdns.dns.transport.datagram import BATCH, MAX_LOCALS, SLOT, Address, Exchange, Hand, Losses, RawOrigin, answering
from kdns.ops.direct_loop import DirectLoop
from kdns.wire.numbers import HEADER

ReceiveMethod = Literal["mmsg", "msg", "plain"]
"""How datagrams are taken: recvmmsg, recvmsg, or recvfrom (only from a socket bound to one address)."""

BATCHES: Final = 8
"""Batches in one turn of the loop: a flood of queries leaves the others the loop every few milliseconds."""
BUFFER: Final = 2 * 1024 * 1024
"""Octets asked for in the socket's buffers, for about 20 ms of queries at full speed; the kernel gives what
net.core.rmem_max allows. Filled only while we are behind, but then counted against a container's memory."""

Received = tuple[bytes, Address, bytes | None]
"""A message, who sent it, and the packet info that came with it."""
Receive = Callable[[], Received]
SendTo = Callable[[bytes, Address, bytes | None], bool]

_CONTROL_SPACE: Final = max(map(socket.CMSG_SPACE, packet_info.LENGTHS.values()))


class UdpListener:
    """Answers what arrives on one bound socket, from `start` to `close`."""

    def __init__(
        self, sock: socket.socket, family: Family, responder: MessageHandler, *, way: ReceiveMethod | None = None
    ) -> None:
        """Takes over the socket. ``way`` None means the fastest that there is.

        Raises ValueError for the plain way on a socket bound to every address: it could not tell which was asked.
        """
        sock.setblocking(False)
        address = sock.getsockname()[0]
        everywhere = address in {"0.0.0.0", "::"}
        if way == "plain" and everywhere:
            raise ValueError("recvfrom cannot tell which address was asked on a socket that has them all")
        if everywhere:
            packet_info.enable(sock, family)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self.pending_replies = PendingReplies()
        """Replies of the slow way that are still to come."""
        self.losses = Losses(f"{responder.counts.server} udp")
        self._sock, self._family, self._responder = sock, family, responder
        self._local = "" if everywhere else address
        self.way: ReceiveMethod = way or ("mmsg" if mmsg.available() else "msg" if everywhere else "plain")
        self._exchange = self._build(everywhere)
        self._late = mmsg.LateReplies(sock, family, self.losses, packet_info=everywhere) if self.way == "mmsg" else None
        self._locals: dict[bytes | None, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def _build(self, everywhere: bool) -> Exchange:
        sock, family, handler, losses = self._sock, self._family, self._responder, self.losses
        if self.way == "mmsg":
            return mmsg.MmsgExchange(sock, family, handler, self._slow, losses, packet_info=everywhere)
        receive = partial(receive_message, sock, family) if self.way == "msg" else partial(receive_plain, sock)
        return SingleExchange(receive, self._send, handler, self._slow, losses)

    def start(self) -> None:
        """Begin to answer, on the running loop."""
        self._loop = asyncio.get_running_loop()
        if isinstance(self._loop, DirectLoop):
            self._loop.add_direct_reader(self._sock.fileno(), self._readable)
        else:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def stop(self) -> None:
        """Answer what has arrived by now, at most one turn's worth, and take no more.

        Replies that are owed can still be sent.
        """
        if self._loop is not None:
            self._readable()
            self._ignore()

    def close(self) -> None:
        """Let go of the socket; replies that come later go nowhere."""
        self._ignore()
        self._flush()
        self._closed = True
        self._sock.close()

    def _ignore(self) -> None:
        if isinstance(self._loop, DirectLoop):
            self._loop.remove_direct_reader(self._sock.fileno())
        elif self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
        self._loop = None

    def _readable(self) -> bool:
        """Answer what has arrived, as far as one turn goes; True if the fast path has answered all of it."""
        exchange, tick, timed = self._exchange.exchange, self._responder.tick, self._responder.timed
        before = perf_counter()
        for _ in range(BATCHES):
            tick()
            received, answered = exchange()
            now = perf_counter()
            if answered:
                timed(answered, now - before)
            if received < BATCH:
                return received == answered
            before = now
        return False

    def _slow(self, message: bytes, peer: Address, info: bytes | None, raw: RawOrigin | None) -> None:
        local = self._local or self._local_text(info)
        client = Client(peer[0], peer[1], local, "udp", self._family)
        self.pending_replies.count += 1
        send = LateReply(self, peer, info, raw)
        try:
            self._responder.slow(message, client, send)
        except Exception:  # noqa: BLE001 - a bug that one message meets must not end the server: logged and counted
            panicked(self._responder, message)
            send.drop()

    def _local_text(self, info: bytes | None) -> str:
        """See `packet_info.local_text`: there are few addresses that can be asked."""
        text = self._locals.get(info)
        if text is None:
            if len(self._locals) >= MAX_LOCALS:
                self._locals.clear()
            text = self._locals[info] = packet_info.local_text(info, self._family)
        return text

    def send_late(self, reply: bytes, peer: Address, info: bytes | None, raw: RawOrigin | None) -> None:
        """Send a reply with the others of this turn of the loop; at once where there are no batches."""
        if self._closed:
            return
        late = self._late
        if late is None or raw is None or len(reply) > SLOT:
            self._send(reply, peer, info)
            return
        if late.full:
            late.flush()
        elif not late.count:
            asyncio.get_running_loop().call_soon(self._flush)
        late.add(reply, raw)

    def _flush(self) -> None:
        if self._late is not None and not self._closed:
            self._late.flush()

    def _send(self, reply: bytes, peer: Address, info: bytes | None) -> bool:
        """Send from the address that was asked; False if the kernel would not, which is counted."""
        try:
            self._sock.sendmsg((reply,), packet_info.reply_controls(info, self._family), 0, peer)
        except OSError as error:
            self.losses.sending(error.errno or 0)
            return False
        return True


class LateReply:
    """A `PendingReply` to one datagram."""

    __slots__ = ("_info", "_listener", "_peer", "_raw")

    def __init__(self, listener: UdpListener, peer: Address, info: bytes | None, raw: RawOrigin | None) -> None:
        self._listener: UdpListener | None = listener
        self._peer, self._info, self._raw = peer, info, raw

    def __call__(self, reply: bytes) -> None:
        """Send the reply, if its socket is still there."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.pending_replies.done()
            listener.send_late(reply, self._peer, self._info, self._raw)

    def drop(self) -> None:
        """No reply will be sent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.pending_replies.done()

    __del__ = drop


class SingleExchange:
    """An `Exchange` of one datagram a call: recvmsg and sendmsg, or the plain pair."""

    def __init__(self, receive: Receive, send: SendTo, handler: MessageHandler, hand: Hand, losses: Losses) -> None:
        self._receive, self._send, self._losses = receive, send, losses
        self._peer: tuple[Address, bytes | None, RawOrigin | None] = (("", 0), None, None)
        self._answer = answering(handler, hand, lambda _: self._peer)

    def exchange(self) -> tuple[int, int]:
        """See `kdns.dns.transport.datagram.Exchange.exchange`."""
        answered = 0
        for received in range(BATCH):
            try:
                message, peer, info = self._receive()
            except BlockingIOError:
                return received, answered
            except OSError as error:
                self._losses.receiving(error.errno or 0)
                return received, answered
            self._peer = peer, info, None
            reply = self._answer(message, received)
            if reply is not None and self._send(reply, peer, info):
                answered += 1
        return BATCH, answered


def receive_message(sock: socket.socket, family: Family) -> Received:
    """One datagram by recvmsg, with its packet info; of one over `SLOT` octets the header. Raises OSError."""
    message, controls, flags, peer = sock.recvmsg(SLOT, _CONTROL_SPACE)
    return message[:HEADER] if flags & socket.MSG_TRUNC else message, peer, packet_info.find(controls, family)


def receive_plain(sock: socket.socket) -> Received:
    """The same by recvfrom, which knows no packet info."""
    # one octet more than a slot shows that a datagram does not fit
    message, peer = sock.recvfrom(SLOT + 1)
    return message if len(message) <= SLOT else message[:HEADER], peer, None
