"""Asks for names all the time, for a test that starts it in a namespace: `python -m tests.e2e.real.questions ADDRESS`.

Half of the questions come from one port, half from a new one each time. A line on standard input ends it; it prints how
many were answered, lost (nothing within two seconds) and wrong, as JSON.
"""

import json
import select
import socket
import sys
import time
from typing import Final

from dnslib import DNSRecord

NAME: Final = "kubernetes.default.svc.cluster.local"
PATIENCE: Final = 2.0
"""Seconds after which a question is lost."""
PAUSE: Final = 0.002


def main() -> None:
    """Ask until somebody writes a line."""
    address = sys.argv[1]
    counts = {"answered": 0, "lost": 0, "wrong": 0}
    fixed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    number = 0
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        number += 1
        if number % 2:
            counts[outcome(fixed, address, number)] += 1
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh:
                counts[outcome(fresh, address, number)] += 1
    sys.stdout.write(json.dumps(counts))


def outcome(sock: socket.socket, address: str, number: int) -> str:
    """What becomes of one question; late replies to earlier ones are passed over."""
    query = DNSRecord.question(NAME)
    query.header.id = number % 65536
    sock.settimeout(PATIENCE)
    sock.sendto(query.pack(), (address, 53))
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            reply = DNSRecord.parse(sock.recv(4096))
        except OSError:
            return "lost"
        if reply.header.id == query.header.id:
            return "answered" if [str(rr.rdata) for rr in reply.rr] == ["10.96.0.1"] else "wrong"
    return "lost"


if __name__ == "__main__":
    main()
