"""Attacks on the pages: requests that no browser sends, connections without an end, and objects with markup in them."""

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from msgspec.structs import replace

from kdns.base.objects import (
    READY,
    EndpointPort,
    EndpointSlice,
    EndpointStates,
    Namespace,
    ObjectKey,
    ServicePort,
)
from kdns.ops.port import CONNECTIONS, IDLE
from kdns.watch.source import Upserted
from tests.build import service
from tests.running import PATIENCE
from tests.status.browsing import Browser
from tests.status.serving import Served, cluster, served

HERE = "Host: 127.0.0.1:9180"
MARKUP = "<img src=x onerror=alert(1)>"
HOSTILE = (
    MARKUP,
    "</title></svg><script>alert(1)</script>",
    "'\"><b onclick=alert(1)>",
    "]]><!--{{ 7*7 }}{% x %}",
    "a&lt;b",
)
"""Names that no API server of Kubernetes takes: a hostile one may send them."""

OWN = (
    "/", "/services", "/services?q=none", "/services?state=fault", "/services/shop/web", "/services/shop/broken",
    "/services/shop/elsewhere", "/names?name=web.shop", "/names?name=x.x", "/explain?target=broken.shop",
    "/explain?target=http://", "/chains", "/top",
)  # fmt: skip
"""Pages of well-behaved objects, which between them have every element that a page of ours has."""


async def answered(kdns: Served, request: str, *headers: str) -> tuple[int, str]:
    """The status of an answer and all of its text, for a request line and headers as they stand; 0: closed."""
    url = urlsplit(kdns.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write("\r\n".join((request, *headers, "Connection: close", "", "")).encode())
    async with asyncio.timeout(PATIENCE):
        text = (await reader.read()).decode()
    writer.close()
    return (int(text.split()[1]) if text else 0), text


@pytest.mark.parametrize(
    ("request_line", "headers", "expected"),
    [
        ("GET / HTTP/1.1", ("Host: evil.example",), 421),  # DNS rebinding
        ("GET / HTTP/1.1", ("Host: 127.0.0.1.evil.example:9180",), 421),
        ("GET / HTTP/1.0", (), 421),
        ("GET / HTTP/1.1", (), 400),  # RFC 9112 section 3.2: Host must be there, once
        ("GET / HTTP/1.1", (HERE, "Host: evil.example"), 400),
        ("GET /overview.json HTTP/1.1", ("Host: [::1]:9180",), 200),
        ("GET /overview.json HTTP/1.1", ("Host: [2001:db8::1]",), 200),
        ("GET /overview.json HTTP/1.1", ("Host: [::1].evil.example",), 421),
        ("GET http://127.0.0.1:9180/overview.json HTTP/1.1", (HERE,), 200),
        ("GET http://evil.example/overview.json HTTP/1.1", (HERE,), 421),  # RFC 9112 section 3.2.2
        ("GET http://127.0.0.1/overview.json HTTP/1.1", ("Host: evil.example",), 421),
        ("GET //evil.example/services HTTP/1.1", (HERE,), 404),
        ("HEAD / HTTP/1.1", (HERE,), 200),
        ("POST / HTTP/1.1", (HERE, "Content-Length: 0"), 405),
        ("PUT /services HTTP/1.1", (HERE, "Content-Length: 0"), 405),
        ("DELETE /services/shop/web HTTP/1.1", (HERE,), 405),
        ("OPTIONS * HTTP/1.1", (HERE,), 405),
        ("TRACE / HTTP/1.1", (HERE,), 405),
        ("CONNECT evil.example:443 HTTP/1.1", (HERE,), 405),
        ("GET / HTTP/1.1", (HERE, "Transfer-Encoding: chunked", "Content-Length: 3"), 400),
        ("GET / HTTP/1.1", (HERE, f"X: {'a' * 100_000}"), 400),
        ("GET /static/../../../../etc/passwd HTTP/1.1", (HERE,), 404),
        ("GET /static/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1", (HERE,), 404),
        ("GET /static/..%5c..%5csite.py HTTP/1.1", (HERE,), 404),
        ("GET /static//etc/passwd HTTP/1.1", (HERE,), 404),
        ("GET /services/%00/%ff%fe HTTP/1.1", (HERE,), 404),
        ("GET /services/shop%2Fweb HTTP/1.1", (HERE,), 404),
        ("GET /services?q=%ff%ed%a0%80 HTTP/1.1", (HERE,), 200),
        (f"GET /services?{'q=a&' * 600} HTTP/1.1", (HERE,), 414),
    ],
)  # fmt: skip
async def test_no_request_gets_more_than_a_page(
    tmp_path: Path, request_line: str, headers: tuple[str, ...], expected: int
) -> None:
    """Whatever is asked, the answer is a page of ours or a refusal, and never a file or an echo."""
    async with served(cluster(tmp_path)) as kdns:
        status, text = await answered(kdns, request_line, *headers)
        assert status == expected
        assert "root:" not in text
        if expected not in {400, 405}:  # these the port itself answers, with a line of plain text
            assert "Content-Security-Policy: default-src 'none'" in text
            assert "X-Content-Type-Options: nosniff" in text
        if request_line.startswith("HEAD"):
            assert text.endswith("\r\n\r\n")
        if expected == 405:
            assert "Allow: GET,HEAD\r\n" in text
            assert "Content-Type: text/plain" in text


async def test_what_looks_like_a_header_is_text(tmp_path: Path) -> None:
    """An encoded end of line in an argument makes no header."""
    async with served(cluster(tmp_path)) as kdns:
        _, text = await answered(kdns, "GET /names?name=a%0d%0aSet-Cookie:x=1 HTTP/1.1", HERE)
        assert "\nSet-Cookie" not in text.partition("\r\n\r\n")[0]


async def test_those_who_never_finish_are_closed(tmp_path: Path) -> None:
    """A request that is never sent to its end is closed after some seconds; meanwhile others are answered."""
    async with served(cluster(tmp_path)) as kdns:
        url = urlsplit(kdns.url)
        slow = [await asyncio.open_connection(url.hostname, url.port) for _ in range(20)]
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        assert (await kdns.get("/overview.json"))[0] == 200
        async with asyncio.timeout(IDLE + PATIENCE):
            ends = await asyncio.gather(*(reader.read() for reader, _ in slow), return_exceptions=True)
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ends)
        for _, writer in slow:
            writer.close()


async def test_ever_more_connections(tmp_path: Path) -> None:
    """So many are open at most; each new one closes the one that was idle longest, so that people still get in."""
    async with served(cluster(tmp_path)) as kdns:
        url = urlsplit(kdns.url)
        several = [await asyncio.open_connection(url.hostname, url.port) for _ in range(3 * CONNECTIONS)]
        assert (await kdns.get("/overview.json"))[0] == 200
        async with asyncio.timeout(PATIENCE):
            first = several[: 2 * CONNECTIONS]
            ends = await asyncio.gather(*(reader.read() for reader, _ in first), return_exceptions=True)
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ends)
        for _, writer in several:
            writer.close()


class Tags(HTMLParser):
    """The elements of a page, and those of their attributes that run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.running: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.running |= {key for key, value in attrs if key.startswith("on") or (value or "").startswith("javascript:")}


def given(kdns: Served) -> None:
    """Hand the server objects with markup in all that pages show, past the decoder, which refuses such names."""
    (follower,) = kdns.app.clusters.followers
    for number, name in enumerate(HOSTILE):
        key = ObjectKey("Service", name, name)
        port = ServicePort(name, "TCP", 80, 30080 + number)
        states = EndpointStates(bytes((10, 244, 0, number + 1)), bytes((READY,)), (name,))
        ports = (EndpointPort(name, "TCP", 80),)
        part = EndpointSlice(ObjectKey("EndpointSlice", name, name), name, 4, ports=ports, states=states)
        alias = ObjectKey("Service", name, f"x{number}")
        for made in (
            Namespace(ObjectKey("Namespace", "", name)),
            replace(service("a/b", [f"10.96.1.{number + 1}"], [port]), key=key),
            part,
            replace(service("a/b", external="a.example"), key=alias, external_name=name),
        ):
            follower.take(Upserted(made), 0.0)


def pages() -> list[str]:
    """Every page that shows them, and what people typed."""
    named = [f"/services/{quote(name, safe='')}/{quote(name, safe='')}" for name in HOSTILE]
    aliases = [f"/services/{quote(name, safe='')}/x{number}" for number, name in enumerate(HOSTILE)]
    typed = [
        f"{path}{quote(name)}" for name in HOSTILE for path in ("/services?q=", "/names?name=", "/explain?target=")
    ]
    return ["/", "/services", "/services?state=fault", "/chains", "/top", *named, *aliases, *typed]


async def test_markup_in_objects_is_text(tmp_path: Path) -> None:
    """No name, port, node or address of an object becomes an element, in tables, in the drawing, in a search; as JSON
    they are as they are, and are not taken for a page."""
    async with served(cluster(tmp_path)) as kdns:
        own = Tags("".join([(await kdns.get(path))[1] for path in OWN])).names
        assert not own & {"img", "iframe", "object"}
        given(kdns)
        for path in pages():
            status, text, headers = await kdns.get(path)
            assert status in {200, 400}, path
            assert headers["X-Content-Type-Options"] == "nosniff"
            tags = Tags(text)
            assert tags.names <= own, path
            assert tags.running == set(), path
            name, mark, query = path.partition("?")
            status, _, headers = await kdns.get(f"{name if name != '/' else '/overview'}.json{mark}{query}")
            assert headers["Content-Type"] == "application/json; charset=utf-8"
        listed = (await kdns.json("/services.json"))["services"]
        assert set(HOSTILE) <= {line["name"] for line in listed}


@pytest.mark.browser
@pytest.mark.e2e
async def test_a_browser_runs_none_of_it(browser: Browser, tmp_path: Path) -> None:
    """Each page of hostile objects in a browser: no element of theirs, no script, no request."""
    async with served(cluster(tmp_path)) as kdns:
        given(kdns)

        def visit() -> None:
            for path in pages():
                browser.open(kdns.url + path)
                assert browser.run("return document.querySelectorAll('main img, main script, [onclick]').length") == 0
                assert len(browser.run("return [...document.scripts]")) == 1

        await asyncio.to_thread(visit)
        assert browser.asked() == {urlsplit(kdns.url).netloc}
        assert [line for line in browser.complaints() if "404" not in line and "400" not in line] == []
