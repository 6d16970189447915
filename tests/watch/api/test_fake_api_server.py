"""The fake must be as strict as the real server where kdns leans on it."""

import json
from typing import Any

import aiohttp
import pytest

from kdns.watch.selectors import field_selector, label_selector
from tests.fakes.api_server import FakeApiServer
from tests.fakes.background import BackgroundApiServer
from tests.fakes.objects import namespace, pod, service

WEB = service("shop", "web", "10.96.0.9")


@pytest.mark.parametrize(
    ("selector", "picked"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=db", False),
        ("app!=db", True),
        ("none!=x", True),
        ("app in (db, web)", True),
        ("app in (db),tier", False),
        ("app notin (db)", True),
        ("none notin (db)", True),
        ("tier", True),
        ("!tier", False),
        ("!none", True),
    ],
)
def test_label_selectors(selector: str, picked: bool) -> None:
    """As in Kubernetes: a missing label passes != and notin."""
    assert label_selector(selector)({"app": "web", "tier": "front"}) is picked


def test_field_selectors() -> None:
    """A field that is missing is the empty text."""
    assert field_selector("status.phase!=Failed,metadata.name=web")({"metadata.name": "web"})
    assert not field_selector("status.phase=Running")({})


async def get(url: str) -> tuple[int, Any]:
    """Status and body."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, json.loads(await response.read())


async def test_the_rules_of_system_coredns() -> None:
    """list and watch of five kinds, whole cluster or one namespace, and no get of anything."""
    async with FakeApiServer([WEB, namespace("shop"), pod("shop", "web-1", "10.244.0.4")]) as api:
        for path, status in (
            ("/api/v1/services", 200),
            ("/api/v1/endpoints", 200),
            ("/api/v1/pods", 200),
            ("/api/v1/namespaces", 200),
            ("/apis/discovery.k8s.io/v1/endpointslices", 200),
            ("/api/v1/namespaces/shop/services", 200),
            ("/api/v1/namespaces/shop/services/web", 403),
            ("/api/v1/namespaces/shop", 403),
            ("/api/v1/nodes", 403),
            ("/apis/networking.k8s.io/v1/servicecidrs?watch=1", 403),
            ("/api/v1/secrets", 404),
            ("/version", 200),
            ("/apis/discovery.k8s.io/v1", 200),
        ):
            assert (await get(api.url + path))[0] == status, path
        _, denied = await get(f"{api.url}/api/v1/nodes")
        assert denied["message"].startswith(
            'nodes is forbidden: User "system:serviceaccount:kube-system:coredns" cannot'
        )


async def test_pages_show_one_moment() -> None:
    """Later pages show the list as it was at the first one, until the snapshot is forgotten."""
    objects = [service("shop", f"web-{index}", "10.96.0.9") for index in range(3)]
    async with FakeApiServer(objects) as api:
        first, page = await get(f"{api.url}/api/v1/services?limit=2")
        api.delete("Service", "shop", "web-2")
        token = page["metadata"]["continue"]
        second, rest = await get(f"{api.url}/api/v1/services?limit=2&continue={token}")
        assert (first, second) == (200, 200)
        assert [item["metadata"]["name"] for item in rest["items"]] == ["web-2"]
        assert rest["metadata"] == {"resourceVersion": page["metadata"]["resourceVersion"]}
        api.compact()
        assert (await get(f"{api.url}/api/v1/services?limit=2&continue={token}"))[0] == 410


async def test_an_open_watch_loses_nothing_when_history_is_forgotten() -> None:
    """What was written before a compaction still reaches the watches that were open."""
    async with FakeApiServer([WEB]) as api, aiohttp.ClientSession() as session:
        watch = f"{api.url}/api/v1/services?watch=1&resourceVersion={api.version}"
        async with session.get(watch) as response:
            for index in range(3):
                api.put(service("shop", f"web-{index}", "10.96.0.10"))
                api.compact()
            api.put(service("shop", "web-3", "10.96.0.10"))
            for index in range(4):
                event = json.loads(await response.content.readline())
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", f"web-{index}")


def test_in_another_process() -> None:
    """It can be filled, asked and told from here, and ends with the block."""
    with BackgroundApiServer(version=50) as api:
        before = api.call("version")
        assert api.call("put", WEB) == before + 1
        assert api.call("patch", "Service", "shop", "web", {"spec": {"clusterIP": None}}) == before + 2
        api.call("set_bookmark_every", 0.5)
        assert api.call("bookmark_every") == 0.5
        with pytest.raises(KeyError):
            api.call("delete", "Service", "shop", "none")
        assert not api.ended
    assert api.ended
