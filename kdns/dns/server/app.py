"""The composition root: settings become parts, and the parts run in one TaskGroup until a signal ends them.

::

    HTTP opens ──> streams start ──> synced, or startup_timeout is over ──> DNS opens ──> serve
                                                                                           │ SIGTERM: /ready says 503
    exit 0 <── close <── what is owed is answered <── no new queries <── lameduck is over <─┘

What is served comes from a Corefile, or from the flags; both become the same plans, see `kdns.dns.server.plan`.
"""

import asyncio
import hashlib
import logging
import os
import platform
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from kdns import __version__
from kdns.base.errors import ConfigError, first_mistake
from kdns.config.load import STDIN, load
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.dns.plugins import LEFT_OUT, UNSUPPORTED
from kdns.dns.plugins.kubernetes import schema_of
from kdns.dns.server.block import RunningServerBlock, describe
from kdns.dns.server.clusters import Clusters
from kdns.dns.server.context import ServerContext
from kdns.dns.server.local_listeners import LocalListeners, until_quiet
from kdns.dns.server.plan import (
    ProcessSettings,
    ServerBlockPlan,
    banner_lines,
    plan_corefile,
    plan_settings,
    process_settings,
    secured_files,
)
from kdns.dns.server.registry import Registry
from kdns.dns.server.reloading import Reloader
from kdns.dns.server.serving import DRAIN, Serving
from kdns.dns.transport.listeners import Bound
from kdns.kernel.interfaces import own_addresses
from kdns.metrics.dns import Metrics
from kdns.ops.http import HttpPorts
from kdns.ops.logs import BANNER
from kdns.ops.port import Answer
from kdns.ops.process import prepare
from kdns.ops.shutdown import Stop, any_of
from kdns.records.answers import Answers
from kdns.watch.open_source import build_source
from kdns.watch.source import Source
from kdns.wire.name import parse_name

LOG: Final = logging.getLogger("kdns.server")
CLUSTER: Final = logging.getLogger("kdns.watch")
HEALTH: Final = logging.getLogger("kdns.ops.http.health")
FIRST_WORD: Final = 0.5
"""Seconds after which start-up says what it waits for."""


class Running(NamedTuple):
    """What is served, for tests and `demo`."""

    answers: Answers
    """Of the first cluster."""
    bound: tuple[Bound, ...]
    urls: dict[str, str]
    """HTTP path -> URL."""
    stop: Callable[[], None]
    """End as SIGINT does."""


class Loaded(NamedTuple):
    """What there is to serve."""

    plans: tuple[ServerBlockPlan, ...]
    digest: str = ""
    """Of the Corefile; empty without one."""
    warnings: tuple[ConfigError, ...] = ()


class App:
    """One server: its parts, built but not opened."""

    def __init__(
        self,
        settings: ServeSettings,
        site: "Callable[[App], Answer] | None" = None,
        local: LocalListeners | None = None,
    ) -> None:
        """``site`` makes what answers for the status pages; ``local``: more addresses to answer on. Raises ConfigError
        for a folder that cannot be read."""
        self._settings, self._local = settings, local
        self._registry = Registry(settings.plugins)
        runtime = f"{platform.python_implementation().lower()}{platform.python_version()}"
        self.metrics = Metrics(__version__, runtime)
        registry = self.metrics.registry()
        self.clusters = Clusters(self._source, self.metrics, settings.snapshot)
        self._stop = Stop()  # until `run` is given the real one
        self.context = ServerContext(self.metrics, registry, self.clusters, self._fatal)
        if local is not None:
            self.context.is_local = lambda address: address in local.addresses
            self.metrics.unreported = local.heartbeat
            self.context.top.own = parse_name(local.heartbeat)
        self.serving = Serving(self.context)
        self.http = HttpPorts(
            self.metrics,
            self.unready,
            remarks=self.clusters.remarks,
            top=self.context.top.values,
            registry=registry,
            site=partial(site, self) if site is not None else None,
        )
        self.process = ProcessSettings()
        """What the Corefile that is served asks of the server itself."""
        self._tasks: asyncio.TaskGroup
        self._level = logging.getLogger("kdns").level

    async def run(self, stop: Stop, started: Callable[[Running], Awaitable[None]] | None = None) -> None:
        """Serve until asked to stop. ``started`` runs beside it once queries are answered. Raises ConfigError."""
        self._stop = stop
        for line in self._registry.ignored():
            LOG.warning("%s", line)
        try:
            loaded = await self.load()
            with first_mistake():
                async with asyncio.TaskGroup() as tasks:
                    self._tasks = tasks
                    beside = [tasks.create_task(self.http.probe(), name="probe")]
                    blocks = await self._prepare(loaded)
                    if not stop.asked.is_set():
                        await self._install(loaded, blocks)
                        self._say(loaded)
                        if loaded.digest and self._settings.corefile != STDIN:
                            beside.append(tasks.create_task(self._reloader(loaded).run(stop.reload), name="reload"))
                        if started is not None:
                            beside.append(tasks.create_task(_run(started, self._running()), name="started"))
                        await stop.asked.wait()
                        await self._end(stop)
                    for task in beside:
                        task.cancel()
                    await self.serving.close()
                    await self.clusters.stop()
        finally:
            await self.serving.close()
            await self.http.close()
            await self.clusters.stop()

    def _fatal(self, message: str) -> None:
        self._stop.fail(message)

    async def load(self) -> Loaded:
        """What there is to serve now. Raises ConfigError."""
        settings = self._settings
        if not settings.corefile:
            return Loaded(plan_settings(settings))
        loaded = await asyncio.to_thread(load_plans, settings, self._registry)
        return loaded if self._local is None else loaded._replace(plans=self._local.extend(loaded.plans))

    async def exchange(self, loaded: Loaded) -> None:
        """Serve something else from now on. Raises ConfigError, with everything as it was."""
        before = self.process
        try:
            blocks = await self._prepare(loaded)
            await self._install(loaded, blocks)
        except BaseException:
            self.process = before
            await self.http.move(before.health, before.ready, before.metrics, before.top, before.status)
            await self.serving.abandon()
            raise

    async def _prepare(self, loaded: Loaded) -> list[RunningServerBlock]:
        """Everything but the exchange: pages are open, clusters known, or waited for long enough."""
        blocks = self.serving.build(loaded.plans)
        process = process_settings(loaded.plans)
        starting = asyncio.create_task(self.clusters.start(self._tasks))
        try:
            await asyncio.wait((starting,), timeout=FIRST_WORD)
            if starting.done():
                starting.result()  # what cannot be followed at all is an error before a page says that all is well
            await self._open_pages(process)
            await self._started(starting)
        finally:
            starting.cancel()
        await self._wait_for_clusters()
        return blocks

    async def _open_pages(self, process: ProcessSettings) -> None:
        await self.http.move(process.health, process.ready, process.metrics, process.top, process.status)
        if not self.serving.blocks:
            for path, where in self.http.listening.items():
                name = path[1:] or "status"
                logging.getLogger(f"kdns.ops.http.{name}").info("%s on %s", path if path[1:] else "status pages", where)

    async def _started(self, starting: asyncio.Task[None]) -> None:
        """Wait for clusters; a source that takes long, such as a pipe without a writer, must not outlast a signal."""
        asked = asyncio.create_task(self._stop.asked.wait())
        await asyncio.wait((starting, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if starting.done():
            starting.result()
        else:
            starting.cancel()
            await asyncio.wait((starting,))

    async def _install(self, loaded: Loaded, blocks: list[RunningServerBlock]) -> None:
        fresh = [warning for live in blocks if live not in self.serving.blocks for warning in live.warnings]
        for line in (*loaded.warnings, *fresh):
            LOG.warning("%s", line)
        await self.serving.install(blocks)
        self.process = process_settings(loaded.plans)
        listen = [address for plan in loaded.plans for address in plan.addresses]
        addresses = own_addresses(list(dict.fromkeys(listen)))
        for answers in self.clusters.all_answers():
            answers.set_own_addresses(addresses)
        self.context.watch_top(on=bool(self.process.top), metrics=self.process.top_metrics)
        if self.process.runtime_metrics:
            self.context.collect_runtime()
        logging.getLogger("kdns").setLevel(logging.DEBUG if self.process.debug else self._level)

    def _reloader(self, loaded: Loaded) -> Reloader[Loaded]:
        return Reloader(
            self.load,
            self.exchange,
            lambda: self.process.reload,
            lambda corefile: corefile.digest,
            self.context,
            loaded,
        )

    def _running(self) -> Running:
        answers = (*self.clusters.all_answers(), Answers(schema_of(KubernetesOptions())))[0]
        return Running(answers, self.serving.bound, self.http.urls, lambda: self._stop.signal(signal.SIGINT))

    async def _source(self, options: KubernetesOptions) -> Source:
        text = self._settings.source or "cluster"
        return await build_source(
            text, watch_timeout=self._settings.watch_timeout, api=options.api, counts=self.metrics.cluster
        )

    def unready(self) -> list[str]:
        """Why no client should be sent here, a line each; empty when all is well."""
        if self._stop.asked.is_set():
            return ["Shutting down"]
        if reasons := self.clusters.reasons():
            return reasons
        if not self.serving.bound:
            return ["server: not listening yet"]
        return [reason for live in self.serving.blocks for reason in self.unready_plugins(live)]

    def unready_plugins(self, live: RunningServerBlock) -> list[str]:
        """What was ready once is not asked again, unless with ``monitor continuously``."""
        reasons = dict(live.reasons(() if self.process.continuously else live.was_ready))
        live.was_ready |= {name for name in live.monitored if name not in reasons}
        return [f"{name}: {reason}" for name, reason in reasons.items()]

    async def _wait_for_clusters(self) -> None:
        """Until the clusters are known, it takes too long, or all is to end."""
        waiting = [follower.synced for follower in self.clusters.followers if not follower.synced.is_set()]
        if not waiting:
            return
        limit, asked = self.clusters.startup_timeout(), self._stop.asked
        first = min(FIRST_WORD, limit)
        if await any_of(first, asked, every=waiting):
            return
        CLUSTER.info("waiting for the cluster: %s", "; ".join(self._reasons()))
        if not await any_of(limit - first, asked, every=waiting):
            CLUSTER.warning("serving before the cluster is known; not ready: %s", "; ".join(self._reasons()))

    def _reasons(self) -> list[str]:
        return [reason.removeprefix("kubernetes: ") for reason in self.clusters.reasons()]

    def _say(self, loaded: Loaded) -> None:
        if not self._settings.quiet:
            for line in banner(loaded.plans, self.serving):
                BANNER.info(line)

    async def _end(self, stop: Stop) -> None:
        if stop.gently and (seconds := self.process.lameduck) > 0:
            HEALTH.info("Going into lameduck mode for %gs", seconds)
            await any_of(seconds, stop.at_once)
        if self._local is not None and not stop.at_once.is_set():
            await until_quiet(self.metrics.answered, stop.at_once, self._local.quiet)
        if not stop.at_once.is_set():
            ending = asyncio.create_task(self.serving.stop(DRAIN))
            at_once = asyncio.create_task(stop.at_once.wait())
            await asyncio.wait((ending, at_once), return_when=asyncio.FIRST_COMPLETED)
            for task in (ending, at_once):
                task.cancel()
            (ended, _) = await asyncio.gather(ending, at_once, return_exceptions=True)
            if isinstance(ended, Exception):
                LOG.error("a bug while the sockets were closed", exc_info=ended)


async def serve(
    settings: ServeSettings,
    started: Callable[[Running], Awaitable[None]] | None = None,
    site: Callable[[App], Answer] | None = None,
) -> int:
    """``kdns serve``: the exit status; ``site`` as of `App`. Raises ConfigError for what the operator must fix."""
    prepare()
    stop = Stop()
    stop.install(hangup_ends=not settings.corefile)
    await App(settings, site).run(stop, started)
    return stop.status


def load_plans(settings: ServeSettings, registry: Registry) -> Loaded:
    """What the Corefile says. Reads files. Raises ConfigError, or ConfigErrors with all that is wrong."""
    corefile = load(
        settings.corefile, environ=os.environ, port=settings.port, known={*registry.names(), *LEFT_OUT, *UNSUPPORTED}
    )
    plans = plan_corefile(corefile, registry, os.getcwd())
    files = secured_files(plans)  # a new certificate is served like a new Corefile
    digest = hashlib.sha512(f"{corefile.digest} {files}".encode()).hexdigest() if files else corefile.digest
    warnings = list(corefile.warnings)
    ports = {key.port for plan in plans for key in plan.keys}
    if settings.port not in {ServeSettings().port, *ports}:
        warnings.append(ConfigError(f"--port {settings.port} has no effect: every server block names its own port"))
    return Loaded(plans, digest, tuple(warnings))


class Checked(NamedTuple):
    """What ``kdns check`` has to say."""

    lines: list[str]
    """The warnings, then what would be served."""
    blocks: int
    """Server blocks."""
    warnings: int


def check(settings: ServeSettings) -> Checked:
    """``kdns check``: what the Corefile would serve. Raises as `load_plans` does, and opens nothing."""
    registry = Registry(settings.plugins)
    loaded = load_plans(settings, registry)
    serving = App(settings).serving
    blocks = serving.build(loaded.plans)
    warnings_found = (*loaded.warnings, *(warning for live in blocks for warning in live.warnings))
    warnings = [f"warning: {line}" for line in (*map(str, warnings_found), *registry.ignored())]
    return Checked([*warnings, *describe(blocks)], len(loaded.plans), len(warnings))


def banner(plans: tuple[ServerBlockPlan, ...], serving: Serving) -> list[str]:
    """The start-up lines in CoreDNS's form: one per zone and place, then who we are, then what runs us."""
    system = f"{platform.system().lower()}/{platform.machine()}"
    return [
        *banner_lines(plans, serving.ports()),
        f"kdns-{__version__}",
        f"{system}, {platform.python_implementation()} {platform.python_version()}",
    ]


async def _run(started: Callable[[Running], Awaitable[None]], running: Running) -> None:
    await started(running)
