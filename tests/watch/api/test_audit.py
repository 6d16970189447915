"""Whether a watch shows all there is: the arithmetic, and dialogues with a server whose watches lie."""

import asyncio
import logging
from typing import NamedTuple

import pytest

from kdns.watch.api.audit import Audit, Intervals
from kdns.watch.api.position import Position
from kdns.watch.source import Want
from tests.fakes.api_server import FakeApiServer, refuse
from tests.fakes.faults import Deaf, Mark
from tests.fakes.objects import namespace, node, service
from tests.watch.api.dialogue import Following, asked

WEB = service("shop", "web", "10.96.0.9")
DB = service("shop", "db", "10.96.0.10")
NEW = service("shop", "new", "10.96.0.11")
OFTEN = Intervals(every=0.05, settle=0.05, frozen=60.0)
PATIENT = OFTEN._replace(settle=10.0)
"""However slow the machine is, the watch has passed the server's version when counts are compared."""


class Rig:
    """An audit with a clock that stands still."""

    def __init__(self, version: str = "100", objects: int | None = 3) -> None:
        self.now = 0.0
        self.position = Position()
        self.position.listed(version, objects)
        self.audit = Audit(self.position, lambda: self.now, lambda: 0.5, Intervals())
        self.audit.begin()

    def event(self, version: str, change: int = 0) -> None:
        """An event of the watch."""
        self.audit.before(version)
        if self.position.event(version):
            self.position.count(change)
        self.audit.after()

    def bookmark(self, version: str) -> None:
        """A bookmark of the watch."""
        self.position.bookmark(version)
        self.audit.after()

    def late(self) -> None:
        """The time to catch up is over."""
        self.now = self.audit.at
        self.audit.late()


def test_the_count_at_the_servers_version_is_what_counts() -> None:
    """Events up to that version belong to it, later ones do not, however many there are."""
    rig = Rig()
    rig.audit.answer("110", 4)
    rig.event("110", 1)
    assert rig.audit.at == rig.now + 600  # equal, as soon as that version is passed
    rig.audit.answer("120", 4)
    rig.event("121", 1)
    assert rig.audit.at == rig.now + 600
    assert not rig.audit.difference


def test_a_difference_counts_when_it_is_seen_twice() -> None:
    """The first time may be chance; the second question is asked at once, and the third time all is well again."""
    rig = Rig()
    rig.audit.answer("110", 4)
    rig.bookmark("111")
    assert rig.audit.asks
    assert rig.audit.at == rig.now
    rig.audit.answer("112", 4)
    rig.bookmark("112")
    assert rig.audit.difference == "the server has 4 of them, its watch has shown 3"


def test_a_list_settles_everything() -> None:
    """After a list the next question comes in ten minutes or so, and no difference is left over."""
    rig = Rig()
    rig.audit.difference = "something"
    rig.audit.answer("110", 4)
    rig.now = 17.0
    rig.audit.begin()
    assert not rig.audit.difference
    assert rig.audit.asks
    assert rig.audit.at == 17.0 + 600


def test_a_watch_that_catches_up_late() -> None:
    """No bookmark comes: after some time the counts are compared as they are."""
    rig = Rig()
    rig.audit.answer("110", 4)
    assert not rig.audit.asks
    assert rig.audit.at == 150
    rig.position.count(1)
    rig.late()
    assert rig.audit.at == rig.now + 600
    for _ in range(2):
        rig.audit.answer("120", 9)
        rig.late()
    assert rig.audit.difference


def test_an_answer_that_was_overtaken_says_nothing() -> None:
    """Events that are newer than the answer were there before it: it is asked again later."""
    rig = Rig()
    rig.event("130", 1)
    for _ in range(5):
        rig.audit.answer("120", 3)
        assert rig.audit.asks
        assert not rig.audit.difference
        rig.now = rig.audit.at


def test_a_frozen_watch_is_found_by_its_version() -> None:
    """A server that does not count (selectors) still has a version; a watch that does not reach it is frozen."""
    rig = Rig()
    rig.audit.answer("110", None)
    for _ in range(2):
        rig.now = rig.audit.at
        rig.audit.answer("120", None)
        assert not rig.audit.difference
    rig.now = rig.audit.at
    rig.audit.answer("120", None)
    assert rig.audit.difference == "the server had reached version 110 1800 s ago, its watch is still at 100"


def test_an_idle_kind_of_an_honest_server() -> None:
    """Bookmarks that come late, as with etcd's default of ten minutes, are no difference."""
    rig = Rig()
    for version in range(110, 400, 10):
        rig.audit.answer(str(version), None)
        rig.now = rig.audit.at
        rig.bookmark(str(version))
        assert not rig.audit.difference


@pytest.mark.parametrize(("version", "objects"), [("", 9), ("abc", 9), ("120", None)])
def test_what_cannot_be_compared(version: str, objects: int | None) -> None:
    """A server without numbers as versions is asked for its count alone; unknown counts are not compared."""
    rig = Rig()
    rig.audit.answer(version, objects)
    assert rig.audit.asks == (objects is None)
    rig = Rig(objects=None)
    rig.audit.answer("120", 9)
    assert rig.audit.asks


class Lie(NamedTuple):
    """What a watch does not show, and what there is afterwards."""

    title: str
    objects: list[str]
    new: bool
    gone: bool


LIES = (
    Lie("an object that came", ["shop/db", "shop/new", "shop/web"], True, False),
    Lie("an object that went", ["shop/web"], False, True),
)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.title)
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming list", "pages"])
async def test_a_watch_that_hides_something(lie: Lie, streaming: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Bookmarks go on, events are lost: the count shows it, a list heals it, and it is counted and logged once."""
    async with (
        FakeApiServer([WEB, DB], streaming_lists=streaming, bookmark_every=0.03) as api,
        Following(api, audits=OFTEN) as seen,
    ):
        await seen.synced()
        await seen.until(lambda: len(api.watchers) == 1)
        api.disturb(Deaf())
        await asyncio.sleep(0)
        if lie.new:
            api.put(NEW)
        if lie.gone:
            api.delete("Service", "shop", "db")
        await seen.until(lambda: sorted(seen.names()) == lie.objects)
        assert seen.counted("kdns_watch_restarts_total")["Service", "differs"] == 1
        assert asked(api).count("newest services") >= 2
        assert not any(said.startswith("lost") for said in seen.said)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("the watch of services is not right: the server has ")


async def test_a_bookmark_from_the_future_and_then_nothing() -> None:
    """The server is behind what its bookmark has promised: found without any event."""
    async with FakeApiServer([WEB]) as api, Following(api, audits=OFTEN) as seen:
        await seen.synced()
        api.disturb(Mark(version=api.version + 1000))
        await seen.until_said("listed", 2)
        assert seen.counted("kdns_watch_restarts_total")["Service", "differs"] == 1


async def test_an_honest_watch_is_left_alone() -> None:
    """However often it is asked, and whatever changes meanwhile, an honest server is never listed again."""
    wants = (Want("Service"), Want("Namespace"), Want("Node", field_selector="metadata.name=node1"))
    rules = {("list", "", name) for name in ("services", "namespaces", "nodes")}
    rules |= {("watch", group, name) for _, group, name in rules}
    objects = [WEB, namespace("shop"), node("node1", "172.18.0.2"), node("node2", "172.18.0.3")]
    async with (
        FakeApiServer(objects, rules=rules, bookmark_every=0.02) as api,
        Following(api, *wants, audits=PATIENT) as seen,
    ):
        await seen.synced()
        for index in range(60):
            api.put(service("shop", f"web-{index}", "10.96.1.1"))
            if index % 2:
                api.delete("Service", "shop", f"web-{index - 1}")
            await asyncio.sleep(0.01)
        await seen.until(lambda: asked(api).count("newest nodes") > 3)
        await seen.until(lambda: asked(api).count("newest services") > 3)
        assert sum(said.startswith("listed") for said in seen.said) == 3
        assert seen.counted("kdns_watch_restarts_total") == {}


async def test_a_question_that_is_refused_harms_nothing() -> None:
    """An error to the question is not one of the watch: it goes on, and is asked about again."""
    async with FakeApiServer([WEB], bookmark_every=0.02) as api, Following(api, audits=PATIENT) as seen:
        await seen.synced()
        api.next_reply(refuse(500), verb="list", times=2)
        await seen.until(lambda: asked(api).count("newest services") > 4)
        api.put(NEW)
        await seen.until(lambda: seen.names() == {"shop/web", "shop/new"})
        assert sum(said.startswith(("lost", "listed")) for said in seen.said) == 1
