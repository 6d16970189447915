"""DNS over TCP: limits of time, of queries, of connections, and clients that do not read."""

import asyncio
import socket
from typing import Final

from kdns.dns.transport.connection_shares import WHY
from kdns.dns.transport.tcp_limits import READ, WRITE, TcpLimits
from tests.dns.socket_responders import answer, big, fast, named, slow, until
from tests.dns.transport.tcp_rig import Rig, frame, serving

SHORT: Final = 0.05
"""Seconds of a limit that a test waits for."""


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
        rig.responder.finish(slow("a"))
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
        assert rig.responder.seen == [fast("a")]


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
            await until(lambda expected=expected: len(rig.responder.seen) == expected)  # type: ignore[misc]
            assert len(rig.responder.waiting) <= 3
            rig.responder.finish(message)
            got.append(await client.receive())
        assert got == list(map(answer, messages))
        assert await client.ended() == b""


async def test_forgotten_queries_make_room() -> None:
    """A query that the slow way lets go of does not count as open."""
    async with serving(TcpLimits(in_flight=1)) as rig:
        client = await rig.client()
        client.send(slow("a"), fast("b"))
        await until(lambda: bool(rig.responder.waiting))
        rig.responder.waiting.clear()
        assert await client.receive() == answer(fast("b"))


async def test_queries_of_one_connection_can_be_limited() -> None:
    """After the limit is reached the connection closes, with all that were taken answered."""
    async with serving(TcpLimits(queries=3)) as rig:
        client = await rig.client()
        client.send(fast("1"), slow("2"), fast("3"), fast("4"))
        assert await client.receive_all(2) == [answer(fast("1")), answer(fast("3"))]
        rig.responder.finish(slow("2"))
        assert await client.ended() == frame(answer(slow("2")))
        assert rig.responder.seen == [fast("1"), slow("2"), fast("3")]


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
        assert connection._transport.get_write_buffer_size() <= WRITE + 65_537
        assert connection._frames.left <= READ + 65_537
        asked = len(rig.responder.seen)
        assert asked < 1000
        loop = asyncio.get_running_loop()
        left = 2000 * 65_002
        while left:
            left -= len(await loop.sock_recv(sock, 1 << 20))
        assert len(rig.responder.seen) == 2000
        sock.close()


async def test_a_client_that_does_not_read_is_closed() -> None:
    """After the time for writing it is gone, and owes us nothing."""
    async with serving(TcpLimits(write=SHORT)) as rig:
        sock = await flood(rig)
        await asyncio.wait_for(rig.listener.pending_replies.drained(), 120)
        assert not rig.listener._open
        sock.close()


async def test_only_so_many_may_not_read() -> None:
    """One stuck client too many, and the one that is stuck longest is gone."""
    async with serving(TcpLimits(stuck=1, write=30)) as rig:
        first = await flood(rig)
        (longest,) = rig.listener._stuck
        second = await flood(rig)
        await until(lambda: longest not in rig.listener._open)
        assert rig.listener.pending_replies.count == 1
        assert len(rig.listener._stuck) == 1
        first.close()
        second.close()


async def test_one_connection_too_many_closes_the_longest_idle_one() -> None:
    """The one that was idle longest makes room; a connection that waits for us stays."""
    async with serving(TcpLimits(connections=3)) as rig:
        lively, waiting, idle = [await rig.client(f"127.0.0.{number}") for number in (2, 3, 4)]
        for client, message in ((waiting, slow("a")), (idle, fast("b")), (lively, fast("c"))):
            client.send(message)
            await until(lambda expected=message: expected in rig.responder.seen)  # type: ignore[misc]
        new = await rig.client("127.0.0.5")
        new.send(fast("new"))
        assert await new.receive() == answer(fast("new"))
        assert rig.responder.counts.over_share == 0
        assert await idle.ended() == frame(answer(fast("b")))
        rig.responder.finish(slow("a"))
        assert await waiting.receive() == answer(slow("a"))
        lively.send(fast("d"))
        assert await lively.receive_all(2) == [answer(fast("c")), answer(fast("d"))]


async def test_without_an_idle_one_the_new_connection_is_refused() -> None:
    """When all wait for us there is no room; when one has its answer there is."""
    async with serving(TcpLimits(connections=2)) as rig:
        clients = [await rig.client(f"127.0.0.{number}") for number in (2, 3)]
        for number, client in enumerate(clients):
            client.send(slow(str(number)))
        await until(lambda: len(rig.responder.waiting) == 2)
        refused = await rig.client("127.0.0.4")
        assert await refused.ended() == b""
        rig.responder.finish(slow("0"))
        assert await clients[0].receive() == answer(slow("0"))
        new = await rig.client("127.0.0.4")
        new.send(fast("new"))
        assert await new.receive() == answer(fast("new"))


async def test_a_client_over_its_share_closes_its_own_connections() -> None:
    """Alone it gets half of the places. One more closes its longest idle one; those of the others stay open."""
    async with serving(TcpLimits(connections=8)) as rig:
        rig.responder.top.on = True
        other = await rig.client("127.0.0.2")
        other.send(fast("other"))
        assert await other.receive() == answer(fast("other"))
        greedy = []
        for number in range(6):
            greedy.append(await rig.client("127.0.0.3"))
            greedy[-1].send(fast(str(number)))
            assert await greedy[-1].receive() == answer(fast(str(number)))
        assert await greedy[0].ended() == b""
        assert await greedy[1].ended() == b""
        assert rig.responder.counts.over_share == 2
        assert [(one.client, one.why) for one in rig.responder.top.failures] == [("127.0.0.3", WHY)]
        new = await rig.client("127.0.0.4")
        for client in (other, new, *greedy[2:]):
            client.send(fast("again"))
            assert await client.receive() == answer(fast("again"))


async def test_a_client_over_its_share_without_an_idle_connection_is_refused() -> None:
    """It gets no place of another client, and its open queries are answered; another client still gets a place."""
    async with serving(TcpLimits(connections=4)) as rig:
        greedy = [await rig.client("127.0.0.3") for _ in range(2)]
        for number, client in enumerate(greedy):
            client.send(slow(str(number)))
        await until(lambda: len(rig.responder.waiting) == 2)
        refused = await rig.client("127.0.0.3")
        assert await refused.ended() == b""
        assert rig.responder.counts.over_share == 1
        new = await rig.client("127.0.0.4")
        new.send(fast("new"))
        assert await new.receive() == answer(fast("new"))
        for number, client in enumerate(greedy):
            rig.responder.finish(slow(str(number)))
            assert await client.receive() == answer(slow(str(number)))


async def test_shares_come_back_with_the_connections() -> None:
    """A client that opens and closes one after the other is never over its share."""
    async with serving(TcpLimits(connections=2)) as rig:
        for number in range(5):
            client = await rig.client()
            client.send(fast(str(number)))
            assert await client.receive() == answer(fast(str(number)))
            client.writer.close()
            await until(lambda: not rig.listener._open)
        assert rig.responder.counts.over_share == 0


async def test_what_is_answered_at_once_is_shown() -> None:
    """`top` counts messages over TCP as it does those over UDP."""
    async with serving() as rig:
        rig.responder.top.on = True
        client = await rig.client()
        for _ in range(3):
            client.send(named("a"))
            await client.receive()
        pods = rig.responder.top.values()["windows"]["1m"]["pod"]
        assert pods["top"] == [{"key": "127.0.0.1", "questions": 3, "error": 0}]
