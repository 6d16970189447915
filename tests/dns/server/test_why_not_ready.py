"""What operators read of a cluster that cannot be followed: which resource is missing, and why, a line each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.dns.plugins.kubernetes import schema_of
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.watch.api.cluster import ApiSource
from kdns.watch.api.credentials import Anonymous
from kdns.watch.follower import Follower, wants
from tests.fakes.api_server import FakeApiServer
from tests.fakes.certificates import server_context

OPTIONS = KubernetesOptions(namespace_labels="dns=yes")
"""With these all three kinds are required."""


@asynccontextmanager
async def nowhere() -> AsyncIterator[str]:
    """A name that never resolves (RFC 6761 section 6.4)."""
    yield "https://kube.invalid"


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """A server that takes connections and says nothing."""
    clients: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: clients.append(writer), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for client in clients:
            client.close()


@asynccontextmanager
async def down() -> AsyncIterator[str]:
    """A server that was there and is not."""
    async with FakeApiServer() as api:
        url = api.url
    yield url


def fake(make: Callable[[], FakeApiServer]) -> Callable[[], AbstractAsyncContextManager[str]]:
    """The URL of a fake API server made so."""

    @asynccontextmanager
    async def running() -> AsyncIterator[str]:
        async with make() as api:
            yield api.url

    return running


class Cause(NamedTuple):
    """A server, and how the reason begins for each resource."""

    title: str
    server: Callable[[], AbstractAsyncContextManager[str]]
    reason: str


ALL = ("services", "endpointslices", "namespaces")
CAUSES = (
    Cause("DNS", nowhere, "DNS: cannot resolve kube.invalid ("),
    Cause("TLS", fake(lambda: FakeApiServer(tls=server_context())), "TLS: "),
    Cause("401", fake(lambda: FakeApiServer(token="right")), "401: may not watch {resource} ("),
    Cause("403", fake(lambda: FakeApiServer(rules=())), "403: may not list {resource} ("),
    Cause("timeout", silent, "timeout: nothing heard for 0.2 s"),
    Cause("refused", down, "refused: "),
)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.title)
async def test_readiness_names_every_resource_and_the_cause(cause: Cause) -> None:
    """Each of the three has a line with what is wrong, and with the verb where it is a matter of permission."""
    async with cause.server() as url:
        source = ApiSource(Anonymous(url), watch_timeout=0.2)
        follower = Follower(source, wants(OPTIONS), (Answers(schema_of(OPTIONS)),), Metrics())
        readiness = follower.readiness
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(120):
            streams = follower.start(tasks)
            while len(readiness.lost) < len(ALL):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
            for stream in streams:
                stream.cancel()
        await source.close()
    for resource, line in zip(ALL, readiness.reasons(), strict=True):
        assert line.startswith(f"kubernetes: {resource}: " + cause.reason.format(resource=resource))
