"""An upstream resolver on real loopback sockets, with behaviour.

::

    async with FakeUpstream() as upstream:
        upstream.zone["www.example.org."] = ("192.0.2.7",)
        upstream.before.append(forged)          # what is sent ahead of each UDP answer
        ... upstream.text ...                   # 127.0.0.1:40053
        await upstream.die(); await upstream.live()

Answers go out over UDP, TCP (or TLS, with ``tls``) on one port. A behaviour is an attribute; a test may change it
between two queries.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Self

from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import NXDOMAIN, QR, RA, TC
from kdns.wire.query import Query, opt_record, parse_query
from tests.ports import free_port

Before = Callable[[Query, bytes], bytes]
"""From a query and its right answer, a datagram that comes before the right one."""


class FakeUpstream:
    """One resolver."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host, self.port, self.tls = host, 0, tls
        self.zone: dict[str, tuple[str, ...]] = {}
        """IPv4 addresses by name; a name that is not there gets `rcode`."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.rcode = NXDOMAIN
        self.before: list[Before] = []
        self.silent = False
        """Queries are read and not answered."""
        self.truncates = False
        """UDP answers are empty and say TC."""
        self.no_edns = False
        """A query with an OPT record gets a bare FORMERR."""
        self.no_tcp = False
        """Connections are closed at the first query."""
        self.answers_on_connection = 0
        """After so many a connection is closed; 0: never."""
        self.resets = False
        """Connections are reset at the first query."""
        self.answer: Callable[[Query], bytes] | None = None
        """Makes the whole answer instead of us."""
        self.queries: list[Query] = []
        self.sources: list[tuple[str, int]] = []
        """Where each UDP query came from."""
        self.connections = 0
        """Opened ones, all in all."""
        self.most_under_way = 0
        self._under_way = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def text(self) -> str:
        """``ADDRESS:PORT``"""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def names(self) -> list[str]:
        """What was asked for, without probes for the root."""
        return [name_text(query.name) for query in self.queries if query.name != b"\0"]

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._writers)

    @property
    def probes(self) -> int:
        """Queries for the root."""
        return sum(query.name == b"\0" for query in self.queries)

    async def __aenter__(self) -> Self:
        await self.live()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    async def live(self) -> None:
        """Listen on the port that it had, or on a free one the first time."""
        self.port = self.port or free_port()
        self._tcp = await asyncio.start_server(self._connected, self.host, self.port, ssl=self.tls)
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self), (self.host, self.port)
        )
        self._receive_much(self._udp)

    def _receive_much(self, udp: asyncio.DatagramTransport) -> None:
        sock: socket.socket = udp.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    async def die(self) -> None:
        """Close everything: datagrams are refused, connections are gone."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        self.hang_up()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close the connections that are open."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def datagram(self, octets: bytes, source: tuple[str, int]) -> None:
        """A query over UDP."""
        self.sources.append(source[:2])
        self._start(self._answer_datagram(octets, source))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(self, octets: bytes, source: tuple[str, int]) -> None:
        query, answer = await self._answered(octets, udp=True)
        assert self._udp is not None
        if answer is None or self._udp.is_closing():
            return
        for forged in self.before:
            self._udp.sendto(forged(query, answer), source)
        self._udp.sendto(answer, source)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        answers = 0
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                _, answer = await self._answered(await reader.readexactly(length), udp=False)
                if self.resets:
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if self.no_tcp:
                    return
                if answer is not None:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                answers += 1
                if answers == self.answers_on_connection:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort() if self.resets else writer.close()

    async def _answered(self, octets: bytes, *, udp: bool) -> tuple[Query, bytes | None]:
        query = parse_query(octets)
        self.queries.append(query)
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
        finally:
            self._under_way -= 1
        if self.silent:
            return query, None
        if self.no_edns and query.edns is not None:
            return query, struct.pack("!6H", query.id, QR | 1, 0, 0, 0, 0)
        if self.truncates and udp:
            return query, reply(query, flags=QR | RA | TC)
        if self.answer is not None:
            return query, self.answer(query)
        found = self.zone.get(name_text(query.name))
        return query, reply(query, found or (), rcode=self.rcode if found is None else 0)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, upstream: FakeUpstream) -> None:
        self._upstream = upstream

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._upstream.datagram(data, addr)


def reply(
    query: Query,
    addresses: tuple[str, ...] = (),
    *,
    rcode: int = 0,
    flags: int = QR | RA,
    number: int | None = None,
    name: str | None = None,
    options: bytes = b"",
) -> bytes:
    """An answer with addresses; another ``number`` or ``name`` than the query's makes a forged one."""
    owner = query.question[:-4] if name is None else parse_name(name)
    opt = opt_record(1232, query.edns.do, rcode >> 4, options) if query.edns is not None else b""
    head = struct.pack(
        "!6H", query.id if number is None else number, flags | rcode & 0xF, 1, len(addresses), 0, 1 if opt else 0
    )
    records = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address) for address in addresses]
    return head + owner + query.question[-4:] + b"".join(records) + opt


def wrong_id(query: Query, _: bytes) -> bytes:
    """A forged answer with another id."""
    return reply(query, ("192.0.2.66",), number=query.id ^ 1)


def wrong_question(query: Query, _: bytes) -> bytes:
    """An answer with the right id to something that was not asked."""
    return reply(query, ("192.0.2.66",), name="evil.example.")


def garbage(query: Query, _: bytes) -> bytes:
    """The right id and then noise."""
    return query.id.to_bytes(2, "big") + bytes(range(200, 230))


def broken(_: Query, answer: bytes) -> bytes:
    """The right answer, cut."""
    return answer[:-3]


def query_back(query: Query, _: bytes) -> bytes:
    """The query itself: no response."""
    return reply(query, flags=0)
