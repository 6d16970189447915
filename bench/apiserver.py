"""An API server that has its lines ready: streaming lists, then the updates it is told to send, timed.

Runs as a process of its own and takes orders as JSON lines on stdin, one answer each on stdout::

    {"do": "listed"}                                -> when the first byte of the lists left, once all are sent
    {"do": "relist", "generation": G}               -> every watch ends with 410; answers when all are listed again
    {"do": "update", "port": P, "count": N, "rate": R}    one endpoint of a small headless Service each time
    {"do": "update_big", "port": P, "count": N, "rate": R}       one endpoint of five thousand
                                                    -> seconds from each line to the first answer that shows it
"""

import argparse
import asyncio
import json
import os
import random
import re
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench import lines, machine, plan
from bench.queries import NXDOMAIN, Query

KINDS = {
    "/api/v1/namespaces": ("namespaces", "v1", "Namespace"),
    "/api/v1/services": ("services", "v1", "Service"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("endpointslices", "discovery.k8s.io/v1", "EndpointSlice"),
    "/api/v1/nodes": ("nodes", "v1", "Node"),
}
DNS_KINDS = {"namespaces", "services", "endpointslices"}
"""What DNS follows; the proxy follows Nodes, too."""
PATIENCE = 5.0
"""Seconds after which an update that no answer shows is an error."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_NO = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_BLOCK = 1 << 18


class ApiServer:
    """Lists from memory and keeps the watches open."""

    def __init__(self, *, headless: bool = True) -> None:
        """``headless``: some Services are, see `lines`."""
        self._generation = 0
        self._blocks = {kind: _blocks(kind, 0, headless=headless) for kind, _, _ in KINDS.values()}
        self._watches: dict[str, asyncio.StreamWriter] = {}
        self._first_byte = 0.0
        self._listed = asyncio.Condition()
        self._version = lines.VERSION
        self._updates = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests are answered until one of them is a watch."""
        try:
            while head := await _request(reader):
                url = urlsplit(head.split(b" ")[1].decode())
                await reader.readexactly(_body(head))
                asked = parse_qs(url.query)
                known = KINDS.get(url.path)
                if known is None or "watch" not in asked:
                    writer.write(self._newest(asked) if known else _NO)
                    continue
                await self._watch(known, "sendInitialEvents" in asked, writer)
                await reader.read()
                return
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass  # the client has gone, which ends its watch
        finally:
            writer.close()

    def _newest(self, asked: dict[str, list[str]]) -> bytes:
        """A list of one object is how clients ask for the newest version; other plain lists are not to be had."""
        if asked.get("limit") != ["1"]:
            return _NO
        body = b'{"metadata":{"resourceVersion":"%d"},"items":[]}' % self._version
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def _watch(self, known: tuple[str, str, str], initial: bool, writer: asyncio.StreamWriter) -> None:
        kind, api, name = known
        writer.write(_HEAD)
        if initial:
            self._first_byte = self._first_byte or machine.now()
            for block in self._blocks[kind]:
                writer.write(block)
                await writer.drain()
            mark = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": str(self._version)}
            writer.write(lines.chunk(lines.line("BOOKMARK", api, name, {"metadata": mark})))
        async with self._listed:
            self._watches[kind] = writer
            self._listed.notify_all()

    async def listed(self) -> dict[str, Any]:
        """When all kinds are listed: the time the first byte left."""
        async with self._listed:
            await self._listed.wait_for(lambda: self._watches.keys() >= DNS_KINDS)
        return {"first_byte": self._first_byte}

    async def relist(self, generation: int) -> dict[str, Any]:
        """Forget the clients' versions; another generation has other Pods everywhere."""
        if generation != self._generation:
            self._generation = generation
            self._blocks["endpointslices"] = _blocks("endpointslices", generation)
        self._version += 1_000_000
        self._first_byte = 0.0
        watches, self._watches = self._watches, {}
        status = {"status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410}
        for writer in watches.values():
            writer.write(lines.chunk(lines.line("ERROR", "v1", "Status", status)) + b"0\r\n\r\n")
            writer.close()
        return await self.listed()

    async def update(self, port: int, count: int, rate: float) -> dict[str, Any]:
        """Change one endpoint of a small headless Service, again and again."""
        rng = random.Random(1)

        def change() -> tuple[bytes, Query, bytes]:
            number = 5 * rng.randrange(lines.WITH_ENDPOINTS // 5)
            start = lines.first_pod(number, self._generation)
            addresses = [plan.pod_ip(start + row) for row in range(lines.ENDPOINTS)]
            addresses[rng.randrange(lines.ENDPOINTS)] = fresh = self._fresh()
            line = lines.slice_line("MODIFIED", number, addresses, self._version)
            return line, Query(plan.service_owner(number)), socket.inet_aton(fresh)

        return {"seconds": await self._updates_shown(port, count, rate, change)}

    async def update_big(self, port: int, count: int, rate: float) -> dict[str, Any]:
        """Change one endpoint of five thousand, again and again; the new one's own name shows it.

        Then the whole name is asked for once: its answer is the first one since the change.
        """
        rng = random.Random(2)

        def change() -> tuple[bytes, Query, bytes]:
            part = rng.randrange(lines.BIG_SLICES)
            addresses = lines.big_addresses(part, self._generation)
            addresses[rng.randrange(lines.BIG_ENDPOINTS)] = fresh = self._fresh()
            name = f"{fresh.replace('.', '-')}.big.many.svc.{plan.ZONE}"
            return lines.big_line("MODIFIED", part, addresses, self._version), Query(name), socket.inet_aton(fresh)

        whole: list[float] = []
        seconds = await self._updates_shown(port, count, rate, change, whole)
        return {"seconds": seconds, "whole": whole}

    def _fresh(self) -> str:
        self._updates += 1
        self._version += 1
        return lines.fresh_address(self._updates)

    async def _updates_shown(
        self,
        port: int,
        count: int,
        rate: float,
        change: Callable[[], tuple[bytes, Query, bytes]],
        whole: list[float] | None = None,
    ) -> list[float]:
        seconds = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(("127.0.0.1", port))
            due = machine.now()
            for _ in range(count):
                line, query, shown = change()
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - machine.now()))
                started = machine.now()
                self._watches["endpointslices"].write(lines.chunk(line))
                # From here this loop stands still: the line has left, and the only thing to do is to ask.
                seconds.append(_wait_until_shown(sock, query, shown, started))
                if whole is not None:
                    asked = machine.now()
                    sock.send(Query(f"big.many.svc.{plan.ZONE}", edns=True).message(1))
                    sock.recv(4096)
                    whole.append(machine.now() - asked)
        return seconds


def _wait_until_shown(sock: socket.socket, query: Query, shown: bytes, started: float) -> float:
    message = query.message(2)
    while True:
        sock.send(message)
        reply = sock.recv(4096)
        seconds = machine.now() - started
        if shown in reply[len(message) :]:
            return seconds
        if seconds > PATIENCE or reply[3] & 0x0F not in (query.rcode, NXDOMAIN):
            raise RuntimeError(f"{query.name}: no answer shows the change after {seconds:.1f} s: {reply.hex()}")


def _blocks(kind: str, generation: int, *, headless: bool = True) -> list[bytes]:
    """All lines of a kind, each a chunk, in blocks of a quarter of a megabyte."""
    blocks, block = [], bytearray()
    for line in lines.all_lines(kind, generation, headless=headless):
        block += lines.chunk(line)
        if len(block) >= _BLOCK:
            blocks.append(bytes(block))
            block.clear()
    return [*blocks, bytes(block)]


async def _request(reader: asyncio.StreamReader) -> bytes:
    """The head of one request; empty at the end."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _body(head: bytes) -> int:
    """How many octets follow the head: those of an Event, which is refused."""
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


async def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", help="PEM with key and certificate; without it plain HTTP")
    parser.add_argument("--no-headless", action="store_true", help="every Service has a cluster IP")
    arguments = parser.parse_args()
    tls = None
    if arguments.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.certificate)
    machine.pin(machine.CLIENT_CPU)
    api = ApiServer(headless=not arguments.no_headless)
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0, ssl=tls)
    _say({"port": server.sockets[0].getsockname()[1]})
    loop = asyncio.get_running_loop()
    while order_text := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(order_text)
        _say(await getattr(api, order.pop("do"))(**order))
    sys.stdout.flush()
    os._exit(0)  # open connections would keep the loop


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
