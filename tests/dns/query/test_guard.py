"""A plugin that is wrong costs its own queries a SERVFAIL, is named, and nothing else happens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Client, Handler, Plugin, Request, Response, chain
from kdns.dns.api.plugin import Built
from kdns.dns.query.guard import guarded
from kdns.wire.numbers import SERVFAIL
from kdns.wire.query import Query
from tests.dns.parts import ManualClock

QUERY = Query(1, 0, b"\1a\0\0\1\0\1", b"\1a\0", 1, 1)
REQUEST = Request(QUERY, Client("192.0.2.1", 1, "192.0.2.2", "udp", 1))
Handle = Callable[[Request, Handler], Awaitable[Any]]


class Told:
    """What was told of plugins."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def failed(self, name: str, error: BaseException, request: Request | None) -> None:
        """A bug."""
        self.lines.append(f"{name} failed: {type(error).__name__}{'' if request else ' on the fast path'}")

    def slow(self, name: str, seconds: float) -> None:
        """It took long."""
        self.lines.append(f"{name} slow: {seconds:.3f}")


def plugin(handle: Handle) -> Plugin:
    """A plugin of one function."""

    def around(following: Handler) -> Handler:
        async def handler(request: Request) -> Response:
            response: Response = await handle(request, following)
            return response

        return handler

    return around


async def good(_: Request) -> Response:
    """The end of the chain."""
    return Response(plugin="good")


async def raises(_: Request, __: Handler) -> Response:
    raise ValueError("bug")


async def leaves(_: Request, __: Handler) -> Response:
    raise SystemExit(3)


async def cancels(_: Request, __: Handler) -> Response:
    raise asyncio.CancelledError


async def forgets(request: Request, following: Handler) -> None:
    await following(request)


async def upstream_fails(_: Request, __: Handler) -> Response:
    raise UpstreamError("no upstream")


@pytest.mark.parametrize("foreign", [True, False])
@pytest.mark.parametrize(
    ("handle", "told"),
    [
        (raises, "mine failed: ValueError"),
        (leaves, "mine failed: SystemExit"),
        (cancels, "mine failed: CancelledError"),
        (forgets, "mine failed: TypeError"),
    ],
)
async def test_a_bug_is_servfail(handle: Handle, told: str, foreign: bool) -> None:
    """Whatever a plugin raises, or if it returns nothing, the answer is SERVFAIL and the plugin is named once."""
    incidents = Told()
    front = guarded("front", Built(plugin=plugin(lambda request, on: on(request))), incidents, foreign=foreign)
    mine = guarded("mine", Built(plugin=plugin(handle)), incidents, foreign=foreign)
    assert front.plugin is not None
    assert mine.plugin is not None
    response = await chain((front.plugin, mine.plugin), good)(REQUEST)
    assert (response.rcode, response.plugin) == (SERVFAIL, "mine")
    assert incidents.lines == [told]


async def test_an_upstream_that_fails_is_no_bug() -> None:
    """UpstreamError goes on to the plugins in front, and nobody is named."""
    incidents = Told()
    mine = guarded("mine", Built(plugin=plugin(upstream_fails)), incidents, foreign=True)
    assert mine.plugin is not None
    with pytest.raises(UpstreamError):
        await chain((mine.plugin,), good)(REQUEST)
    assert incidents.lines == []


async def test_who_holds_the_loop_is_named() -> None:
    """Time is counted for the plugin that spends it: not while it waits, and not for what stands behind it."""
    clock, incidents = ManualClock(), Told()

    async def busy(request: Request, following: Handler) -> Response:
        clock.now += 0.06
        await asyncio.sleep(0)
        clock.now += 0.04
        return await following(request)

    async def waits(request: Request, following: Handler) -> Response:
        clock.now += 0.03
        response = await following(request)
        clock.now += 0.03
        return response

    async def slow_end(_: Request) -> Response:
        clock.now += 5
        await asyncio.sleep(0)
        clock.now += 5
        return Response(plugin="good")

    plugins = [
        guarded(name, Built(plugin=plugin(handle)), incidents, foreign=True, clock=clock).plugin
        for name, handle in (("waits", waits), ("busy", busy))
    ]
    response = await chain([each for each in plugins if each is not None], slow_end)(REQUEST)
    assert response.plugin == "good"
    assert incidents.lines == ["busy slow: 0.060"]


async def test_a_query_that_is_given_up() -> None:
    """Cancelling a query reaches the plugin, its clean-up runs, and that is no bug."""
    incidents, seen = Told(), []

    async def waits(_: Request, __: Handler) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")
        return Response()

    mine = guarded("mine", Built(plugin=plugin(waits)), incidents, foreign=True)
    assert mine.plugin is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await chain((mine.plugin,), good)(REQUEST)
    assert seen == ["cleaned up"]
    assert incidents.lines == []


def test_bugs_on_the_fast_path() -> None:
    """What is asked without a chain may raise as well: then it has nothing ready, and must see the query."""

    def find(_: Query) -> None:
        raise KeyError

    def must_see(_: bytes, __: bool) -> bool:
        raise KeyError

    incidents = Told()
    mine = guarded("mine", Built(precompiled=find, must_see=must_see), incidents, foreign=True)
    assert mine.precompiled is not None
    assert mine.precompiled(QUERY) is None
    assert mine.must_see(b"\0", False)
    assert incidents.lines == ["mine failed: KeyError on the fast path"] * 2


def test_state_of_a_plugin_is_its_own() -> None:
    """A plugin is put around its neighbour once, not for each query."""
    made = []

    def around(following: Handler) -> Handler:
        made.append(following)
        return following

    mine = guarded("mine", Built(plugin=around), Told(), foreign=True)
    assert mine.plugin is not None
    handler = chain((mine.plugin,), good)
    for _ in range(3):
        asyncio.run(_ask(handler))
    assert len(made) == 1


async def _ask(handler: Handler) -> Response:
    return await handler(REQUEST)
