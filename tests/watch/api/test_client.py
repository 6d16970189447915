"""Lines out of chunks, and what kdns makes of an API server's refusals and a network's faults."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ApiError, Denied, Expired, Throttled
from kdns.config.settings import KubernetesOptions
from kdns.watch.api.client import RESOURCES, Api, open_session
from kdns.watch.api.credentials import Access, Anonymous, tls_context
from kdns.watch.api.failures import StreamingRefused, reason_of, refusal
from kdns.watch.api.lines import LineSplitter
from kdns.watch.decode.status import Cause, Status, StatusDetails
from kdns.watch.follower import proxy_wants, wants
from kdns.watch.source import Want
from tests.fakes.api_server import SYSTEM_COREDNS, SYSTEM_NODE_PROXIER, FakeApiServer, Rule, refuse
from tests.fakes.certificates import SERVER, server_context
from tests.fakes.objects import service

SERVICES = Want("Service")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10), st.integers(1, 60))
def test_lines_do_not_depend_on_chunks(octets: bytes, cuts: list[int], limit: int) -> None:
    """However a stream is cut: its lines come out as they are, without those above the limit, and nothing else."""
    skipped: list[int] = []
    splitter = LineSplitter(limit, skipped.append)
    bounds = sorted({0, len(octets), *(min(cut, len(octets)) for cut in cuts)})
    found = [line for start, end in pairwise(bounds) for line in splitter.feed(octets[start:end])]
    *whole, _ = octets.split(b"\n")
    assert found == [line for line in whole if 0 < len(line) <= limit]
    assert splitter.pending <= limit
    assert len(skipped) - (len(octets.rpartition(b"\n")[2]) > limit) == sum(len(line) > limit for line in whole)


def test_an_endless_line_is_not_kept() -> None:
    """What is held stays below the limit however much comes, it is told once, and the next line is whole."""
    skipped: list[int] = []
    splitter = LineSplitter(100, skipped.append)
    for _ in range(1000):
        assert splitter.feed(b"x" * 30) == []
        assert splitter.pending <= 100
    assert splitter.feed(b"x\nnext\nlast") == [b"next"]
    assert skipped == [120]
    assert splitter.feed(b"\n") == [b"last"]


class Said(NamedTuple):
    """A Status with its HTTP code, and the error it stands for."""

    title: str
    status: Status
    code: int
    error: type[ApiError]
    reason: str


SAID = (
    Said("410", Status(410, "Expired", "too old"), 410, Expired, "410: too old"),
    Said("410 within an event", Status(410, "Gone"), 0, Expired, "410: Gone"),
    Said(
        "a version from the future",
        Status(504, "Timeout", "later", StatusDetails(causes=[None, Cause("ResourceVersionTooLarge")])),
        504,
        Expired,
        "504: later",
    ),
    Said(
        "the same from an old server",
        Status(504, "Timeout", "Too large resource version: 9, current: 5"),
        504,
        Expired,
        "504: Too large resource version: 9, current: 5",
    ),
    Said("429", Status(429, "TooManyRequests", "slow down"), 429, Throttled, "429: slow down"),
    Said("401", Status(401, "Unauthorized", "Unauthorized"), 401, Denied, "401: may not list (Unauthorized)"),
    Said("403 without words", Status(), 403, Denied, "403: may not list"),
    Said("500", Status(500, "InternalError", "etcd"), 500, ApiError, "500: etcd"),
    Said("lines and length", Status(500, "", "a\n  b" + "c" * 500), 500, ApiError, "500: a b" + "c" * 250 + "..."),
    Said("nothing at all", Status(), 0, ApiError, "500: "),
)


@pytest.mark.parametrize("case", SAID, ids=lambda case: case.title)
def test_refusals(case: Said) -> None:
    """Each refusal becomes the error for the reaction it needs, with one short line of text."""
    error = refusal(case.status, code=case.code, denied="may not list")
    assert type(error) is case.error
    assert reason_of(error) == case.reason


@pytest.mark.parametrize(
    ("status", "after", "seconds"),
    [
        (Status(429), 7.0, 7.0),
        (Status(429, details=StatusDetails(retry_after_seconds=9)), None, 9.0),
        (Status(429, details=StatusDetails(retry_after_seconds=9)), 3.0, 3.0),
        (Status(429), None, 1.0),
        (Status(429), 86400.0, 300.0),
    ],
)
def test_how_long_a_server_makes_us_wait(status: Status, after: float | None, seconds: float) -> None:
    """The header counts before the body, a second if neither says, and never more than five minutes."""
    error = refusal(status, after=after)
    assert isinstance(error, Throttled)
    assert error.after == seconds


def no_line(octets: int) -> None:
    """No event of these tests is too large."""
    pytest.fail(f"skipped {octets} octets")


@asynccontextmanager
async def api_of(url: str, timeout: float = 5.0) -> AsyncIterator[Api]:  # noqa: ASYNC109 - of the client, not of us
    """A client of that server."""
    async with open_session() as session:
        yield Api(session, Anonymous(url), watch_timeout=timeout)


async def names(api: Api) -> list[bytes]:
    """The objects of every page."""
    return [bytes(item) async for page in api.pages(SERVICES) for item in page.items or ()]


async def test_pages_are_followed_to_the_end() -> None:
    """Every object once, whatever the size of a page; an empty list is one page."""
    objects = [service("shop", f"web-{index}", "10.96.0.9") for index in range(7)]
    for page_limit in (1, 3, 7, 0):
        async with FakeApiServer(objects, page_limit=page_limit) as fake, api_of(fake.url) as api:
            assert len(await names(api)) == 7
            assert len(fake.asked) == {1: 7, 3: 3, 7: 1, 0: 1}[page_limit]
    async with FakeApiServer() as fake, api_of(fake.url) as api:
        assert await names(api) == []


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        (SYSTEM_COREDNS, wants(KubernetesOptions(pods="verified"))),
        (SYSTEM_NODE_PROXIER, proxy_wants("node1")),
    ],
    ids=["DNS", "proxy"],
)
async def test_only_what_may_be_done_is_asked(rules: frozenset[Rule], wanted: list[Want]) -> None:
    """Every kind is listed, watched, and asked for its version, under the rules of the ClusterRole that it has."""
    async with FakeApiServer(rules=rules) as fake, api_of(fake.url) as api:
        for want in wanted:
            assert ("list", RESOURCES[want.kind].group, RESOURCES[want.kind].plural) in rules
            assert await api.newest(want) == (str(fake.version), 0)
            assert [page.version async for page in api.pages(want)] == [str(fake.version)]
            async with api.watch(want, since="", seconds=60, skipped=no_line) as lines:
                assert b"initial-events-end" in (await anext(lines))[-1]
    assert {asked.verb for asked in fake.asked} == {"list", "watch"}


async def test_an_error_inside_a_watch_is_no_refusal_to_stream() -> None:
    """Only the reply to the request says whether the server streams lists; it is remembered then."""
    async with FakeApiServer() as fake, api_of(fake.url) as api:
        with pytest.raises(ApiError) as caught:
            async with api.watch(SERVICES, since="", seconds=60, skipped=no_line):
                raise ApiError(422, "Invalid", "from an event")
        assert type(caught.value) is ApiError
        assert api.streams_lists
        fake.streaming_lists = False
        with pytest.raises(StreamingRefused):
            async with api.watch(SERVICES, since="", seconds=60, skipped=no_line):
                pytest.fail("it was opened")
        assert not api.streams_lists


async def _text_reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 12\r\n\r\n<html>no\xff\r\n\r")
    await writer.drain()


async def _not_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await writer.drain()


async def _garbage_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"items":')
    await writer.drain()


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server that does this with each connection, then closes it."""
    tasks: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(handle(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*tasks)


class Fault(NamedTuple):
    """A server that is none, and what operators read of it."""

    title: str
    serve: Serve
    code: int
    reason: str


FAULTS = (
    Fault("a gateway's page", _text_reply, 502, "502: <html>no"),
    Fault("no HTTP", _not_http, 0, "lost: the reply is not HTTP"),
    Fault("half a list", _garbage_list, 0, "garbage: the reply is not a list of services: "),
    Fault("silence", _nothing, 0, "timeout: nothing heard for 0.3 s"),
    Fault("hanging up", _hang_up, 0, "lost: "),
)


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.title)
async def test_servers_that_are_none(case: Fault) -> None:
    """Whatever answers, or does not, comes out as an ApiError with one line that says what kind of fault it was."""
    async with listening(case.serve) as url, api_of(url, 0.3) as api:
        with pytest.raises(ApiError) as caught:
            await api.newest(SERVICES)
    assert caught.value.code == case.code
    assert reason_of(caught.value).startswith(case.reason)
    assert "\n" not in reason_of(caught.value)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, kept from others while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_a_refused_connection(closed_port: int) -> None:
    """It is called refused, with the address."""
    async with api_of(f"http://127.0.0.1:{closed_port}") as api:
        with pytest.raises(ApiError) as caught:
            await api.newest(SERVICES)
    assert caught.value.reason == "refused"
    assert reason_of(caught.value) == f"refused: 127.0.0.1:{closed_port}: Connection refused"


async def test_a_refused_tls_connection(closed_port: int) -> None:
    """The same line with TLS: nothing of Python's objects in it."""
    async with open_session() as session:
        with pytest.raises(ApiError) as caught:
            await Api(session, Trusting(f"https://127.0.0.1:{closed_port}")).newest(SERVICES)
    assert reason_of(caught.value) == f"refused: 127.0.0.1:{closed_port}: Connection refused"


async def test_a_name_that_does_not_resolve() -> None:
    """It is called DNS, with the name (RFC 6761: invalid never exists)."""
    async with api_of("https://kube.invalid") as api:
        with pytest.raises(ApiError) as caught:
            await api.newest(SERVICES)
    assert caught.value.reason == "DNS"
    assert reason_of(caught.value).startswith("DNS: cannot resolve kube.invalid (")


class Trusting(Anonymous):
    """Nobody, who knows the server's CA."""

    async def access(self) -> Access:
        """The CA alone."""
        return Access(tls=tls_context(ca_file=str(SERVER.cert)))


async def test_a_certificate_of_somebody_else() -> None:
    """It is called TLS; with the right CA the same server is read."""
    async with FakeApiServer(tls=server_context()) as fake:
        async with api_of(fake.url) as api:
            with pytest.raises(ApiError) as caught:
                await api.newest(SERVICES)
        assert caught.value.reason == "TLS"

        assert reason_of(caught.value).startswith(f"TLS: {fake.url.removeprefix('https://')}: ")
        assert "object at" not in reason_of(caught.value)
        async with open_session() as session:
            assert await Api(session, Trusting(fake.url)).newest(SERVICES) == (str(fake.version), 0)


async def test_the_kernel_watches_over_a_watch() -> None:
    """TCP keep-alive is on, so that a peer that vanished is noticed between bookmarks too."""
    async with FakeApiServer() as fake, open_session() as session:
        api = Api(session, Anonymous(fake.url))
        async with api.watch(SERVICES, since="", seconds=60, skipped=no_line) as lines:
            await anext(lines)
            (connection,) = session.connector._acquired  # type: ignore[union-attr]
            assert connection.transport is not None
            connected = connection.transport.get_extra_info("socket")
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


async def test_retry_after_comes_from_the_header() -> None:
    """A refusal's header reaches the error."""
    async with FakeApiServer() as fake, api_of(fake.url) as api:
        fake.next_reply(refuse(429, retry_after=5))
        with pytest.raises(Throttled) as caught:
            await api.newest(SERVICES)
        assert caught.value.after == 5.0
