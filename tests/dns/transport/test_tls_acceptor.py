"""DNS over TLS on real sockets (RFC 7858): handshakes, answers of both ways, drain, and certificates that change."""

import asyncio
import contextlib
import logging
import shutil
import ssl
from pathlib import Path

import pytest
from dnslib import DNSRecord

from kdns.base.errors import ConfigError
from kdns.dns.server.serving import Serving
from kdns.dns.transport import tls_acceptor as door
from tests.dns.secure import (
    BOTH,
    WAITING,
    Stream,
    ask_once,
    events,
    install,
    port,
    query,
    serving,
    slow_ones,
    trusting,
    waiting,
)
from tests.fakes.certificates import EXPIRED, SERVER

PLAIN = "tls://.:0 {{\n bind 127.0.0.1\n tls {}\n{}\n whoami\n}}\n"


async def test_slow_and_fast_answers() -> None:
    """Both ways answer on one connection, each with its query's id, and are counted as CoreDNS counts them."""
    async with serving() as made, Stream(port(made, "tls")) as stream:
        slow = slow_ones(made)
        for number in (1, 2, 3):
            stream.send(query(number=number))
            reply = DNSRecord.parse(await stream.receive())
            assert (reply.header.id, str(reply.a.rdata)) == (number, "192.0.2.7")
        assert [(client.proto, client.local) for client in slow] == [("tls", "127.0.0.1")], "the others were fast"
        responder = next(one for one in made.metrics.sockets if one.server.startswith("tls://"))
        assert (responder.server, responder.proto) == (f"tls://127.0.0.1:{port(made, 'tls')}", "tcp")
        responder.settle()
        assert sum(sum(sizes.values()) for sizes in responder.tallies.values()) == 2
        assert sum(sum(queries.counts) for queries, _ in responder.others.values()) == 1


async def test_queries_in_one_write() -> None:
    """Those that come with the end of the handshake are not lost, and all are answered."""
    async with serving() as made:
        for _ in range(20):
            async with Stream(port(made, "tls")) as stream:
                stream.send(*(query(number=number) for number in range(30)))
                got = {DNSRecord.parse(await stream.receive()).header.id for _ in range(30)}
                assert got == set(range(30))


async def test_a_client_that_closes(caplog: pytest.LogCaptureFixture) -> None:
    """The end of a session ends the connection, without a word in the log."""
    with caplog.at_level(logging.WARNING):
        async with serving() as made, Stream(port(made, "tls")) as stream:
            stream.send(query())
            await stream.receive()
            stream.writer.close()
            async with asyncio.timeout(120):
                await stream.writer.wait_closed()
            await asyncio.sleep(0)
    assert not caplog.records


@pytest.mark.parametrize(
    "said", [b"\x00\x1d" + query(), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 99]
)
async def test_what_is_no_handshake(said: bytes) -> None:
    """Plain DNS, HTTP and garbage close the connection, and the server goes on."""
    async with serving() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(made, "tls"))
        writer.write(said)
        async with asyncio.timeout(120):
            with contextlib.suppress(ConnectionResetError):
                assert b"a\x04test" not in await reader.read()
        writer.close()
        async with Stream(port(made, "tls")) as stream:
            stream.send(query())
            assert await stream.receive()


async def test_old_versions() -> None:
    """TLS before 1.2 is not spoken."""
    old = trusting()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    async with serving() as made:
        async with Stream(port(made, "tls"), old) as stream:
            assert stream.writer.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
        contexts = made.blocks[0].parts.sibling("tls")
        assert contexts is not None
        assert {context.minimum_version for context in contexts} == {ssl.TLSVersion.TLSv1_2}  # type: ignore[attr-defined]


async def test_another_certificate_is_not_trusted() -> None:
    """A client that trusts somebody else ends the handshake; nothing stays open here."""
    async with serving() as made:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with Stream(port(made, "tls"), ssl.create_default_context()):
                pass
        async with Stream(port(made, "tls")) as stream:
            stream.send(query())
            assert await stream.receive()


async def test_too_many_handshakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of connections that say nothing the oldest is closed, and whoever speaks is served."""
    monkeypatch.setattr(door, "MAX_HANDSHAKES", 3)
    async with serving() as made:
        silent = [await asyncio.open_connection("127.0.0.1", port(made, "tls")) for _ in range(5)]
        async with asyncio.timeout(120):
            for reader, _ in silent[:2]:
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
        async with Stream(port(made, "tls")) as stream:
            stream.send(query())
            assert await stream.receive()
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize(
    ("policy", "shown", "served"),
    [
        ("nocert", None, True),
        ("request", SERVER, True),
        ("verify_if_given", None, True),
        ("verify_if_given", SERVER, True),
        ("verify_if_given", EXPIRED, False),
        ("require_and_verify", None, False),
        ("require_and_verify", EXPIRED, False),
    ],
)
async def test_client_auth(policy: str, shown: object, served: bool) -> None:
    """Who gets answers with which certificate."""
    context = trusting()
    if shown is not None:
        context.load_cert_chain(*shown)  # type: ignore[misc]
    text = PLAIN.format(f"{SERVER.cert} {SERVER.key} {SERVER.cert} {{\n client_auth {policy}\n }}", "")
    async with serving(text) as made:
        try:
            async with Stream(port(made, "tls"), context) as stream:
                stream.send(query())
                answered = bool(await stream.receive())
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            answered = False
        assert answered is served


def pair(folder: Path, *, expired: bool = False) -> str:
    """Files that may change, and how the Corefile names them."""
    source = EXPIRED if expired else SERVER
    shutil.copy(source.cert, folder / "cert")
    shutil.copy(source.key, folder / "key")
    return f"{folder}/cert {folder}/key"


async def shown(made: Serving) -> bytes:
    """The certificate that a new connection sees."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with Stream(port(made, "tls"), context) as stream:
        return stream.certificate


async def test_a_new_certificate(tmp_path: Path) -> None:
    """A reload reads files that have changed, without closing a connection; a broken one leaves the old in force."""
    text = PLAIN.format(pair(tmp_path), "")
    async with serving(text) as made, Stream(port(made, "tls")) as stream:
        first = await shown(made)
        before = made.blocks[0]
        await install(made, text)
        assert made.blocks[0] is before, "nothing has changed"
        pair(tmp_path, expired=True)
        await install(made, text)
        second = await shown(made)
        assert second != first
        (tmp_path / "cert").write_text("nothing\n")
        with pytest.raises(ConfigError, match="cannot use this certificate"):
            await install(made, text)
        assert await shown(made) == second
        stream.send(query())
        assert await stream.receive(), "the connection from before goes on"


async def test_the_end() -> None:
    """Idle connections and handshakes end when the server does, at once."""
    async with serving(BOTH) as made, Stream(port(made, "tls")) as stream:
        silent, writer = await asyncio.open_connection("127.0.0.1", port(made, "tls"))
        async with asyncio.timeout(120):
            await made.stop(600)
            assert await stream.reader.read() == b""
            with contextlib.suppress(ConnectionResetError):
                assert await silent.read() == b""
        writer.close()


@pytest.mark.parametrize("scheme", ["tls", "https"])
async def test_what_is_owed_at_the_end(scheme: str, tmp_path: Path) -> None:
    """A reply that is on its way when the server ends is sent, and then its connection closes."""
    async with serving(WAITING, waiting(tmp_path)) as made:
        begun, go_on = events(made)
        asked = asyncio.create_task(ask_once(made, scheme))
        async with asyncio.timeout(120):
            await begun.wait()
            ending = asyncio.create_task(made.stop(9))
            await asyncio.sleep(0)
            go_on.set()
            reply, more = await asked
            assert DNSRecord.parse(reply).header.rcode == 3
            assert more == b""
            await ending
