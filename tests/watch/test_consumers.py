"""Who gets a Change: every consumer that is there when it comes, whatever the others do."""

import pytest

from kdns.base.objects import Change
from kdns.metrics.dns import Metrics
from kdns.watch.follower import Follower, wants
from kdns.watch.source import ListComplete, Listing, Upserted
from tests.watch.test_follower import DB, NAMESPACES, OPTIONS, SLICES, WEB, ScriptedSource


class Taking:
    """A consumer that keeps what it gets, and has a bug with one Service."""

    def __init__(self, breaks_on: str = "") -> None:
        self.synced = False
        self.names: list[str] = []
        self._breaks_on = breaks_on

    def apply(self, change: Change, now: int) -> None:
        """Keep the name."""
        if change.key.name == self._breaks_on:
            raise ZeroDivisionError("a bug")
        self.names.append(change.key.name)


def test_a_consumer_may_come_and_go() -> None:
    """A reload brings other answers: each Change goes to those that are there, and all of them are synced together."""
    first, second = Taking(), Taking()
    consumers = {"first": first}
    follower = Follower(ScriptedSource(), wants(OPTIONS), consumers.values(), Metrics())
    follower.take(Upserted(WEB), 1000.0)
    consumers["second"] = second
    follower.take(Upserted(DB), 1000.0)
    for event in (*NAMESPACES, *SLICES, Listing("Service"), Upserted(WEB), Upserted(DB), ListComplete("Service")):
        follower.take(event, 1000.0)
    assert first.names == ["web", "db", "shop"]
    assert second.names == ["db", "shop"]
    assert (first.synced, second.synced) == (True, True)


def test_a_bug_in_one_consumer_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """A Change goes to every consumer and the next one, too; the bug is logged with its object, and counted."""
    consumers, metrics = (Taking("web"), Taking()), Metrics()
    follower = Follower(ScriptedSource(), wants(OPTIONS), consumers, metrics)
    for event in (Upserted(WEB), Upserted(DB)):
        follower.take(event, 1000.0)
    assert [consumer.names for consumer in consumers] == [["db"], ["web", "db"]]
    assert metrics.panics == 1
    assert "a bug met while applying a change of Service shop/web" in caplog.text
