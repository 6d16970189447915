"""`--probe`: what sockets say becomes an outcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import pytest

from kdns.explain.probe import Kind, Wanted, probe
from kdns.wire.message import parse_message
from kdns.wire.numbers import A
from tests.ports import free_port

DNS: Final[tuple[Kind, ...]] = ("dns-udp", "dns-tcp")


class Responder(asyncio.DatagramProtocol):
    """Answers each question with an rcode; None: not at all."""

    def __init__(self, rcode: int | None) -> None:
        self.rcode = rcode
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it to answer by."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """First something that is no reply to the question, then the reply."""
        if self.rcode is not None and self.transport is not None:
            self.transport.sendto(b"\0" + answer(data, 0)[1:], addr)
            self.transport.sendto(answer(data, self.rcode), addr)


def answer(query: bytes, rcode: int) -> bytes:
    """A reply without records."""
    return query[:2] + bytes((0x84, rcode)) + query[4:]


@asynccontextmanager
async def dns_server(rcode: int | None) -> AsyncIterator[int]:
    """A server of both transports; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if rcode is not None:
            query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            reply = answer(query, rcode)
            writer.write(len(reply).to_bytes(2, "big") + reply)
            writer.close()
        else:
            await reader.read()
            writer.close()

    loop = asyncio.get_running_loop()
    port = free_port()
    tcp = await asyncio.start_server(serve, "127.0.0.1", port)
    udp, _ = await loop.create_datagram_endpoint(lambda: Responder(rcode), ("127.0.0.1", port))
    try:
        yield port
    finally:
        udp.close()
        tcp.close()


@pytest.mark.parametrize(
    ("rcode", "outcome"), [(0, "ok"), (3, "NXDOMAIN"), (2, "SERVFAIL"), (None, "timeout")], ids=str
)
async def test_a_question_has_the_servers_rcode(rcode: int | None, outcome: str) -> None:
    """Over UDP and TCP; a datagram that is no reply to the question changes nothing; silence is a timeout."""
    async with dns_server(rcode) as port:
        wanted = [Wanted(kind, "127.0.0.1", port, "cart.shop.svc.cluster.local. coredns-1", A)
                  for kind in DNS]  # fmt: skip
        made = await probe(wanted, patience=5.0 if rcode is not None else 0.05)
    assert [(one.kind, one.outcome, one.about) for one in made] == [
        ("dns-udp", outcome, "cart.shop.svc.cluster.local. coredns-1"),
        ("dns-tcp", outcome, "cart.shop.svc.cluster.local. coredns-1"),
    ]
    assert all(one.seconds >= 0 for one in made)


async def test_a_port_where_nothing_listens_is_refused() -> None:
    """Over TCP by a reset, over UDP by ICMP."""
    port = free_port()
    made = await probe([Wanted(kind, "127.0.0.1", port, "a.example.") for kind in ("tcp", *DNS)])
    assert [one.outcome for one in made] == ["refused"] * 3


async def test_a_connection_that_opens_is_ok() -> None:
    """It is closed at once."""
    async with dns_server(0) as port:
        (made,) = await probe([Wanted("tcp", "127.0.0.1", port, "Service/shop/cart")])
    assert (made.kind, made.outcome, made.port) == ("tcp", "ok", port)


def test_the_fake_speaks_dns() -> None:
    """The reply that the fake server composes is one."""
    query = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01"
    assert parse_message(answer(query, 3)).rcode == 3
