"""Reloads the Corefile periodically or on SIGUSR1. A broken one is logged once; the old one stays in service."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from prometheus_client import Counter, Gauge

from kdns.base.errors import ConfigError
from kdns.dns.plugins.reload import Options
from kdns.dns.server.context import ServerContext

LOG: Final = logging.getLogger("kdns.dns.plugins.reload")
SERVER: Final = logging.getLogger("kdns.server")
IDLE: Final = 30.0
"""Seconds between looks at whether ``reload`` has come into the Corefile: only SIGUSR1 can bring it in."""

L = TypeVar("L")


class Reloader(Generic[L]):
    """Reads what is to be served again and again, and exchanges it when it says something else."""

    def __init__(
        self,
        load: Callable[[], Awaitable[L]],
        exchange: Callable[[L], Awaitable[None]],
        options: Callable[[], Options | None],
        digest: Callable[[L], str],
        context: ServerContext,
        first: L,
    ) -> None:
        """``load`` and ``exchange`` raise ConfigError for a Corefile that cannot be; ``options`` None: no look."""
        self._load, self._exchange, self._options, self._digest = load, exchange, options, digest
        self._context = context
        self._running = digest(first)
        self._refused = ""
        self._failures = context.made(
            "coredns_reload_failed",
            Counter,
            lambda: Counter("coredns_reload_failed", "Corefiles that could not be served.", registry=context.registry),
        )
        self._version = context.made(
            "coredns_reload_version_info",
            Gauge,
            lambda: Gauge(
                "coredns_reload_version_info",
                "The Corefile that is served.",
                ("hash", "value"),
                registry=context.registry,
            ),
        )
        if options() is not None:
            self._tell()

    async def run(self, asked: asyncio.Event) -> None:
        """For ever; ``asked``: set to force a reload now, even if nothing changed."""
        while True:
            forced = await self._pause(asked)
            if forced or self._options() is not None:
                await self.look(forced=forced)

    async def _pause(self, asked: asyncio.Event) -> bool:
        """True if a reload was asked for."""
        options = self._options()
        seconds = IDLE
        if options is not None:
            seconds = options.interval + self._context.random.uniform(-options.jitter / 2, options.jitter / 2)
        try:
            async with asyncio.timeout(seconds):
                await asked.wait()
        except TimeoutError:
            return False
        asked.clear()
        return True

    async def look(self, *, forced: bool = False) -> None:
        """Read it, and serve it if it is another one. Never raises what a broken Corefile is the cause of."""
        mark = ""
        try:
            loaded = await self._load()
            mark = self._digest(loaded)
            if not forced and mark == self._running:
                self._refused = ""  # it is well again; the same mistake another time is another one
                return
            if not forced and mark == self._refused:
                return
            SERVER.info("Reloading")
            await self._exchange(loaded)
        except ConfigError as error:
            self._failed(mark or str(error), str(error), forced=forced)
            return
        except Exception:  # noqa: BLE001 - logged; the old Corefile is served
            SERVER.exception("a bug met while reloading; the old Corefile is served")
            self._context.metrics.panics += 1
            self._failed(mark or "bug", "see above", forced=forced)
            return
        self._running, self._refused = mark, ""
        self._tell()
        SERVER.info("Reloading complete")

    def _failed(self, mark: str, text: str, *, forced: bool) -> None:
        """Logged and counted once for each text, or each time a reload is asked for."""
        if forced or mark != self._refused:
            self._refused = mark
            self._failures.inc()
            LOG.error("Corefile changed but reload failed, the old one is served: %s", text)

    def _tell(self) -> None:
        LOG.info("Running configuration SHA512 = %s", self._running)
        self._version.clear()
        self._version.labels("sha512", self._running).set(1)
