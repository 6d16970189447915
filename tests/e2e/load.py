"""Clients that ask all the time and count: no query is sent twice, so each that has no answer is one that was lost."""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from dnslib import RCODE, DNSRecord

PATIENCE: Final = 10.0
"""Seconds after which a query is lost."""
PAUSE: Final = 0.002
"""Between two queries of one client: some hundred a second from all of them, which no machine is too slow for."""
NAMES: Final = (
    "kubernetes.default.svc.cluster.local",
    "www.example.com",
    "{}.fresh.example.com",
    "db-1.db.data.svc.cluster.local",
)
"""The cluster's, cached, forwarded each time, and the cluster's again."""


class Load:
    """``async with load(address) as counts``; `lost` and `wrong` are complete afterwards."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._numbers = itertools.count(1)
        self._more = True
        self.rcodes: Counter[str] = Counter()
        self.lost: list[str] = []

    @property
    def answered(self) -> int:
        """How many so far."""
        return self.rcodes.total()

    async def another(self, count: int) -> None:
        """Wait until so many more are answered."""
        enough = self.answered + count
        async with asyncio.timeout(PATIENCE * 2):
            while self.answered < enough:  # noqa: ASYNC110 - counted by many
                await asyncio.sleep(PAUSE)

    async def client(self, proto: str) -> None:
        """One question after the other."""
        while self._more:
            number = next(self._numbers)
            name = NAMES[number % len(NAMES)].format(number)
            query = DNSRecord.question(name)
            query.header.id = number % 65536
            try:
                async with asyncio.timeout(PATIENCE):
                    reply = DNSRecord.parse(await getattr(self, proto)(query.pack()))
                assert reply.header.id == query.header.id
                self.rcodes[RCODE[reply.header.rcode] if reply.rr else "empty"] += 1
            except (TimeoutError, OSError, EOFError) as error:
                self.lost.append(f"{name} over {proto}: {error!r}")
            await asyncio.sleep(PAUSE)

    async def udp(self, query: bytes) -> bytes:
        """From a new port each time."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((self._address, 53))
            await loop.sock_sendall(sock, query)
            return await loop.sock_recv(sock, 65535)

    async def tcp(self, query: bytes) -> bytes:
        """On a new connection each time."""
        reader, writer = await asyncio.open_connection(self._address, 53)
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()

    def end(self) -> None:
        """Ask nothing more."""
        self._more = False


@asynccontextmanager
async def load(address: str) -> AsyncIterator[Load]:
    """Six clients, two of them over TCP."""
    found = Load(address)
    async with asyncio.TaskGroup() as tasks:
        for proto in ("udp", "udp", "tcp", "udp", "udp", "tcp"):
            tasks.create_task(found.client(proto))
        try:
            await found.another(10)
            yield found
        finally:
            found.end()
