"""Connections to upstreams: kept, dropped when old, replaced when closed; and TLS."""

import asyncio
import ssl

import pytest

from kdns.base.errors import ConfigError, UpstreamError
from tests.dns.upstream.forwarding import Forwarding, forwarding
from tests.fakes.certificates import SERVER, server_context
from tests.fakes.upstream import FakeUpstream, wrong_id


def kept(forward: Forwarding, proto: str = "tcp") -> tuple[float, float]:
    """Queries on connections that were kept, and on new ones."""
    hits = forward.sample("coredns_proxy_conn_cache_hits_total", proto=proto, proxy_name="forward")
    return hits, forward.sample("coredns_proxy_conn_cache_misses_total", proto=proto, proxy_name="forward")


async def test_a_connection_is_used_again() -> None:
    """Queries one after the other share a connection."""
    async with FakeUpstream() as upstream, forwarding(f"forward . {upstream.text} {{\n force_tcp\n}}") as forward:
        for number in range(5):
            assert await forward.address(f"n{number}.example.org.") == "rcode 3"
        assert upstream.connections == 1
        assert kept(forward) == (4, 1)
        assert upstream.sources == []


async def test_queries_at_once_have_connections_of_their_own() -> None:
    """Queries under way together do not wait for each other, and what is over ``max_idle_conns`` is closed."""
    text = "forward . {} {{\n force_tcp\n max_idle_conns 2\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.delay = 0.05
        await asyncio.gather(*(forward.ask(f"n{number}.example.org.") for number in range(8)))
        assert (upstream.connections, upstream.most_under_way) == (8, 8)
        await asyncio.gather(*(forward.ask(f"m{number}.example.org.") for number in range(8)))
        assert kept(forward) == (2, 14)


@pytest.mark.parametrize(
    ("options", "passed", "connections"),
    [("", 9.0, 1), ("", 11.0, 2), ("expire 60s", 50.0, 1), ("expire 1s\n max_age 5s", 0.9, 1), ("expire 0", 0.0, 2)],
)
async def test_connections_grow_old(options: str, passed: float, connections: int) -> None:
    """A connection that was idle longer than ``expire`` is not used again."""
    text = "forward . {} {{\n force_tcp\n {}\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text, options)) as forward:
        await forward.ask("a.example.org.")
        forward.parts.clock.now += passed
        await forward.ask("b.example.org.")
        assert upstream.connections == connections


async def test_connections_have_an_age() -> None:
    """With ``max_age`` a busy connection is replaced, too."""
    text = "forward . {} {{\n force_tcp\n max_age 15s\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        for _ in range(4):
            await forward.ask("a.example.org.")
            forward.parts.clock.now += 6
        assert upstream.connections == 2


async def test_idle_connections_are_closed() -> None:
    """Connections that nobody uses do not stay open longer than ``expire``, even if no query comes any more."""
    text = "forward . {} {{\n force_tcp\n expire 200ms\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.delay = 0.05
        await asyncio.gather(*(forward.ask(f"n{number}.example.org.") for number in range(5)))
        assert upstream.open == 5
        async with asyncio.timeout(120):
            while upstream.open:  # noqa: ASYNC110 - what is waited for is told to nobody
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["after one answer", "all at once", "with a reset"])
async def test_a_kept_connection_that_is_closed(how: str) -> None:
    """A query meets a connection that the upstream has closed: it goes out again, and the upstream is not blamed."""
    text = "forward . {} {{\n force_tcp\n max_connect_attempts 1\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.zone["a.example.org."] = ("192.0.2.7",)
        upstream.answers_on_connection = 1 if how == "after one answer" else 0
        for _ in range(3):
            await asyncio.gather(*(forward.ask(f"n{number}.example.org.") for number in range(3)))
            if how != "after one answer":
                upstream.hang_up()
            if how == "with a reset":
                await asyncio.sleep(0.01)
            assert await forward.address("a.example.org.") == "192.0.2.7"
        assert upstream.probes == 0


async def test_stray_messages_on_a_connection() -> None:
    """A message that is not ours is passed over; a connection with nothing else ends in an error."""
    text = "forward . {} {{\n force_tcp\n read_timeout 100ms\n max_connect_attempts 1\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        upstream.answer = lambda query: wrong_id(query, b"")
        with pytest.raises(UpstreamError, match=rf"read tcp 127.0.0.1:\d+->{upstream.text}: i/o timeout"):
            await forward.ask("a.example.org.")


async def test_many_queries_at_once() -> None:
    """Hundreds of questions at once over TLS are answered; not each has a handshake of its own."""
    text = f"forward . tls://{{}} {{{{\n tls {SERVER.cert}\n}}}}"
    async with FakeUpstream(tls=server_context()) as upstream, forwarding(text.format(upstream.text)) as forward:
        found = await asyncio.gather(*(forward.address(f"n{number}.example.org.") for number in range(400)))
        assert set(found) == {"rcode 3"}
        assert upstream.connections < 300


FAILURES = (
    ("no_tcp", r"^EOF$"),
    ("resets", r"read tcp .*: read: connection reset by peer"),
    ("silent", r"read tcp .*: i/o timeout"),
)


@pytest.mark.parametrize(("behaviour", "message"), FAILURES)
async def test_failures_are_told_as_operators_know_them(behaviour: str, message: str) -> None:
    """The error of a new connection names both ends and what happened."""
    text = "forward . {} {{\n force_tcp\n read_timeout 100ms\n max_connect_attempts 1\n}}"
    async with FakeUpstream() as upstream, forwarding(text.format(upstream.text)) as forward:
        setattr(upstream, behaviour, True)
        with pytest.raises(UpstreamError, match=message):
            await forward.ask("a.example.org.")
        await upstream.die()
        with pytest.raises(UpstreamError, match=f"dial tcp {upstream.text}: connect: connection refused"):
            await forward.ask("b.example.org.")
        await upstream.live()


TRUSTED = (
    ("the address", f"tls://{{}} {{{{\n tls {SERVER.cert}\n}}}}"),
    ("a name", f"tls://{{}} {{{{\n tls {SERVER.cert}\n tls_servername kube.example\n}}}}"),
    ("a name of its own", f"tls://127.0.0.1%kube.example:{{}} {{{{\n tls {SERVER.cert}\n}}}}"),
    ("with a certificate of ours", f"tls://{{}} {{{{\n tls {SERVER.cert} {SERVER.key} {SERVER.cert}\n}}}}"),
)


@pytest.mark.parametrize(("title", "to"), TRUSTED, ids=[title for title, _ in TRUSTED])
async def test_tls(title: str, to: str) -> None:
    """Over TLS the server is known by its address, or by the name that the Corefile gives; connections are kept."""
    context = server_context(clients=title == "with a certificate of ours")
    async with FakeUpstream(tls=context) as upstream:
        upstream.zone["a.example.org."] = ("192.0.2.7",)
        place = str(upstream.port) if "%" in to else upstream.text
        async with forwarding("forward . " + to.format(place)) as forward:
            for _ in range(2):
                assert await forward.address("a.example.org.") == "192.0.2.7"
            assert kept(forward, "tcp-tls") == (1, 1)
            assert upstream.sources == []


async def test_tls_is_no_older_than_1_2() -> None:
    """A server that speaks TLS 1.1 at most is not talked to."""
    context = server_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    text = "forward . tls://{} {{\n tls {}\n max_connect_attempts 1\n}}"
    async with FakeUpstream(tls=context) as fake, forwarding(text.format(fake.text, SERVER.cert)) as forward:
        with pytest.raises(UpstreamError, match="dial tcp"):
            await forward.ask("a.example.org.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "certificate"),
        (f"tls {SERVER.cert}\n tls_servername other.example", "Hostname mismatch"),
    ],
)
async def test_a_server_that_cannot_be_trusted(options: str, message: str) -> None:
    """Without a certificate that we trust, for the name that we know, there is no answer."""
    text = f"forward . tls://{{}} {{{{\n max_connect_attempts 1\n {options}\n}}}}"
    async with FakeUpstream(tls=server_context()) as upstream, forwarding(text.format(upstream.text)) as forward:
        with pytest.raises(UpstreamError, match=f"tls: .*{message}"):
            await forward.ask("a.example.org.")
        assert upstream.queries == []


async def test_certificates_that_cannot_be_read() -> None:
    """A file that is missing, or no certificate, is an error with its place when the plugin starts."""
    for line in ("tls /nowhere.pem", f"tls {__file__}", f"tls {SERVER.cert} {SERVER.cert} {SERVER.cert}"):
        with pytest.raises(ConfigError, match="Corefile:2:6: cannot use these certificates"):
            async with forwarding(f"forward . tls://127.0.0.1 {{\n {line}\n}}"):
                raise AssertionError("started")
