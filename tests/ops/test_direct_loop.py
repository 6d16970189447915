"""The loop that calls readers where it waits: it is asyncio's loop in everything else."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable

import pytest

from kdns.ops import direct_loop
from kdns.ops.direct_loop import DirectLoop
from tests.dns.socket_responders import answer, fast, slow, until
from tests.dns.transport.udp_rig import CASES, Case, Rig, receive

PATIENCE = 120


class Pair:
    """Two sockets, and a reader of what arrives on the first one."""

    def __init__(self, done: Callable[[int], bool] = lambda _: True) -> None:
        """``done`` gets how many datagrams have come, and says what the reader returns."""
        self.mine, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.mine.setblocking(False)
        self.got: list[bytes] = []
        self._done = done

    def read(self) -> bool:
        self.got.append(self.mine.recv(100))
        return self._done(len(self.got))

    def __enter__(self) -> "Pair":
        loop().add_direct_reader(self.mine.fileno(), self.read)
        return self

    def __exit__(self, *_: object) -> None:
        loop().remove_direct_reader(self.mine.fileno())
        self.mine.close()
        self.other.close()


def loop() -> DirectLoop:
    """The running one."""
    running = asyncio.get_running_loop()
    assert isinstance(running, DirectLoop)
    return running


def test_what_a_reader_schedules_is_done() -> None:
    """A reader that returns False has the loop look at itself at once."""

    async def work() -> None:
        called = asyncio.Event()

        def done(_: int) -> bool:
            loop().call_soon(called.set)
            return False

        with Pair(done) as pair:
            pair.other.send(b"a")
            async with asyncio.timeout(PATIENCE):
                await called.wait()
            assert pair.got == [b"a"]

    direct_loop.run(work())


def test_timers_and_other_sockets_are_served_in_a_flood() -> None:
    """A reader that is called again and again keeps neither a timer, nor a transport, nor another thread waiting."""

    async def work() -> None:
        def again(_: int) -> bool:
            pair.other.send(b"again")
            return True

        async with asyncio.timeout(PATIENCE):
            with Pair(again) as pair:
                pair.other.send(b"first")
                await asyncio.sleep(0.01)
                count = len(pair.got)
                assert count > 10
                await asyncio.to_thread(threading.Event().wait, 0.001)
                reader, writer = await asyncio.open_connection(sock=await connected())
                writer.write(b"hello")
                assert await reader.read(100) == b"hello"
                writer.close()
                assert len(pair.got) > count

    direct_loop.run(work())


async def connected() -> socket.socket:
    """A socket whose other end sends back what it gets."""
    mine, other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=other)

    async def echo() -> None:
        writer.write(await reader.read(100))
        await reader.read(100)
        writer.close()

    echoes.append(asyncio.create_task(echo()))
    return mine


echoes: list[asyncio.Task[None]] = []


def test_signals_arrive() -> None:
    """A signal handler of asyncio runs while the loop waits for datagrams."""

    async def work() -> None:
        came = asyncio.Event()
        loop().add_signal_handler(signal.SIGUSR1, came.set)
        with Pair():
            loop().call_later(0.01, signal.raise_signal, signal.SIGUSR1)
            async with asyncio.timeout(PATIENCE):
                await came.wait()

    direct_loop.run(work())


def test_a_reader_with_a_bug_is_reported_and_called_again() -> None:
    """As asyncio does it: the loop's exception handler gets the error, and the loop goes on."""

    async def work() -> None:
        errors: list[object] = []
        loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
        both = asyncio.Event()

        def done(count: int) -> bool:
            if count == 2:
                loop().call_soon(both.set)
            raise ValueError(count)

        with Pair(done) as pair:
            pair.other.send(b"a")
            pair.other.send(b"b")
            async with asyncio.timeout(PATIENCE):
                await both.wait()
        assert [str(error) for error in errors] == ["1", "2"]

    direct_loop.run(work())


def test_a_reader_that_is_removed_is_not_called() -> None:
    """Not even for what had arrived before; nor one that another reader has removed in the same turn."""

    async def work() -> None:
        calls: list[str] = []

        def remove_other(name: str, other: Pair) -> Callable[[int], bool]:
            def done(_: int) -> bool:
                calls.append(name)
                loop().remove_direct_reader(other.mine.fileno())
                return False

            return done

        first, second = Pair(), Pair()
        first._done, second._done = remove_other("first", second), remove_other("second", first)
        for pair in (first, second):
            pair.other.send(b"x")
        for pair in (first, second):
            loop().add_direct_reader(pair.mine.fileno(), pair.read)
        await asyncio.sleep(0.01)
        assert len(calls) == 1
        remaining = first if calls == ["first"] else second
        loop().remove_direct_reader(remaining.mine.fileno())
        for pair in (first, second):
            pair.mine.close()
            pair.other.close()

    direct_loop.run(work())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.way}-{case.bind}")
def test_datagrams(case: Case) -> None:
    """A listener answers in this loop, at once and later, and is silent when it is stopped."""

    async def work() -> None:
        rig = Rig(case)
        try:
            rig.listener.start()
            client = rig.client()
            for number in range(3):
                client.send(fast(str(number)))
                assert await receive(client, 1) == [answer(fast(str(number)))]
            client.send(slow("a"))
            await until(lambda: bool(rig.responder.waiting))
            rig.responder.finish(slow("a"))
            assert await receive(client, 1) == [answer(slow("a"))]
            rig.listener.stop()
            client.send(fast("late"))
            await asyncio.sleep(0)
            assert fast("late") not in rig.responder.seen
        finally:
            rig.close()

    direct_loop.run(work())
