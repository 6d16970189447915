"""The clusters that the kubernetes plugins of all server blocks name: one watch and one store for each.

::

    KubernetesOptions ──> Cluster (source, follower, store) ──change──> Answers, one for each different set of options

A cluster lives on through reloads while some block uses it, and so do its answers; what no block uses is let go of.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from kdns.base.errors import ConfigError
from kdns.base.objects import Change, NamespaceChange, NodeChange, PodChange, ServiceChange, ServiceCIDRChange
from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.watch.follower import Follower, wants
from kdns.watch.source import Source, Want

LOG: Final = logging.getLogger("kdns.watch")
SERVER_OF_ITS_OWN: Final = ("cluster", "kubeconfig", "http", "https")

MakeSource = Callable[[KubernetesOptions], Awaitable[Source]]


class AnswersGroup:
    """Every Answers of one cluster, as one."""

    def __init__(self) -> None:
        self.answers: dict[KubernetesOptions, Answers] = {}
        self._synced = False

    @property
    def synced(self) -> bool:
        """Everything wanted was listed."""
        return self._synced

    @synced.setter
    def synced(self, synced: bool) -> None:
        self._synced = synced
        for answers in self.answers.values():
            answers.synced = synced

    def apply(self, change: Change, now: int) -> None:
        """Hand on one change; ``now`` is Unix seconds."""
        for answers in self.answers.values():
            answers.apply(change, now)


class Cluster:
    """One API server, or folder, with one choice of objects."""

    def __init__(self, key: tuple[object, ...], wanted: Sequence[Want], metrics: Metrics) -> None:
        self.key = key
        self.wanted = tuple(wanted)
        self.fan = AnswersGroup()
        self.follower: Follower | None = None
        self._metrics = metrics
        self._source: Source | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def covers(self, options: KubernetesOptions) -> bool:
        """What the options need is followed here, or can be since nothing is followed yet."""
        return self.follower is None or all(_within(want, self.wanted) for want in wants(options))

    def answers(self, options: KubernetesOptions) -> Answers:
        """The answers for these options, filled with all that is known by now."""
        if (found := self.fan.answers.get(options)) is not None:
            return found
        made = Answers(schema_of(options), LOG.warning)
        if self.follower is None:
            self.wanted = tuple(_united((*self.wanted, *wants(options))))
        else:
            for change in known(self.follower):
                made.apply(change, int(time.time()))
            made.synced = self.fan.synced
        self.fan.answers[options] = made
        return made

    async def start(self, source: Source, tasks: asyncio.TaskGroup) -> None:
        """Begin to follow."""
        self._source = source
        self.follower = Follower(source, self.wanted, self.fan, self._metrics)
        self._tasks = self.follower.start(tasks)

    async def stop(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._source is not None:
            await self._source.close()


def known(follower: Follower) -> Iterator[Change]:
    """All that is known, as if each thing had just come."""
    store = follower.store
    for namespace in store.namespaces():
        yield NamespaceChange(namespace.key, None, namespace)
    for key, view in store.views():
        yield ServiceChange(key, None, view)
    for pod in store.pods():
        yield PodChange(pod.key, None, pod)
    for node in store.nodes():
        yield NodeChange(node.key, None, node)
    for cidr in store.service_cidrs():
        yield ServiceCIDRChange(cidr.key, None, cidr)


def _within(want: Want, wanted: Iterable[Want]) -> bool:
    """Some of what is followed is this, or this and more."""
    return any(want.joined(one) == one for one in wanted)


def _united(several: Iterable[Want]) -> Iterator[Want]:
    """Each kind once, with every column that somebody wants."""
    found: dict[object, Want] = {}
    for want in several:
        found[want.kind] = found.setdefault(want.kind, want).joined(want)
    yield from found.values()


class Clusters:
    """All clusters of one server."""

    def __init__(self, make_source: MakeSource, metrics: Metrics) -> None:
        self._make_source, self._metrics = make_source, metrics
        self._clusters: list[Cluster] = []

    def answers(self, options: KubernetesOptions) -> Answers:
        """The answers for these options, the same ones each time. Raises ConfigError for a bad zone."""
        key = (options.api, options.labels, options.namespace_labels, options.endpoints)
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
                    sources.append((cluster, await self._make_source(next(iter(cluster.fan.answers)))))
        except ConfigError:
            for _, source in sources:
                await source.close()
            raise
        for cluster, source in sources:
            await cluster.start(source, tasks)

    async def retain(self, used: Sequence[Answers]) -> None:
        """Let go of all answers but these, and of the clusters that have none any more."""
        for cluster in tuple(self._clusters):
            for options, answers in tuple(cluster.fan.answers.items()):
                if all(answers is not one for one in used):
                    del cluster.fan.answers[options]
            if not cluster.fan.answers:
                self._clusters.remove(cluster)
                await cluster.stop()

    async def stop(self) -> None:
        """Let go of everything."""
        await self.retain(())

    @property
    def followers(self) -> list[Follower]:
        """Of every cluster that is followed."""
        return [cluster.follower for cluster in self._clusters if cluster.follower is not None]

    def all_answers(self) -> list[Answers]:
        """Every set of answers."""
        return [answers for cluster in self._clusters for answers in cluster.fan.answers.values()]

    def startup_timeout(self) -> float:
        """Seconds: the longest that any options say."""
        times = [options.startup_timeout for cluster in self._clusters for options in cluster.fan.answers]
        return max(times, default=0.0)

    def reasons(self) -> list[str]:
        """Why clients should not be sent here yet, a line each."""
        return [reason for follower in self.followers for reason in follower.readiness.reasons()]

    async def synced(self) -> None:
        """Wait until every cluster is known."""
        for follower in self.followers:
            await follower.synced.wait()
