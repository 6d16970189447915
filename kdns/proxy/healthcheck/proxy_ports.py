"""The two HTTP ports of kube-proxy: 10256 for probes and load balancers, 10249 for those who watch this process.

::

    0.0.0.0:10256     /healthz    200 if every family keeps up and the node is eligible for traffic, else 503
                      /livez      200 if every family keeps up, else 503
    127.0.0.1:10249   /metrics    /metrics/slis    /healthz (ok)    /proxyMode    /configz
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kdns.base.errors import ConfigError
from kdns.ops.listen import parse_address
from kdns.ops.port import HttpPort, links_page, open_port
from kdns.proxy.healthcheck.proxy_health import Health, ProxyHealth

LOG: Final = logging.getLogger("kdns.proxy.http")
RETRY: Final = 5.0
"""Seconds until a port that could not be had is tried again."""
JSON: Final = "application/json"
PLAIN: Final = "text/plain; charset=utf-8"
NO_SNIFF: Final = {"X-Content-Type-Options": "nosniff"}


class Page(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = PLAIN
    status: int = 200


Pages = Mapping[str, Callable[[], Page]]
"""By path."""
Counted = Callable[[Literal["healthz", "livez"], int], None]
"""Called with each answer of a probe: the page and the status."""


class PagesPort:
    """A port with pages; while it cannot be had it is tried again and again."""

    def __init__(self, name: str, address: str, pages: Pages, *, hard_fail: bool = False, retry: float = RETRY) -> None:
        """``name`` is what messages call it; ``address`` is ADDRESS:PORT, empty for off.

        ``hard_fail``: a port that cannot be had is an error, once and for all. Raises ConfigError for what is no
        address.
        """
        self._name, self._pages, self._hard_fail, self._retry = name, pages, hard_fail, retry
        self._address = parse_address(address, name) if address else None
        if self._address and self._address.host in {"0.0.0.0", "::"}:
            self._address = self._address._replace(host="")  # every address of both families, as Go has it
        self._opened: HttpPort | None = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0: none is."""
        return self._opened.port if self._opened else 0

    async def open(self) -> None:
        """Start to listen, or to try. Raises ConfigError only if that was asked for."""
        if self._address is None or await self._try(self._hard_fail):
            return
        self._trying = asyncio.create_task(self._try_for_ever(), name=f"listen for {self._name}")

    async def close(self) -> None:
        """Stop listening and trying."""
        if self._trying:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
            self._trying = None
        opened, self._opened = self._opened, None
        if opened:
            await opened.close()

    async def _try(self, hard_fail: bool = False) -> bool:
        assert self._address is not None  # `open` has seen to it
        try:
            self._opened = await open_port(self._address, self._answer)
        except ConfigError as error:
            if hard_fail:
                raise ConfigError(f"{self._name}: {error.problem}", hint=error.hint) from error
            LOG.warning("%s: %s; next try in %g s", self._name, error.problem, self._retry)
            return False
        return True

    async def _try_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._retry)
            if await self._try():
                LOG.info("%s: listening now", self._name)
                return

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if page is None and request.path == "/":
            return links_page("kdns proxy", self._pages)
        if page is None:
            raise web.HTTPNotFound
        body, content_type, status = page()
        return web.Response(body=body, status=status, headers={"Content-Type": content_type, **NO_SNIFF})


def health_pages(health: ProxyHealth, counted: Counted) -> Pages:
    """What is on port 10256. Values are those of kube-proxy since 1.34; older ones had only the first three."""

    def healthz() -> Page:
        report = health.report()
        return page("healthz", report, report.healthy and health.node_eligible, {"nodeEligible": health.node_eligible})

    def livez() -> Page:
        report = health.report()
        return page("livez", report, report.healthy, {})

    def page(name: Literal["healthz", "livez"], report: Health, well: bool, more: Mapping[str, Any]) -> Page:
        status = 200 if well else 503
        counted(name, status)
        # Who is well is up to date, though nothing may have changed for hours.
        value = {
            "lastUpdated": go_time(report.now if well else report.updated),
            "currentTime": go_time(report.now),
            **more,
            "healthy": report.healthy,
            "status": {
                family: {"lastUpdated": go_time(of_family.updated), "healthy": of_family.healthy}
                for family, of_family in report.families.items()
            },
        }
        return Page(_json(value), JSON, status)

    return {"/healthz": healthz, "/livez": livez}


def metrics_pages(mode: str, configz: Callable[[], Mapping[str, Any]], registry: CollectorRegistry) -> Pages:
    """What is on port 10249. ``configz`` gives what /configz says, see `kdns.config.kubeproxy.writing`."""
    slis = CollectorRegistry()
    labels = ("name", "type")
    state = Gauge("kubernetes_healthcheck", "Result of each health check.", labels, registry=slis)
    results = Counter("kubernetes_healthchecks", "Results of health checks.", (*labels, "status"), registry=slis)

    def healthz() -> Page:
        state.labels("ping", "healthz").set(1)
        results.labels("ping", "healthz", "success").inc()
        return Page(b"ok")

    return {
        "/metrics": lambda: Page(generate_latest(registry), CONTENT_TYPE_LATEST),
        "/metrics/slis": lambda: Page(generate_latest(slis), CONTENT_TYPE_LATEST),
        "/healthz": healthz,
        "/proxyMode": lambda: Page(mode.encode()),
        "/configz": lambda: Page(_json(configz()), JSON),
    }


def go_time(seconds: float | None) -> str:
    """A moment in Unix seconds as Go writes it in JSON (RFC 3339); None is Go's zero."""
    if seconds is None:
        return "0001-01-01T00:00:00Z"
    text = datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "Z"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
