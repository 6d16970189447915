"""Queries as octets, one line each, and the two ways they are answered."""

import asyncio
import struct
from collections.abc import Sequence
from typing import NamedTuple

from kdns.dns.api.handler import Client, Handler, chain
from kdns.dns.plugins.kubernetes import built, kubernetes
from kdns.dns.query.responder import Responder, SocketResponder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.records.answers import Answers
from kdns.wire.name import ROOT
from kdns.wire.numbers import IN
from kdns.wire.query import opt_record

CLIENT = Client("192.0.2.53", 40053, "192.0.2.1", "udp", 1)


class Opt(NamedTuple):
    """The OPT record of a query."""

    payload: int = 1232
    do: bool = False
    version: int = 0
    options: bytes = b""
    z: int = 0
    """Flags besides DO."""

    def octets(self) -> bytes:
        """In wire form (RFC 6891 section 6.1.2)."""
        plain = bytearray(opt_record(self.payload, self.do))
        plain[6] = self.version
        plain[7] |= self.z >> 8
        plain[8] |= self.z & 0xFF
        return bytes(plain[:-2]) + len(self.options).to_bytes(2, "big") + self.options


def query(
    name: bytes, rtype: int, *, flags: int = 0x0100, opt: Opt | None = None, rclass: int = IN, number: int = 0x1234
) -> bytes:
    """A query for a name in wire form, in any spelling."""
    header = struct.pack("!6H", number, flags, 1, 0, 0, 1 if opt else 0)
    return header + name + struct.pack("!HH", rtype, rclass) + (opt.octets() if opt else b"")


def socket_responder(
    answers: Answers | None, handler: Handler | None = None, proto: str = "udp", chase: Handler | None = None
) -> SocketResponder:
    """A responder over one block for all names: with answers it has both ways, without only the chain."""
    plugins = () if answers is None else (built(answers, chase),)
    if handler is None:
        handler = chain([each.plugin for each in plugins if each.plugin is not None])
    return Responder(Router((RoutedBlock(zones={ROOT: "."}, handler=handler, built=plugins),))).for_socket(
        proto, 1, "dns://:53"
    )


def chain_only(answers: Answers, proto: str = "udp") -> SocketResponder:
    """A responder that has only the chain, over a zone."""
    return socket_responder(None, chain([kubernetes(answers)]), proto)


async def slow(socket_responder: SocketResponder, message: bytes, client: Client = CLIENT) -> bytes | None:
    """What the slow way replies; None if it drops the message."""
    replies: list[bytes] = []
    socket_responder.slow(message, client, replies.append)
    await socket_responder.settled(5)
    assert len(replies) <= 1
    return replies[0] if replies else None


async def replies(socket_responder: SocketResponder, messages: Sequence[bytes]) -> list[bytes | None]:
    """What a socket would send for each message: the fast way's reply, or else the slow way's."""
    found = []
    for message in messages:
        fast = socket_responder.fast(message)
        found.append(await slow(socket_responder, message) if fast is None else fast)
        await asyncio.sleep(0)
    return found
