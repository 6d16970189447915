"""Questions over a socket, as any client asks them."""

import asyncio
import socket
from typing import Final, NamedTuple

from dnslib import QTYPE, RCODE, DNSRecord

TIMEOUT: Final = 3.0
"""Seconds for one attempt."""
ATTEMPTS: Final = 3
"""Over UDP a datagram may be lost even on loopback, when a buffer is full."""


class Question(NamedTuple):
    """What to ask, and how."""

    name: str
    rtype: str
    proto: str = "udp"


class Reply(NamedTuple):
    """What came back."""

    rcode: str
    data: tuple[str, ...]
    """The answer section's records without owner and TTL; those of another type with their type in front."""


async def ask(question: Question, address: str, port: int) -> Reply:
    """Ask once, over UDP with another try when nothing comes. Raises OSError or TimeoutError."""
    query = DNSRecord.question(question.name, question.rtype)
    packet = query.pack()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with asyncio.timeout(TIMEOUT):
                exchange = _over_tcp if question.proto == "tcp" else _over_udp
                return _reply(question, await exchange(packet, address, port))
        except TimeoutError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _over_udp(packet: bytes, address: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (address, port))
        await loop.sock_sendall(sock, packet)
        return await loop.sock_recv(sock, 65535)


async def _over_tcp(packet: bytes, address: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


def _reply(question: Question, octets: bytes) -> Reply:
    message = DNSRecord.parse(octets)
    data = tuple(
        str(rr.rdata) if (rtype := QTYPE[rr.rtype]) == question.rtype else f"{rtype} {rr.rdata}" for rr in message.rr
    )
    return Reply(str(RCODE[message.header.rcode]), data)
