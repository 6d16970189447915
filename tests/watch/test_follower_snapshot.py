"""A start while the API server is away: what was last known is served, and corrected once it is back."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kdns.base.clock import Backoff
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.watch.api.cluster import ApiSource
from kdns.watch.api.credentials import Anonymous, Credentials
from kdns.watch.follower import Follower, wants
from kdns.watch.snapshot_file import SnapshotFile
from tests.fakes.api_server import FakeApiServer
from tests.fakes.objects import endpoint_slice, namespace, service

WEB = service("shop", "web", "10.96.0.9")
DB = service("shop", "db", "10.96.0.10")
NEW = service("shop", "new", "10.96.0.11")
SLICE = endpoint_slice("shop", "web-1", "web", ["10.244.0.5"])


class Start:
    """One process' worth of following."""

    def __init__(self, url: str, folder: Path, **settings: float) -> None:
        self.metrics = Metrics("0", "python")
        self.answers = Answers(schema_of(KubernetesOptions()))
        credentials: Credentials = Anonymous(url)

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(min(seconds / 100, 0.05))

        self.source = ApiSource(credentials, backoff=lambda: Backoff(sleep=sleep), counts=self.metrics.cluster)
        file = SnapshotFile(str(folder), "dns", self.source.identity, every=settings.get("every", 3600.0))
        self.follower = Follower(self.source, wants(KubernetesOptions()), (self.answers,), self.metrics, snapshots=file)
        self.path = file.path

    def names(self) -> set[str]:
        """Names of the Services that are known."""
        return {key.name for key, view in self.follower.store.views() if view.service is not None}

    def age(self) -> list[float]:
        """What the metric of the snapshot's age shows."""
        return [
            sample.value
            for family in self.metrics.cluster.collect()
            for sample in family.samples
            if sample.name == "kdns_watch_snapshot_age_seconds"
        ]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what must come."""
        async with asyncio.timeout(120):
            while not condition():  # noqa: ASYNC110 - it is about what others do
                await asyncio.sleep(0.01)


@asynccontextmanager
async def started(url: str, folder: Path, **settings: float) -> AsyncIterator[Start]:
    """From its start to its end, which comes without a word."""
    start = Start(url, folder, **settings)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = start.follower.start(tasks)
            yield start
            for task in running:
                task.cancel()
    finally:
        await start.source.close()


async def kept(api: FakeApiServer, folder: Path) -> None:
    """Follow until there is a snapshot."""
    async with started(api.url, folder, every=0.02) as first:
        await first.follower.synced.wait()
        await first.until(first.path.exists)


async def test_answers_while_the_server_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Answers at once, ready with a remark and a metric that say how old; then the real list removes and adds."""
    caplog.set_level(logging.INFO)
    async with FakeApiServer([WEB, DB, SLICE, namespace("shop")]) as api:
        await kept(api, tmp_path)
        await api.down()
        async with started(api.url, tmp_path) as start:
            await start.follower.synced.wait()
            assert start.names() == {"web", "db"}
            assert start.answers.synced
            assert start.follower.readiness.reasons() == []
            first, *missing = start.follower.readiness.remarks(10**12)
            assert first.startswith("kubernetes: served from a snapshot ")
            assert len(missing) == 3
            assert len(start.age()) == 1
            await start.until(lambda: start.follower.readiness.lost)
            assert start.names() == {"web", "db"}
            api.put(NEW)
            api.delete("Service", "shop", "db")
            await api.up()
            await start.until(lambda: start.follower.readiness.restored is None)
            assert start.names() == {"web", "new"}
            assert start.follower.readiness.remarks(0.0) == []
            assert start.age() == []
    texts = [record.getMessage() for record in caplog.records]
    assert sum(text.startswith("until the cluster is listed, a snapshot ") for text in texts) == 1
    assert sum(text.startswith("synced in ") for text in texts) == 2


async def test_nothing_is_removed_until_a_list_is_complete(tmp_path: Path) -> None:
    """A list that breaks off in the middle takes nothing away."""
    async with FakeApiServer([WEB, DB, namespace("shop")]) as api:
        await kept(api, tmp_path)
        api.pace = (100, 0.02)
        async with started(api.url, tmp_path) as start:
            await start.until(lambda: api.watchers)
            await api.down()
            await start.until(lambda: start.follower.readiness.lost)
            assert start.names() == {"web", "db"}


@pytest.mark.parametrize("spoil", ["damaged", "another cluster", "another version"])
async def test_a_snapshot_that_is_not_used(spoil: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says why, and the cluster is followed as ever."""
    async with FakeApiServer([WEB, namespace("shop")]) as api, FakeApiServer([DB, namespace("shop")]) as other:
        await kept(api, tmp_path)
        path = tmp_path / "dns.snapshot"
        data = path.read_bytes()
        path.write_bytes(
            {"damaged": data[:-1], "another version": data.replace(b"snapshot 1", b"snapshot 0")}.get(spoil, data)
        )
        async with started(other.url if spoil == "another cluster" else api.url, tmp_path) as start:
            await start.follower.synced.wait()
            assert start.names() == ({"db"} if spoil == "another cluster" else {"web"})
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"the snapshot {path} is not used: it is ")
    assert spoil in warnings[0]


async def test_a_quiet_cluster_is_not_written_again(tmp_path: Path) -> None:
    """A snapshot is written when something has changed, and while nothing does the file stays as it is."""
    async with FakeApiServer([WEB, namespace("shop")]) as api, started(api.url, tmp_path, every=0.02) as start:
        await start.until(start.path.exists)
        before = start.path.stat().st_ino
        await asyncio.sleep(0.2)
        assert start.path.stat().st_ino == before
        api.put(DB)
        await start.until(lambda: start.path.stat().st_ino != before)
