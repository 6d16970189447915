"""The index of Services: how much is looked at for a page, however large the cluster is."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from kdns.base.objects import ObjectKey, ServiceView
from kdns.metrics.dns import Metrics
from kdns.status.services import PER_PAGE, ServiceIndex
from kdns.watch.follower import Follower
from kdns.watch.source import Deleted, Event, Upserted, Want
from kdns.watch.store import Store
from tests.build import service, slice_, tcp
from tests.effort import processor_time

MANY = 10_000


class Nowhere:
    """A source that says nothing: events are given to the follower by hand."""

    def streams(self, wanted: Sequence[Want]) -> list[AsyncIterator[Event]]:
        """None."""
        return []

    async def close(self) -> None:
        """There is nothing to close."""


class CountingStore(Store):
    """Counts how often a Service is looked at."""

    looks = 0

    def view(self, key: ObjectKey) -> ServiceView | None:
        self.looks += 1
        return super().view(key)


class Cluster:
    """What an index is about."""

    def __init__(self, services: int) -> None:
        self.store = CountingStore()
        self.now = self._follow(self.store)
        for number in range(services):
            path = f"ns-{number % 100}/svc-{number:05}"
            self.now.take(Upserted(service(path, [f"10.97.{number // 250}.{number % 250}"], [tcp(80)])), 0.0)
            self.now.take(Upserted(slice_(f"{path}-1", f"svc-{number:05}", ["10.244.0.5"])), 0.0)
        self.store.looks = 0

    def _follow(self, store: Store) -> Follower:
        follower = Follower(Nowhere(), [Want("Service"), Want("EndpointSlice")], [], Metrics("0", "python"))
        follower.store = store
        return follower

    def follower(self) -> Follower | None:
        """The one that is followed now."""
        return self.now

    def view(self, namespace: str, name: str) -> ServiceView | None:
        """Of one Service."""
        return self.store.view(ObjectKey("Service", namespace, name))

    def synced(self) -> bool:
        """Everything is known."""
        return True


async def test_only_what_has_changed_is_looked_at_again() -> None:
    """The first page looks at each Service once; after that, however many pages, only at those with a change."""
    cluster = Cluster(500)
    index = ServiceIndex(cluster)
    assert await index.faulty() == (500, 0)
    assert cluster.store.looks == 500
    for _ in range(3):
        await index.faulty()
    assert cluster.store.looks == 500
    cluster.now.take(Deleted(ObjectKey("EndpointSlice", "ns-7", "svc-00007-1")), 0.0)
    cluster.now.take(Upserted(service("ns-8/new", ["10.97.200.1"])), 0.0)
    cluster.now.take(Deleted(ObjectKey("Service", "ns-9", "svc-00009")), 0.0)
    cluster.store.looks = 0
    assert await index.faulty() == (500, 2)
    assert cluster.store.looks == 3
    listed = await index.listed(state="fault")
    assert [(line.namespace, line.name) for line in listed.services] == [("ns-7", "svc-00007"), ("ns-8", "new")]
    assert cluster.store.looks == 5


async def test_a_page_of_a_large_cluster_looks_at_a_page_of_it() -> None:
    """Of 10,000 Services a list reads the fifty that it shows; any page takes a bounded amount of work."""
    cluster = Cluster(MANY)
    index = ServiceIndex(cluster)
    with processor_time(0.5):  # some 40 ms
        assert (await index.faulty())[0] == MANY
    before = cluster.store.looks
    for search, page in (("", 1), ("", 200), ("svc-09", 3), ("10.97.3.", 1)):
        with processor_time(0.5):  # some 20 ms, once; then some 3
            listed = await index.listed(search, page)
        assert len(listed.services) == PER_PAGE
    assert cluster.store.looks == before + 4 * PER_PAGE


async def test_another_cluster_is_another_index() -> None:
    """After a reload that follows anew nothing of before is listed, and changes there are not noted any more."""
    cluster = Cluster(3)
    index = ServiceIndex(cluster)
    await index.faulty()
    before, other = cluster.now, Cluster(2)
    cluster.now, cluster.store = other.now, other.store
    assert await index.faulty() == (2, 0)
    assert list(before.listeners) == []
    before.take(Deleted(ObjectKey("Service", "ns-0", "svc-00000")), 0.0)
    assert await index.faulty() == (2, 0)


async def test_two_pages_at_once() -> None:
    """Both wait for the same index, which is made once."""
    cluster = Cluster(3000)
    index = ServiceIndex(cluster)
    assert set(await asyncio.gather(index.faulty(), index.faulty())) == {(3000, 0)}
    assert cluster.store.looks == 3000
