"""The composition root: settings become parts, and the parts run in one TaskGroup until a signal ends them.

::

    HTTP opens ──> streams start ──> synced, or startup_timeout is over ──> DNS opens ──> serve
                                                                                           │ SIGTERM: /ready says 503
    exit 0 <── close <── what is owed is answered <── no new queries <── lameduck is over <─┘
"""

import asyncio
import itertools
import json
import logging
import platform
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from io import FileIO
from typing import BinaryIO, Final, NamedTuple, TextIO, TypeVar, cast

from kdns import __version__
from kdns.config.settings import KubernetesOptions, ServeSettings
from kdns.dns.handler import chain
from kdns.dns.interfaces import own_addresses
from kdns.dns.plugins.kubernetes import kubernetes, schema_of
from kdns.dns.responder import Responder
from kdns.dns.server import Bound, Server
from kdns.errors import ConfigError
from kdns.follow import Follower, read_once, wants
from kdns.metrics import Enabled, Metrics
from kdns.ops.http import HttpPorts
from kdns.ops.logs import BANNER
from kdns.ops.process import prepare
from kdns.records.answers import Answers
from kdns.records.present import below, by_zone, master_file, values
from kdns.watch.cluster import ApiSource, load_credentials
from kdns.watch.files import FileSource
from kdns.watch.source import Source
from kdns.wire.name import parse_name

T = TypeVar("T")

CLUSTER: Final = logging.getLogger("kdns.watch")
HEALTH: Final = logging.getLogger("kdns.ops.http.health")
PAGES: Final = {"/health": "health", "/ready": "ready", "/metrics": "prometheus"}
"""Each HTTP page and the plugin that has it in CoreDNS."""
FIRST_WORD: Final = 0.5
"""Seconds after which start-up says what it waits for."""
DRAIN: Final = 5.0
"""Seconds that replies under way may take at the end."""


class Running(NamedTuple):
    """What is served, for whoever wants to look at it from inside."""

    answers: Answers
    bound: tuple[Bound, ...]
    urls: dict[str, str]
    """HTTP path -> URL."""
    stop: Callable[[], None]
    """End as SIGINT does."""


class Stop:
    """The wish to end: by SIGTERM with lameduck, by SIGINT or SIGHUP without, at once by a second signal."""

    def __init__(self) -> None:
        self.asked, self.at_once = asyncio.Event(), asyncio.Event()
        self.gently = False
        """Queries are to be answered for the lameduck time."""
        self.status = 0
        """The exit status: 0, or 128 + the number of the second signal."""
        self.first: Callable[[], None] = lambda: None
        """Called as soon as the first signal is there."""

    def signal(self, number: int) -> None:
        """A signal came."""
        if self.asked.is_set():
            self.status = 128 + number
            self.at_once.set()
            return
        self.gently = number == signal.SIGTERM
        self.asked.set()
        self.first()

    def install(self) -> None:
        """Have the process's signals told here."""
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # the terminal was closed; under nohup it is ignored
            numbers.append(signal.SIGHUP)
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, self.signal, number)


async def build_source(text: str, *, watch_timeout: float = 90.0) -> Source:
    """A source from its words on the command line. Raises ConfigError for one that cannot be."""
    if text == "cluster" or text.partition(":")[0] in {"kubeconfig", "http", "https"}:
        return ApiSource(await load_credentials(text), watch_timeout=watch_timeout)
    return await _aside(lambda: _file_source(text))


def _file_source(text: str) -> FileSource:
    if text != "-":
        return FileSource(text)
    try:
        # as it is: a buffer's lock, held by a thread that reads, would abort the process at its end
        return FileSource(text, stdin=cast("BinaryIO", FileIO(0, closefd=False)))
    except OSError as error:
        raise ConfigError(f"standard input cannot be read: {error.strerror}") from error


async def _aside(build: Callable[[], T]) -> T:
    """Run it in a thread that nobody waits for at the end: a pipe may never be written, and signals must not wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result, failed = None, None
        try:
            result = build()
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, name="source", daemon=True).start()
    return await done


class App:
    """One server: its parts, built but not opened. Raises ConfigError for settings that cannot be."""

    def __init__(self, settings: ServeSettings, source: Source) -> None:
        self._settings, self.source = settings, source
        runtime = f"{platform.python_implementation().lower()}{platform.python_version()}"
        self.metrics = Metrics(__version__, runtime)
        self.answers = Answers(schema_of(settings.kubernetes), CLUSTER.warning)
        self.responder = Responder(chain((kubernetes(self.answers),)), self.answers)
        self.server = Server(self.responder, settings.listen, settings.port)
        self.follower = Follower(source, wants(settings.kubernetes), self.answers, self.metrics)
        self.http = HttpPorts(
            self.metrics,
            self._unready,
            health=settings.health,
            ready=settings.ready,
            metrics_at=settings.metrics,
        )

    async def run(self, stop: Stop, started: Callable[[Running], Awaitable[None]] | None = None) -> None:
        """Serve until asked to stop. ``started`` runs beside it once queries are answered."""
        stop.first = self._not_ready
        try:
            await self.http.open()
            for path, where in self.http.listening.items():
                logging.getLogger(f"kdns.ops.http.{path[1:]}").info("%s on %s", path, where)
            async with asyncio.TaskGroup() as tasks:
                beside = [*self.follower.start(tasks), tasks.create_task(self.http.probe(), name="probe")]
                await self._wait_for_cluster(stop)
                if not stop.asked.is_set():
                    await self._open_dns()
                    if started is not None:
                        running = Running(
                            self.answers, self.server.bound, self.http.urls, lambda: stop.signal(signal.SIGINT)
                        )
                        beside.append(tasks.create_task(_run(started, running), name="started"))
                    await stop.asked.wait()
                    await self._end(stop)
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as group:
            if (mistake := _mistake(group)) is None:
                raise
            raise mistake from mistake.__cause__
        finally:
            self.server.close()
            await self.http.close()
            await self.source.close()

    def _not_ready(self) -> None:
        self.follower.readiness.shutting_down = True

    def _unready(self) -> list[str]:
        """Why no client should be sent here, a line each; empty when all is well."""
        if reasons := self.follower.readiness.reasons():
            return reasons
        return [] if self.server.bound else ["server: not listening yet"]

    async def _wait_for_cluster(self, stop: Stop) -> None:
        """Until the cluster is known, start-up takes too long, or is to end."""
        limit, synced = self._settings.kubernetes.startup_timeout, self.follower.synced
        first = min(FIRST_WORD, limit)
        if await _any_of(first, synced, stop.asked):
            return
        CLUSTER.info("waiting for the cluster: %s", "; ".join(self._reasons()))
        if not await _any_of(limit - first, synced, stop.asked):
            CLUSTER.warning("serving before the cluster is known; not ready: %s", "; ".join(self._reasons()))

    def _reasons(self) -> list[str]:
        return [reason.removeprefix("kubernetes: ") for reason in self.follower.readiness.reasons()]

    async def _open_dns(self) -> None:
        await self.server.start()
        self.answers.set_own_addresses(own_addresses(self._settings.listen))
        self.metrics.lanes += [lane.counts for lane in self.responder.lanes]
        names = ["kubernetes", *(PAGES[path] for path in self.http.urls)]
        servers = dict.fromkeys(counts.server for counts in self.metrics.lanes)
        self.metrics.enabled = tuple(Enabled(server, ".", name) for server in servers for name in names)
        for line in banner(self._settings.kubernetes.zones, self.server.bound):
            BANNER.info(line)

    async def _end(self, stop: Stop) -> None:
        if stop.gently and (seconds := self._settings.lameduck) > 0:
            HEALTH.info("Going into lameduck mode for %gs", seconds)
            await _any_of(seconds, stop.at_once)
        if not stop.at_once.is_set():
            ending = asyncio.create_task(self.server.stop(DRAIN))
            at_once = asyncio.create_task(stop.at_once.wait())
            await asyncio.wait((ending, at_once), return_when=asyncio.FIRST_COMPLETED)
            at_once.cancel()
            if ending.done() and (bug := ending.exception()) is not None:
                CLUSTER.error("a bug while the sockets were closed", exc_info=bug)
            await self.responder.drain(0 if stop.at_once.is_set() else DRAIN)


async def serve(settings: ServeSettings, started: Callable[[Running], Awaitable[None]] | None = None) -> int:
    """``kdns serve``: the exit status. Raises ConfigError for what the operator must fix."""
    prepare()
    stop = Stop()
    stop.install()
    building = asyncio.create_task(build_source(settings.source, watch_timeout=settings.watch_timeout))
    asked = asyncio.create_task(stop.asked.wait())
    await asyncio.wait((building, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if stop.asked.is_set():
        building.cancel()
        return stop.status
    await App(settings, building.result()).run(stop, started)
    return stop.status


def banner(zones: tuple[str, ...], bound: tuple[Bound, ...]) -> list[str]:
    """The start-up lines in CoreDNS's form: one per zone and port, then who we are, then what runs us."""
    wildcard = all(one.address in {"0.0.0.0", "::"} for one in bound)
    places = [f"{bound[0].port}"] if wildcard else [f"{one.port} on {one.address}" for one in bound]
    system = f"{platform.system().lower()}/{platform.machine()}"
    return [
        *(f"{zone}:{place}" for zone in zones for place in places),
        f"kdns-{__version__}",
        f"{system}, {platform.python_implementation()} {platform.python_version()}",
    ]


async def print_records(
    source_text: str, options: KubernetesOptions, *, form: str, name_text: str, out: TextIO | None = None
) -> int:
    """``kdns records``: every record of the source as it is now, in one of the two forms.

    Raises ConfigError for a bad name, or when the source cannot be read.
    """
    out = out or sys.stdout
    try:
        name = parse_name(name_text)
    except ValueError as error:
        raise ConfigError(f"no name: {error}") from error
    answers = Answers(schema_of(options), CLUSTER.warning)
    source = await build_source(source_text)
    try:
        await read_once(source, wants(options), answers)
    except BaseExceptionGroup as group:
        if (mistake := _mistake(group)) is None:
            raise
        raise mistake from mistake.__cause__
    finally:
        await source.close()
    answers.set_own_addresses(own_addresses(("",)))  # as a server on this machine would say
    schema = answers.schema
    found = below(by_zone(answers.records(), (*schema.zones, *schema.reverse_zones)), name)
    if (first := next(found, None)) is None:
        raise ConfigError(f"no records at or below {name_text!r}", hint="say whole names: web.shop.svc.cluster.local")
    found = itertools.chain((first,), found)
    if form == "json":
        json.dump(list(values(found)), out, indent=1, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(f"; kdns-{__version__}, source {source_text}\n")
        out.writelines(f"{line}\n" for line in master_file(found))
    return 0


async def _any_of(seconds: float, *events: asyncio.Event) -> bool:
    """True as soon as one of the events is set, False when the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    done, late = await asyncio.wait(waiting, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    for one in late:
        one.cancel()
    return bool(done)


async def _run(started: Callable[[Running], Awaitable[None]], running: Running) -> None:
    await started(running)


def _mistake(group: BaseExceptionGroup[BaseException]) -> ConfigError | None:
    """The operator's first mistake in a group of exceptions, if there is one."""
    found: BaseException | None = group.subgroup(ConfigError)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, ConfigError) else None
