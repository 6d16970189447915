"""A whole process that is killed, and starts again while the API server is away."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.fakes.api_server import FakeApiServer
from tests.fakes.objects import namespace, service
from tests.running import HTTP, LOOPBACK, NOBODY, WEB, Kdns

pytestmark = pytest.mark.e2e


async def test_names_are_answered_while_the_api_server_is_away(tmp_path: Path) -> None:
    """The first thing that it says is the right answer; /ready and /metrics say how old it is; then all is as ever."""
    web = service("shop", "web", "10.96.0.9")
    async with FakeApiServer([web, namespace("shop")]) as api:
        flags = ("--source", api.url, "--snapshot", str(tmp_path), *LOOPBACK, *HTTP)
        async with Kdns("serve", *flags) as first:
            assert (await first.ask(WEB)).data == ("10.96.0.9",)
            async with asyncio.timeout(60):
                while not any(name.endswith(".snapshot") for name in os.listdir(tmp_path)):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.05)
            first.send(signal.SIGKILL)
            await first.ended()
        await api.down()
        async with Kdns("serve", *flags) as second:
            assert (await second.ask(WEB)).data == ("10.96.0.9",)
            assert (await second.ask(NOBODY)).rcode == "NXDOMAIN"
            status, text = await second.get("/ready")
            assert status == 200
            assert text.startswith("OK\nkubernetes: served from a snapshot ")
            assert "kubernetes: services: " in text
            assert "\nkdns_watch_snapshot_age_seconds " in (await second.get("/metrics"))[1]
            await api.up()
            await second.line("synced in ")
            assert await second.get("/ready") == (200, "OK")
            assert "\nkdns_watch_snapshot_age_seconds " not in (await second.get("/metrics"))[1]
