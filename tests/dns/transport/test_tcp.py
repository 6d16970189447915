"""DNS over TCP: framing in every cut, order, what is owed, and octets that are no DNS."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from kdns.dns.transport.frames import Frames
from kdns.dns.transport.tcp_limits import TcpLimits
from tests.dns.socket_responders import HEAD, answer, at_once, big, bug, drop, fast, slow, until
from tests.dns.transport.tcp_rig import frame, serving

STREAMS: Final[tuple[tuple[str, list[bytes]], ...]] = (
    ("nothing", []),
    ("one", [b"abc"]),
    ("one of no octets", [b""]),
    ("several of all kinds", [b"a", b"", b"bcd" * 100, b"\0\0", b"e"]),
    ("the longest", [b"x" * 4096, b"y"]),
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
        assert sum(count for count, _ in rig.responder.times) == 100
        assert len(rig.responder.times) < 50, "one clock reading for all of a read"


async def test_the_client_is_known() -> None:
    """The slow way is told both ends of the connection, the transport and the family."""
    async with serving() as rig:
        client = await rig.client()
        client.send(at_once(""))
        await client.receive()
        port = client.writer.get_extra_info("sockname")[1]
        assert rig.responder.clients == [("127.0.0.1", port, "127.0.0.1", "tcp", 1)]


async def test_replies_leave_when_they_are_ready() -> None:
    """A slow query holds up no other; replies come in whatever order they are ready (RFC 7766 section 6.2.1.1)."""
    async with serving() as rig:
        client = await rig.client()
        client.send(slow("1"), fast("2"), slow("3"), at_once("4"), drop("5"), fast("6"))
        assert await client.receive_all(3) == [answer(fast("2")), answer(at_once("4")), answer(fast("6"))]
        rig.responder.finish(slow("3"))
        assert await client.receive() == answer(slow("3"))
        client.send(fast("7"))
        assert await client.receive() == answer(fast("7"))
        rig.responder.finish(slow("1"))
        assert await client.receive() == answer(slow("1"))


@pytest.mark.parametrize("where", ["B", "b"])
async def test_bugs_are_logged_counted_and_survived(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A message that raises is dropped, with its octets in the log; the connection goes on and owes nothing."""
    async with serving() as rig:
        client = await rig.client()
        client.send(bug("", where), fast("on"))
        assert await client.receive() == answer(fast("on"))
        assert rig.responder.counts.panics == 1
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
        rig.responder.finish(slow("b"))
        assert await client.ended() == frame(answer(slow("b")))
        assert rig.responder.seen == [fast("a"), slow("b")]


async def test_a_client_that_stops_sending_gets_what_is_owed() -> None:
    """After the client's end of stream the replies still come, then the connection closes."""
    async with serving() as rig:
        client = await rig.client()
        client.send(slow("a"), fast("b"))
        client.writer.write_eof()
        assert await client.receive() == answer(fast("b"))
        rig.responder.finish(slow("a"))
        assert await client.ended() == frame(answer(slow("a")))


async def test_a_client_that_goes_away_is_forgotten() -> None:
    """A reply to a connection that is gone goes nowhere, and nothing is owed."""
    async with serving() as rig:
        client = await rig.client()
        client.send(slow("a"))
        await until(lambda: bool(rig.responder.waiting))
        client.writer.transport.abort()
        await until(lambda: rig.listener.pending_replies.count == 1)
        rig.responder.finish(slow("a"))
        await asyncio.wait_for(rig.listener.pending_replies.drained(), 120)
        assert not rig.listener._open


async def test_stop_finishes_what_is_owed() -> None:
    """Idle connections close at once; one that is owed a reply gets it first, but no new query is taken."""
    async with serving() as rig:
        idle, waiting = await rig.client(), await rig.client()
        idle.send(fast("i"))
        await idle.receive()
        waiting.send(slow("a"))
        await until(lambda: bool(rig.responder.waiting))
        rig.listener.stop()
        assert await idle.ended() == b""
        waiting.send(fast("b"))
        rig.responder.finish(slow("a"))
        assert (await waiting.ended()) in {frame(answer(slow("a"))), b""}
        assert fast("b") not in rig.responder.seen
        assert rig.listener.pending_replies.count == 0


async def test_any_octets_leave_the_listener_alive() -> None:
    """Whatever a client sends, the next one is served."""
    async with serving(TcpLimits(read=0.05, idle=0.05)) as rig:
        for octets in (b"\0", b"\xff" * 1000, b"GET / HTTP/1.1\r\n\r\n", bytes(5000), frame(HEAD) * 3 + b"\1"):
            client = await rig.client()
            client.writer.write(octets)
            await client.ended()
        client = await rig.client()
        client.send(fast("a"))
        assert await client.receive() == answer(fast("a"))
