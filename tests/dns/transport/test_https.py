"""DNS over HTTPS on real sockets (RFC 8484): what is answered, what is refused, and how long connections may last."""

import asyncio
import base64
import io
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from dnslib import DNSRecord
from yarl import URL

from kdns.dns.server.serving import Serving
from kdns.dns.transport import https
from tests.dns.secure import BOTH, WAITING, WAITS, install, port, query, serving, session, slow_ones, trusting

TYPE: Final = {"Content-Type": https.CONTENT_TYPE}


def url(made: Serving, path: str = https.PATH) -> str:
    """Where it is served."""
    return f"https://127.0.0.1:{port(made, 'https')}{path}"


def encoded(message: bytes) -> str:
    """As GET has it."""
    return base64.urlsafe_b64encode(message).rstrip(b"=").decode()


def counted(made: Serving) -> dict[str, float]:
    """Responses by status."""
    samples = [
        sample
        for family in made._context.registry.collect()
        for sample in family.samples
        if sample.name == "coredns_dns_https_responses_total"
    ]
    assert {sample.labels["server"] for sample in samples} <= {f"https://127.0.0.1:{port(made, 'https')}"}
    return {sample.labels["status"]: sample.value for sample in samples}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_answers(method: str) -> None:
    """Both methods, the slow way first and then the fast one, on one connection; it may be kept as long as its TTL."""
    async with serving() as made, session() as client:
        slow = slow_ones(made)
        for number in (0, 1, 2):
            message = query(number=number)
            options = {"data": message, "headers": TYPE} if method == "POST" else {"params": {"dns": encoded(message)}}
            async with client.request(method, url(made), **options) as response:
                reply = DNSRecord.parse(await response.read())
                assert (response.status, response.content_type) == (200, https.CONTENT_TYPE)
                assert response.headers["Cache-Control"] in {"max-age=60", "max-age=59", "max-age=58"}
                assert (reply.header.id, str(reply.a.rdata)) == (number, "192.0.2.7")
        assert [(asked.proto, asked.local) for asked in slow] == [("https", "127.0.0.1")], "the others were fast"
        assert counted(made) == {"200": 3}
        responder = next(one for one in made.metrics.sockets if one.server.startswith("https://"))
        responder.settle()
        assert responder.proto == "tcp"
        assert sum(sum(sizes.values()) for sizes in responder.tallies.values()) == 2
        assert sum(sum(queries.counts) for queries, _ in responder.others.values()) == 1


async def test_an_error_is_an_answer() -> None:
    """An rcode is no matter of HTTP: 200 (RFC 8484 section 4.2.1), not to be kept for long."""
    async with (
        serving() as made,
        session() as client,
        client.post(url(made), data=query("b.test"), headers=TYPE) as response,
    ):
        assert (response.status, response.headers["Cache-Control"]) == (200, "max-age=5")
        assert DNSRecord.parse(await response.read()).header.rcode == 2


SHORT: Final = query("aaaa.test")[:25]  # 25 octets: its base64 would have padding
BAD_GETS: Final = (
    ("nothing", ""),
    ("another name", "?q=AAAA"),
    ("empty", "?dns="),
    ("twice", f"?dns={encoded(query())}&dns={encoded(query())}"),
    ("one padding", f"?dns={encoded(query('aa.test'))}="),
    ("two paddings", f"?dns={encoded(query())}%3D%3D"),
    ("the other alphabet", "?dns=ab%2B%2F" + encoded(query())),
    ("a blank", "?dns=ab+d" + encoded(query())),
    ("not ASCII", "?dns=%C3%A4bcd"),
    ("a length that cannot be", "?dns=" + encoded(bytes(12)) + "A"),
    ("eleven octets", "?dns=" + encoded(query()[:11])),
    ("a cut question", "?dns=" + encoded(SHORT)),
    ("garbage", "?dns=" + encoded(b"\xff" * 40)),
    ("a response", "?dns=" + encoded(query()[:2] + b"\x81" + query()[3:])),
    ("very long", "?dns=" + "A" * 9000),
)


@pytest.mark.parametrize("asked", [asked for _, asked in BAD_GETS], ids=[name for name, _ in BAD_GETS])
async def test_gets_that_are_no_query(asked: str, caplog: pytest.LogCaptureFixture) -> None:
    """400, nothing in the log, and the server goes on."""
    async with serving() as made, session() as client:
        with caplog.at_level(logging.INFO, "kdns.dns"):
            async with client.get(URL(url(made) + asked, encoded=True)) as response:
                assert response.status == 400
        async with client.get(url(made), params={"dns": encoded(query())}) as response:
            assert response.status == 200
        assert counted(made) == {"400": 1, "200": 1}
    assert not caplog.records


@pytest.mark.parametrize(
    ("method", "path", "content_type", "body", "status"),
    [
        ("POST", "/", https.CONTENT_TYPE, query(), 404),
        ("GET", "/dns-query/", "", b"", 404),
        ("PUT", "/dns-query", https.CONTENT_TYPE, query(), 405),
        ("HEAD", "/dns-query", "", b"", 405),
        ("POST", "/dns-query", "application/json", b"{}", 415),
        ("POST", "/dns-query", "", query(), 415),
        ("POST", "/dns-query", https.CONTENT_TYPE, b"", 400),
        ("POST", "/dns-query", https.CONTENT_TYPE, bytes(65_535), 400),
        ("POST", "/dns-query", https.CONTENT_TYPE, bytes(65_536), 413),
        ("POST", "/dns-query", https.CONTENT_TYPE, bytes(3_000_000), 413),
        ("POST", "/dns-query", f"{https.CONTENT_TYPE}; charset=binary", query(), 200),
    ],
)
async def test_statuses(method: str, path: str, content_type: str, body: bytes, status: int) -> None:
    """What is no query is told with HTTP's own statuses, and counted."""
    async with serving() as made, session() as client:
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            async with client.request(
                method,
                url(made, path),
                data=io.BytesIO(body) if body else None,
                headers=headers,
                skip_auto_headers=["Content-Type"],
            ) as response:
                assert response.status == status
                assert response.headers.get("Allow") == ("GET, POST" if status == 405 else None)
        except ConnectionError:
            assert status == 413, "closed while it was sent"
        assert counted(made) == {str(status): 1}


async def test_bodies_in_parts() -> None:
    """Chunks are counted as they come: a body without an announced length is bounded as well."""

    async def parts(count: int) -> AsyncIterator[bytes]:
        yield query()
        for _ in range(count):
            yield bytes(16_384)

    async with serving() as made, session() as client:
        async with client.post(url(made), data=parts(0), headers=TYPE) as response:
            assert response.status == 200
        try:
            async with client.post(url(made), data=parts(8), headers=TYPE) as response:
                assert response.status == 413
        except ConnectionError:
            pass
        assert counted(made) == {"200": 1, "413": 1}


async def test_packed_bodies_are_not_unpacked() -> None:
    """A small body that would become a large one is refused as it is."""
    async with (
        serving() as made,
        session() as client,
        client.post(url(made), data=b"x", headers={**TYPE, "Content-Encoding": "gzip"}) as response,
    ):
        assert response.status == 415


class Raw:
    """A connection on which anything may be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, made: Serving) -> "Raw":
        return cls(*await asyncio.open_connection("127.0.0.1", port(made, "https"), ssl=trusting()))

    async def rest(self) -> bytes:
        """All until the server closes."""
        try:
            async with asyncio.timeout(120):
                return await self.reader.read()
        except ConnectionResetError:
            return b""
        finally:
            self.writer.transport.abort()


SLOW: Final = BOTH.replace("cache\n", "cache\n    timeouts {\n  read 1s\n  idle 1s\n  write 1s\n }\n")
HEAD: Final = b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\nContent-Length: 24\r\n"


@pytest.mark.parametrize(
    ("said", "reply"),
    [(b"", b""), (HEAD, b""), (HEAD + b"\r\nabc", b"HTTP/1.1 408"), (b"\0\x1dnonsense\r\n\r\n", b"HTTP/1.0 400")],
    ids=["nothing", "half a head", "half a body", "no HTTP"],
)
async def test_clients_that_stop(said: bytes, reply: bytes) -> None:
    """Connections on which nothing comes, or half a request, end in time."""
    async with serving(SLOW) as made:
        raw = await Raw.open(made)
        raw.writer.write(said)
        assert (await raw.rest()).startswith(reply)


async def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more closes that which has been idle longest; a client over its share closes its own."""
    monkeypatch.setattr(https, "CONNECTIONS", 4)
    async with serving() as made:
        first, second, third = [await Raw.open(made) for _ in range(3)]
        assert await first.rest() == b""
        for raw in (second, third):
            raw.writer.write(b"GET /dns-query?dns=" + encoded(query()).encode() + b" HTTP/1.1\r\nHost: x\r\n"
                             b"Connection: close\r\n\r\n")  # fmt: skip
            assert (await raw.rest()).startswith(b"HTTP/1.1 200")


async def test_many_at_once_on_one_connection() -> None:
    """Pipelined requests are answered in their order, slow or fast."""
    async with serving() as made:
        raw = await Raw.open(made)
        names = [f"n{number}.test" if number % 3 else "a.test" for number in range(60)]
        asked = [f"GET /dns-query?dns={encoded(query(name, number=at))} HTTP/1.1\r\nHost: x\r\n" for at, name in
                 enumerate(names)]  # fmt: skip
        raw.writer.write(("\r\n".join(asked) + "Connection: close\r\n\r\n").encode())
        assert (await raw.rest()).count(b"HTTP/1.1 200") == 60


async def test_a_client_that_sends_more_than_is_answered(tmp_path: Path) -> None:
    """It has to wait: what is read ahead of the answers does not grow with them."""
    (tmp_path / "waits.py").write_text(WAITS.replace("await go_on.wait()", "await asyncio.sleep(0.001)"))
    request = HEAD.replace(b"24", str(len(query())).encode()) + b"\r\n" + query()
    async with serving(WAITING, str(tmp_path)) as made:
        raw = await Raw.open(made)
        sent: list[int] = []

        async def push() -> None:
            while True:
                raw.writer.write(request * 500)
                sent.append(len(request) * 500)
                await raw.writer.drain()

        async def answers(count: int) -> None:
            async with asyncio.timeout(120):
                for _ in range(count):
                    head = await raw.reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200")
                    await raw.reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))

        pushing = asyncio.create_task(push())
        await answers(20)
        before = still = 0
        while still < 5:  # as much as the kernel and the client's own buffers take
            still = still + 1 if before == sum(sent) else 0
            before = sum(sent)
            await answers(2)
            await asyncio.sleep(0.05)
        await answers(60)
        pushing.cancel()
        assert sum(sent) - before < 60 * len(request) + (4 << 20)
        raw.writer.transport.abort()


async def test_reload_and_end() -> None:
    """A connection lives through a reload and gets the new answers; at the end idle ones are closed at once."""
    async with serving() as made, session() as client:
        for address in ("192.0.2.7", "192.0.2.8"):
            await install(made, BOTH.replace("192.0.2.7", address))
            async with client.post(url(made), data=query(), headers=TYPE) as response:
                assert str(DNSRecord.parse(await response.read()).a.rdata) == address
        raw = await Raw.open(made)
        async with asyncio.timeout(120):
            await made.stop(600)
            assert await raw.rest() == b""
