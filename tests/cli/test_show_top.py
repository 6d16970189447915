"""``kdns top``: the page of a server as tables; anything else at that address is an error with its address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kdns.base.errors import ConfigError
from kdns.cli.show_top import show
from kdns.dns.query.top import Top
from kdns.wire.name import parse_name
from kdns.wire.numbers import SERVFAIL, A


@asynccontextmanager
async def serving(body: object, status: int = 200) -> AsyncIterator[str]:
    """An HTTP server with one page; its URL."""

    async def page(_: web.BaseRequest) -> web.Response:
        return web.json_response(body, status=status)

    runner = web.ServerRunner(web.Server(page))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/top"
    finally:
        await runner.cleanup()


async def printed(url: str, form: str = "text") -> int:
    """The exit status of one look."""
    return await show(url, node="", source="cluster", window="10m", form=form, once=True)


async def test_what_a_server_has_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Names with their shares, and the last failures with why."""
    top = Top()
    for _ in range(3):
        top.chain("192.0.2.7", parse_name("web.example.org"), A, 0, "", "", 0.001)
    top.chain("192.0.2.7", parse_name("down.example.org"), A, SERVFAIL, "no healthy proxies", "", 2.0)
    top.refused("192.0.2.8", "too many connections of this client")
    async with serving(top.values()) as url:
        assert await printed(url) == 0
    text = capsys.readouterr().out
    assert "4 questions in the last 10m" in text
    assert "   75 %  web.example.org." in text
    assert "refused  192.0.2.8: too many connections of this client" in text
    assert "SERVFAIL  down.example.org. A  192.0.2.7 after 2.0 s: no healthy proxies" in text


@pytest.mark.parametrize("body", [{}, [], None, {"windows": []}, {"windows": {"10m": {}}, "failures": []}])
async def test_a_page_of_something_else(body: object) -> None:
    """JSON that is not this page's is an error of the command line, with the address."""
    async with serving(body) as url:
        with pytest.raises(ConfigError, match=f"{url}.*not the page of"):
            await printed(url)


async def test_a_server_without_the_page() -> None:
    """Its status is named, and what it lacks."""
    async with serving({}, status=404) as url:
        with pytest.raises(ConfigError, match="HTTP status 404") as raised:
            await printed(url)
    assert "plugin top" in str(raised.value)
