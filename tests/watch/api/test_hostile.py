"""Objects and replies that nobody writes by mistake: what they can do harm to is at most themselves."""

import gzip
import json
import logging
from typing import Any

import pytest
from aiohttp import web

from kdns.base.errors import ApiError
from kdns.watch.api.client import Api, open_session, user_agent
from kdns.watch.api.credentials import Anonymous
from kdns.watch.api.failures import reason_of
from kdns.watch.source import Want
from tests.fakes.api_server import FakeApiServer, refuse
from tests.fakes.faults import Error, Refusal, Say
from tests.fakes.objects import endpoint_slice, namespace, service
from tests.watch.api.dialogue import SERVICES, SLICES, Following, asked

WEB = service("shop", "web", "10.96.0.9")
DB = service("shop", "db", "10.96.0.10")
NEW = service("shop", "new", "10.96.0.11")
DEPTHS = (2_000, 10_000)
"""Go's encoding/json, and so an API server, takes up to 10,000."""


def deep(levels: int) -> bytes:
    """``fieldsV1`` of so many levels."""
    return b'{"f:x":' * levels + b"{}" + b"}" * levels


def with_fields(body: dict[str, Any], levels: int, version: int) -> bytes:
    """An object with such managedFields, as the API server would write it."""
    body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version), "managedFields": "HERE"}}
    return json.dumps(body).encode().replace(b'"HERE"', b'[{"fieldsV1":' + deep(levels) + b"}]")


async def deepen(api: FakeApiServer, body: dict[str, Any], levels: int) -> None:
    """Store an object that is nested so deeply that Python's own json could not."""
    stored = api.state.put(body)
    collection = api.state.collections["services"]
    for key, known in collection.objects.items():
        if known is stored or known.raw == stored.raw:
            collection.objects[key] = known._replace(raw=with_fields(body, levels, api.version))


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming list", "pages"])
async def test_a_deep_object_in_a_list(levels: int, streaming: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is left out with one warning that names it; all others are served, and the watch goes on."""
    async with FakeApiServer([WEB], streaming_lists=streaming) as api:
        await deepen(api, DB, levels)
        async with Following(api) as seen:
            await seen.synced()
            assert seen.names() == {"shop/web"}
            api.put(NEW)
            await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
            assert not any(said.startswith("lost") for said in seen.said)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["Service shop/db left out: it is nested too deeply"]


@pytest.mark.parametrize("levels", DEPTHS)
async def test_a_deep_object_in_a_watch(levels: int, caplog: pytest.LogCaptureFixture) -> None:
    """An object that turns deep is gone, with one warning; what comes after it is seen on the same watch."""
    async with FakeApiServer([WEB, DB]) as api, Following(api) as seen:
        await seen.synced()
        api.disturb(Say(b'{"type":"MODIFIED","object":' + with_fields(DB, levels, api.version + 1) + b"}"))
        await seen.until_said("gone Service shop/db")
        api.state.version += 1
        api.put(NEW)
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        assert asked(api) == ["stream services"]
    assert [record.getMessage() for record in caplog.records] == ["Service shop/db left out: it is nested too deeply"]


@pytest.mark.parametrize("kind", ["ADDED", "DELETED"])
async def test_deep_lines_without_a_name(kind: str) -> None:
    """A line that is deep and says nothing that can be used is left out, and the watch goes on."""
    line = b'{"type":"' + kind.encode() + b'","object":' + deep(5_000) + b"}"
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        for text in (line, b"[" * 5_000, b'{"type":"BOOKMARK","object":' + deep(5_000) + b"}"):
            api.disturb(Say(text))
        api.put(NEW)
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        assert asked(api) == ["stream services"]


@pytest.mark.parametrize("body", [b"[" * 5_000, deep(5_000)], ids=["list", "object"])
async def test_deep_errors_and_replies(body: bytes) -> None:
    """A Status, a page, or any reply that is too deep is one line, and tried again."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=int(request.query.get("fieldSelector", "200")), body=body)

    runner, url = await _serve(handle)
    try:
        async with open_session() as session:
            api = Api(session, Anonymous(url))
            for code in (200, 403, 500):
                with pytest.raises(ApiError) as caught:
                    await api.newest(Want("Service", field_selector=str(code)))
                assert caught.value.code == (0 if code == 200 else code)
                assert len(reason_of(caught.value)) < 400
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("code", [200, 500])
async def test_compressed_replies_are_refused(code: int) -> None:
    """305 kB of gzip can be 300 MB: nothing is decompressed, and the line says why there is no list."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=code, body=gzip.compress(b"a" * (1 << 22)), headers={"Content-Encoding": "gzip"})

    runner, url = await _serve(handle)
    try:
        async with Following(url) as seen:
            await seen.until_said("lost Service: garbage: the reply is compressed (gzip), which was not asked for")
    finally:
        await runner.cleanup()


async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones() -> None:
    """No reply is held beyond the limit; the list is complete nevertheless."""
    objects = [service("shop", f"web-{index}", "10.96.0.9") for index in range(40)]
    async with FakeApiServer(objects, streaming_lists=False) as api, open_session() as session:
        size = len(json.dumps(objects[0]))
        client = Api(session, Anonymous(api.url), body_limit=size * 12)
        items = [item async for page in client.pages(SERVICES) for item in page.items or ()]
        assert len(items) == 40
        limits = [int(request.query["limit"]) for request in api.asked]
        assert limits == sorted(limits, reverse=True)
        tiny = Api(session, Anonymous(api.url), body_limit=size // 2)
        with pytest.raises(ApiError, match=f"a reply of more than {size // 2} octets"):
            await anext(aiter(tiny.pages(SERVICES)))


FORGED = "web\n[ERROR] plugin/x: a forged line\x1b[31m\u202e"


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming list", "pages"])
async def test_names_are_checked_like_those_of_files(streaming: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A server that checks nothing brings no name that Kubernetes has not: no line breaks in logs, no odd labels."""
    odd = [
        service("shop", FORGED, "10.96.0.12"),
        service("s" * 64, "web", "10.96.0.13"),
        service("shop", "Upper", "10.96.0.14"),
        service("shop", "a.b", "10.96.0.15"),
        namespace("-"),
    ]
    wants = (SERVICES, Want("Namespace"))
    async with FakeApiServer([WEB, *odd], streaming_lists=streaming) as api, Following(api, *wants) as seen:
        await seen.synced()
        assert seen.names() == {"shop/web"}
        assert list(seen.store.namespaces()) == []
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 5
    assert all(text.isprintable() and len(text) < 300 for text in texts)


async def test_ports_and_labels_are_checked(caplog: pytest.LogCaptureFixture) -> None:
    """Odd names of ports, protocols, host names and labels are left out, the rest of their objects is served."""
    web_service = service("shop", "web", "10.96.0.9")
    web_service["spec"]["ports"] = [
        {"name": "http", "port": 80},
        {"name": FORGED, "port": 81},
        {"name": "odd", "port": 82, "protocol": "tcp\n"},
    ]
    slice_ = endpoint_slice("shop", "web-1", "web", ["10.244.0.4"])
    slice_["ports"] = [{"name": "http", "port": 8080}, {"name": FORGED, "port": 8081}]
    slice_["endpoints"][0]["hostname"] = FORGED
    stray = endpoint_slice("shop", "stray-1", FORGED, ["10.244.0.5"])
    async with FakeApiServer([web_service, slice_, stray]) as api, Following(api, SERVICES, SLICES) as seen:
        await seen.synced()
        views = {key.name: view for key, view in seen.store.views()}
    assert set(views) == {"web"}
    assert views["web"].service is not None
    assert [port.name for port in views["web"].service.ports] == ["http"]
    assert [port.port for port in views["web"].slices[0].ports] == [8080]
    assert views["web"].slices[0].hostnames == ()
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert len(caplog.records) == 5


async def test_texts_of_errors_are_one_line() -> None:
    """What a server says in its refusals is shown without control characters."""
    async with FakeApiServer([WEB]) as api:
        api.next_reply(refuse(500, message=FORGED))
        async with Following(api) as seen:
            await seen.synced()
            await seen.until(lambda: len(api.watchers) == 1)
            api.disturb(Error(Refusal(500, "x", FORGED + "again")))
            await seen.until(lambda: any("again" in said for said in seen.said))
            lost = [said for said in seen.said if said.startswith("lost")]
    assert lost
    assert all(said.isprintable() for said in lost)


async def test_we_say_who_we_are() -> None:
    """Audit logs and APF know a client by its User-Agent, as client-go writes it."""
    agents = []

    async def handle(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    runner, url = await _serve(handle)
    try:
        async with open_session() as session:
            await Api(session, Anonymous(url)).newest(SERVICES)
    finally:
        await runner.cleanup()
    assert agents == [user_agent()]
    assert user_agent().startswith("kdns/")
    assert " (linux/" in user_agent()


async def _serve(handle: Any) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"
