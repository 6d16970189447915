"""DNS over TCP: framing in every cut, order, limits, and clients that misbehave."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest

from kdns.dns import tcp
from kdns.dns.tcp import Frames, TcpLimits, TcpListener
from tests.dns.lanes import HEAD, FakeLane, answer, at_once, big, bug, drop, fast, slow

PATIENT: Final = TcpLimits(idle=30.0, read=30.0, write=30.0)
"""Limits of time that no test reaches."""
SHORT: Final = 0.05
"""Seconds of a limit that a test waits for."""


def frame(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


class Rig:
    """A listener with a fake Lane."""

    def __init__(self, limits: TcpLimits) -> None:
        self.lane = FakeLane("tcp", 1)
        self.listener = TcpListener(self.lane, 1, limits)
        self.address = ("", 0)
        self.clients: list[Client] = []

    async def client(self) -> "Client":
        made = Client(*await asyncio.open_connection(*self.address))
        self.clients.append(made)
        return made


class Client:
    """One connection to the listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: bytes) -> None:
        """All in one write."""
        self.writer.write(b"".join(map(frame, messages)))

    async def receive(self) -> bytes:
        """The next reply."""
        async with asyncio.timeout(10):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    async def receive_all(self, count: int) -> list[bytes]:
        return [await self.receive() for _ in range(count)]

    async def ended(self) -> bytes:
        """Wait until the server closes; returns what came before."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def serving(limits: TcpLimits = PATIENT) -> AsyncIterator[Rig]:
    rig = Rig(limits)
    server = await asyncio.get_running_loop().create_server(rig.listener.connection, "127.0.0.1", 0)
    rig.address = server.sockets[0].getsockname()
    try:
        yield rig
    finally:
        server.close()
        for client in rig.clients:
            client.writer.close()
        rig.listener.abort()
        await rig.listener.debts.settled()
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


STREAMS: Final[tuple[tuple[str, list[bytes]], ...]] = (
    ("nothing", []),
    ("one", [b"abc"]),
    ("one of no octets", [b""]),
    ("several of all kinds", [b"a", b"", b"bcd" * 100, b"\0\0", b"e"]),
    ("the longest", [b"x" * 65_535, b"y"]),
)
CUTS: Final[tuple[tuple[str, Callable[[bytes], Sequence[bytes]]], ...]] = (
    ("whole", lambda octets: [octets]),
    ("octet by octet", lambda octets: [octets[at : at + 1] for at in range(len(octets))]),
    ("by sevens", lambda octets: [octets[at : at + 7] for at in range(0, len(octets), 7)]),
)


@pytest.mark.parametrize("trailing", [b"", b"\0", b"\0\5abc"], ids=["clean", "half a length", "part of a frame"])
@pytest.mark.parametrize("cut", [cut for _, cut in CUTS], ids=[name for name, _ in CUTS])
@pytest.mark.parametrize("messages", [messages for _, messages in STREAMS], ids=[name for name, _ in STREAMS])
def test_frames(messages: list[bytes], cut: Callable[[bytes], Sequence[bytes]], trailing: bytes) -> None:
    """However a stream is cut, the same messages come out, and what is no whole frame stays."""
    frames = Frames()
    got: list[bytes] = []
    for octets in cut(b"".join(map(frame, messages)) + trailing):
        frames.feed(octets)
        while (message := frames.take()) is not None:
            got.append(message)
    assert got == messages
    assert frames.left == len(trailing)


async def test_octet_by_octet() -> None:
    """A query that trickles in is answered when it is complete, and so is the next."""
    async with serving() as rig:
        client = await rig.client()
        for message in (fast("a"), fast("b")):
            for octet in frame(message):
                client.writer.write(bytes((octet,)))
                await asyncio.sleep(0)
            assert await client.receive() == answer(message)


async def test_a_hundred_in_one_write() -> None:
    """Pipelined queries are all answered, in order when none is slow, and timed together."""
    async with serving() as rig:
        client = await rig.client()
        messages = [fast(str(number)) for number in range(100)]
        client.send(*messages)
        assert await client.receive_all(100) == list(map(answer, messages))
        assert sum(count for count, _ in rig.lane.times) == 100
        assert len(rig.lane.times) < 50, "one clock reading for all of a read"


async def test_the_client_is_known() -> None:
    """The slow way is told both ends of the connection, the transport and the family."""
    async with serving() as rig:
        client = await rig.client()
        client.send(at_once(""))
        await client.receive()
        port = client.writer.get_extra_info("sockname")[1]
        assert rig.lane.clients == [("127.0.0.1", port, "127.0.0.1", "tcp", 1)]


async def test_replies_leave_when_they_are_ready() -> None:
    """A slow query holds up no other; replies come in whatever order they are ready (RFC 7766 section 6.2.1.1)."""
    async with serving() as rig:
        client = await rig.client()
        client.send(slow("1"), fast("2"), slow("3"), at_once("4"), drop("5"), fast("6"))
        assert await client.receive_all(3) == [answer(fast("2")), answer(at_once("4")), answer(fast("6"))]
        rig.lane.finish(slow("3"))
        assert await client.receive() == answer(slow("3"))
        client.send(fast("7"))
        assert await client.receive() == answer(fast("7"))
        rig.lane.finish(slow("1"))
        assert await client.receive() == answer(slow("1"))


@pytest.mark.parametrize("where", ["B", "b"])
async def test_bugs_are_logged_counted_and_survived(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A message that raises is dropped, with its octets in the log; the connection goes on and owes nothing."""
    async with serving() as rig:
        client = await rig.client()
        client.send(bug("", where), fast("on"))
        assert await client.receive() == answer(fast("on"))
        assert rig.lane.counts.panics == 1
        assert bug("", where).hex() in caplog.text
        client.writer.write_eof()
        assert await client.ended() == b""


@pytest.mark.parametrize("size", [65_535, 65_536, 70_000])
async def test_no_reply_is_longer_than_a_frame(size: int) -> None:
    """65,535 octets arrive whole; what is longer is left out, and the stream stays in step."""
    async with serving() as rig:
        client = await rig.client()
        client.send(big(size), fast("next"))
        if size <= 65_535:
            assert await client.receive() == answer(big(size))
        assert await client.receive() == answer(fast("next"))


@pytest.mark.parametrize("size", [0, 1, 11])
async def test_what_is_no_dns_closes_the_connection(size: int) -> None:
    """A frame shorter than a header ends it, after the answers to what came before."""
    async with serving() as rig:
        client = await rig.client()
        client.send(fast("a"), slow("b"), b"x" * size, fast("c"))
        assert await client.receive() == answer(fast("a"))
        rig.lane.finish(slow("b"))
        assert await client.ended() == frame(answer(slow("b")))
        assert rig.lane.seen == [fast("a"), slow("b")]


async def test_a_client_that_stops_sending_gets_what_is_owed() -> None:
    """After the client's end of stream the replies still come, then the connection closes."""
    async with serving() as rig:
        client = await rig.client()
        client.send(slow("a"), fast("b"))
        client.writer.write_eof()
        assert await client.receive() == answer(fast("b"))
        rig.lane.finish(slow("a"))
        assert await client.ended() == frame(answer(slow("a")))


async def test_a_client_that_goes_away_is_forgotten() -> None:
    """A reply to a connection that is gone goes nowhere, and nothing is owed."""
    async with serving() as rig:
        client = await rig.client()
        client.send(slow("a"))
        await until(lambda: bool(rig.lane.waiting))
        client.writer.transport.abort()
        await until(lambda: rig.listener.debts.count == 1)
        rig.lane.finish(slow("a"))
        await asyncio.wait_for(rig.listener.debts.settled(), 10)


async def test_an_idle_connection_is_closed() -> None:
    """Nothing asked and nothing owed: it closes after the idle time."""
    async with serving(TcpLimits(idle=SHORT)) as rig:
        client = await rig.client()
        assert await client.ended() == b""
        client = await rig.client()
        client.send(fast("a"))
        assert await client.ended() == frame(answer(fast("a")))


async def test_a_connection_that_waits_for_us_is_not_idle() -> None:
    """While a reply is owed the idle time does not run; afterwards it does."""
    async with serving(TcpLimits(idle=SHORT)) as rig:
        client = await rig.client()
        client.send(slow("a"))
        await asyncio.sleep(4 * SHORT)
        client.send(fast("b"))
        assert await client.receive() == answer(fast("b"))
        rig.lane.finish(slow("a"))
        assert await client.ended() == frame(answer(slow("a")))


async def test_half_a_frame_is_not_waited_for_long() -> None:
    """The time for a frame runs from its first octet: a trickle does not prolong it."""
    async with serving(TcpLimits(idle=30, read=2 * SHORT)) as rig:
        client = await rig.client()
        client.send(fast("a"))
        assert await client.receive() == answer(fast("a"))
        client.writer.write(b"\0\xff")

        async def trickle() -> None:
            while True:
                client.writer.write(b"x")
                await asyncio.sleep(SHORT / 5)

        trickling = asyncio.create_task(trickle())
        assert await client.ended() == b""
        trickling.cancel()
        assert rig.lane.seen == [fast("a")]


async def test_each_frame_has_its_own_time() -> None:
    """A stream that is always in the middle of a frame, but goes on, starts the time anew with each frame."""
    async with serving() as rig:
        client = await rig.client()
        octets = frame(fast("a"))
        client.writer.write(octets + octets[:5])
        assert await client.receive() == answer(fast("a"))
        (connection,) = rig.listener._open
        began = [connection._partial]
        for _ in range(3):
            client.writer.write(octets[5:] + octets[:5])
            assert await client.receive() == answer(fast("a"))
            began.append(connection._partial)
        assert None not in began
        assert len(set(began)) == 4
        client.writer.write(octets[5:])
        assert await client.receive() == answer(fast("a"))
        assert connection._partial is None


async def test_many_open_queries_hold_back_the_next() -> None:
    """No more than the limit is with the slow way at a time; the rest follows as they are answered, all in the end."""
    async with serving(TcpLimits(in_flight=3)) as rig:
        client = await rig.client()
        messages = [slow(str(number)) for number in range(10)]
        client.send(*messages)
        client.writer.write_eof()
        got = []
        for number, message in enumerate(messages):
            expected = min(number + 3, 10)
            await until(lambda expected=expected: len(rig.lane.seen) == expected)  # type: ignore[misc]
            assert len(rig.lane.waiting) <= 3
            rig.lane.finish(message)
            got.append(await client.receive())
        assert got == list(map(answer, messages))
        assert await client.ended() == b""


async def test_forgotten_queries_make_room() -> None:
    """A query that the slow way lets go of does not count as open."""
    async with serving(TcpLimits(in_flight=1)) as rig:
        client = await rig.client()
        client.send(slow("a"), fast("b"))
        await until(lambda: bool(rig.lane.waiting))
        rig.lane.waiting.clear()
        assert await client.receive() == answer(fast("b"))


async def test_queries_of_one_connection_can_be_limited() -> None:
    """After the limit is reached the connection closes, with all that were taken answered."""
    async with serving(TcpLimits(queries=3)) as rig:
        client = await rig.client()
        client.send(fast("1"), slow("2"), fast("3"), fast("4"))
        assert await client.receive_all(2) == [answer(fast("1")), answer(fast("3"))]
        rig.lane.finish(slow("2"))
        assert await client.ended() == frame(answer(slow("2")))
        assert rig.lane.seen == [fast("1"), slow("2"), fast("3")]


async def flood(rig: Rig) -> socket.socket:
    """A client that asks for 130 MB and reads nothing; returns when the server takes no more."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, rig.address)
    await loop.sock_sendall(sock, frame(big(65_000)) * 2000)
    await until(lambda: bool(rig.listener._stuck))
    return sock


async def test_a_client_that_does_not_read_costs_little() -> None:
    """We stop answering it, keep about one reply for it, and go on where we were when it reads."""
    async with serving() as rig:
        sock = await flood(rig)
        (connection,) = rig.listener._open
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() <= tcp.WRITE + 65_537
        assert connection._frames.left <= tcp.READ + 65_537
        asked = len(rig.lane.seen)
        assert asked < 1000
        loop = asyncio.get_running_loop()
        left = 2000 * 65_002
        while left:
            left -= len(await loop.sock_recv(sock, 1 << 20))
        assert len(rig.lane.seen) == 2000
        sock.close()


async def test_a_client_that_does_not_read_is_closed() -> None:
    """After the time for writing it is gone, and owes us nothing."""
    async with serving(TcpLimits(write=SHORT)) as rig:
        sock = await flood(rig)
        await asyncio.wait_for(rig.listener.debts.settled(), 10)
        sock.close()


async def test_only_so_many_may_not_read() -> None:
    """One stuck client too many, and the one that is stuck longest is gone."""
    async with serving(TcpLimits(stuck=1, write=30)) as rig:
        first = await flood(rig)
        (longest,) = rig.listener._stuck
        second = await flood(rig)
        await until(lambda: longest not in rig.listener._open)
        assert rig.listener.debts.count == 1
        assert len(rig.listener._stuck) == 1
        first.close()
        second.close()


async def test_one_connection_too_many_closes_the_longest_idle_one() -> None:
    """Whoever was idle longest makes room; a connection that waits for us stays."""
    async with serving(TcpLimits(connections=3)) as rig:
        lively, waiting, idle = [await rig.client() for _ in range(3)]
        for client, message in ((waiting, slow("a")), (idle, fast("b")), (lively, fast("c"))):
            client.send(message)
            await until(lambda expected=message: expected in rig.lane.seen)  # type: ignore[misc]
        new = await rig.client()
        new.send(fast("new"))
        assert await new.receive() == answer(fast("new"))
        assert await idle.ended() == frame(answer(fast("b")))
        rig.lane.finish(slow("a"))
        assert await waiting.receive() == answer(slow("a"))
        lively.send(fast("d"))
        assert await lively.receive_all(2) == [answer(fast("c")), answer(fast("d"))]


async def test_without_an_idle_one_the_new_connection_is_refused() -> None:
    """When all wait for us there is no room; when one has its answer there is."""
    async with serving(TcpLimits(connections=2)) as rig:
        clients = [await rig.client() for _ in range(2)]
        for number, client in enumerate(clients):
            client.send(slow(str(number)))
        await until(lambda: len(rig.lane.waiting) == 2)
        refused = await rig.client()
        assert await refused.ended() == b""
        rig.lane.finish(slow("0"))
        assert await clients[0].receive() == answer(slow("0"))
        new = await rig.client()
        new.send(fast("new"))
        assert await new.receive() == answer(fast("new"))


async def test_stop_finishes_what_is_owed() -> None:
    """Idle connections close at once; one that is owed a reply gets it first, but no new query is taken."""
    async with serving() as rig:
        idle, waiting = await rig.client(), await rig.client()
        idle.send(fast("i"))
        await idle.receive()
        waiting.send(slow("a"))
        await until(lambda: bool(rig.lane.waiting))
        rig.listener.stop()
        assert await idle.ended() == b""
        waiting.send(fast("b"))
        rig.lane.finish(slow("a"))
        assert (await waiting.ended()) in {frame(answer(slow("a"))), b""}
        assert fast("b") not in rig.lane.seen
        assert rig.listener.debts.count == 0


async def test_any_octets_leave_the_listener_alive() -> None:
    """Whatever a client sends, the next one is served."""
    async with serving(TcpLimits(read=SHORT, idle=SHORT)) as rig:
        for octets in (b"\0", b"\xff" * 1000, b"GET / HTTP/1.1\r\n\r\n", bytes(5000), frame(HEAD) * 3 + b"\1"):
            client = await rig.client()
            client.writer.write(octets)
            await client.ended()
        client = await rig.client()
        client.send(fast("a"))
        assert await client.receive() == answer(fast("a"))
