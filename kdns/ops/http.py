"""/health, /ready and /metrics over HTTP (aiohttp), each on its own port, or several on one.

/health says that the process is alive and nothing else, so that an API server's outage restarts no pod.
/ready says 503 with the reasons, one a line, until the cluster is known, and again from SIGTERM on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kdns.metrics import Metrics
from kdns.ops.listen import Address, listen, parse_address, spelled

HEALTH: Final = logging.getLogger("kdns.ops.http.health")
PROBE_INTERVAL: Final = 1.0
PROBE_SLOW: Final = 1.0
PROBE_TIMEOUT: Final = 3.0
"""Seconds, all three as CoreDNS has them."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpPorts:
    """The HTTP listeners of one process."""

    def __init__(
        self, metrics: Metrics, reasons: Callable[[], Sequence[str]], *, health: str, ready: str, metrics_at: str
    ) -> None:
        """``reasons`` says why kdns is not ready, a line each; an empty address switches its page off.

        Raises ConfigError for an address that cannot be read.
        """
        self._metrics, self._reasons = metrics, reasons
        self._registry: CollectorRegistry = metrics.registry()
        pages: tuple[tuple[str, str, str, Handler], ...] = (
            ("--health", health, "/health", self._health),
            ("--ready", ready, "/ready", self._ready),
            ("--metrics", metrics_at, "/metrics", self._scrape),
        )
        self._wanted: dict[Address, dict[str, Handler]] = {}
        for flag, text, path, handler in pages:
            if text:
                self._wanted.setdefault(parse_address(text, flag), {})[path] = handler
        self._runners: list[web.AppRunner] = []
        self.urls: dict[str, str] = {}
        """Path -> URL on this machine, once open; ports chosen by the system are filled in."""
        self.listening: dict[str, str] = {}
        """Path -> ADDRESS:PORT as it is listened on, once open."""
        self.probe_interval = PROBE_INTERVAL

    async def open(self) -> None:
        """Start to listen. Raises ConfigError when an address is taken or not ours to bind."""
        for address, pages in self._wanted.items():
            app = web.Application()
            for path, handler in pages.items():
                app.router.add_get(path, handler)
            # A scrape or probe takes milliseconds; the default of a minute would hold up the exit.
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
            await runner.setup()
            self._runners.append(runner)
            sock = listen(address)
            port = sock.getsockname()[1]
            await web.SockSite(runner, sock).start()
            self.listening |= {path: f"{spelled(address.host)}:{port}" for path in pages}
            self.urls |= {path: f"http://{spelled(address.host or '127.0.0.1')}:{port}{path}" for path in pages}

    async def close(self) -> None:
        """Stop listening; what is being answered is finished."""
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()

    async def probe(self) -> None:
        """Ask our own /health once a second, for ever, and note how long it took: a slow loop shows here first."""
        if "/health" not in self.urls:
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT)) as session:
            while True:
                await asyncio.sleep(self.probe_interval)
                started = time.monotonic()
                try:
                    async with session.get(self.urls["/health"]) as response:
                        await response.read()
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self._metrics.health_failures += 1
                    HEALTH.warning("no answer from our own /health: %s", str(error) or type(error).__name__)
                took = time.monotonic() - started
                self._metrics.health.observe(took)
                if took > PROBE_SLOW:
                    HEALTH.warning("our own /health took %.1f s", took)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _ready(self, _request: web.Request) -> web.Response:
        if reasons := self._reasons():
            return web.Response(status=503, text="\n".join(reasons))
        return web.Response(text="OK")

    async def _scrape(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
