"""The lab's API server: kdns's own client follows it, and it says no as a real one does."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kdns.base.objects import ObjectKey
from kdns.lab.api import ApiServer
from kdns.lab.cluster_state import Json
from kdns.watch.open_source import build_source
from kdns.watch.source import Deleted, ListComplete, Upserted, Want

WEB: Json = {
    "kind": "Service",
    "metadata": {"namespace": "shop", "name": "web", "labels": {"app": "web"}},
    "spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80}]},
}
POD: Json = {"kind": "Pod", "metadata": {"namespace": "shop", "name": "web-1"}, "spec": {"nodeName": "node-0"}}


@pytest.fixture
async def api() -> AsyncIterator[tuple[ApiServer, str]]:
    """A server on loopback, and its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = ApiServer()
    await server.serve(listening)
    yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
    await server.close()


async def test_our_client_follows_it(api: tuple[ApiServer, str]) -> None:
    """A list, then each change, and what leaves the selector's view is gone."""
    server, url = api
    server.put(WEB)
    source = await build_source(url)
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def follow() -> None:
        for stream in source.streams([Want("Service", label_selector="app=web")]):
            async for event in stream:
                seen.put_nowait(event)

    async def until(wanted: type) -> object:
        while not isinstance(event := await asyncio.wait_for(seen.get(), 120), wanted):
            continue
        return event

    key = ObjectKey("Service", "shop", "web")
    following = asyncio.create_task(follow())
    try:
        await until(ListComplete)
        server.patch("Service", "shop", "web", {"spec": {"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"]}})
        changed = await until(Upserted)
        assert isinstance(changed, Upserted)
        assert changed.object.key == key
        server.patch("Service", "shop", "web", {"metadata": {"labels": {"app": "other"}}})
        gone = await until(Deleted)
        assert isinstance(gone, Deleted)
        assert gone.key == key
    finally:
        await source.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_writes(api: tuple[ApiServer, str]) -> None:
    """Create, merge, delete; a deleted Pod terminates first; Events are taken."""
    server, url = api
    pods = f"{url}/api/v1/namespaces/shop/pods"
    async with aiohttp.ClientSession() as client:
        async with client.post(pods, json=POD) as reply:
            assert (reply.status, (await reply.json())["metadata"]["name"]) == (200, "web-1")
        async with client.post(pods, json=POD) as reply:
            assert (reply.status, (await reply.json())["reason"]) == (409, "AlreadyExists")
        async with client.patch(f"{pods}/web-1", json={"metadata": {"labels": {"a": "b"}}}) as reply:
            assert (await reply.json())["metadata"]["labels"] == {"a": "b"}
        async with client.delete(f"{pods}/web-1"):
            assert "deletionTimestamp" in server.objects("Pod")[0]["metadata"]
        event = {"kind": "Event", "metadata": {"name": "e", "namespace": "shop"}, "reason": "Seen"}
        async with client.post(f"{url}/api/v1/namespaces/shop/events", json=event) as reply:
            assert reply.status == 201
        assert server.events == [event]
        async with client.get(f"{pods}/nowhere") as reply:
            assert (reply.status, (await reply.json())["reason"]) == (404, "NotFound")


async def test_a_watch_from_the_forgotten(api: tuple[ApiServer, str]) -> None:
    """A version whose history is gone is 410, one from the future 504; a streaming list ends with its bookmark."""
    server, url = api
    server.put(WEB)
    server.state.compact()
    services = f"{url}/api/v1/services?watch=1"
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{services}&resourceVersion=5") as reply:
            assert json.loads(await reply.content.readline())["object"]["code"] == 410
        async with client.get(f"{services}&resourceVersion=999999") as reply:
            assert reply.status == 504
        streaming = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1"
        async with client.get(f"{services}{streaming}") as reply:
            lines = [json.loads(await reply.content.readline()) for _ in range(2)]
            assert [line["type"] for line in lines] == ["ADDED", "BOOKMARK"]
            assert lines[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_token() -> None:
    """Who has not the token is nobody."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = ApiServer("secret")
    await server.serve(listening)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1/services"
    try:
        async with aiohttp.ClientSession() as client:
            async with client.get(url) as reply:
                assert reply.status == 401
            async with client.get(url, headers={"Authorization": "Bearer secret"}) as reply:
                assert reply.status == 200
    finally:
        await server.close()
