"""Ports 10256 and 10249 over real sockets."""

import asyncio
import json
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from kdns.base.errors import ConfigError
from kdns.base.listen_address import Address
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.config.kubeproxy.writing import configz
from kdns.ops.listen import listen
from kdns.proxy.healthcheck.proxy_health import ProxyHealth
from kdns.proxy.healthcheck.proxy_ports import Pages, PagesPort, go_time, health_pages, metrics_pages
from tests.ports import free_port
from tests.proxy.healthcheck.test_proxy_health import Moments
from tests.running import until


@asynccontextmanager
async def opened(pages: Pages, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The pages, listened for; gives the beginning of their URLs."""
    port = PagesPort("test", address, pages)
    await port.open()
    try:
        yield f"http://127.0.0.1:{port.port}"
    finally:
        await port.close()


async def get(url: str, method: str = "GET") -> tuple[int, str, Any]:
    """Status, text and headers of a page."""
    async with aiohttp.ClientSession() as session, session.request(method, url) as response:
        return response.status, await response.text(), response.headers


class Rig:
    """A proxy's health at 1970-01-01, and what was counted."""

    def __init__(self) -> None:
        self.moments = Moments()
        self.health = ProxyHealth(60.0, self.moments, self.moments.wall)
        self.counts: Counter[tuple[str, int]] = Counter()

    @property
    def pages(self) -> Pages:
        return health_pages(self.health, lambda page, status: self.counts.update([(page, status)]))


async def test_healthy() -> None:
    """Both pages say 200, and now; only /healthz speaks of the node."""
    rig = Rig()
    rig.health.updated("IPv4")
    rig.moments.now = 0.5
    async with opened(rig.pages) as url:
        status, text, headers = await get(f"{url}/healthz")
        assert (status, text) == (
            200,
            '{"lastUpdated":"1970-01-01T00:16:40.5Z","currentTime":"1970-01-01T00:16:40.5Z","nodeEligible":true,'
            '"healthy":true,"status":{"IPv4":{"lastUpdated":"1970-01-01T00:16:40Z","healthy":true}}}',
        )
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Content-Type-Options"] == "nosniff"
        status, text, _ = await get(f"{url}/livez")
        assert (status, list(json.loads(text))) == (200, ["lastUpdated", "currentTime", "healthy", "status"])
        assert (await get(f"{url}/metrics"))[0] == 404
    assert rig.counts == {("healthz", 200): 1, ("livez", 200): 1}


async def test_late() -> None:
    """Both say 503, with the time of the last success."""
    rig = Rig()
    rig.health.updated("IPv4")
    rig.health.updated("IPv6")
    rig.health.queued("IPv6")
    rig.moments.now = 60.0
    async with opened(rig.pages) as url:
        for page in ("healthz", "livez"):
            status, text, _ = await get(f"{url}/{page}")
            told = json.loads(text)
            assert (status, told["healthy"], told["lastUpdated"]) == (503, False, "1970-01-01T00:16:40Z")
            assert {family: of["healthy"] for family, of in told["status"].items()} == {"IPv4": True, "IPv6": False}
    assert rig.counts == {("healthz", 503): 1, ("livez", 503): 1}


async def test_a_node_that_goes() -> None:
    """Load balancers are sent away while the process lives on."""
    rig = Rig()
    rig.health.node_eligible = False
    async with opened(rig.pages) as url:
        status, text, _ = await get(f"{url}/healthz")
        told = json.loads(text)
        assert (status, told["nodeEligible"], told["healthy"]) == (503, False, True)
        assert told["lastUpdated"] == "0001-01-01T00:00:00Z"
        assert (await get(f"{url}/livez"))[0] == 200


async def test_pages_for_who_watches() -> None:
    """Each page of port 10249; the mode is bare, without a line's end."""
    registry = CollectorRegistry()
    Gauge("kubeproxy_test", "A test.", registry=registry).set(7)
    pages = metrics_pages("nftables", lambda: configz(ProxySettings(mode="nftables")), registry)
    async with opened(pages) as url:
        status, text, headers = await get(f"{url}/proxyMode")
        assert (status, text, headers["Content-Type"]) == (200, "nftables", "text/plain; charset=utf-8")
        assert (await get(f"{url}/healthz"))[:2] == (200, "ok")
        assert (await get(f"{url}/healthz", "POST"))[:2] == (200, "ok")
        _, text, headers = await get(f"{url}/configz")
        assert json.loads(text)["kubeproxy.config.k8s.io"]["mode"] == "nftables"
        assert headers["Content-Type"] == "application/json"
        _, text, _ = await get(f"{url}/metrics")
        assert [family.name for family in text_string_to_metric_families(text)] == ["kubeproxy_test"]
        _, text, _ = await get(f"{url}/metrics/slis")
        assert 'kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} 2.0' in text
        assert (await get(f"{url}/debug/pprof"))[0] == 404


async def test_every_address_means_both_families() -> None:
    """0.0.0.0 answers over IPv6, too, as in kube-proxy."""
    async with opened({"/": health_pages(Rig().health, lambda *_: None)["/livez"]}, "0.0.0.0:0") as url:
        assert (await get(f"{url}/"))[0] == 200
        if socket.has_dualstack_ipv6():
            assert (await get(url.replace("127.0.0.1", "[::1]") + "/"))[0] == 200


async def test_a_taken_port_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Until it is free; each failure is a warning."""
    number = free_port()
    taken = listen(Address("127.0.0.1", number))
    port = PagesPort("healthzBindAddress", f"127.0.0.1:{number}", {}, retry=0.02)
    with caplog.at_level(logging.INFO, "kdns"):
        await port.open()
        assert port.port == 0
        await until(lambda: len(caplog.records) >= 2)
        taken.close()
        await until(lambda: port.port == number)
    await port.close()
    said = [record.getMessage() for record in caplog.records]
    problem = f"healthzBindAddress: cannot listen on 127.0.0.1:{number}/tcp: the port is taken; next try in 0.02 s"
    assert said[:2] == [problem, problem]
    assert said[-1] == "healthzBindAddress: listening now"


async def test_trying_ends() -> None:
    """Who closes stops trying."""
    with listen(Address("127.0.0.1", 0)) as taken:
        port = PagesPort("test", f"127.0.0.1:{taken.getsockname()[1]}", {}, retry=0.01)
        await port.open()
        await port.close()
    assert [task for task in asyncio.all_tasks() if "listen for" in task.get_name()] == []


async def test_a_taken_port_may_be_an_error() -> None:
    """bindAddressHardFail."""
    with listen(Address("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        port = PagesPort("metricsBindAddress", f"127.0.0.1:{number}", {}, hard_fail=True)
        with pytest.raises(ConfigError, match=rf"^metricsBindAddress: cannot listen on 127.0.0.1:{number}/tcp"):
            await port.open()


async def test_off() -> None:
    """An empty address is no port at all."""
    port = PagesPort("test", "", {})
    await port.open()
    assert port.port == 0
    await port.close()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (10.25, "1970-01-01T00:00:10.25Z"),
        (1764169947.0, "2025-11-26T15:12:27Z"),
        (None, "0001-01-01T00:00:00Z"),
    ],
)
def test_times(seconds: float | None, expected: str) -> None:
    """RFC 3339 in UTC, without superfluous zeros."""
    assert go_time(seconds) == expected
