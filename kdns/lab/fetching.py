"""HTTP from inside of a lab: to what listens where only its nodes and Pods can reach it."""

import http.client
import socket
from typing import Final

from kdns.lab import namespaces as kernel

PATIENCE: Final = 1.0
"""Seconds that connecting, and each read, may take."""


class Within(http.client.HTTPConnection):
    """HTTP over IPv4 from a network namespace."""

    def __init__(self, network: int, host: str, port: int) -> None:
        super().__init__(host, port, timeout=PATIENCE)
        self._network = network

    def connect(self) -> None:
        """Connect as a program in the namespace does."""
        self.sock = kernel.socket_in(self._network, socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((self.host, self.port))


def fetch(network: int, host: str, port: int, path: str) -> tuple[int, str]:
    """Status and text of a page. Raises OSError or HTTPException when nothing answers."""
    asking = Within(network, host, port)
    try:
        asking.request("GET", path)
        answer = asking.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        asking.close()
