"""An acl in a narrower server block: no block beside it, no transport and no cache gives its names away."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from dnslib import QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord

from kdns.dns.transport.https import CONTENT_TYPE
from kdns.wire.query import Query
from tests.dns.secure import query, trusting
from tests.dns.server.test_corefile_served import Served
from tests.dns.server.test_denied import SECRET
from tests.fakes.certificates import SERVER
from tests.fakes.upstream import FakeUpstream
from tests.running import SHOP

pytestmark = pytest.mark.e2e

COREFILE = """
.:0 tls://.:0 https://.:0 {{
    bind 127.0.0.1
    tls {cert} {key}
    errors
    prometheus 127.0.0.1:0
    rewrite name exact x.test db.secret.svc.cluster.local
    rewrite name suffix .re.test .svc.cluster.local answer auto
    autopath search.test {search}
    shortnames
    cache 60
    template IN A t.test {{
        answer "{{{{ .Name }}}} 60 IN CNAME db.secret.svc.cluster.local."
    }}
    template IN ANY search.test {{
        rcode NXDOMAIN
    }}
    file {zone} example.org
    kubernetes cluster.local
    forward upstream.test {upstream}
}}
secret.svc.cluster.local:0 tls://secret.svc.cluster.local:0 https://secret.svc.cluster.local:0 {{
    bind 127.0.0.1
    tls {cert} {key}
    acl {{
        allow net 127.0.0.2
        block
    }}
    cache 60
    kubernetes cluster.local
}}
hidden.example.org:0 tls://hidden.example.org:0 https://hidden.example.org:0 {{
    bind 127.0.0.1
    tls {cert} {key}
    acl {{
        allow net 127.0.0.2
        drop
    }}
    file {zone} example.org
}}
"""
ZONE = """
$ORIGIN example.org.
@ 60 SOA ns hostmaster 1 60 60 60 60
@ 60 NS ns
@ 60 MX 10 mail.hidden
ns 60 A 192.0.2.53
out 60 CNAME db.secret.svc.cluster.local.
in 60 CNAME mail.hidden
nowhere 60 CNAME nobody.hidden
mail.hidden 60 A 192.0.2.25
"""
ADDRESSES = ("10.96.7.7", "192.0.2.25", "192.0.2.77")
DENIED = (
    *("db.secret.svc.cluster.local", "DB.Secret.svc.cluster.local", "db.secret", "db.secret.svc"),
    *("x.test", "db.secret.re.test", "alias.shop.re.test", "t.test", "db.secret.search.test"),
    *("alias.shop.svc.cluster.local", "twice.shop.svc.cluster.local", "twice.shop.svc"),
    *("mail.hidden.example.org", "out.example.org", "in.example.org", "a.upstream.test"),
)
OPEN = "web.shop.svc.cluster.local"
SOMEBODY, FRIEND = "127.0.0.1", "127.0.0.2"


class Server(NamedTuple):
    """Where the process answers."""

    dns: int
    tls: int
    https: int


Ask = Callable[[Server, str, str, str], Awaitable[DNSRecord]]
"""Server, name, type and the client's address."""


async def over_udp(server: Server, name: str, rtype: str, client: str) -> DNSRecord:
    """One datagram; a reply that does not come is an empty record."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((client, 0))
        await loop.sock_sendto(sock, query(name, rtype), ("127.0.0.1", server.dns))
        try:
            async with asyncio.timeout(0.3 if "hidden" in name else 10):
                return DNSRecord.parse(await loop.sock_recv(sock, 65535))
        except TimeoutError:
            return DNSRecord()


async def _stream(port: int, name: str, rtype: str, client: str, *, secure: bool) -> DNSRecord:
    context = trusting() if secure else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(client, 0))
    try:
        writer.write(len(query(name, rtype)).to_bytes(2, "big") + query(name, rtype))
        async with asyncio.timeout(0.3 if "hidden" in name else 10):
            size = int.from_bytes(await reader.readexactly(2), "big")
            return DNSRecord.parse(await reader.readexactly(size))
    except TimeoutError:
        return DNSRecord()
    finally:
        writer.transport.abort()


async def over_tcp(server: Server, name: str, rtype: str, client: str) -> DNSRecord:
    """One connection for one question."""
    return await _stream(server.dns, name, rtype, client, secure=False)


async def over_tls(server: Server, name: str, rtype: str, client: str) -> DNSRecord:
    """The same with TLS."""
    return await _stream(server.tls, name, rtype, client, secure=True)


async def over_https(server: Server, name: str, rtype: str, client: str) -> DNSRecord:
    """A POST; what is dropped has no octets."""
    connector = aiohttp.TCPConnector(ssl=trusting(), local_addr=(client, 0))
    timeout = aiohttp.ClientTimeout(total=0.3 if "hidden" in name else 10)
    headers = {"content-type": CONTENT_TYPE}
    url = f"https://127.0.0.1:{server.https}/dns-query"
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as asking,
            asking.post(url, data=query(name, rtype), headers=headers) as response,
        ):
            return DNSRecord.parse(await response.read()) if response.status == 200 else DNSRecord()
    except (TimeoutError, aiohttp.ClientError):
        return DNSRecord()


def chained(asked: Query) -> bytes:
    """An upstream that answers with an alias, and what is behind it."""
    name, target = "a.upstream.test", "mail.hidden.example.org"
    made = DNSRecord(DNSHeader(id=asked.id, qr=1, ra=1), q=DNSQuestion(name))
    made.add_answer(*RR.fromZone(f"{name} 60 CNAME {target}\n{target} 60 A 192.0.2.77"))
    return bytes(made.pack())


TRANSPORTS = (over_udp, over_tcp, over_tls, over_https)


def addresses(reply: DNSRecord) -> list[str]:
    """Every address in any section."""
    return [str(rr.rdata) for rr in (*reply.rr, *reply.auth, *reply.ar) if QTYPE[rr.rtype] == "A"]


async def test_no_way_leads_to_another_blocks_names(tmp_path: Path) -> None:
    """Rewritten, expanded, short, an alias of each kind, from a cache that a friend has filled, over each transport."""
    (tmp_path / "objects.yaml").write_text(SHOP + SECRET)
    (tmp_path / "db.example.org").write_text(ZONE)
    (tmp_path / "search").write_text("search search.test svc.cluster.local\n")
    async with FakeUpstream() as upstream:
        upstream.answer = chained
        corefile = tmp_path / "Corefile"
        text = COREFILE.format(cert=SERVER.cert, key=SERVER.key, search=tmp_path / "search",
                               zone=tmp_path / "db.example.org", upstream=upstream.text)  # fmt: skip
        corefile.write_text(text)
        async with Served(corefile, "--source", str(tmp_path / "objects.yaml")) as kdns:
            server = await ports(kdns)
            for ask in TRANSPORTS:
                for name in DENIED:
                    await check(ask, server, name)
                assert addresses(await ask(server, OPEN, "A", SOMEBODY)) == ["10.96.0.9"]
                mail = await ask(server, "example.org", "MX", SOMEBODY)
                assert addresses(mail) == ["192.0.2.53"] * any("ns." in str(rr.rname) for rr in mail.ar)
                nowhere = await ask(server, "nowhere.example.org", "A", SOMEBODY)
                assert (RCODE[nowhere.header.rcode], len(nowhere.rr)) == ("NOERROR", 1)
            assert await kdns.value("coredns_acl_blocked_requests_total", zone="secret.svc.cluster.local.") > 0


async def check(ask: Ask, server: Server, name: str) -> None:
    """A friend has its addresses, before and after somebody else who has not."""
    for client in (SOMEBODY, FRIEND, SOMEBODY, FRIEND, SOMEBODY):
        found = addresses(await ask(server, name, "A", client))
        shown = [address for address in found if address in ADDRESSES]
        assert bool(shown) is (client == FRIEND), f"{name} for {client} by {ask.__name__}: {found}"


async def ports(kdns: Served) -> Server:
    """Of the three transports."""
    dns = await kdns.port()
    tls, https = [int((await kdns.line(rf"^{scheme}://\.:(\d+) on"))[1]) for scheme in ("tls", "https")]
    return Server(dns, tls, https)
