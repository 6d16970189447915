"""Datagrams to an upstream and their answers, on a pool of sockets with random source ports.

::

    begin ──> a socket, at random ──> its table: id -> what is asked ──> send
    epoll ──> recv ──> the socket's table, by id ──> the right question? ──> done(answer)
    Deadlines ──> done(i/o timeout)

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
from collections.abc import Callable, Iterator
from typing import Final

from kdns.base.errors import UpstreamError
from kdns.dns.upstream.deadlines import Deadlines
from kdns.dns.upstream.exchange import Address, endpoints, reason
from kdns.dns.upstream.received import receive
from kdns.wire.message import Message, UpstreamQuery, compose_query

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
STOPPED: Final = "proxy: transport stopped"
DRAWN: Final = 4096
"""Octets of randomness taken from the operating system at once."""

Done = Callable[[Message | UpstreamError], None]
"""Gets what came of a query."""

log = logging.getLogger("kdns.dns.plugins.forward")


class _Socket:
    """One socket, and what is asked on it."""

    __slots__ = ("expires", "pending", "sock")

    def __init__(self, sock: socket.socket, expires: float) -> None:
        self.sock, self.expires = sock, expires
        self.pending: dict[int, _Pending] = {}


class _Pending:
    """One query that is not answered yet."""

    __slots__ = ("ask", "done", "number", "slot", "through")

    def __init__(self, ask: UpstreamQuery, number: int, through: _Socket, done: Done) -> None:
        self.ask, self.number, self.through, self.done = ask, number, through, done
        self.slot: set[_Pending] = set()


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
        self._open: list[_Socket] = []
        """Those that new queries go out on."""
        self._by_file: dict[int, _Socket] = {}
        """All that are open."""
        self._epoll: select.epoll | None = None
        self._deadlines: Deadlines[_Pending] = Deadlines(self._read_all, self._over)
        self._sweep: asyncio.TimerHandle | None = None
        self._ended = False
        self._view = memoryview(bytearray(LARGEST))

    @property
    def ports(self) -> list[int]:
        """The source ports that are open."""
        return [each.sock.getsockname()[1] for each in self._by_file.values()]

    async def exchange(self, ask: UpstreamQuery, seconds: float, payload: int | None) -> Message:
        """See `Transport`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()

        def done(outcome: Message | UpstreamError) -> None:
            if answer.done():  # cancelled
                return
            if isinstance(outcome, UpstreamError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        pending = self.begin(ask, seconds, payload, done)
        try:
            return await answer
        finally:
            if pending is not None:
                self._forget(pending)

    def begin(self, ask: UpstreamQuery, seconds: float, payload: int | None, done: Done) -> "_Pending | None":
        """Ask, and call ``done`` once: with the answer, or with what went wrong, at once or later."""
        problem = STOPPED
        for fresh in () if self._ended else (False, True):
            try:
                through = self._socket(fresh=fresh)
            except UpstreamError as error:
                done(error)
                return None
            number = next(self._draw) >> 16
            while number in through.pending:
                number = next(self._draw) >> 16
            try:
                through.sock.send(compose_query(number, ask, payload))
            except OSError as error:  # maybe it was an earlier query on this socket that was refused
                problem = f"read udp {endpoints(through.sock, self._address)}: read: {reason(error)}"
                self._failed(through, error)
                continue
            pending = _Pending(ask, number, through, done)
            through.pending[number] = pending
            pending.slot = self._deadlines.add(pending, seconds)
            return pending
        done(UpstreamError(problem))
        return None

    def _socket(self, *, fresh: bool) -> _Socket:
        """One to send on: a new one, or one of those that are open, each as likely as the others."""
        many = len(self._open)
        now = asyncio.get_running_loop().time()
        if many >= self._most and not fresh:
            at = (next(self._draw) * many) >> 32
            found = self._open[at]
            if now < found.expires:
                return found
            self._open[at] = self._open[-1]
            self._open.pop()
            self._retire(found)
        if many and not self._files.left():
            return self._any()
        try:
            return self._opened(now)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE} and self._open:
                self._files.note(reason(error))
                return self._any()
            raise UpstreamError(f"dial udp {self._address.text}: {reason(error)}") from error

    def _any(self) -> _Socket:
        return self._open[(next(self._draw) * len(self._open)) >> 32]

    def _opened(self, now: float) -> _Socket:
        """A new one. Raises OSError; UpstreamError if the address cannot be sent to."""
        address = self._address
        sock = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if address.local is not None:
                sock.bind(address.local)
            sock.connect(address.sockaddr)
            if self._epoll is None:
                self._epoll = select.epoll()
                asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._readable)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        except OSError as error:
            sock.close()
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise
            raise UpstreamError(f"dial udp {address.text}: connect: {reason(error)}") from error
        found = _Socket(sock, now + self._lifetime * (0.5 + next(self._draw) / (1 << 33)))
        self._open.append(found)
        self._by_file[sock.fileno()] = found
        self._files.open += 1
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._lifetime / 4, self._swept)
        return found

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
            pending = through.pending.get(view[0] << 8 | view[1]) if size > 1 else None
            if pending is None:
                continue  # cheap, since an attacker may send many of these
            message = receive(bytes(view[:size]), pending.number, pending.ask)
            if message is not None:
                self._forget(pending)
                pending.done(message)
        return len(events)

    def _read_all(self) -> None:
        """What has come in time counts, even where the loop was held up; as often as each socket can have had one."""
        for _ in range(len(self._by_file) // EVENTS + 1):
            if self._readable() < EVENTS:
                return

    def _forget(self, pending: _Pending) -> None:
        pending.slot.discard(pending)
        through = pending.through
        through.pending.pop(pending.number, None)
        if through.expires == RETIRED and not through.pending:
            self._close(through)

    def _retire(self, through: _Socket) -> None:
        """It is out of `_open`: close it as soon as nothing is asked on it."""
        through.expires = RETIRED
        if not through.pending:
            self._close(through)

    def _over(self, pending: _Pending) -> None:
        problem = f"read udp {endpoints(pending.through.sock, self._address)}: i/o timeout"
        self._forget(pending)
        pending.done(UpstreamError(problem))

    def _failed(self, through: _Socket, error: OSError) -> None:
        """The kernel reports an error, such as that the upstream's machine refuses: all that is asked there fails."""
        problem = f"read udp {endpoints(through.sock, self._address)}: read: {reason(error)}"
        waiting = list(through.pending.values())
        through.pending.clear()
        if through in self._open:
            self._open.remove(through)
        self._close(through)
        for pending in waiting:
            pending.slot.discard(pending)
            pending.done(UpstreamError(problem))

    def _close(self, through: _Socket) -> None:
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
            waiting = list(through.pending.values())
            through.pending.clear()
            self._close(through)
            for pending in waiting:
                pending.done(UpstreamError(STOPPED))
        self._open.clear()
        self._deadlines.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
