"""DNS over TCP: what a thousand clients that mean harm can make us keep."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import pytest

from kdns.dns.transport import tcp
from kdns.dns.transport.frames import MAX_QUERY, Frames
from kdns.dns.transport.tcp_limits import SEND, TcpLimits
from tests.dns.socket_responders import answer, big, fast, until
from tests.dns.transport.tcp_rig import Client, frame, serving
from tests.dns.transport.test_tcp import CUTS


@pytest.mark.parametrize("size", [MAX_QUERY + 1, 65_535])
@pytest.mark.parametrize("cut", [cut for _, cut in CUTS], ids=[name for name, _ in CUTS])
def test_of_a_frame_too_long_the_header_is_left(size: int, cut: Callable[[bytes], Sequence[bytes]]) -> None:
    """As over UDP: nobody's query is that long, and a thousand clients may send one each. What follows is in step."""
    frames = Frames()
    got: list[bytes] = []
    for octets in cut(frame(b"a" * 20) + frame(b"x" * size) + frame(b"b") + b"\0"):
        frames.feed(octets)
        while (message := frames.take()) is not None:
            got.append(message)
        assert len(frames._octets) <= MAX_QUERY + 2
    assert got == [b"a" * 20, b"x" * 12, b"b"]
    assert frames.left == 1


async def test_the_kernel_keeps_little_for_a_client_that_does_not_read() -> None:
    """Not megabytes, which it would write before it told us that nobody reads; and nothing after we give it up."""
    async with serving() as rig:
        sock = socket.create_connection(rig.address)
        with sock:
            for _ in range(200):
                sock.sendall(frame(big(60_000)))
            await until(lambda: bool(rig.listener._stuck))
            (connection,) = rig.listener._stuck
            assert connection._socket().getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND
            connection.abort()
            await until(lambda: not rig.listener._stuck)
            with pytest.raises(ConnectionResetError):
                b"".join(iter(lambda: sock.recv(1 << 20), b""))


async def test_many_that_get_stuck_at_once() -> None:
    """However many clients stop reading in one turn of the loop, no more than the limit stay."""
    async with serving(TcpLimits(stuck=1, write=30.0)) as rig:
        socks = [socket.create_connection(rig.address) for _ in range(5)]
        for sock in socks:
            sock.sendall(frame(big(60_000)) * 200)
        await until(lambda: len(rig.responder.seen) >= 5)
        await until(lambda: len(rig.listener._open) <= 1)
        assert len(rig.listener._stuck) == 1
        for sock in socks:
            sock.close()


async def test_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much many clients have pipelined, the loop is not theirs alone, and all of it is answered in order."""
    loop = asyncio.get_running_loop()
    now = loop.time
    async with serving() as rig:
        # Each query takes a tenth of a millisecond longer than it does, so how fast this machine is does not matter.
        monkeypatch.setattr(loop, "time", lambda: now() + len(rig.responder.seen) * 0.0001)
        clients = [await rig.client() for _ in range(20)]
        messages = [fast(str(number)) for number in range(500)]
        for client in clients:
            client.send(*messages)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while len(rig.responder.seen) < 20 * 500:
                turns += 1
                await asyncio.sleep(0)

        await asyncio.gather(others(), *(_all(client, messages) for client in clients))
        assert turns > 20 * 500 * 0.0001 / tcp.TURN / 2
        assert not rig.listener._deferred


async def _all(client: Client, messages: Sequence[bytes]) -> None:
    assert await client.receive_all(len(messages)) == list(map(answer, messages))


async def test_nothing_is_kept_of_what_was_answered() -> None:
    """A connection that is idle after many queries in one read holds none of it."""
    async with serving() as rig:
        client = await rig.client()
        messages = [fast(str(number)) for number in range(1000)]
        client.send(*messages)
        assert await client.receive_all(1000) == list(map(answer, messages))
        (connection,) = rig.listener._open
        assert connection._frames._octets == b""


async def test_a_client_that_is_gone_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever pipelines and leaves without reading would fill the log: asyncio warns of each write that comes later."""
    async with serving() as rig:
        for _ in range(20):
            with socket.create_connection(rig.address) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, tcp._RESET)
                sock.sendall(frame(big(20_000)) * 200)
        await until(lambda: bool(rig.responder.seen) and not rig.listener._open)
    assert "raised exception" not in caplog.text
