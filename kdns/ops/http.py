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
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kdns.metrics import Metrics
from kdns.ops.listen import Address, listen, parse_address, spelled

HEALTH: Final = logging.getLogger("kdns.ops.http.health")
SERVER: Final = logging.getLogger("kdns.ops.http.server")
"""Bugs in pages. What is no HTTP is the client's fault: four octets must not write twenty lines of traceback."""
SERVER.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
PROBE_INTERVAL: Final = 1.0
PROBE_SLOW: Final = 1.0
PROBE_TIMEOUT: Final = 3.0
"""Seconds, all three as CoreDNS has them."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Port:
    """One address that is listened on."""

    def __init__(self, runner: web.AppRunner, pages: dict[str, Handler], port: int) -> None:
        self.runner, self.pages, self.port = runner, pages, port


class HttpPorts:
    """The HTTP listeners of one process; what they have may change while they listen."""

    def __init__(
        self,
        metrics: Metrics,
        reasons: Callable[[], Sequence[str]],
        *,
        health: str = "",
        ready: str = "",
        metrics_at: str = "",
        registry: CollectorRegistry | None = None,
    ) -> None:
        """``reasons`` says why kdns is not ready, a line each; an empty address switches its page off.

        Raises ConfigError for an address that cannot be read.
        """
        self._metrics, self._reasons = metrics, reasons
        self._registry = registry or metrics.registry()
        self._wanted = self._pages((health,), (ready,), (metrics_at,))
        self._ports: dict[Address, _Port] = {}
        self.urls: dict[str, str] = {}
        """Path -> URL on this machine, once open; ports chosen by the system are filled in."""
        self.listening: dict[str, str] = {}
        """Path -> ADDRESS:PORT as it is listened on, once open. Of several addresses, the first one; so for `urls`."""
        self.probe_interval = PROBE_INTERVAL

    def _pages(
        self, health: Sequence[str], ready: Sequence[str], metrics_at: Sequence[str]
    ) -> dict[Address, dict[str, Handler]]:
        pages: tuple[tuple[str, Sequence[str], str, Handler], ...] = (
            ("--health", health, "/health", self._health),
            ("--ready", ready, "/ready", self._ready),
            ("--metrics", metrics_at, "/metrics", self._scrape),
        )
        wanted: dict[Address, dict[str, Handler]] = {}
        for flag, texts, path, handler in pages:
            for text in filter(None, texts):
                wanted.setdefault(parse_address(text, flag), {})[path] = handler
        return wanted

    async def open(self) -> None:
        """Start to listen. Raises ConfigError when an address is taken or not ours to bind."""
        await self._move(self._wanted)

    async def move(self, health: Sequence[str], ready: Sequence[str], metrics_at: Sequence[str]) -> None:
        """Listen at these addresses from now on; where one stays, no connection is refused meanwhile.

        Raises ConfigError, with everything as it was.
        """
        await self._move(self._pages(health, ready, metrics_at))

    async def _move(self, wanted: dict[Address, dict[str, Handler]]) -> None:
        opened: dict[Address, _Port] = {}
        try:
            for address, pages in wanted.items():
                if address not in self._ports:
                    opened[address] = await self._open(address, pages)
        except BaseException:
            for port in opened.values():
                await port.runner.cleanup()
            raise
        gone = [port for address, port in self._ports.items() if address not in wanted]
        self._ports = {address: self._ports.get(address) or opened[address] for address in wanted}
        self.urls, self.listening = {}, {}
        for address, port in self._ports.items():
            port.pages = wanted[address]
            for path in port.pages:
                self.listening.setdefault(path, f"{spelled(address.host)}:{port.port}")
                self.urls.setdefault(path, f"http://{spelled(address.host or '127.0.0.1')}:{port.port}{path}")
        for port in gone:
            await port.runner.cleanup()

    async def _open(self, address: Address, pages: dict[str, Handler]) -> _Port:
        app = web.Application()
        # A scrape or probe takes milliseconds; the default of a minute would hold up the exit.
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, logger=SERVER)
        made = _Port(runner, pages, 0)

        async def page(request: web.Request) -> web.StreamResponse:
            handler = made.pages.get(request.path)
            if handler is None:
                raise web.HTTPNotFound
            return await handler(request)

        app.router.add_get("/{path:.*}", page)
        await runner.setup()
        try:
            sock = listen(address)
            made.port = sock.getsockname()[1]
            await web.SockSite(runner, sock).start()
        except BaseException:
            await runner.cleanup()
            raise
        return made

    async def close(self) -> None:
        """Stop listening; what is being answered is finished."""
        ports, self._ports = self._ports, {}
        for port in reversed(ports.values()):
            await port.runner.cleanup()

    async def probe(self) -> None:
        """Ask our own /health once a second, for ever, and note how long it took: a slow loop shows here first."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT)) as session:
            while True:
                await asyncio.sleep(self.probe_interval)
                if "/health" not in self.urls:
                    continue
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
