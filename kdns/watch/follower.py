"""Following the cluster: events of a source into the store, changes into what takes them, and what to say about it.

::

    source.streams ──event──> store ──change──> each ChangeConsumer: answers, or the proxy
                       │
                       └──> readiness, counters, one log line per change of state
"""

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final, Protocol
from weakref import WeakSet

from kdns.base.clock import Backoff, TimeSlice
from kdns.base.errors import ConfigError
from kdns.base.objects import PLURALS, Change, Kind, Service, ServiceChange
from kdns.config.settings import KubernetesOptions
from kdns.metrics.cluster import ServiceKind, Since, WatchCounts
from kdns.metrics.dns import Metrics
from kdns.watch.readiness import Readiness
from kdns.watch.recent import RECENT, Recent
from kdns.watch.snapshot import Unusable
from kdns.watch.snapshot_file import SnapshotFile
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Skipped, Source, Upserted, Want
from kdns.watch.store import Store

LOG: Final = logging.getLogger("kdns.watch")
TURN: Final = 0.002
"""Seconds of events in one go; then it is the sockets' turn, so that a list of thousands delays no query for long."""
WORDS: Final[dict[Kind, str]] = {
    "Service": "service",
    "EndpointSlice": "endpoint slice",
    "Namespace": "namespace",
    "Pod": "pod",
    "Node": "node",
    "ServiceCIDR": "service CIDR",
    "ServiceImport": "service import",
}
OURS: Final = "!service.kubernetes.io/service-proxy-name"
"""Label selector: what no other proxy has claimed."""
LIVE_PHASES: Final = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
"""Pods that ended have given their address back."""


def wants(options: KubernetesOptions) -> list[Want]:
    """What must be followed for these options, and no more.

    Namespaces are optional unless they are selected by labels: without them a Namespace exists by its objects. A
    cluster without the kind ServiceImport has none of them; one that forbids to list them may have some, and is waited
    for.
    """
    service = Want("Service", label_selector=options.labels, external=options.external, routing=options.routed)
    wanted = [service]
    if options.endpoints:
        slices = Want("EndpointSlice", label_selector=options.labels, pod_names=options.endpoint_pod_names)
        imports = bool(options.multicluster)
        wanted.append(slices._replace(zones=options.zonal, imports=imports, routing=options.routed))
    wanted.append(Want("Namespace", label_selector=options.namespace_labels, optional=not options.namespace_labels))
    if options.multicluster:
        wanted.append(Want("ServiceImport", label_selector=options.labels, installed=False))
    if options.pods == "verified":
        wanted.append(Want("Pod", label_selector=options.labels, field_selector=LIVE_PHASES, labels=options.labelled))
    elif options.clients:  # without them nothing but who asks is unknown
        own = f"spec.nodeName={options.clients},{LIVE_PHASES}"
        wanted.append(Want("Pod", field_selector=own, labels=options.labelled, optional=True))
    return wanted


def proxy_wants(node: str, *, every_node: bool = False) -> list[Want]:
    """What the proxy on a Node must follow, and no more: Services it may serve, their endpoints, and its own Node.

    ``every_node``: all other Nodes, too.

    ServiceCIDRs are new in Kubernetes 1.33, and older rules do not allow them: without them the proxy knows no
    addresses beside those in use.
    """
    return [
        Want("Service", OURS, "spec.clusterIP!=None", routing=True),
        Want("EndpointSlice", f"{OURS},!service.kubernetes.io/headless", routing=True, named=False),
        Want("Node", field_selector="" if every_node else f"metadata.name={node}"),
        Want("ServiceCIDR", optional=True),
    ]


class ChangeConsumer(Protocol):
    """What changes are given to: `kdns.records.answers.Answers`, or the proxy."""

    synced: bool
    """Set once every initial list is complete or its kind skipped, after the changes of the lists."""

    def apply(self, change: Change, now: int) -> None:
        """Take in one change; ``now`` is Unix seconds."""


class Listener(Protocol):
    """Who only wants to know."""

    def note(self, change: Change) -> None:
        """Something has changed; it returns at once, and raises nothing."""


class Follower:
    """Keeps the store, and the consumers of its changes, as the source says the cluster is."""

    def __init__(
        self,
        source: Source,
        wanted: Sequence[Want],
        consumers: Collection[ChangeConsumer],
        metrics: Metrics,
        *,
        names: bool = True,
        snapshots: SnapshotFile | None = None,
        restored: Callable[[], None] | None = None,
    ) -> None:
        """``consumers`` may change while the cluster is followed: each Change goes to those that are in it.

        ``names``: they answer names, and the time from a change to its answers is measured here. The proxy is done only
        when the kernel is, and measures that itself by `ServiceChange.triggered`.

        ``snapshots``: where what is known is kept for the next start, and is read from until the cluster is listed.
        ``restored`` is called once its objects were handed on; without it the consumers count as synced from then on.
        """
        self.readiness = Readiness(wanted)
        self.synced = asyncio.Event()
        """Set once every initial list is complete, or its kind skipped."""
        self._source, self.wanted = source, wanted
        self.store = Store()
        """All that is known by now."""
        self._consumers, self._metrics, self._names = consumers, metrics, names
        self._counts = metrics.cluster
        self.recent: deque[Recent] = deque(maxlen=RECENT)
        """The last changes of Services after the first lists, the newest last."""
        self.listeners: WeakSet[Listener] = WeakSet()
        """Who wants to know that something has changed, after the consumers have taken it."""
        self._began = time.monotonic()
        self._listed_once: set[Kind] = set()
        self._settled = asyncio.Event()
        """Every initial list is complete, or its kind skipped: a snapshot does not matter any more."""
        self.changes = 0
        """How many there were: what is the same number is the same cluster."""
        self._listing: set[Kind] = set()
        """Kinds of which a list is under way."""
        self._logged: dict[Kind, set[str]] = {}
        """Why a kind is lost: the reasons that were logged in this outage."""
        self._snapshots, self._restored = snapshots, restored or self._serve_snapshot
        self._ready_to_follow = asyncio.Event()

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """One endless task per stream, and one for the snapshot; a ConfigError ends them."""
        running = [
            tasks.create_task(self._follow(index, stream), name=f"stream {index}")
            for index, stream in enumerate(self._source.streams(self.wanted))
        ]
        if self._snapshots is None:
            self._ready_to_follow.set()
        else:
            running.append(tasks.create_task(self._keep_snapshot(self._snapshots), name="snapshot"))
        return running

    async def _keep_snapshot(self, file: SnapshotFile) -> None:
        """Serve what was last known until the cluster is listed; write what is known now and then, if it is all."""
        try:
            await self._restore(file)
        except Exception:
            LOG.exception("a bug met while a snapshot was read; the cluster is followed without it")
            self._metrics.panics += 1
        finally:
            self._ready_to_follow.set()
        await self._settled.wait()
        written = -1
        while True:
            if self.changes != written:
                written = self.changes
                await file.save(self.wanted, [(want.kind, self.store.objects(want.kind)) for want in self.wanted])
            await asyncio.sleep(file.every)

    async def _restore(self, file: SnapshotFile) -> None:
        snapshot = await file.load(self.wanted)
        if snapshot is None:
            return
        turn = TimeSlice(TURN)
        now = int(time.time())
        try:
            for kept in await asyncio.to_thread(lambda: list(snapshot.decoded())):
                for change in self.store.apply(Upserted(kept)):
                    self._give(change, now)
                if turn.over():
                    await turn.rest()
        except Unusable as error:
            LOG.warning("the snapshot %s is not used: %s", file.path, error)
            return
        for want in self.wanted:
            self._counts.watch(want.kind).objects.set(self.store.count(want.kind))
        self.readiness.restored = self._counts.snapshots[self] = snapshot.taken
        LOG.info(
            "until the cluster is listed, a snapshot %.0f s old stands in: %s", now - snapshot.taken, self.inventory()
        )
        self._restored()

    def _serve_snapshot(self) -> None:
        for consumer in self._consumers:
            consumer.synced = True
        self.synced.set()

    async def _follow(self, index: int, stream: AsyncIterator[Event]) -> None:
        """Read one stream for ever. A bug ends the stream, not the process: it is logged and counted, and the stream
        is started again after a pause."""
        backoff = Backoff()
        await self._ready_to_follow.wait()
        while True:
            try:
                await self._read(stream, backoff)
                LOG.error("watch stream ended unexpectedly; restarting")
            except ConfigError:
                raise
            except Exception:
                LOG.exception("a bug met while following the cluster; what is known stays in force")
            self._metrics.panics += 1
            await backoff.pause()
            stream = self._source.streams(self.wanted)[index]

    async def _read(self, stream: AsyncIterator[Event], backoff: Backoff) -> None:
        turn = TimeSlice(TURN)
        async for event in stream:
            self.take(event, time.time())
            if isinstance(event, ListComplete):
                backoff.begin()
            if turn.over():
                if self._listing:
                    gc.freeze()  # or each of the collector's full rounds would walk all that was listed so far
                await turn.rest()

    def take(self, event: Event, now: float) -> None:
        """Apply one event, completely: the next datagram is answered with what it made of the cluster.

        ``now`` is Unix seconds.
        """
        changes = self.store.apply(event)
        self.changes += len(changes)
        for change in changes:
            self._give(change, int(now))
        if isinstance(event, Upserted | Deleted):
            for change in changes:
                if isinstance(change, ServiceChange):
                    self._measure(change, event.arrived, now)
            kind = (event.object.key if isinstance(event, Upserted) else event.key).kind
            self._counts.watch(kind).last_event.set(now)
        else:
            kind = event.kind
            self._state(event, now)
        self._counts.watch(kind).objects.set(self.store.count(kind))

    def _give(self, change: Change, now: int) -> None:
        """Give a Change to every consumer. A bug in one keeps it neither from the others nor from what follows.

        The store has taken the event, so a list that is read again would not bring the Change a second time.
        """
        for consumer in self._consumers:
            try:
                consumer.apply(change, now)
            except Exception:
                LOG.exception("a bug met while applying a change of %s; everything else is served", change.key)
                self._metrics.panics += 1
        for listener in self.listeners:
            listener.note(change)

    def _measure(self, change: ServiceChange, arrived: float | None, now: float) -> None:
        """Note how long a change took: since the cluster began it, or at least since we could know of it."""
        service = next((view.service for view in (change.after, change.before) if view and view.service), None)
        if service is None:
            return  # slices without a Service have no name
        applied = self._counts.clock()
        gone = change.after is None or change.after.service is None
        seconds: float | None = None
        since: Since | None = None
        if self._names and change.triggered is not None and not gone:
            seconds, since = max(0.0, now - change.triggered), "trigger"
        elif self._names and arrived is not None:
            seconds, since = max(0.0, applied - arrived), "arrival"
        if seconds is not None and since is not None:
            self._counts.programmed(_kind(service, triggered=since == "trigger"), since, seconds)
        if self._settled.is_set():
            self.recent.append(Recent(change.key, now, gone, seconds, since, arrived, applied))

    def _state(self, event: Listing | ListComplete | Lost | Resumed | Skipped, now: float) -> None:
        """Note an event that is about a kind as a whole, and say what is new."""
        kind, resource = event.kind, PLURALS[event.kind]
        watch = self._counts.watch(kind)
        lost_before = self.readiness.lost.get(kind)
        self.readiness.note(event)
        match event:
            case Lost(reason=reason):
                watch.losses.inc(lost_before is None)
                self._listing.discard(kind)  # what is listed next begins with Listing again
                if reason not in (logged := self._logged.setdefault(kind, set())):
                    logged.add(reason)
                    LOG.warning("watch of %s lost: %s", resource, reason.removeprefix("lost: "))
                return
            case Listing():
                self._list_begins(kind)
            case Skipped(reason=reason):
                LOG.warning("not following %s: %s", resource, reason)
            case Resumed():
                self._logged.pop(kind, None)
                LOG.info("watch of %s resumed", resource)
            case ListComplete():
                self._listed(kind, watch)
        watch.last_event.set(now)
        if isinstance(event, ListComplete | Skipped) and self.readiness.synced:
            self._settle()

    def _listed(self, kind: Kind, watch: WatchCounts) -> None:
        """Say what a list has changed, unless it is a first one."""
        self._listing.discard(kind)
        self._logged.pop(kind, None)
        known = self.store.relisted(kind)
        if kind in self._listed_once and known is not None:
            watch.relists.inc()
            changed = f" ~{known.changed:,}" if known.changed else ""
            LOG.info("%s relisted: +%s -%s%s", PLURALS[kind], f"{known.added:,}", f"{known.removed:,}", changed)
        self._listed_once.add(kind)

    def _settle(self) -> None:
        """Everything is listed: say so the first time."""
        if not self._settled.is_set():
            self._settled.set()
            for consumer in self._consumers:
                consumer.synced = True
            self.readiness.restored = None
            self._counts.snapshots.pop(self, None)
            self.synced.set()
            LOG.info("synced in %.1f s: %s", time.monotonic() - self._began, self.inventory())
        gc.freeze()

    def _list_begins(self, kind: Kind) -> None:
        """Take what is known out of the collector's rounds, before it grows.

        Objects of the cluster stay for long and have no cycles, yet a full round walks them all, and stops the loop
        for it: 60 ms for 100,000 endpoints. Garbage must not be frozen with them, so it is collected first.
        """
        self._listing.add(kind)
        gc.collect()
        gc.freeze()

    def inventory(self) -> str:
        """``10,012 services, 10,015 endpoint slices, 61 namespaces``."""
        return ", ".join(
            f"{(count := self.store.count(want.kind)):,} {WORDS[want.kind]}{'' if count == 1 else 's'}"
            for want in self.wanted
            if want.kind not in self.readiness.skipped
        )


def _kind(service: Service, *, triggered: bool = False) -> ServiceKind:
    """Only slices that the cluster makes from a selector say when they were triggered."""
    if service.external_name is not None:
        return "external_name"
    if not service.headless:
        return "cluster_ip"
    return "headless_with_selector" if service.selected or triggered else "headless_without_selector"


def _hint(reason: str) -> str:
    """What to look at when an API server cannot be reached; nothing where it has answered, and says why itself."""
    reached = reason[:3].isdigit()  # an HTTP status
    return "" if reached else "is the API server there? look at its address, the kubeconfig's context, and the VPN"


async def read_once(source: Source, wanted: Sequence[Want], consumer: ChangeConsumer) -> None:
    """Give a consumer what a source has now, and follow it no further.

    Raises ConfigError if something wanted cannot be read.
    """
    store, readiness, done = Store(), Readiness(wanted), asyncio.Event()

    async def read(stream: AsyncIterator[Event]) -> None:
        async for event in stream:
            for change in store.apply(event):
                consumer.apply(change, int(time.time()))
            readiness.note(event)
            if isinstance(event, Lost):
                raise ConfigError(f"cannot read {PLURALS[event.kind]}: {event.reason}", hint=_hint(event.reason))
            if readiness.synced:
                consumer.synced = True
                done.set()
                return

    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(read(stream)) for stream in source.streams(wanted)]
        await done.wait()
        for task in reading:
            task.cancel()
