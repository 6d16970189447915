"""How the reflector lists: streaming, in pages, and what of a list is kept."""

import pytest

from kdns.watch.source import Upserted, Want
from tests.fakes.api_server import FakeApiServer, refuse
from tests.fakes.faults import Cut, Error
from tests.fakes.objects import endpoint_slice, pod, service
from tests.watch.api.dialogue import SLICES, Following, asked

WEB = service("shop", "web", "10.96.0.9")
DB = service("shop", "db", "10.96.0.10")
NEW = service("shop", "new", "10.96.0.11")


async def test_a_streaming_list_goes_over_into_its_watch() -> None:
    """List and watch are one request where the server can; events follow the list on the same connection."""
    async with FakeApiServer([WEB, DB]) as api, Following(api) as seen:
        await seen.synced()
        api.put(NEW)
        api.delete("Service", "shop", "db")
        await seen.until_said("gone")
        assert seen.said == [
            "listing Service",
            "put Service shop/web",
            "put Service shop/db",
            "listed Service",
            "put Service shop/new",
            "gone Service shop/db",
        ]
        assert asked(api) == ["stream services"]


@pytest.mark.parametrize("code", [400, 404, 422])
async def test_a_server_without_streaming_lists_is_asked_for_pages(code: int) -> None:
    """The refusal is remembered: every later list comes in pages at once, and the watch goes on at its version."""
    objects = [service("shop", f"web-{index}", "10.96.0.9") for index in range(5)]
    async with FakeApiServer(objects, streaming_lists=False, page_limit=2) as api:
        api.next_reply(refuse(code), verb="stream")
        async with Following(api) as seen:
            await seen.synced()
            first = api.version
            api.put(NEW)
            await seen.until_said("put Service shop/new")
            api.compact()
            api.disturb(Error(refuse(410)))
            await seen.until_said("listed", 2)
        pages = ["list services", "list services more", "list services more"]
        assert asked(api)[:8] == ["stream services", *pages, f"watch services {first}", *pages]


@pytest.mark.parametrize("bookmark_every", [0.02, 60.0], ids=["a plain bookmark", "silence"])
async def test_a_streaming_list_that_never_ends(bookmark_every: float) -> None:
    """Some servers take the option and never say that the list is complete: pages do, and that is remembered."""
    async with FakeApiServer([WEB, DB], bookmark_every=bookmark_every) as api:
        api.ends_lists = False
        async with Following(api, watch_timeout=2.0) as seen:
            await seen.synced()
            assert asked(api)[:2] == ["stream services", "list services"]
            await seen.until(lambda: len(api.watchers) == 1)
            api.disturb(Error(refuse(410)))
            await seen.until_said("listed", 2)
            assert asked(api).count("stream services") == 1


@pytest.mark.parametrize("how", ["reply", "event"])
async def test_a_server_that_fails_at_streaming_lists(how: str) -> None:
    """An internal error may be about the option alone: pages are asked for at once, and nothing is remembered.

    kube-apiserver 1.35 over etcd 3.4.23 says it with an event, "a watch stream was requested by the client but the
    required storage feature RequestWatchProgress is disabled"; client-go goes over to pages, too.
    """
    async with FakeApiServer([WEB, DB]) as api:
        if how == "reply":
            api.next_reply(refuse(500), verb="stream", times=2)
        else:
            api.fails_at_streaming = refuse(500)
        async with Following(api) as seen:
            await seen.synced()
            assert asked(api)[:2] == ["stream services", "list services"]
            assert not [text for text in seen.said if text.startswith("lost")]
            await seen.until(lambda: len(api.watchers) == 1)
            api.disturb(Error(refuse(410)))
            await seen.until_said("listed", 2)
            assert asked(api)[3:5] == ["stream services", "list services"]


async def test_a_list_whose_snapshot_expires_begins_anew() -> None:
    """410 in the middle of a paged list: the list starts over, and is complete."""
    objects = [service("shop", f"web-{index}", "10.96.0.9") for index in range(5)]
    async with FakeApiServer(objects, streaming_lists=False, page_limit=2) as api:
        api.next_reply(refuse(410), verb="list", page=2)
        async with Following(api) as seen:
            await seen.synced()
            assert seen.said.count("listing Service") == 2
            assert len(seen.names()) == 5


async def test_an_object_nobody_can_read_is_skipped_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """Wrong types, wrong addresses: that object is not served, all others are, in lists and in watches."""
    odd = service("shop", "odd", "10.96.0.300")
    worse = service("shop", "worse", "10.96.0.12")
    worse["spec"]["ports"] = "none"
    for streaming in (True, False):
        caplog.clear()
        async with FakeApiServer([odd, WEB, worse], streaming_lists=streaming) as api, Following(api) as seen:
            await seen.synced()
            assert seen.names() == {"shop/web"}
            api.patch("Service", "shop", "web", {"spec": {"clusterIP": "x", "clusterIPs": ["x"]}})
            await seen.until_said("gone Service shop/web")
        warnings = [record.getMessage() for record in caplog.records]
        assert [text.partition(" left out: ")[0] for text in warnings] == [
            "Service shop/odd",
            "Service shop/worse",
            "Service shop/web",
        ]


async def test_an_object_that_turns_unreadable_while_it_is_listed_is_gone() -> None:
    """A streaming list goes on with events: the last one about an object counts, not the one that could be read."""
    async with FakeApiServer([WEB], bookmark_every=60.0) as api:
        api.ends_lists = False
        async with Following(api) as seen:
            await seen.until_said("put Service shop/web")
            api.patch("Service", "shop", "web", {"spec": {"clusterIP": "x", "clusterIPs": ["x"]}})
            await seen.until_said("gone Service shop/web")


async def test_selectors_are_the_servers_work() -> None:
    """Label and field selectors go into list and watch; a Pod that ends leaves like one that is deleted."""
    ended = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
    pods = [
        pod("shop", "web-1", "10.244.0.4", app="web"),
        pod("shop", "web-2", "10.244.0.5", app="web", phase="Failed"),
        pod("shop", "db-1", "10.244.0.6", app="db"),
    ]
    want = Want("Pod", label_selector="app in (web)", field_selector=ended)
    for streaming in (True, False):
        async with FakeApiServer(pods, streaming_lists=streaming) as api, Following(api, want) as seen:
            await seen.synced()
            assert [kept.address for kept in seen.store.pods()] == ["10.244.0.4"]
            api.patch("Pod", "shop", "web-1", {"status": {"phase": "Succeeded"}})
            await seen.until_said("gone Pod shop/web-1")


async def test_what_was_there_before_has_no_trigger_time() -> None:
    """Time from cluster change to answer is measured for events, never for what a list brings."""
    stamped = endpoint_slice("shop", "web-1", "web", ["10.244.0.4"])
    stamped["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"}
    for streaming in (True, False):
        async with FakeApiServer([stamped], streaming_lists=streaming) as api, Following(api, SLICES) as seen:
            await seen.synced()
            api.patch("EndpointSlice", "shop", "web-1", {"endpoints": []})
            await seen.until(lambda: isinstance(seen.events[-1], Upserted) and len(seen.events) >= 4)
            triggered = [event.triggered for event in seen.events if isinstance(event, Upserted)]
            assert triggered == [None, 1767225600.0]


async def test_a_broken_list_is_not_a_list() -> None:
    """A streaming list that ends before its bookmark, or breaks: nothing is swept, and it begins anew."""
    async with FakeApiServer([WEB, DB]) as api:
        api.pace = (100, 0.02)
        async with Following(api) as seen:
            await seen.until_said("put")
            assert api.disturb(Cut()) == 1
            for transport in tuple(api._transports):
                transport.abort()
            api.pace = None
            await seen.synced()
            assert seen.names() == {"shop/web", "shop/db"}
            assert seen.said.count("listing Service") == 2
            assert seen.said.count("listed Service") == 1
