"""Datagrams to an upstream and their answers, on a pool of sockets with random source ports.

::

    begin ──> a socket, at random ──> its table: id -> UdpAttempt ──> send
    epoll ──> recv ──> the socket's table, by id ──> the right question? ──> UdpAttempt.answered
    Deadlines ──> UdpAttempt.failed (i/o timeout)

Each socket is connected, so no other address may send to it, and on a port that the kernel chose at random. Each query
takes a new one until there are `SOCKETS`, later one of them at random; none serves longer than `LIFETIME`. So a
forger has to guess port and id at once, for a question that is asked only once at a time (RFC 5452). A datagram that
is not the answer is ignored, and waiting goes on: what a forger sends too early does no harm.
"""

import asyncio
import errno
import logging
import resource
import secrets
import select
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.deadlines import Deadlines
from kdns.dns.upstream.exchange import Address, endpoints, reason
from kdns.dns.upstream.received import Asked, Received, receive
from kdns.ops.direct_loop import DirectLoop
from kdns.wire.message import UpstreamQuery, compose_query
from kdns.wire.numbers import HEADER

LARGEST: Final = 65535
SOCKETS: Final = 1024
"""Open ones for each upstream, as soon as so many queries have been sent within `LIFETIME`."""
LIFETIME: Final = 60.0
"""Seconds after which a socket, and so its port, is exchanged for another one at the latest, and half of them at the
earliest, so that not all are exchanged in the same moment."""
CLOSED: Final = 64
"""Sockets closed at once where many have served their time: the kernel takes some time for each."""
REST: Final = 0.02
"""Seconds until the next ones are closed."""
EVENTS: Final = 128
"""Datagrams read in one turn of the loop: a flood of forged ones must not hold it."""
SHARE: Final = 2
"""One part of so many of the files that the process may open is for sockets to upstreams."""
RETIRED: Final = 0.0
"""When a socket expires that takes no more queries."""
QUESTION_AT: Final = HEADER - 2
"""Where the question stands behind the id of a query."""
STOPPED: Final = "proxy: transport stopped"
DRAWN: Final = 4096
"""Octets of randomness taken from the operating system at once."""

log = logging.getLogger("kdns.dns.plugins.forward")


class UpstreamSocket:
    """One socket, and what is asked on it."""

    __slots__ = ("expires", "pending", "sock")

    def __init__(self, sock: socket.socket, expires: float) -> None:
        self.sock, self.expires = sock, expires
        self.pending: dict[int, UdpAttempt] = {}
        """By id."""


class UdpAttempt(ABC):
    """One query to one upstream, until `answered` or `failed` is called, once."""

    __slots__ = ("asked", "number", "octets", "question", "slot", "socket")

    def __init__(self, asked: Asked, octets: bytes) -> None:
        """``octets``: what is sent behind the id."""
        self.asked, self.octets = asked, octets
        self.question = octets[QUESTION_AT : QUESTION_AT + len(asked.name) + 4]
        """The question section, folded."""
        self.number = 0
        """Its id."""
        self.socket: UpstreamSocket | None = None
        """What it went out on; None: nothing is under way."""
        self.slot: set[UdpAttempt] | None = None

    @abstractmethod
    def answered(self, received: Received) -> None:
        """The response has come."""

    @abstractmethod
    def failed(self, error: UpstreamError) -> None:
        """None has come, or it could not be asked."""


class _Awaited(UdpAttempt):
    """An attempt that a coroutine waits for."""

    __slots__ = ("answer",)

    def __init__(self, ask: UpstreamQuery, payload: int | None) -> None:
        super().__init__(ask, compose_query(0, ask, payload)[2:])
        self.answer: asyncio.Future[Received] = asyncio.get_running_loop().create_future()

    def answered(self, received: Received) -> None:
        """The coroutine goes on."""
        if not self.answer.done():  # cancelled
            self.answer.set_result(received)

    def failed(self, error: UpstreamError) -> None:
        """It goes on with an error."""
        if not self.answer.done():
            self.answer.set_exception(error)


class OpenFiles:
    """How many sockets all upstreams of the process have open, and how many they may have."""

    def __init__(self, allowed: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]) -> None:
        """``allowed``: files that the process may open; negative for any number."""
        self.open = 0
        self._allowed, self._noted = allowed, False

    def left(self) -> bool:
        """One more may be opened; the first time that it may not is logged."""
        allowed = self._allowed()
        if allowed < 0 or self.open < allowed // SHARE:
            return True
        self.note(f"{allowed} open files are allowed")
        return False

    def note(self, why: str) -> None:
        """Log once that there are fewer sockets than there should be."""
        if not self._noted:
            self._noted = True
            log.warning(
                "%s: upstreams are asked from %d source ports and no more, which makes answers easier to forge: "
                "raise the limit of open files (RLIMIT_NOFILE)", why, self.open,
            )  # fmt: skip


FILES: Final = OpenFiles()


def draws() -> Iterator[int]:
    """Numbers of 32 bits that cannot be worked out from those before (RFC 5452 section 9.2)."""
    while True:
        for (number,) in struct.iter_unpack("!I", secrets.token_bytes(DRAWN)):
            yield number


class Udp:
    """Plain DNS over UDP (RFC 1035 section 4.2.1) with one upstream."""

    def __init__(
        self, address: Address, *, sockets: int = SOCKETS, lifetime: float = LIFETIME, files: OpenFiles = FILES
    ) -> None:
        self._address, self._most, self._lifetime, self._files = address, sockets, lifetime, files
        self._draw = draws()
        self._open: list[UpstreamSocket] = []
        """Those that new queries go out on."""
        self._by_file: dict[int, UpstreamSocket] = {}
        """All that are open."""
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadlines: Deadlines[UdpAttempt] = Deadlines(self._read_all, self._over)
        self._sweep: asyncio.TimerHandle | None = None
        self._ended = False
        self._view = memoryview(bytearray(LARGEST))

    @property
    def ports(self) -> list[int]:
        """The source ports that are open."""
        return [each.sock.getsockname()[1] for each in self._by_file.values()]

    async def exchange(self, ask: UpstreamQuery, seconds: float, payload: int | None) -> Received:
        """See `Transport`."""
        attempt = _Awaited(ask, payload)
        self.begin(attempt, seconds)
        try:
            return await attempt.answer
        finally:
            self._forget(attempt)

    def begin(self, attempt: UdpAttempt, seconds: float) -> None:
        """Ask; the attempt's outcome comes to it at once or later."""
        problem = STOPPED
        now = time.monotonic()  # the loop's time: to ask for the loop is a system call (getpid)
        for fresh in () if self._ended else (False, True):
            drawn = next(self._draw)  # 16 bits choose the id, the 16 others the socket
            many = len(self._open)
            at = ((drawn & 0xFFFF) * many) >> 16
            if many < self._most or fresh or now >= (through := self._open[at]).expires:
                try:
                    through = self._socket(at, now, fresh=fresh)
                except UpstreamError as error:
                    attempt.failed(error)
                    return
            number = drawn >> 16
            while number in through.pending:
                number = next(self._draw) >> 16
            try:
                through.sock.send(number.to_bytes(2, "big") + attempt.octets)
            except OSError as error:  # maybe it was an earlier query on this socket that was refused
                problem = f"read udp {endpoints(through.sock, self._address)}: read: {reason(error)}"
                self._failed(through, error)
                continue
            attempt.number, attempt.socket = number, through
            through.pending[number] = attempt
            attempt.slot = self._deadlines.add(attempt, seconds, now)
            return
        attempt.failed(UpstreamError(problem))

    def _socket(self, at: int, now: float, *, fresh: bool) -> UpstreamSocket:
        """A new one to send on, in place of the one at a random place if there are enough; or any, if files are few."""
        many = len(self._open)
        if many >= self._most and not fresh:
            expired = self._open[at]
            self._open[at] = self._open[-1]
            self._open.pop()
            self._retire(expired)
        if many and not self._files.left():
            return self._any()
        try:
            return self._opened(now)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE} and self._open:
                self._files.note(reason(error))
                return self._any()
            raise UpstreamError(f"dial udp {self._address.text}: {reason(error)}") from error

    def _any(self) -> UpstreamSocket:
        return self._open[(next(self._draw) * len(self._open)) >> 32]

    def _opened(self, now: float) -> UpstreamSocket:
        """A new one. Raises OSError; UpstreamError if the address cannot be sent to."""
        address = self._address
        sock = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if address.local is not None:
                sock.bind(address.local)
            sock.connect(address.sockaddr)
            if self._epoll is None:
                self._epoll = select.epoll()
                self._watch(self._epoll.fileno())
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        except OSError as error:
            sock.close()
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise
            raise UpstreamError(f"dial udp {address.text}: connect: {reason(error)}") from error
        found = UpstreamSocket(sock, now + self._lifetime * (0.5 + next(self._draw) / (1 << 33)))
        self._open.append(found)
        self._by_file[sock.fileno()] = found
        self._files.open += 1
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._lifetime / 4, self._swept)
        return found

    def _watch(self, epoll: int) -> None:
        """Read where the loop waits, if it can do that (`kdns.ops.direct_loop`)."""
        self._loop = loop = asyncio.get_running_loop()
        if isinstance(loop, DirectLoop):
            loop.add_direct_reader(epoll, self._direct)
        else:
            loop.add_reader(epoll, self._readable)

    def _direct(self) -> bool:
        """See `kdns.ops.direct_loop.Reader`: those who were waiting may have scheduled something."""
        self._readable()
        return False

    def _readable(self) -> int:
        """Read what has come, one datagram of each socket; how many sockets there were."""
        if self._epoll is None:
            return 0
        view, by_file = self._view, self._by_file
        events = self._epoll.poll(0, EVENTS)
        for file, _ in events:
            through = by_file.get(file)
            if through is None:
                continue  # it was closed a moment ago
            try:
                size = through.sock.recv_into(view)
            except BlockingIOError:
                continue
            except OSError as error:
                self._failed(through, error)
                continue
            attempt = through.pending.get(view[0] << 8 | view[1]) if size > 1 else None
            if attempt is None:
                continue  # cheap, since an attacker may send many of these
            received = receive(bytes(view[:size]), attempt.number, attempt.asked, attempt.question)
            if received is not None:
                self._forget(attempt)
                attempt.answered(received)
        return len(events)

    def _read_all(self) -> None:
        """What has come in time counts, even where the loop was held up; as often as each socket can have had one."""
        for _ in range(len(self._by_file) // EVENTS + 1):
            if self._readable() < EVENTS:
                return

    def _forget(self, attempt: UdpAttempt) -> None:
        """It waits no longer."""
        through, slot = attempt.socket, attempt.slot
        if through is None or slot is None:
            return
        attempt.socket = attempt.slot = None
        slot.discard(attempt)
        through.pending.pop(attempt.number, None)
        if through.expires == RETIRED and not through.pending:
            self._close(through)

    def _retire(self, through: UpstreamSocket) -> None:
        """It is out of `_open`: close it as soon as nothing is asked on it."""
        through.expires = RETIRED
        if not through.pending:
            self._close(through)

    def _over(self, attempt: UdpAttempt) -> None:
        sock = attempt.socket.sock if attempt.socket is not None else None
        problem = f"read udp {endpoints(sock, self._address)}: i/o timeout"
        self._forget(attempt)
        attempt.failed(UpstreamError(problem))

    def _failed(self, through: UpstreamSocket, error: OSError) -> None:
        """The kernel reports an error, such as that the upstream's machine refuses: all that is asked there fails."""
        problem = f"read udp {endpoints(through.sock, self._address)}: read: {reason(error)}"
        if through in self._open:
            self._open.remove(through)
        self._give_up(through, problem)

    def _give_up(self, through: UpstreamSocket, problem: str) -> None:
        waiting = list(through.pending.values())
        through.pending.clear()
        self._close(through)
        for attempt in waiting:
            self._forget(attempt)
            attempt.failed(UpstreamError(problem))

    def _close(self, through: UpstreamSocket) -> None:
        file = through.sock.fileno()
        if self._by_file.pop(file, None) is not None:
            self._files.open -= 1
            through.sock.close()  # which takes it out of the epoll

    def _swept(self) -> None:
        """Close what has served its time; so a server that forwards nothing has nothing open."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        served = [through for through in self._open if now >= through.expires][:CLOSED]
        gone = set(served)
        self._open = [through for through in self._open if through not in gone]
        for through in served:
            self._retire(through)
        if self._by_file:
            wait = REST if len(served) == CLOSED else self._lifetime / 4
            self._sweep = loop.call_later(wait, self._swept)

    async def close(self) -> None:
        """Close all sockets; what is asked on them fails, and what is asked later."""
        self._ended = True
        for through in tuple(self._by_file.values()):
            self._give_up(through, STOPPED)
        self._open.clear()
        self._deadlines.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._epoll is not None:
            if isinstance(self._loop, DirectLoop):
                self._loop.remove_direct_reader(self._epoll.fileno())
            elif self._loop is not None:
                self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
