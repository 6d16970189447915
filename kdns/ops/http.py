"""/health, /ready, /metrics and the status pages over HTTP (aiohttp), each on its own port, or several on one.

/health says that the process is alive and nothing else, so that an API server's outage restarts no pod.
/ready says 503 with the reasons, one a line, until the cluster is known, and again from SIGTERM on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kdns.base.listen_address import Address, spelled
from kdns.metrics.dns import Metrics
from kdns.ops.listen import parse_address
from kdns.ops.port import Answer, HttpPort, links_page, open_port

HEALTH: Final = logging.getLogger("kdns.ops.http.health")
FLAGS: Final = {
    "/health": ("--health", "health"), "/ready": ("--ready", "ready"), "/metrics": ("--metrics", "prometheus"),
    "/top": ("", "top"),
    "/": ("--status", "status"),
}  # fmt: skip
"""By path: what moves the page on the command line, and in a Corefile."""
PROBE_INTERVAL: Final = 1.0
PROBE_SLOW: Final = 1.0
PROBE_TIMEOUT: Final = 3.0
"""Seconds, all three as CoreDNS has them."""


class _Port:
    """One address that is listened on."""

    def __init__(self, pages: dict[str, Answer]) -> None:
        self.pages = pages
        self.opened: HttpPort | None = None

    @property
    def port(self) -> int:
        return self.opened.port if self.opened else 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in {"GET", "HEAD"}:
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD"))
        answer = self.pages.get(request.path) or self.pages.get("/")  # the status pages are all that is below /
        if answer is not None:
            return await answer(request)
        if request.path == "/":
            return links_page("kdns", self.pages)
        raise web.HTTPNotFound

    async def close(self) -> None:
        if self.opened:
            await self.opened.close()


class HttpPorts:
    """The HTTP listeners of one process; what they have may change while they listen."""

    def __init__(
        self,
        metrics: Metrics,
        reasons: Callable[[], Sequence[str]],
        *,
        remarks: Callable[[], Sequence[str]] = tuple,
        top: Callable[[], Any] = dict,
        health: str = "",
        ready: str = "",
        metrics_at: str = "",
        registry: CollectorRegistry | None = None,
        site: Callable[[], Answer] | None = None,
    ) -> None:
        """``top`` gives what /top says, ``reasons`` why kdns is not ready, ``remarks`` what is to be known though it
        is, a line each; an empty address switches its page off. ``site`` makes what answers for the status
        pages, when they are first asked for; None: there are none.

        Raises ConfigError for an address that cannot be read.
        """
        self._metrics, self._reasons, self._remarks, self._tops = metrics, reasons, remarks, top
        self._registry = registry or metrics.registry()
        self._make_site = site
        self._site: Answer | None = None
        self._wanted = self._pages((health,), (ready,), (metrics_at,))
        self._ports: dict[Address, _Port] = {}
        self.urls: dict[str, str] = {}
        """Path -> URL on this machine, once open; ports chosen by the system are filled in."""
        self.listening: dict[str, str] = {}
        """Path -> ADDRESS:PORT as it is listened on, once open. Of several addresses, the first one; so for `urls`."""
        self.probe_interval = PROBE_INTERVAL

    def _pages(
        self,
        health: Sequence[str],
        ready: Sequence[str],
        metrics_at: Sequence[str],
        top: Sequence[str] = (),
        status: Sequence[str] = (),
    ) -> dict[Address, dict[str, Answer]]:
        pages: tuple[tuple[str, Sequence[str], str, Answer], ...] = (
            (FLAGS["/health"][0], health, "/health", self._health),
            (FLAGS["/ready"][0], ready, "/ready", self._ready),
            (FLAGS["/metrics"][0], metrics_at, "/metrics", self._scrape),
            ("top", top, "/top", self._top),
            (FLAGS["/"][0], status, "/", self._pages_for_people() if any(status) else self._no_site),
        )
        wanted: dict[Address, dict[str, Answer]] = {}
        for flag, texts, path, handler in pages:
            for text in filter(None, texts):
                wanted.setdefault(parse_address(text, flag), {})[path] = handler
        return wanted

    def _pages_for_people(self) -> Answer:
        """Made once, and only where they are wanted: they bring templates, and much else."""
        if self._site is None:
            self._site = self._make_site() if self._make_site is not None else self._no_site
        return self._site

    async def open(self) -> None:
        """Start to listen. Raises ConfigError when an address is taken or not ours to bind."""
        await self._move(self._wanted)

    async def move(
        self,
        health: Sequence[str],
        ready: Sequence[str],
        metrics_at: Sequence[str],
        top: Sequence[str] = (),
        status: Sequence[str] = (),
    ) -> None:
        """Listen at these addresses from now on; where one stays, no connection is refused meanwhile.

        Raises ConfigError, with everything as it was.
        """
        await self._move(self._pages(health, ready, metrics_at, top, status))

    async def _move(self, wanted: dict[Address, dict[str, Answer]]) -> None:
        opened: dict[Address, _Port] = {}
        try:
            for address, pages in wanted.items():
                if address not in self._ports:
                    opened[address] = await self._open(address, pages)
        except BaseException:
            for port in opened.values():
                await port.close()
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
            await port.close()

    async def _open(self, address: Address, pages: dict[str, Answer]) -> _Port:
        made = _Port(pages)
        flag, directive = FLAGS[next(iter(pages))]
        move = f"choose another port: in a Corefile {directive} ADDRESS:PORT moves this page"
        if flag:
            move = f"choose another port: {flag} ADDRESS:PORT moves this page, {flag} '' switches it off"
            move += f" (in a Corefile: {directive} ADDRESS:PORT)"
        made.opened = await open_port(address, made.answer, move=move)
        return made

    async def close(self) -> None:
        """Stop listening; what is being answered is finished."""
        ports, self._ports = self._ports, {}
        for port in reversed(ports.values()):
            await port.close()

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

    async def _top(self, _request: web.BaseRequest) -> web.Response:
        return web.json_response(self._tops())

    async def _health(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(text="OK")

    async def _ready(self, _request: web.BaseRequest) -> web.Response:
        if reasons := self._reasons():
            return web.Response(status=503, text="\n".join(reasons))
        return web.Response(text="\n".join(("OK", *self._remarks())))

    async def _no_site(self, _request: web.BaseRequest) -> web.Response:
        raise web.HTTPNotFound

    async def _scrape(self, _request: web.BaseRequest) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
