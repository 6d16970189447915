"""Dialogues between the reflector and an API server that has a bad day."""

import asyncio
import logging
from typing import NamedTuple

import pytest

from kdns.base.objects import Kind, ObjectKey
from kdns.lab.cluster_state import Json
from kdns.watch.source import Want
from tests.fakes.api_server import SYSTEM_COREDNS, SYSTEM_NODE_PROXIER, FakeApiServer, refuse
from tests.fakes.faults import (
    Close,
    Cut,
    Disturbance,
    Duplicate,
    Error,
    Garbage,
    Mark,
    Oversized,
    Refusal,
    Say,
    Stall,
    too_large,
)
from tests.fakes.objects import endpoint_slice, namespace, service, service_cidr
from tests.watch.api.dialogue import SERVICES, SLICES, Following, asked

WEB = service("shop", "web", "10.96.0.9")
DB = service("shop", "db", "10.96.0.10")
NEW = service("shop", "new", "10.96.0.11")


class Broken(NamedTuple):
    """A watch that breaks, what it is counted as, and whether only a list heals it."""

    title: str
    disturbance: Disturbance
    cause: str
    relists: bool = False


BROKEN = (
    Broken("a line cut in the middle", Cut(), "lost"),
    Broken("the server ends the watch at once", Close(), "closed"),
    Broken("garbage", Garbage(), "garbage"),
    Broken("half an object, then a newline", Say(b'{"type":"ADDED","object":{"metadata":{"name":"x"'), "garbage"),
    Broken("410 as an ERROR event", Error(refuse(410)), "expired", relists=True),
    Broken("our version is from the future", Error(too_large(99, 5)), "older", relists=True),
    Broken("429 as an ERROR event", Error(refuse(429, retry_after=1)), "throttled"),
    Broken("an internal error as an ERROR event", Error(refuse(500)), "error"),
    Broken("an ERROR event without anything in it", Error(Refusal(0, "", "")), "error"),
    Broken("a bookmark from the past", Mark(version=7), "older", relists=True),
    Broken(
        "an event from the past",
        Say(b'{"type":"MODIFIED","object":{"metadata":{"name":"web","namespace":"shop","resourceVersion":"7"}}}'),
        "older",
        relists=True,
    ),
    Broken("silence, not even a bookmark", Stall(), "silent", relists=True),
)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.title)
async def test_a_broken_watch_is_taken_up_again(case: Broken) -> None:
    """Whatever ends a watch, what happened meanwhile is seen, and a list is asked for only where it must be."""
    async with FakeApiServer([WEB, DB]) as api, Following(api, watch_timeout=0.5) as seen:
        await seen.synced()
        api.disturb(case.disturbance)
        await asyncio.sleep(0)
        api.put(NEW)
        api.delete("Service", "shop", "db")
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        await seen.until(lambda: len(api.asked) > 1)
        assert ("stream services" in asked(api)[1:]) == case.relists
        assert seen.said.count("listing Service") == 1 + case.relists
        assert seen.counted("kdns_watch_restarts_total") == {("Service", case.cause): 1}


@pytest.mark.parametrize(
    "disturbance",
    [Duplicate(), Oversized(1 << 17), Mark(), Say(b""), Say(b'{"type":"NEWS","object":{}}'), Say(b"[1]")],
    ids=lambda disturbance: type(disturbance).__name__,
)
async def test_some_lines_change_nothing(disturbance: Disturbance) -> None:
    """A duplicate, an oversized event, a bookmark, an unknown event: the same watch goes on behind it."""
    async with FakeApiServer([WEB]) as api, Following(api, line_limit=1 << 16) as seen:
        await seen.synced()
        api.put(DB)
        await seen.until_said("put Service shop/db")
        api.disturb(disturbance)
        await asyncio.sleep(0.05)
        api.put(NEW)
        await seen.until_said("put Service shop/new")
        assert seen.said[-2:] == ["put Service shop/db", "put Service shop/new"]
        assert asked(api) == ["stream services"]


async def test_an_oversized_event_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The warning says what was left out and why, and comes once."""
    async with FakeApiServer([WEB]) as api, Following(api, line_limit=1 << 16) as seen:
        await seen.synced()
        api.disturb(Oversized(1 << 17))
        api.disturb(Mark())
        api.put(NEW)
        await seen.until_said("put Service shop/new")
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("an event of services left out: it has more than")


async def test_a_server_that_comes_back_with_an_older_past() -> None:
    """Restored from a backup: lower versions, other objects. What vanished vanishes here, without any 410."""
    async with FakeApiServer([WEB, DB], version=5000) as api, Following(api) as seen:
        await seen.synced()
        await api.restart([WEB, NEW], version=10)
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        assert asked(api)[-2:] == ["newest services", "stream services"]
        api.delete("Service", "shop", "new")
        await seen.until(lambda: seen.names() == {"shop/web"})


async def test_a_server_that_comes_back_as_it_was_is_resumed() -> None:
    """After an outage one small request shows that nothing was lost, and the watch goes on without a list."""
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        version = api.version
        await api.down()
        await seen.until_said("lost")
        assert seen.names() == {"shop/web"}  # nothing is forgotten meanwhile
        await seen.until(lambda: "lost Service: refused" in " ".join(seen.said))
        api.put(NEW)
        await api.up()
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        assert asked(api) == ["stream services", "newest services", f"watch services {version}"]
        assert seen.said.count("resumed Service") == 1
        assert seen.said.count("listing Service") == 1


async def test_a_server_that_is_not_up_yet() -> None:
    """Refused, then hung up on, then served: kdns started first, and needs no restart."""
    async with FakeApiServer([WEB]) as api:
        await api.down()
        async with Following(api) as seen:
            await seen.until_said("lost Service: refused: ")
            api.next_reply(None, times=2)
            await api.up()
            await seen.until_said("lost Service: lost: ")
            await seen.synced()
            assert seen.names() == {"shop/web"}
            assert not any(said.startswith("resumed") for said in seen.said)  # a list says it all


async def test_410_as_a_status_means_a_list_at_once() -> None:
    """No pause: everything that vanished meanwhile is still being answered."""
    async with FakeApiServer([WEB, DB]) as api, Following(api) as seen:
        await seen.synced()
        version = api.version
        api.next_reply(refuse(410), verb="watch")
        api.disturb(Close())
        api.state.delete("Service", "shop", "db")  # the watch is not told any more
        await seen.until(lambda: seen.names() == {"shop/web"})
        assert asked(api) == ["stream services", "newest services", f"watch services {version}", "stream services"]
        assert len(seen.pauses) == 1  # after the watch that ended early, none after the 410


async def test_a_server_that_always_says_410_gets_pauses() -> None:
    """List at once is for the first time; after that the pauses grow."""
    async with FakeApiServer([WEB]) as api:
        api.next_reply(refuse(410), times=6)
        async with Following(api) as seen:
            await seen.synced()
            assert len(seen.pauses) == 5
            assert seen.pauses[-1] > seen.pauses[0]


async def test_429_is_obeyed() -> None:
    """Retry-After is the least that is waited, in seconds, wherever it stands."""
    async with FakeApiServer([WEB]) as api:
        api.next_reply(refuse(429, retry_after=7))
        api.next_reply(refuse(503, retry_after=9))
        async with Following(api) as seen:
            await seen.synced()
            assert [round(pause) for pause in seen.pauses] == [pytest.approx(7, abs=1), pytest.approx(9, abs=1)]


async def test_pauses_grow_and_never_pass_thirty_seconds() -> None:
    """However long a server fails, it is asked again within 30 s, and never in a tight loop."""
    async with FakeApiServer([WEB]) as api:
        api.next_reply(refuse(500), times=12)
        async with Following(api) as seen:
            await seen.synced()
            assert len(seen.pauses) == 11  # the first refusal may be about streaming lists alone: pages follow at once
            assert 0.1 <= seen.pauses[0] <= 0.4
            assert all(7.5 <= pause <= 30 for pause in seen.pauses[7:])
            assert seen.said[:2] == ["listing Service", "lost Service: 500: refused by script"]
            assert sum(said.startswith("lost") for said in seen.said) == 1  # said once, not twelve times


async def test_watches_that_end_at_once_get_pauses() -> None:
    """A server that closes each watch is not asked in a tight loop, though none of this is an error."""
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        for closed in range(5):
            await seen.until(lambda: len(api.watchers) == 1)
            api.disturb(Close())
            await seen.until(lambda closed=closed: len(seen.pauses) > closed)  # type: ignore[misc]
        assert len(seen.pauses) == 5
        assert not any(said.startswith("lost") for said in seen.said)


class Denial(NamedTuple):
    """Something that is forbidden, and what is said of it."""

    title: str
    rules: set[tuple[str, str, str]]
    said: str


DENIALS = (
    Denial("neither", set(), "lost Service: 403: may not list services (services is forbidden: User"),
    Denial(
        "list only",
        {("list", "", "services")},
        "lost Service: 403: may not watch services (services is forbidden: User",
    ),
)


@pytest.mark.parametrize("case", DENIALS, ids=lambda case: case.title)
async def test_a_required_kind_that_is_forbidden(case: Denial) -> None:
    """Lost says which verb on which kind; once it is allowed, all is well without a restart."""
    async with FakeApiServer([WEB], rules=case.rules) as api, Following(api) as seen:
        await seen.until_said(case.said)
        assert seen.names() == ({"shop/web"} if case.rules else set())  # what may be listed is served
        api.rules |= {("list", "", "services"), ("watch", "", "services")}
        api.put(NEW)
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})


async def test_an_optional_kind_that_is_forbidden_is_waived_once() -> None:
    """The proxy's role may not list Namespaces: one event, minutes between attempts, and the others are followed."""
    rules = {(verb, "", "services") for verb in ("list", "watch")}
    wants = (SERVICES, Want("Namespace", optional=True))
    async with FakeApiServer([WEB, namespace("shop")], rules=rules) as api, Following(api, *wants) as seen:
        await seen.until(lambda: max(seen.pauses, default=0) >= 300)
        await seen.synced()
        await seen.until(lambda: sum(pause >= 300 for pause in seen.pauses) >= 2)
        waived = [said for said in seen.said if said.startswith(("waived", "lost"))]
        assert len(waived) == 1
        assert waived[0].startswith("waived Namespace: 403: may not list namespaces (")
        api.rules |= {("list", "", "namespaces"), ("watch", "", "namespaces")}
        await seen.until_said("put Namespace shop")


OPTIONAL = (
    (namespace("shop"), namespace("new"), "Namespace", "namespaces"),
    (service_cidr("kubernetes", "10.96.0.0/12"), service_cidr("more", "10.112.0.0/16"), "ServiceCIDR", "servicecidrs"),
)


@pytest.mark.parametrize(("known", "new", "kind", "plural"), OPTIONAL, ids=["DNS", "proxy"])
async def test_an_optional_kind_that_was_followed_is_asked_for_again_at_once(
    known: Json, new: Json, kind: Kind, plural: str
) -> None:
    """A real API server answers 403 for some seconds after a restart, until it knows its own rules: like any other
    kind, an optional one is lost meanwhile, not skipped for minutes."""
    rules = SYSTEM_NODE_PROXIER | SYSTEM_COREDNS
    async with FakeApiServer([known], rules=rules) as api, Following(api, Want(kind, optional=True)) as seen:
        await seen.synced()
        await api.down()
        api.next_reply(refuse(403), times=4)
        api.put(new)
        await api.up()
        await seen.until_said(f"put {kind} {new['metadata']['name']}")
        assert seen.store.count(kind) == 2
        assert max(seen.pauses) <= 30
        assert not any(said.startswith("waived") for said in seen.said)
        assert any(said.startswith(f"lost {kind}: 403: may not list {plural}") for said in seen.said)


async def test_an_optional_kind_that_is_forbidden_at_first_is_asked_for_again_soon() -> None:
    """kdns may start within those seconds, too: the pauses of minutes begin after some short ones."""
    async with FakeApiServer([namespace("shop")]) as api:
        api.next_reply(refuse(403), times=6)
        async with Following(api, Want("Namespace", optional=True)) as seen:
            await seen.until_said("put Namespace shop")
            assert max(seen.pauses) <= 30
            assert sum(said.startswith("waived") for said in seen.said) == 1


async def test_a_bookmark_from_the_future() -> None:
    """A bookmark promises that all before it was shown. If an older event follows, only a list tells what is true."""
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        api.disturb(Mark(version=api.version + 100))
        api.put(NEW)
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        assert asked(api) == ["stream services"] * 2
        assert seen.counted("kdns_watch_restarts_total") == {("Service", "older"): 1}
        api.delete("Service", "shop", "new")
        await seen.until(lambda: seen.names() == {"shop/web"})


async def test_a_server_that_dies_has_not_said_400() -> None:
    """The line says that the connection ended; a code stands there only if a server has sent one."""
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        api.disturb(Cut())
        await seen.until_said("lost Service: lost: the connection ended in the middle of a reply")


async def test_slow_bytes_are_bytes() -> None:
    """Lines that arrive a few octets at a time are whole lines in the end, and a slow server is not a silent one."""
    async with FakeApiServer([WEB]) as api:
        api.pace = (40, 0.005)
        async with Following(api, watch_timeout=2.0) as seen:
            await seen.synced()
            api.put(NEW)
            await seen.until_said("put Service shop/new")
            assert asked(api) == ["stream services"]


async def test_bookmarks_move_the_version_we_resume_at() -> None:
    """A quiet kind in a busy cluster would otherwise come back with a version the server has forgotten."""
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        listed = api.version
        api.put(namespace("busy"))
        api.disturb(Mark())
        api.disturb(Close())
        await seen.until(lambda: len(api.asked) >= 3)
        assert asked(api)[1:3] == ["newest services", f"watch services {listed + 1}"]


async def test_two_kinds_share_a_server_and_nothing_else() -> None:
    """What breaks one stream does not touch the other."""
    objects = [WEB, endpoint_slice("shop", "web-1", "web", ["10.244.0.4"])]
    async with FakeApiServer(objects) as api, Following(api, SERVICES, SLICES) as seen:
        await seen.synced()
        api.disturb(Garbage(), plural="services")
        api.patch("EndpointSlice", "shop", "web-1", {"endpoints": None})
        await seen.until_said("resumed Service")
        await seen.until_said("put EndpointSlice shop/web-1", 2)
        view = seen.store.view(ObjectKey("Service", "shop", "web"))
        assert view is not None
        assert view.slices[0].rows == 0
        assert not any(said.startswith("lost EndpointSlice") for said in seen.said)
