"""A steady load of questions from a part of a lab, each asked once: who asks again would hide what was lost."""

import contextlib
import select
import socket
import threading
import time
from itertools import islice
from types import TracebackType
from typing import Final, NamedTuple, Self

from kdns.lab import namespaces as kernel
from kdns.lab.question import answered, query

EACH: Final = 0.002
"""Seconds from one question to the next: 500 a second."""
BURST: Final = 10
"""Questions in one go of a load that is late."""
PATIENCE: Final = 1.0
"""Seconds that an answer may take."""


class Question(NamedTuple):
    """One that was asked."""

    at: float
    """When, in monotonic seconds."""
    by: bytes | None
    """The address in the answer, which says who answered; None: there was none."""


class Load:
    """Asks from `__enter__` to `end`. ``fixed``: all from one source port, as some resolvers do."""

    def __init__(self, network: int, server: str, name: str, *, fixed: bool = False) -> None:
        self.asked: list[Question] = []
        self._network, self._server, self._name, self._fixed = network, server, name, fixed
        self._family = socket.AF_INET6 if ":" in server else socket.AF_INET
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self._sent: list[float] = []
        self._answers: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def number(self) -> int:
        """How many have been asked so far."""
        return len(self._sent)

    def until(self, number: int) -> None:
        """Wait until so many have been asked."""
        while self.number < number:
            assert self._thread.is_alive()
            time.sleep(EACH)

    def end(self) -> list[Question]:
        """Ask no more, and wait for the last answers; what was asked, in its order."""
        self._ended.set()
        self._thread.join()
        self.asked = [Question(at, self._answers.get(number)) for number, at in enumerate(self._sent)]
        return self.asked

    def _run(self) -> None:
        poll = select.epoll()
        sockets: dict[int, tuple[socket.socket, int]] = {}
        one = self._socket() if self._fixed else None
        if one is not None:
            poll.register(one, select.EPOLLIN)
        began = time.monotonic()
        until = float("inf")
        while time.monotonic() < until:
            if self._ended.is_set() and until == float("inf"):
                until = time.monotonic() + PATIENCE
            for _ in range(BURST):  # who is late reads answers between questions, or would call them lost
                if until != float("inf") or began + len(self._sent) * EACH > time.monotonic():
                    break
                number = len(self._sent)
                asking = one or self._socket()
                if one is None:
                    poll.register(asking, select.EPOLLIN)
                    sockets[asking.fileno()] = asking, number
                self._sent.append(time.monotonic())
                with contextlib.suppress(OSError):  # an ICMP message about the one before; this one counts as lost
                    asking.send(query(self._name, number))
            for fileno, _ in poll.poll(EACH / 2):
                self._take(one if one is not None else sockets[fileno][0])
            self._drop(sockets, poll, time.monotonic() - PATIENCE)
        for asking, _ in sockets.values():
            asking.close()
        if one is not None:
            one.close()
        poll.close()

    def _socket(self) -> socket.socket:
        asking = kernel.socket_in(self._network, self._family, socket.SOCK_DGRAM)
        asking.setblocking(False)
        asking.connect((self._server, 53))
        return asking

    def _drop(self, sockets: dict[int, tuple[socket.socket, int]], poll: select.epoll, before: float) -> None:
        for fileno, (asking, number) in list(islice(sockets.items(), 2 * BURST)):
            if self._sent[number] < before:
                poll.unregister(fileno)
                asking.close()
                del sockets[fileno]

    def _take(self, asking: socket.socket) -> None:
        try:
            reply = asking.recv(512)
        except OSError:
            return
        if answered(reply):
            self._answers[int.from_bytes(reply[:2], "big")] = reply[-4:]
