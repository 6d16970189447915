"""Replies that the kernel takes in part or not at all, and what ICMP brings back."""

import ctypes
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from kdns.dns.transport import mmsg
from tests.dns.socket_responders import answer, big, fast, slow, until
from tests.dns.transport.udp_rig import Case, Rig, receive

IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
"""linux/in.h and linux/in6.h; the socket module does not name them."""


async def test_replies_the_kernel_refuses_are_counted(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A reply that no datagram can carry is lost alone, counted each time and logged once; its neighbours arrive."""
    rig.listener.stop()
    client = rig.client()
    for message in (fast("1"), big(70_000), fast("2"), big(70_001), fast("3")):
        client.send(message)
    rig.listener.start()
    assert await receive(client, 3) == [answer(fast(text)) for text in "123"]
    assert rig.listener.losses.unsent == 2
    assert caplog.messages == ["dns://test:53 udp: could not send a reply: Message too long (logged once)"]


async def test_clients_that_are_gone_do_not_disturb(rig: Rig, request: pytest.FixtureRequest) -> None:
    """Errors that ICMP brings back to the socket are survived (asked for here, to be sure that they come)."""
    case: Case = request.node.callspec.params["rig"]
    if case.family == 1:
        rig.sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        rig.sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    client = rig.client()
    for number in range(3):
        gone = rig.client()
        gone.send(slow(str(number)))
        await until(lambda: bool(rig.responder.waiting))
        gone.close()
        rig.responder.finish(slow(str(number)))
        client.send(fast(str(number)))
        assert await receive(client, 1) == [answer(fast(str(number)))]
    rig.sock.recvmsg(100, 1000, socket.MSG_ERRQUEUE)  # raises if there were none


class Sender:
    """Stands in for sendmmsg: takes so many of a batch, or fails with an error number."""

    def __init__(self, real: Callable[..., int], *script: int) -> None:
        self._real, self._script = real, list(script)

    def __call__(self, fd: int, heads: int, count: int, flags: int) -> int:
        step = self._script.pop(0) if self._script else count
        if step < 0:
            ctypes.set_errno(-step)
            return -1
        return self._real(fd, heads, min(step, count), flags)


@contextmanager
def scripted(rig: Rig, *script: int) -> Iterator[None]:
    """Let sendmmsg go by a script for a while."""
    exchange = rig.listener._exchange
    assert isinstance(exchange, mmsg.MmsgExchange)
    real = exchange._sendmmsg
    exchange._sendmmsg = Sender(real, *script)  # type: ignore[assignment]
    yield
    exchange._sendmmsg = real


SENDS: Final = (
    ("one at a time", (1, 1, 1, 1, 1), "01234"),
    ("in parts", (2, 3), "01234"),
    ("full at once", (-errno.EAGAIN,), ""),
    ("full in the middle", (2, -errno.EAGAIN), "01"),
    ("the first cannot be sent", (-errno.ENETUNREACH,), "1234"),
    ("one in the middle cannot be sent", (2, -errno.EPERM), "0134"),
    ("none can be sent", (-errno.EINVAL,) * 5, ""),
)


@pytest.mark.parametrize(("script", "arrive"), [case[1:] for case in SENDS], ids=[case[0] for case in SENDS])
async def test_batches_that_are_sent_in_part(script: tuple[int, ...], arrive: str) -> None:
    """What the kernel takes arrives, the rest is counted, and the next batch is whole again."""
    if not mmsg.available():
        pytest.skip("this libc has no sendmmsg")
    rig = Rig(Case("mmsg", 1, "0.0.0.0"))
    client = rig.client()
    for text in "01234":
        client.send(fast(text))
    with scripted(rig, *script):
        rig.listener.start()
        assert await receive(client, len(arrive)) == [answer(fast(text)) for text in arrive]
        await until(lambda: bool(rig.responder.times))
    assert rig.listener.losses.unsent == 5 - len(arrive)
    client.send(fast("next"))
    assert await receive(client, 1) == [answer(fast("next"))]
    rig.close()


async def test_many_late_replies_of_one_turn(rig: Rig) -> None:
    """More than a batch holds, and one that no batch has room for among them: each goes to the client that asked."""
    clients = [rig.client() for _ in range(3)]
    count = 50
    for number in range(count):
        for which, client in enumerate(clients):
            client.send(slow(f"{which}-{number}"))
        await until(lambda: len(rig.responder.waiting) == 3 * (number + 1))  # noqa: B023 - it is awaited here
    for number in range(count):
        for which in range(3):
            rig.responder.finish(slow(f"{which}-{number}"))
    for which, client in enumerate(clients):
        expected = {answer(slow(f"{which}-{number}")) for number in range(count)}
        assert set(await receive(client, count)) == expected
    assert rig.listener.losses.unsent == 0


async def test_late_replies_before_the_end(rig: Rig) -> None:
    """What is answered in the turn in which the socket is closed is still sent."""
    client = rig.client()
    client.send(slow("1"))
    await until(lambda: bool(rig.responder.waiting))
    rig.responder.finish(slow("1"))
    rig.listener.close()
    assert await receive(client, 1) == [answer(slow("1"))]
