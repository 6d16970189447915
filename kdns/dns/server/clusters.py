"""The clusters that the kubernetes plugins of all server blocks name: one watch and one store for each.

::

    KubernetesOptions ──> Cluster (source, follower, store) ──change──> Answers, one for each different set of options

A cluster stays through reloads while some block uses it, and so do its answers; what no block uses is closed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from kdns.base.errors import ConfigError
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.watch.follower import Follower, wants
from kdns.watch.open_source import snapshot_file
from kdns.watch.snapshot_file import SnapshotFile
from kdns.watch.source import Source, Want

LOG: Final = logging.getLogger("kdns.watch")

MakeSource = Callable[[KubernetesOptions], Awaitable[Source]]


class Cluster:
    """One API server, or folder, with one choice of objects."""

    def __init__(self, key: tuple[object, ...], wanted: Sequence[Want], metrics: Metrics) -> None:
        self.key = key
        self.wanted = tuple(wanted)
        self.by_options: dict[KubernetesOptions, Answers] = {}
        """One Answers for each different set of options; each takes every Change."""
        self.follower: Follower | None = None
        self._metrics = metrics
        self._source: Source | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def covers(self, options: KubernetesOptions) -> bool:
        """True if what the options need is followed here, or can be since nothing is followed yet."""
        return self.follower is None or all(_within(want, self.wanted) for want in wants(options))

    def name(self) -> str:
        """Of its snapshot: of what is followed, and where, so that the next start finds it, also after a reload."""
        followed = repr((self.key, sorted(map(repr, self.wanted))))
        return f"dns-{blake2b(followed.encode(), digest_size=4).hexdigest()}"

    def answers(self, options: KubernetesOptions) -> Answers:
        """The answers for these options, filled with all that is known by now."""
        if (known := self.by_options.get(options)) is not None:
            return known
        made = Answers(schema_of(options), LOG.warning)
        if self.follower is None:
            self.wanted = tuple(_united((*self.wanted, *wants(options))))
        else:
            for change in self.follower.store.changes():
                made.apply(change, int(time.time()))
            made.synced = self.follower.synced.is_set()
        self.by_options[options] = made
        return made

    async def start(self, source: Source, tasks: asyncio.TaskGroup, snapshots: SnapshotFile | None) -> None:
        """Start following a source; ``snapshots``: where what is known is kept for the next start."""
        self._source = source
        consumers = self.by_options.values()
        self.follower = Follower(source, self.wanted, consumers, self._metrics, snapshots=snapshots)
        self._tasks = self.follower.start(tasks)

    async def stop(self) -> None:
        """Stop following, and close the source."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._source is not None:
            await self._source.close()


def _within(want: Want, wanted: Iterable[Want]) -> bool:
    """Some of what is followed is this, or this and more."""
    return any(want.joined(other) == other for other in wanted)


def _united(several: Iterable[Want]) -> Iterator[Want]:
    """Each kind once, with every column that any of them wants."""
    united: dict[object, Want] = {}
    for want in several:
        united[want.kind] = united.setdefault(want.kind, want).joined(want)
    yield from united.values()


class Clusters:
    """All clusters of one server."""

    def __init__(self, make_source: MakeSource, metrics: Metrics, snapshots: str = "") -> None:
        """``snapshots`` is a folder for what is known of each cluster; empty: it is not kept."""
        self._make_source, self._metrics, self._snapshots = make_source, metrics, snapshots
        self._clusters: list[Cluster] = []

    def answers(self, options: KubernetesOptions) -> Answers:
        """The answers for these options, the same ones each time. Raises ConfigError for a bad zone."""
        key = (options.api, options.labels, options.namespace_labels, options.endpoints, options.clients)
        for cluster in self._clusters:
            if cluster.key == key and cluster.covers(options):
                return cluster.answers(options)
        made = Cluster(key, (), self._metrics)
        answers = made.answers(options)
        self._clusters.append(made)
        return answers

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Follow the clusters that are not followed yet. Raises ConfigError if one cannot be, which starts none."""
        sources: list[tuple[Cluster, Source]] = []
        try:
            for cluster in self._clusters:
                if cluster.follower is None:
                    sources.append((cluster, await self._make_source(next(iter(cluster.by_options)))))
        except ConfigError:
            for _, source in sources:
                await source.close()
            raise
        for cluster, source in sources:
            await cluster.start(source, tasks, snapshot_file(source, self._snapshots, cluster.name()))

    async def retain(self, used: Sequence[Answers]) -> None:
        """Drop all answers but these, and stop following the clusters that have none left."""
        for cluster in tuple(self._clusters):
            for options, answers in tuple(cluster.by_options.items()):
                if all(answers is not other for other in used):
                    del cluster.by_options[options]
            if not cluster.by_options:
                self._clusters.remove(cluster)
                await cluster.stop()

    async def stop(self) -> None:
        """Stop following every cluster."""
        await self.retain(())

    @property
    def followers(self) -> list[Follower]:
        """Of every cluster that is followed."""
        return [cluster.follower for cluster in self._clusters if cluster.follower is not None]

    def all_answers(self) -> list[Answers]:
        """Every set of answers."""
        return [answers for cluster in self._clusters for answers in cluster.by_options.values()]

    def startup_timeout(self) -> float:
        """Seconds: the longest that any options say."""
        times = [options.startup_timeout for cluster in self._clusters for options in cluster.by_options]
        return max(times, default=0.0)

    def remarks(self) -> list[str]:
        """What clients should know though they may be sent here: a snapshot is served, and how old it is."""
        return [remark for follower in self.followers for remark in follower.readiness.remarks(time.time())]

    def reasons(self) -> list[str]:
        """Why clients should not be sent here yet, a line each."""
        return [reason for follower in self.followers for reason in follower.readiness.reasons()]

    async def synced(self) -> None:
        """Wait until every initial list is complete."""
        for follower in self.followers:
            await follower.synced.wait()
