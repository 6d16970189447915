"""TLS handshakes, bounded in number and in time, before a listener gets its connections.

::

    accept ──> handshake, in `TlsAcceptor` ──> a protocol of the listener behind it, as if the connection had just begun

Each handshake uses the certificate of that moment, so a new one closes no connection.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final, cast

from kdns.ops.tls_stream import start_tls

MAX_HANDSHAKES: Final = 200
"""Under way at once; one more ends that which has been under way longest."""

_log = logging.getLogger("kdns.dns")


class TlsAcceptor:
    """Does the TLS handshakes for one listener."""

    def __init__(
        self, context: ssl.SSLContext, protocol_factory: Callable[[], asyncio.BaseProtocol], seconds: float
    ) -> None:
        """``protocol_factory`` makes the protocol of a connection that is secure; ``seconds`` is for a handshake."""
        self.context = context
        """For handshakes from now on."""
        self.seconds = seconds
        self.protocol_factory = protocol_factory
        self._handshakes: dict[_Handshake, None] = {}

    def connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        return _Handshake(self)

    def handshake_started(self, handshake: "_Handshake") -> None:
        """A connection was accepted: its handshake begins."""
        if len(self._handshakes) >= MAX_HANDSHAKES:
            next(iter(self._handshakes)).abort()
        self._handshakes[handshake] = None

    def handshake_done(self, handshake: "_Handshake") -> None:
        """The connection is gone, or its handshake is done."""
        self._handshakes.pop(handshake, None)

    def abort(self) -> None:
        """End all handshakes now."""
        for handshake in tuple(self._handshakes):
            handshake.abort()


class _Handshake(asyncio.Protocol):
    """One connection that is not secure yet."""

    def __init__(self, acceptor: TlsAcceptor) -> None:
        self._acceptor = acceptor
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._begun: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._acceptor.handshake_started(self)
        # right after this the transport begins to read; what it reads is for the handshake
        self._begun = asyncio.get_running_loop().call_soon(self._begin)

    def connection_lost(self, exc: Exception | None) -> None:
        self._acceptor.handshake_done(self)

    def abort(self) -> None:
        """End it now."""
        self._acceptor.handshake_done(self)
        if self._begun is not None:
            self._begun.cancel()
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def _begin(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._handshake(), name="handshake")

    async def _handshake(self) -> None:
        early = _Early()
        try:
            secure = await start_tls(
                self._transport, early, self._acceptor.context, server_side=True, seconds=self._acceptor.seconds
            )
        except OSError as error:  # ssl.SSLError is one
            _log.debug("a TLS handshake failed: %s", error)
            self._transport.abort()
            return
        finally:
            self._acceptor.handshake_done(self)
        if secure is None or early.lost:
            return
        protocol = self._acceptor.protocol_factory()
        secure.set_protocol(protocol)
        protocol.connection_made(secure)
        early.hand_over(protocol)
        if early.ended and not secure.is_closing():
            cast("asyncio.Protocol", protocol).eof_received()


class _Early(asyncio.Protocol):
    """Keeps what arrives with the end of the handshake: at most what was read by then."""

    def __init__(self) -> None:
        self._octets = b""
        self.ended = self.lost = False

    def data_received(self, data: bytes) -> None:
        self._octets += data

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        """As if it arrived now."""
        octets = self._octets
        if not isinstance(protocol, asyncio.BufferedProtocol):
            if octets:
                cast("asyncio.Protocol", protocol).data_received(octets)
            return
        while octets:
            buffer = cast("memoryview", protocol.get_buffer(len(octets)))
            part = octets[: len(buffer)]
            buffer[: len(part)] = part
            protocol.buffer_updated(len(part))
            octets = octets[len(part) :]
