"""transfer: whole zones over real connections, to those who may have them, and word when they change."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import dnslib
import pytest

from kdns.base.clock import TimeSlice
from kdns.config.settings import KubernetesOptions
from kdns.dns.api.handler import chain
from kdns.dns.plugins import file, k8s_external, transfer
from kdns.dns.plugins.transfer import MAX_TRANSFERS, Transfer
from kdns.dns.query.responder import Responder
from kdns.dns.query.router import RoutedBlock, Router
from kdns.dns.transport.listeners import Server
from kdns.dns.upstream.notify import Peer, notify
from kdns.records.answers import Answers
from kdns.wire.message import parse_message
from kdns.wire.name import ROOT
from kdns.wire.numbers import NOERROR, SERVFAIL, SOA
from kdns.wire.rr import RR
from tests.address_plan import NOW
from tests.build import change, imported, tcp, view
from tests.config.text import directives
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, client, handler, mistakes, request, response, words
from tests.dns.zonefile_text import ZONE
from tests.records.shop import SHOP
from tests.records.zone_text import cluster

ANYBODY = "transfer {\n to *\n}"


@asynccontextmanager
async def served(text: str = ANYBODY, **offers: object) -> AsyncIterator[tuple[int, FakeParts]]:
    """A server on loopback with nothing but this plugin."""
    parts = FakeParts(offers=offers)
    made = built(transfer, text, parts)
    assert made.plugin is not None
    whole = chain((made.plugin,), scripted(response(rcode=5)))
    server = Server(
        Responder(Router((RoutedBlock(zones={ROOT: "."}, handler=whole, built=(made,)),))), ("127.0.0.1",), 0
    )
    await server.start()
    for accepting in server._accepting:  # what is accepted has it, too: the kernel could keep a whole zone otherwise
        accepting.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    try:
        yield server.port, parts
    finally:
        await server.stop()
        await parts.close()


async def dig(port: int, *words: str) -> list[str]:
    """The lines of what dig prints that are no comments, blanks folded."""
    args = ("dig", "@127.0.0.1", "-p", str(port), "+time=10", "+tries=1", "+noall", "+answer", *words)
    process = await asyncio.create_subprocess_exec(*args, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    return [" ".join(line.split()) for line in out.decode().splitlines() if line and not line.startswith(";")]


async def zone_files(folder: Path) -> file.Files:
    """The zone of a file."""
    (folder / "db").write_text(ZONE)
    parts = FakeParts(folder=str(folder))
    files = file.Files(file.parse(directives("file db example.org"), parts.place), parts)
    for each in file.parse(directives("file db example.org"), parts.place).files:
        await files.refresh(each)
    return files


async def test_a_zone_of_a_file(tmp_path: Path) -> None:
    """All its records, SOA first and last, none else twice."""
    async with served(file=await zone_files(tmp_path)) as (port, _):
        lines = await dig(port, "example.org", "AXFR")
        assert lines[0] == lines[-1]
        assert " SOA " in lines[0]
        assert len(set(lines)) == len(lines) - 1 == 28
        assert "sub.example.org. 3600 IN DS 1 5 1 0123456789ABCDEF0123456789ABCDEF01234567" in lines
        assert await dig(port, "example.org", "IXFR=7", "+tcp") == lines[:1]
        assert await dig(port, "example.org", "IXFR=6", "+tcp") == lines
        assert await dig(port, "www.example.org", "AXFR") == []


async def test_a_zone_of_the_cluster() -> None:
    """SOA, NS, the server's addresses, Services by name, SOA; no Pods, TXT or PTR."""
    async with served(kubernetes=cluster(*SHOP)) as (port, _):
        lines = await dig(port, "cluster.local", "AXFR")
        assert lines[0] == lines[-1]
        assert [line.split()[3] for line in lines[:2]] == ["SOA", "NS"]
        kinds = {line.split()[3] for line in lines}
        assert kinds == {"SOA", "NS", "A", "AAAA", "SRV", "CNAME"}
        assert "web.shop.svc.cluster.local. 5 IN A 10.96.0.9" in lines
        assert len(set(lines)) == len(lines) - 1
        ptrs = await dig(port, "in-addr.arpa", "AXFR")
        assert {line.split()[3] for line in ptrs} == {"SOA", "NS", "PTR"}
        assert not any(".in-addr.arpa." in line.split()[4] for line in ptrs[2:-1])


async def test_a_zone_of_services_of_several_clusters() -> None:
    """What is in it are the ServiceImports."""
    options = KubernetesOptions(zones=("cluster.local.", "set.local."), multicluster=("set.local.",))
    web = imported("shop/web", ("10.112.0.9",), (tcp(80, "http"),), {"east": ("10.1.0.4",)})
    async with served(kubernetes=cluster(*SHOP, web, options=options)) as (port, _):
        lines = await dig(port, "set.local", "AXFR")
        assert [line for line in lines[2:-1] if not line.startswith("ns.dns.")] == [
            "web.shop.svc.set.local. 5 IN A 10.112.0.9",
            "web.shop.svc.set.local. 5 IN SRV 0 100 80 web.shop.svc.set.local.",
            "_http._tcp.web.shop.svc.set.local. 5 IN A 10.112.0.9",
            "_http._tcp.web.shop.svc.set.local. 5 IN SRV 0 100 80 web.shop.svc.set.local.",
            "10-1-0-4.east.web.shop.svc.set.local. 5 IN A 10.1.0.4",
            "10-1-0-4.east.web.shop.svc.set.local. 5 IN SRV 0 100 80 10-1-0-4.east.web.shop.svc.set.local.",
        ]


async def test_zones_of_external_names() -> None:
    """SOA, NS, the server's address, Services by name, where nothing stands beside a CNAME; and PTR."""
    http = (tcp(80, "http"),)
    answers = cluster(
        view("shop/web", ips=("10.96.0.9",), ports=http, outside=("203.0.113.1", "2001:db8::1")),
        view("shop/named", ips=("10.96.0.7",), ports=http, outside=("lb.example.com",)),
        view("shop/plain", ips=("10.96.0.6",), ports=http, endpoints=("10.0.0.3",)),
        view("shop/db", ips=("None",), ports=http, endpoints=("10.0.0.4",)),
        view("shop/elsewhere", external="www.example.com"),
        own=("192.0.2.53",),
    )
    parts = FakeParts(offers={"kubernetes": answers})
    built(k8s_external, "k8s_external example.org 203.0.0.0/8 {\n headless\n}", parts)
    zones = parts.sibling("k8s_external")
    async with served(k8s_external=zones) as (port, _):
        lines = await dig(port, "example.org", "AXFR")
        assert lines[0] == lines[-1]
        assert lines[0].split()[3] == "SOA"
        assert [line for line in lines[1:-1] if "_http" not in line.split()[0]] == [
            "example.org. 5 IN NS ns1.dns.example.org.",
            "ns1.dns.example.org. 5 IN A 192.0.2.53",
            "db.shop.example.org. 5 IN A 10.0.0.4",
            "db.shop.example.org. 5 IN SRV 0 100 80 10-0-0-4.db.shop.example.org.",
            "10-0-0-4.db.shop.example.org. 5 IN A 10.0.0.4",
            "10-0-0-4.db.shop.example.org. 5 IN SRV 0 100 80 10-0-0-4.db.shop.example.org.",
            "web.shop.example.org. 5 IN A 203.0.113.1",
            "web.shop.example.org. 5 IN AAAA 2001:db8::1",
            "web.shop.example.org. 5 IN SRV 0 50 80 web.shop.example.org.",
            "named.shop.example.org. 5 IN CNAME lb.example.com.",
            "10-0-0-3.plain.shop.example.org. 5 IN A 10.0.0.3",
            "10-0-0-3.plain.shop.example.org. 5 IN SRV 0 100 80 10-0-0-3.plain.shop.example.org.",
        ]
        assert "_http._tcp.named.shop.example.org. 5 IN SRV 0 100 80 lb.example.com." in lines
        reverse = await dig(port, "203.in-addr.arpa", "AXFR")
        assert reverse[1:-1] == [
            "203.in-addr.arpa. 5 IN NS ns1.dns.example.org.",
            "1.113.0.203.in-addr.arpa. 5 IN PTR web.shop.example.org.",
        ]
        answers.synced = False
        assert await dig(port, "example.org", "AXFR") == []


def endpoints(count: int) -> Answers:
    """A cluster with a Service of so many endpoints."""
    ready = [f"10.{245 + i // 62500}.{i // 250 % 250}.{i % 250}" for i in range(count)]
    big = view("shop/big", ips=("None",), ports=(tcp(80, "http"),), endpoints=ready)
    return cluster(*SHOP, big)


def question(name: str, kind: str = "AXFR", number: int = 1) -> bytes:
    """A query in a frame."""
    query = dnslib.DNSRecord.question(name, kind)
    query.header.id = number
    octets = bytes(query.pack())
    return struct.pack("!H", len(octets)) + octets


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """All that come, until the connection ends."""
    while head := await reader.read(2):
        head += b"" if len(head) == 2 else await reader.readexactly(1)
        yield await reader.readexactly(struct.unpack("!H", head)[0])


async def test_others_have_their_turn_while_a_message_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of a Service with many endpoints takes long to make: the loop is given back in between.

    However fast the machine: each turn is over at once here.
    """
    monkeypatch.setattr(transfer, "TimeSlice", lambda clock: TimeSlice(-1.0, clock))
    parts = FakeParts(offers={"kubernetes": endpoints(3000)})
    made = built(transfer, ANYBODY, parts)
    assert made.plugin is not None
    asked = request("cluster.local. AXFR", None, client(proto="tcp"))
    turns: list[int] = []

    async def others() -> None:
        while True:
            turns.append(len(turns))
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    found = await chain((made.plugin,), scripted(response()))(asked)
    assert found.further is not None
    messages = 1 + len([section async for section in found.further])
    beside.cancel()
    assert len(turns) > 2 * messages


async def test_a_long_zone_is_many_messages() -> None:
    """Each has at most 16 KB and the same id, and together they are the zone of the moment when it was asked for."""
    answers = endpoints(3000)
    async with served(kubernetes=answers) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(question("cluster.local") + question("example.test", "A", 2))
        found: list[RR] = []
        sizes: list[int] = []
        others = 0
        async with asyncio.timeout(120):
            async for octets in messages(reader):
                message = parse_message(octets)
                if message.id == 2:
                    others += 1
                    continue
                sizes.append(len(octets))
                found += message.answer
                answers.apply(change(None, view(f"shop/new{len(found)}", ips=("10.96.9.9",))), NOW + len(found))
                if found[-1].rtype == SOA:
                    break
        writer.close()
        assert others == 1
        assert len(sizes) > 10
        assert max(sizes) < 16384
        assert found[0] == found[-1]
        assert len(set(found)) == len(found) - 1 > 9000
        assert not any(each.owner.startswith(b"\x06new") for each in found)


async def test_a_client_that_does_not_read_holds_no_zone(caplog: pytest.LogCaptureFixture) -> None:
    """What it is to get is made as it reads; of many transfers at a time the last are SERVFAIL."""
    caplog.set_level("INFO", "kdns.dns.plugins.transfer")
    async with served(kubernetes=endpoints(3000)) as (port, parts):
        client_end = socket.socket()
        client_end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        client_end.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client_end, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=client_end, limit=1024)
        numbers = range(1, MAX_TRANSFERS + 2)
        writer.write(b"".join(question("cluster.local", number=number) for number in numbers))
        ends: dict[int, int] = {}
        await parts.turns(5000)
        assert "Outgoing transfer" not in caplog.text
        async with asyncio.timeout(120):
            async for octets in messages(reader):
                message = parse_message(octets)
                if message.rcode or message.answer[-1].rtype == SOA:
                    ends[message.id] = message.rcode
                if len(ends) == len(numbers):
                    break
        writer.close()
    assert sorted(ends.values()) == [NOERROR] * MAX_TRANSFERS + [SERVFAIL]
    assert caplog.text.count("Outgoing transfer") == MAX_TRANSFERS


@pytest.mark.parametrize(
    ("to", "address", "proto", "expected"),
    [
        ("*", "10.1.0.7", "tcp", "NOERROR aa"),
        ("*", "10.1.0.7", "tls", "NOERROR aa"),
        ("*", "10.1.0.7", "udp", "REFUSED"),
        ("*", "10.1.0.7", "https", "REFUSED"),
        ("10.1.0.7", "10.1.0.7", "tcp", "NOERROR aa"),
        ("10.1.0.7:5353", "10.1.0.7", "tcp", "NOERROR aa"),
        ("10.1.0.7", "::ffff:10.1.0.7", "tcp", "NOERROR aa"),
        ("fd00::7 10.1.0.8", "fd00::7", "tcp", "NOERROR aa"),
        ("10.1.0.8", "10.1.0.7", "tcp", "REFUSED"),
        ("fe80::7", "fe80::7%eth0", "tcp", "NOERROR aa"),
    ],
)
async def test_who_may_have_it(to: str, address: str, proto: str, expected: str) -> None:
    """Those who are named, over TCP or TLS."""
    made = built(transfer, f"transfer {{\n to {to}\n}}", FakeParts(offers={"kubernetes": cluster(*SHOP)}))
    found = await handler(made)(request("cluster.local AXFR", asker=client(address, proto)))
    assert words(found).split(" | ")[0] == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("web.shop.svc.cluster.local A", "behind"),
        ("svc.cluster.local AXFR", "behind"),
        ("example.test AXFR", "behind"),
        ("cluster.local IXFR", "SERVFAIL"),
    ],
)
async def test_what_it_leaves_to_others(question: str, expected: str) -> None:
    """All but transfers of zones that it knows; an IXFR without a serial is nothing."""
    made = built(transfer, "transfer cluster.local {\n to *\n}", FakeParts(offers={"kubernetes": cluster(*SHOP)}))
    found = await handler(made, response(rcode=0))(request(question, asker=client(proto="tcp")))
    assert (found.plugin if found.plugin == "behind" else words(found)) == expected


async def test_a_cluster_that_is_not_known_yet() -> None:
    """Half a zone is worse than none."""
    answers = cluster(*SHOP)
    answers.synced = False
    made = built(transfer, ANYBODY, FakeParts(offers={"kubernetes": answers}))
    found = await handler(made)(request("cluster.local AXFR", asker=client(proto="tcp")))
    assert words(found) == "SERVFAIL"


class Secondary(asyncio.DatagramProtocol):
    """Answers NOTIFY, and keeps what came."""

    def __init__(self, rcodes: Sequence[int | None]) -> None:
        self.rcodes = list(rcodes)
        self.came: list[dnslib.DNSRecord] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept for the answers."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer with the next rcode; None is silence."""
        self.came.append(dnslib.DNSRecord.parse(data))
        rcode = self.rcodes.pop(0) if self.rcodes else 0
        if rcode is not None and self.transport is not None:
            head = data[:2] + bytes((data[2] | 0x80, rcode))
            self.transport.sendto(b"\xff\xff" + head[2:] + data[4:], addr)  # another id: not ours
            self.transport.sendto(head + data[4:], addr)


@asynccontextmanager
async def secondary(*rcodes: int | None) -> AsyncIterator[tuple[Secondary, int]]:
    """One on loopback, and its port."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Secondary(rcodes), ("127.0.0.1", 0))
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_peers_are_told_when_the_serial_changes(caplog: pytest.LogCaptureFixture) -> None:
    """At the start and after changes, each time once; what they do not accept is a warning."""
    answers = cluster(*SHOP)
    async with secondary(0, 0, 0, 5) as (peer, port):
        parts = FakeParts(offers={"kubernetes": answers}, zones=("cluster.local.",))
        text = f"transfer {{\n to * 127.0.0.1:{port}\n source 127.0.0.1\n}}"
        plugin = Transfer(transfer.parse(directives(text), parts.place), parts)
        async with asyncio.timeout(120):
            await plugin.look()
            assert [(str(each.q.qname), each.header.opcode, each.header.aa) for each in peer.came] == [
                ("cluster.local.", 4, 1)
            ]
            await plugin.look()
            assert len(peer.came) == 1
            for second in (100, 100, 300):  # two in one second
                answers.apply(change(None, view(f"shop/n{len(peer.came)}", ips=("10.96.9.9",))), NOW + second)
                await plugin.look()
        assert len(peer.came) == 4
        assert "rcode was REFUSED" in caplog.text
        assert caplog.text.count("not accepted") == 1


async def test_a_notify_is_repeated() -> None:
    """Until somebody answers, or patience ends."""
    async with secondary(None, 0) as (peer, port):
        assert await notify(Peer("127.0.0.1", port), ROOT, 7, (0.05, 10)) == 0
        assert len(peer.came) == 2
    async with secondary(None, None) as (peer, port):
        assert await notify(Peer("127.0.0.1", port), ROOT, 7, (0.05, 0.05)) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("transfer", "1:1 transfer needs 'to'"),
        ("transfer {\n source 10.0.0.1\n}", "1:1 transfer needs 'to'"),
        ("transfer {\n to\n}", "2:2 'to' needs at least 1 argument, got 0"),
        ("transfer {\n to nobody\n}", "2:5 invalid address 'nobody'"),
        ("transfer {\n to 10.0.0.1:0\n}", "2:5 invalid address '10.0.0.1:0'"),
        ("transfer {\n to [::1]x\n}", "2:5 invalid address '[::1]x'"),
        ("transfer {\n to *\n source x\n}", "3:9 invalid IP address 'x'"),
        ("transfer {\n to *\n source ::1\n source ::1\n}", "4:2 source stands twice"),
        (
            "transfer {\n to 10.0.0.1\n source ::1\n}",
            "1:1 10.0.0.1 cannot be notified from ::1: two families",
        ),
        ("transfer a.test {\n to *\n}\ntransfer a.test {\n to *\n}", "4:1 zone a.test. is in two transfers"),
        ("transfer {\n to *\n from *\n}", "3:2 'transfer' has no property 'from'"),
    ],
)
def test_mistakes(text: str, problem: str) -> None:
    """Each is told at its word."""
    assert mistakes(transfer, text, FakeParts()) == problem
