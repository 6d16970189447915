"""Health checks of Services over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest

from kdns.base.listen_address import Address
from kdns.base.objects import ObjectKey
from kdns.ops.listen import listen
from kdns.proxy.healthcheck.service_checks import HealthCheck, ServiceChecks, hosts
from kdns.proxy.model import Family
from kdns.watch.api.client import Api
from kdns.watch.api.events import EventRecorder
from tests.ports import free_port
from tests.running import PATIENCE, until

WEB = ("shop", "web")
DB = ("shop", "db")
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Rig:
    """Checks, the events they write, and the state of the proxy."""

    def __init__(self) -> None:
        self.healthy = True
        self.hosts: Sequence[str] = ("127.0.0.1",)
        self.events: list[tuple[ObjectKey, str, str, str, str]] = []
        self.checks = ServiceChecks(
            lambda: self.healthy, lambda *event: self.events.append(event), hosts=lambda: self.hosts, node="a",
            retry=0.02,
        )  # fmt: skip


@asynccontextmanager
async def rigged() -> AsyncIterator[Rig]:
    """A rig, closed at the end."""
    rig = Rig()
    try:
        yield rig
    finally:
        await rig.checks.close()
    assert [task for task in asyncio.all_tasks() if "health checks" in task.get_name()] == []


async def ask(port: int, path: str = "/", host: str = "127.0.0.1", method: str = "GET") -> tuple[int, str, str]:
    """Status, body and weight; status 0 if nobody listens."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{host}:{port}{path}") as response,
        ):
            weight = response.headers["X-Load-Balancing-Endpoint-Weight"]
            assert response.headers["Content-Type"] == "application/json"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            return response.status, await response.text(), weight
    except aiohttp.ClientConnectorError:
        return 0, "", ""


async def test_a_check() -> None:
    """200 with a ready endpoint here, 503 without, or while the proxy lags; any path, any method."""
    port = free_port()
    async with rigged() as rig:
        await rig.checks.sync({WEB: HealthCheck(port, 2)})
        status, body, weight = await ask(port)
        assert (status, weight) == (200, "2")
        assert body == (
            '{\n\t"service": {\n\t\t"namespace": "shop",\n\t\t"name": "web"\n\t},\n'
            '\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}'
        )
        assert (await ask(port, "/any/path?at=all", method="POST"))[0] == 200
        rig.healthy = False
        status, body, weight = await ask(port)
        assert (status, weight, json.loads(body)["serviceProxyHealthy"]) == (503, "2", False)
        rig.healthy = True
        await rig.checks.sync({WEB: HealthCheck(port, 0)})
        status, body, weight = await ask(port)
        assert (status, weight, json.loads(body)["localEndpoints"]) == (503, "0", 0)
    assert rig.events == []
    assert (await ask(port))[0] == 0


async def test_ports_come_and_go() -> None:
    """Another port is opened for the old one; a Service that is gone is not listened for; others are undisturbed."""
    one, other, third = free_port(), free_port(), free_port()
    async with rigged() as rig:
        await rig.checks.sync({WEB: HealthCheck(one, 1), DB: HealthCheck(other, 1)})
        reader, writer = await asyncio.open_connection("127.0.0.1", other)
        writer.write(REQUEST)
        assert b"Weight: 1\r\n" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"\n}")
        await rig.checks.sync({WEB: HealthCheck(third, 1), DB: HealthCheck(other, 3)})
        assert [(await ask(port))[0] for port in (one, third)] == [0, 200]
        writer.write(REQUEST)
        assert b"Weight: 3\r\n" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await rig.checks.sync({})
        assert [(await ask(port))[0] for port in (one, other, third)] == [0, 0, 0]


async def test_two_services_exchange_their_ports() -> None:
    """What is no longer wanted is closed before anything is opened."""
    one, other = free_port(), free_port()
    async with rigged() as rig:
        await rig.checks.sync({WEB: HealthCheck(one, 1), DB: HealthCheck(other, 0)})
        await rig.checks.sync({WEB: HealthCheck(other, 1), DB: HealthCheck(one, 0)})
        assert [(await ask(port))[0] for port in (one, other)] == [503, 200]
    assert rig.events == []


async def test_a_taken_port_is_an_event_and_tried_again() -> None:
    """One Event, however often it is tried; when the port is free it is listened on."""
    async with rigged() as rig:
        port = free_port()
        taken = listen(Address("127.0.0.1", port))
        await rig.checks.sync({WEB: HealthCheck(port, 1)})
        await rig.checks.sync({WEB: HealthCheck(port, 4)})
        await asyncio.sleep(0.1)
        problem = f"no health check on port {port}: cannot listen on 127.0.0.1:{port}/tcp: the port is taken"
        assert rig.events == [
            (ObjectKey("Service", *WEB), "Warning", "FailedToStartServiceHealthcheck", f"node a: {problem}", "Listen")
        ]
        taken.close()

        async with asyncio.timeout(PATIENCE):
            while not (answered := await ask(port))[0]:  # noqa: ASYNC110 - it is about what others do
                await asyncio.sleep(0.01)
        assert answered[::2] == (200, "4")
        assert len(rig.events) == 1


async def test_of_two_services_with_one_port_the_second_is_told() -> None:
    """The first one has it; when it goes, the second gets it."""
    port = free_port()
    async with rigged() as rig:
        await rig.checks.sync({WEB: HealthCheck(port, 1), DB: HealthCheck(port, 2)})
        assert [event[0].name for event in rig.events] == ["db"]
        assert (await ask(port))[2] == "1"
        await rig.checks.sync({DB: HealthCheck(port, 2)})
        assert (await ask(port))[2] == "2"


async def test_a_service_that_goes_is_not_tried_for() -> None:
    """Nothing is left to try."""
    async with rigged() as rig:
        with listen(Address("127.0.0.1", 0)) as taken:
            await rig.checks.sync({WEB: HealthCheck(taken.getsockname()[1], 1)})
            await rig.checks.sync({})
            await until(lambda: not [task for task in asyncio.all_tasks() if "health checks" in task.get_name()])


async def test_addresses_come_and_go() -> None:
    """Only the node port addresses are listened on."""
    port = free_port()
    async with rigged() as rig:
        rig.hosts = ("127.0.0.1", "127.0.0.2")
        await rig.checks.sync({WEB: HealthCheck(port, 1)})
        assert [(await ask(port, host=f"127.0.0.{n}"))[0] for n in (1, 2, 3)] == [200, 200, 0]
        rig.hosts = ("127.0.0.2", "127.0.0.3")
        await rig.checks.sync({WEB: HealthCheck(port, 1)})
        assert [(await ask(port, host=f"127.0.0.{n}"))[0] for n in (1, 2, 3)] == [0, 200, 200]


def test_where_a_family_listens() -> None:
    """Everywhere, or on the addresses that have node ports."""
    assert hosts(Family.IPV4, None) == ("0.0.0.0",)
    assert hosts(Family.IPV6, None) == ("::",)
    assert hosts(Family.IPV4, (socket.inet_aton("127.0.0.2"),)) == ("127.0.0.2",)
    assert hosts(Family.IPV6, (bytes(15) + b"\1",)) == ("::1",)
    assert hosts(Family.IPV6, ()) == ()


@pytest.mark.needs_kernel(socket.has_dualstack_ipv6(), "IPv6")
async def test_each_family_answers_for_itself() -> None:
    """One port, two sockets: endpoints and health of one family say nothing of the other (issue 114702).

    A Service of one family is not listened for on the other's addresses.
    """
    port = free_port()
    healthy = {Family.IPV4: True, Family.IPV6: True}
    events: list[object] = []
    both = {
        family: ServiceChecks(
            lambda family=family: healthy[family],  # type: ignore[misc]
            lambda *event: events.append(event),
            hosts=lambda family=family: hosts(family, None),  # type: ignore[misc]
        )
        for family in Family
    }

    async def asked() -> list[tuple[int, str]]:
        answers = [await ask(port, host=host) for host in ("127.0.0.3", "[::1]")]
        return [(status, weight) for status, _, weight in answers]

    try:
        await both[Family.IPV4].sync({WEB: HealthCheck(port, 1)})
        assert await asked() == [(200, "1"), (0, "")]
        await both[Family.IPV6].sync({WEB: HealthCheck(port, 0)})
        assert await asked() == [(200, "1"), (503, "0")]
        await both[Family.IPV4].sync({WEB: HealthCheck(port, 0)})
        await both[Family.IPV6].sync({WEB: HealthCheck(port, 2)})
        assert await asked() == [(503, "0"), (200, "2")]
        healthy[Family.IPV6] = False
        assert await asked() == [(503, "0"), (503, "2")]
        await both[Family.IPV4].sync({})
        assert await asked() == [(0, ""), (503, "2")]
    finally:
        for checks in both.values():
            await checks.close()
    assert events == []


async def test_events_go_where_the_proxy_writes_them() -> None:
    """The recorder of the cluster's Events takes them as they are."""

    def no_server() -> Api:
        pytest.fail("nothing is written before the recorder runs")

    recorder = EventRecorder(no_server, "a")
    with listen(Address("127.0.0.1", 0)) as taken:
        checks = ServiceChecks(lambda: True, recorder.event, hosts=lambda: ("127.0.0.1",))
        await checks.sync({WEB: HealthCheck(taken.getsockname()[1], 1)})
        await checks.close()
    assert recorder.dropped == 0
