"""/health, /ready and /metrics over real sockets."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdns.base.errors import ConfigError
from kdns.base.listen_address import Address
from kdns.metrics.dns import Metrics
from kdns.ops.http import HttpPorts
from kdns.ops.listen import listen, parse_address
from tests.running import until

ANY = "127.0.0.1:0"


@asynccontextmanager
async def opened(
    reasons: list[str], metrics: Metrics | None = None, health: str = ANY, ready: str = ANY, metrics_at: str = ANY
) -> AsyncIterator[HttpPorts]:
    """HTTP ports that listen while the block runs."""
    ports = HttpPorts(metrics or Metrics(), lambda: reasons, health=health, ready=ready, metrics_at=metrics_at)
    await ports.open()
    try:
        yield ports
    finally:
        await ports.close()


async def get(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_ready_says_why_not() -> None:
    """503 with the reasons, a line each, until there are none; health is 200 all the time."""
    reasons = ["kubernetes: services: timeout", "kubernetes: pods: 403: may not list pods"]
    async with opened(reasons) as ports:
        assert await get(ports.urls["/ready"]) == (503, "\n".join(reasons))
        assert await get(ports.urls["/health"]) == (200, "OK")
        reasons.clear()
        assert await get(ports.urls["/ready"]) == (200, "OK")


NOISE = [
    b"\x16\x03\x01\xff",
    b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
]


@pytest.mark.parametrize("octets", NOISE)
async def test_what_is_no_http_is_refused_and_not_told(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever can reach a port cannot fill the log through it."""
    async with opened([]) as ports:
        host, _, port = ports.listening["/health"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(octets)
        assert b" 400 " in await reader.readline()
        writer.close()
    assert not caplog.records


async def test_metrics_are_readable() -> None:
    """The page parses as Prometheus's text format."""
    async with opened([]) as ports:
        status, text = await get(ports.urls["/metrics"])
    assert status == 200
    assert "coredns_build_info" in {family.name for family in text_string_to_metric_families(text)}


async def test_pages_share_a_port_or_are_off() -> None:
    """One address given twice is one port with both pages; an empty address is no page at all."""
    async with opened([], health=ANY, ready=ANY, metrics_at="") as ports:
        assert ports.urls["/health"].removesuffix("/health") == ports.urls["/ready"].removesuffix("/ready")
        assert "/metrics" not in ports.urls
        assert (await get(ports.urls["/health"].replace("/health", "/metrics")))[0] == 404


async def test_every_address_means_both_families() -> None:
    """An address of only a port answers on 127.0.0.1, and on ::1 where the machine has it."""
    async with opened([], health=":0", ready="", metrics_at="") as ports:
        assert await get(ports.urls["/health"]) == (200, "OK")
        if socket.has_dualstack_ipv6():
            assert await get(ports.urls["/health"].replace("127.0.0.1", "[::1]")) == (200, "OK")


async def test_a_taken_port_is_one_line() -> None:
    """A port that is taken is the operator's business, not a traceback."""
    with listen(Address("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = HttpPorts(Metrics(), list, health=f"127.0.0.1:{port}", ready="", metrics_at="")
        with pytest.raises(ConfigError) as error:
            await ports.open()
        await ports.close()
    assert error.value.problem == f"cannot listen on 127.0.0.1:{port}/tcp: the port is taken"
    assert f"ss -ltnp 'sport = :{port}'" in error.value.hint
    assert "--health ADDRESS:PORT moves this page, --health '' switches it off" in error.value.hint


async def test_a_page_of_links() -> None:
    """``/`` names what the port has, and nothing else."""
    async with opened([], health=ANY, ready=ANY, metrics_at="") as ports:
        status, text = await get(ports.urls["/health"].removesuffix("health"))
        assert (status, re.findall(r'href="([^"]*)"', text)) == (200, ["/health", "/ready"])


async def test_the_self_probe_is_counted() -> None:
    """Probing our own /health fills its histogram, and counts a failure when it does not answer."""
    metrics = Metrics()
    async with opened([], metrics) as ports:
        ports.probe_interval = 0.01
        probe = asyncio.create_task(ports.probe())
        await until(lambda: sum(metrics.health.counts) > 0)
        assert metrics.health_failures == 0
        await ports.close()
        await until(lambda: metrics.health_failures > 0)
        probe.cancel()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8080", Address("", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:9153", Address("::1", 9153)),
        ("[0:0::1]:9153", Address("::1", 9153)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    """ADDRESS:PORT as CoreDNS writes it."""
    assert parse_address(text, "--health") == expected


@pytest.mark.parametrize("text", ["8080", "::1:8080", "localhost:8080", ":", ":x", ":70000", "1.2.3:80", ":٣"])
def test_bad_addresses(text: str) -> None:
    """What is no address names the flag it was given to."""
    with pytest.raises(ConfigError, match=r"^--health: "):
        parse_address(text, "--health")
