"""Events: said by the proxy, counted, written at a bearable pace, and never anybody's problem."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kdns.base.objects import ObjectKey
from kdns.watch.api.cluster import ApiSource
from kdns.watch.api.credentials import Anonymous
from kdns.watch.api.events import SERIES_SECONDS, WAITING_LIMIT, EventRecorder
from tests.build import key
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer, refuse
from tests.fakes.objects import node, service
from tests.running import PATIENCE, until

WEB, NODE = key("Service", "shop/web"), key("Node", "node1")
PROXIER = SYSTEM_NODE_PROXIER


class Clocks:
    """Time that only passes when somebody sleeps, or a test says so."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._moved = asyncio.Event()

    def pass_(self, seconds: float) -> None:
        """Later."""
        self.at += seconds
        self._moved.set()

    async def sleep(self, seconds: float) -> None:
        """Until that much has passed."""
        until = self.at + seconds
        while self.at < until:
            self._moved.clear()
            await self._moved.wait()


class Rig:
    """A recorder, running, and the server that it writes to."""

    def __init__(self, api: FakeApiServer, source: ApiSource, clocks: Clocks) -> None:
        self.api, self.clocks = api, clocks
        self.recorder = EventRecorder(
            source._connect,
            "node1",
            clock=lambda: clocks.at,
            now=lambda: 1767225600.25 + clocks.at - 1000.0,
            sleep=clocks.sleep,
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for it; what there is instead, if it does not come."""
        try:
            await until(holds)
        except TimeoutError:
            pytest.fail(f"it did not happen; there is {self.api.events}")

    def writes(self) -> list[str]:
        """What was asked of the server about Events."""
        return [asked.verb for asked in self.api.asked if asked.plural == "events"]


@asynccontextmanager
async def running(**more: Any) -> AsyncIterator[Rig]:
    """A recorder against a server with a Service and a Node."""
    objects = [service("shop", "web", "10.96.0.9"), node("node1", "172.18.0.2")]
    async with FakeApiServer(objects, rules=more.pop("rules", PROXIER), **more) as api:
        source = ApiSource(Anonymous(api.url))
        rig = Rig(api, source, Clocks())
        task = asyncio.create_task(rig.recorder.run())
        try:
            yield rig
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await source.close()


async def test_an_event() -> None:
    """It is as events.k8s.io/v1 wants it, and about the object with its uid, so that kubectl describe finds it."""
    async with running() as rig:
        rig.recorder.event(WEB, "Warning", "FailedToStartServiceHealthcheck", "port 30555 is taken", "Listen")
        await rig.until(lambda: len(rig.api.events) == 1)
        (event,) = rig.api.events
        assert re.fullmatch(r"web\.[0-9a-f]{16}", event["metadata"]["name"])
        uid = rig.api.state.get("Service", "shop", "web")["metadata"]["uid"]
        assert {field: event[field] for field in event if field != "metadata"} == {
            "kind": "Event",
            "apiVersion": "events.k8s.io/v1",
            "eventTime": "2026-01-01T00:00:00.250000Z",
            "reportingController": "kube-proxy",
            "reportingInstance": "node1",
            "regarding": {"apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web", "uid": uid},
            "action": "Listen",
            "reason": "FailedToStartServiceHealthcheck",
            "type": "Warning",
            "note": "port 30555 is taken",
        }


async def test_about_a_node_and_about_what_is_gone() -> None:
    """Events about what is in no namespace are in "default"; an object that is gone has no uid."""
    async with running() as rig:
        rig.recorder.event(NODE, "Normal", "Starting", "")
        rig.recorder.event(key("Service", "shop/gone"), "Normal", "Left", "out")
        await rig.until(lambda: len(rig.api.events) == 2)
        first, second = rig.api.events
        assert (first["metadata"]["namespace"], first["action"]) == ("default", "Starting")
        assert "namespace" not in first["regarding"]
        assert "uid" in first["regarding"]
        assert "uid" not in second["regarding"]


async def test_the_same_again_is_counted() -> None:
    """The second time the series begins; after that it is written now and then, with all that happened meanwhile."""
    async with running() as rig:
        for times in (1, 2):
            rig.recorder.event(WEB, "Warning", "Again", "and again")
            await rig.until(lambda times=times: len(rig.writes()) == times)  # type: ignore[misc]
        rig.recorder.event(WEB, "Warning", "Again", "something else")
        await rig.until(lambda: len(rig.api.events) == 2)
        for _ in range(50):
            rig.recorder.event(WEB, "Warning", "Again", "and again")
            rig.clocks.pass_(1.0)
            await asyncio.sleep(0)
        assert rig.writes() == ["create", "patch", "create"]
        assert rig.api.events[0]["series"]["count"] == 2
        rig.clocks.pass_(SERIES_SECONDS)
        await rig.until(lambda: len(rig.writes()) == 4)
        counts = [event.get("series", {}).get("count") for event in rig.api.events]
        assert sorted(counts, key=str) == [52, None]
        last = next(event["series"] for event in rig.api.events if "series" in event)
        assert last == {"count": 52, "lastObservedTime": "2026-01-01T00:00:49.250000Z"}


async def test_an_event_that_the_cluster_forgot() -> None:
    """Events last an hour: what is said again after that is a new one, which says how often it was."""
    async with running() as rig:
        rig.recorder.event(WEB, "Warning", "Again", "and again")
        await rig.until(lambda: len(rig.api.events) == 1)
        rig.api.delete("Event", "shop", rig.api.events[0]["metadata"]["name"])
        rig.clocks.pass_(3600.0)
        rig.recorder.event(WEB, "Warning", "Again", "and again")
        async with asyncio.timeout(PATIENCE):
            while len(rig.api.events) != 1:
                rig.clocks.pass_(1.0)  # the answer about the first may come only now
                await asyncio.sleep(0.01)
        assert rig.writes() == ["create", "patch", "create"]
        assert rig.api.events[0]["series"]["count"] == 2


async def test_without_the_right_to(caplog: pytest.LogCaptureFixture) -> None:
    """A 403 is one warning, and nothing more is asked for a while; who speaks does not notice."""
    async with running(rules={rule for rule in PROXIER if rule[2] != "events"}) as rig:
        for number in range(5):
            rig.recorder.event(WEB, "Warning", "Left", f"{number} out")
        await rig.until(lambda: rig.recorder.dropped == 5)
        rig.recorder.event(WEB, "Warning", "Left", "5 out")
        assert rig.recorder.dropped == 6
        assert rig.writes() == ["create"]
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(said) == 1
        assert said[0].startswith("an Event could not be written: 403: may not create events (")
        rig.api.rules = set(PROXIER)
        rig.clocks.pass_(400.0)
        rig.recorder.event(WEB, "Warning", "Left", "6 out")
        await rig.until(lambda: [event["note"] for event in rig.api.events] == ["6 out"])


async def test_a_server_that_is_ill(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again, after pauses; that it does not work is told once."""
    async with running() as rig:
        rig.api.next_reply(refuse(500), verb="create", times=2)
        rig.recorder.event(WEB, "Normal", "Synced", "")
        async with asyncio.timeout(PATIENCE):
            while not rig.api.events:
                rig.clocks.pass_(1.0)
                await asyncio.sleep(0.01)
        assert rig.writes() == ["create"] * 3
        assert len(rig.api.events) == 1
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert rig.recorder.dropped == 0


async def test_an_event_that_is_none_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """What the server refuses as it is, it would refuse again."""
    async with running() as rig:
        rig.recorder.event(WEB, "Normal", "", "no reason")
        await rig.until(lambda: rig.recorder.dropped == 1)
        assert rig.writes() == ["create"]
        assert "422" in caplog.text


async def test_a_bug_is_survived(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs one Event, and is logged with its traceback."""
    async with running() as rig:
        monkeypatch.setattr("kdns.watch.api.events._micro_time", lambda seconds: 1 // 0)
        rig.recorder.event(WEB, "Normal", "Synced", "first")
        await rig.until(lambda: rig.recorder.dropped == 1)
        monkeypatch.undo()
        rig.recorder.event(WEB, "Normal", "Synced", "second")
        await rig.until(lambda: [event["note"] for event in rig.api.events] == ["second"])
        assert "ZeroDivisionError" in caplog.text


async def test_a_flood() -> None:
    """Ten Events at once, then one a second; what waits is bounded, and what is said is cut to what the API takes."""
    async with running() as rig:
        for number in range(2 * WAITING_LIMIT):
            rig.recorder.event(ObjectKey("Service", "shop", f"s{number}"), "Normal", "R" * 500, "m" * 5000)
        assert rig.recorder.dropped == WAITING_LIMIT
        await rig.until(lambda: len(rig.api.events) >= 10)
        await asyncio.sleep(0.1)
        assert len(rig.api.events) in {10, 11}
        for _ in range(20):
            rig.clocks.pass_(1.0)
            await asyncio.sleep(0.02)
        await rig.until(lambda: len(rig.api.events) >= 30)
        assert len(rig.api.events) <= 31
