"""NOTIFY (RFC 1996): tell another server that a zone has changed, so that it asks for a copy."""

import asyncio
import struct
from ipaddress import ip_address
from typing import Final, NamedTuple

from kdns.wire.numbers import AA, IN, OPCODE, QR, SOA

OPCODE_NOTIFY: Final = 4 << 11
TRIES: Final = (2.0, 4.0, 8.0)
"""Seconds that each try waits for its answer."""


class Peer(NamedTuple):
    """A NOTIFY target."""

    address: str
    port: int = 53
    source: str = ""
    """The address to send from; empty: whichever the system takes."""

    def __str__(self) -> str:
        """With the port."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def compose_notify(number: int, apex: bytes) -> bytes:
    """RFC 1996 section 3.7: the question is the SOA of the zone, and AA is set."""
    return struct.pack("!6H", number, OPCODE_NOTIFY | AA, 1, 0, 0, 0) + apex + struct.pack("!HH", SOA, IN)


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the answer to one message."""

    def __init__(self, number: int) -> None:
        self.answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._number = number

    def datagram_received(self, data: bytes, addr: object) -> None:
        """The rcode, if this is it: the socket is connected, so it is from the peer."""
        if len(data) < 12 or self.answered.done():
            return
        number, flags = struct.unpack_from("!HH", data)
        if number == self._number and flags & QR and flags & OPCODE == OPCODE_NOTIFY:
            self.answered.set_result(flags & 0xF)

    def error_received(self, exc: Exception) -> None:
        """The port is closed: the next try waits as long as if it had been lost."""


async def notify(peer: Peer, apex: bytes, number: int, tries: tuple[float, ...] = TRIES) -> int | None:
    """Tell a peer of a zone: the rcode that it answers, None if it does not answer. Raises OSError."""
    family_any = "::" if ip_address(peer.address).version == 6 else "0.0.0.0"
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(
        lambda: _Exchange(number),
        local_addr=(peer.source or family_any, 0),
        remote_addr=(peer.address, peer.port),
    )
    try:
        for seconds in tries:
            transport.sendto(compose_notify(number, apex))
            try:
                return await asyncio.wait_for(asyncio.shield(exchange.answered), seconds)
            except TimeoutError:
                continue
        return None
    finally:
        exchange.answered.cancel()
        transport.close()
