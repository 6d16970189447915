"""Connections that begin with a TLS handshake: those that do not end it are few and short.

::

    accept ──> handshake, in `TlsAcceptor` ──> a protocol of the listener behind it, as if the connection had just begun

Each handshake uses the certificate of that moment, so a new one closes no connection.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final, cast

HANDSHAKES: Final = 200
"""Under way at once; one more ends that which has been under way longest."""

_log = logging.getLogger("kdns.dns")


class TlsAcceptor:
    """What stands in front of one listener."""

    def __init__(self, context: ssl.SSLContext, inside: Callable[[], asyncio.BaseProtocol], seconds: float) -> None:
        """``inside`` makes the protocol of a connection that is secure; ``seconds`` is for a handshake."""
        self.context = context
        """For handshakes from now on."""
        self.seconds = seconds
        self.inside = inside
        self._shaking: dict[_Handshake, None] = {}

    def connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        return _Handshake(self)

    def entered(self, handshake: "_Handshake") -> None:
        """A connection has begun."""
        if len(self._shaking) >= HANDSHAKES:
            next(iter(self._shaking)).abort()
        self._shaking[handshake] = None

    def left(self, handshake: "_Handshake") -> None:
        """It is gone, or inside."""
        self._shaking.pop(handshake, None)

    def abort(self) -> None:
        """End all handshakes now."""
        for handshake in tuple(self._shaking):
            handshake.abort()


class _Handshake(asyncio.Protocol):
    """One connection that is not secure yet."""

    def __init__(self, door: TlsAcceptor) -> None:
        self._door = door
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._begun: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._door.entered(self)
        # right after this the transport begins to read; what it reads is for the handshake
        self._begun = asyncio.get_running_loop().call_soon(self._begin)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.left(self)

    def abort(self) -> None:
        """End it now."""
        self._door.left(self)
        if self._begun is not None:
            self._begun.cancel()
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def _begin(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._shake(), name="handshake")

    async def _shake(self) -> None:
        early = _Early()
        try:
            secure = await asyncio.get_running_loop().start_tls(
                self._transport, early, self._door.context, server_side=True,
                ssl_handshake_timeout=self._door.seconds, ssl_shutdown_timeout=self._door.seconds,
            )  # fmt: skip
        except OSError as error:  # ssl.SSLError is one
            _log.debug("a TLS handshake failed: %s", error)
            self._transport.abort()
            return
        finally:
            self._door.left(self)
        if secure is None or early.lost:
            return
        protocol = self._door.inside()
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
