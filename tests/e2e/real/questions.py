"""Asks for a name at a steady rate, in a namespace: `python -m tests.e2e.real.questions ADDRESS`.

A question is sent every two milliseconds, whether those before it are answered or not, and none is sent twice. Half of
them come from one port, half from a new one each. A line on standard input ends it; it prints how many were answered,
lost (nothing within two seconds) and wrong, the seconds from the first lost or wrong one to the last, and when each of
these was asked and from which port, as JSON.
"""

import json
import select
import socket
import sys
import time
from typing import Any, Final, NamedTuple

from dnslib import DNSRecord

NAME: Final = "kubernetes.default.svc.cluster.local"
ADDRESS: Final = "10.96.0.1"
PATIENCE: Final = 2.0
"""Seconds after which a question is lost."""
PAUSE: Final = 0.002


class Sent(NamedTuple):
    """A question without an answer yet."""

    number: int
    at: float
    """Seconds."""
    sock: socket.socket


class Asking:
    """The questions, and what became of them."""

    def __init__(self, address: str) -> None:
        self.counts = {"answered": 0, "lost": 0, "wrong": 0}
        self._to = (address, 53)
        self._number = 0
        self._fixed = self._socket()
        self._poll = select.epoll()
        self._poll.register(self._fixed, select.EPOLLIN)
        self._by_id: dict[int, Sent] = {}
        self._sockets = {self._fixed.fileno(): self._fixed}
        self._missed: list[tuple[float, str]] = []
        self._began = time.time() - time.monotonic()

    def ask(self) -> None:
        """Send the next question."""
        self._number += 1
        sock = self._fixed if self._number % 2 else self._socket()
        query = DNSRecord.question(NAME)
        query.header.id = self._number % 65536
        sent = Sent(self._number, time.monotonic(), sock)
        self._by_id[query.header.id] = sent
        if sock is not self._fixed:
            self._sockets[sock.fileno()] = sock
            self._poll.register(sock, select.EPOLLIN)
        try:
            sock.sendto(query.pack(), self._to)
        except OSError:
            self._miss("lost", query.header.id)  # refused: ICMP for an earlier one, or no way there

    def receive(self, until: float) -> None:
        """Read answers until this moment, and what is there if it has passed; what is too old is lost."""
        left = max(0.0, until - time.monotonic())
        while True:
            ready = self._poll.poll(left)
            for number, _ in ready:
                self._read(self._sockets[number])
            left = until - time.monotonic()
            if left <= 0:
                break
        self._expire(time.monotonic() - PATIENCE)

    def finish(self) -> dict[str, Any]:
        """Wait for the last answers; the counts, and `missed`: Unix seconds and what became of it, from which port."""
        self.receive(time.monotonic() + PATIENCE)
        self._expire(time.monotonic())
        missed = sorted(self._missed)
        return {**self.counts, "outage": round(missed[-1][0] - missed[0][0], 3) if missed else 0.0, "missed": missed}

    def _read(self, sock: socket.socket) -> None:
        try:
            reply = DNSRecord.parse(sock.recv(4096))
        except OSError:
            return  # an ICMP error: the question expires, or another copy of it is answered
        sent = self._by_id.get(reply.header.id)
        if sent is None or sent.sock is not sock:
            return  # answered twice, or too late
        if [str(record.rdata) for record in reply.rr] == [ADDRESS]:
            self.counts["answered"] += 1
            self._forget(reply.header.id)
        else:
            self._miss("wrong", reply.header.id)

    def _expire(self, before: float) -> None:
        for number in [number for number, sent in self._by_id.items() if sent.at < before]:
            self._miss("lost", number)

    def _miss(self, outcome: str, number: int) -> None:
        self.counts[outcome] += 1
        sent = self._by_id[number]
        port = "one port" if sent.sock is self._fixed else "a new port"
        self._missed.append((round(self._began + sent.at, 3), f"{outcome}, {port}"))
        self._forget(number)

    def _forget(self, number: int) -> None:
        sock = self._by_id.pop(number).sock
        if sock is not self._fixed:
            del self._sockets[sock.fileno()]
            self._poll.unregister(sock)
            sock.close()

    @staticmethod
    def _socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        return sock


def main() -> None:
    """Ask until a line comes."""
    asking = Asking(sys.argv[1])
    after = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        asking.ask()
        after = max(after + PAUSE, time.monotonic() - PATIENCE)  # a machine that was away does not send all at once
        asking.receive(after)
    sys.stdout.write(json.dumps(asking.finish()))


if __name__ == "__main__":
    main()
