"""What the proxy follows of an API server, with the rights of system:node-proxier and no others."""

import asyncio
import logging
from collections.abc import Callable
from uuid import NAMESPACE_URL, uuid5

import pytest
from msgspec.structs import replace

from kdns.base.objects import Age, Change, NodeChange, ServiceChange, ServiceCIDRChange, ServiceView
from kdns.metrics.dns import Metrics
from kdns.watch.api.cluster import ApiSource
from kdns.watch.api.credentials import Anonymous
from kdns.watch.follower import Follower, proxy_wants
from tests.build import node as kept_node
from tests.build import proxied, service_cidr, states_slice, tcp
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.objects import endpoint_slice, node, service
from tests.fakes.objects import service_cidr as cidr

OTHER = {"service.kubernetes.io/service-proxy-name": "mesh"}


class Taken:
    """Takes changes, as the proxy does."""

    def __init__(self) -> None:
        self.synced = False
        self.changes: list[Change] = []
        self._news = asyncio.Event()

    def apply(self, change: Change, now: int) -> None:
        """Remember it."""
        self.changes.append(change)
        self._news.set()

    async def until(self, holds: Callable[["Taken"], bool]) -> None:
        """Wait for it."""
        while not holds(self):
            self._news.clear()
            await self._news.wait()

    def last(self, kind: type[Change]) -> list[object]:
        """What has become of each object that a kind of change was about."""
        found = {change.key: change.after for change in self.changes if isinstance(change, kind)}
        return [after for _, after in sorted(found.items())]


async def follow(api: FakeApiServer, until: Callable[[Taken], bool], then: Callable[[], object] | None = None) -> Taken:
    """Follow until it is synced and something holds; `then` happens once it is synced."""
    source, taken = ApiSource(Anonymous(api.url)), Taken()
    follower = Follower(source, proxy_wants("node1"), (taken,), Metrics(), names=False)
    async with asyncio.TaskGroup() as tasks:
        streams = follower.start(tasks)
        async with asyncio.timeout(120):
            await follower.synced.wait()
            assert taken.synced
            if then is not None:
                then()
            await taken.until(until)
        for stream in streams:
            stream.cancel()
    await source.close()
    return taken


def objects() -> list[dict[str, object]]:
    """Services of all sorts, their slices, two Nodes and a range."""
    claimed = service("shop", "claimed", "10.96.0.7")
    claimed["metadata"]["labels"] = OTHER
    headless = endpoint_slice("shop", "db-1", "db", ["10.244.0.7"])
    headless["metadata"]["labels"]["service.kubernetes.io/headless"] = ""
    return [
        service("shop", "web", "10.96.0.9", externalTrafficPolicy="Local"),
        service("shop", "db", "None"),
        claimed,
        headless,
        endpoint_slice("shop", "web-1", "web", ["10.244.0.5"]),
        node("node1", "172.18.0.2", zone="a"),
        node("node2", "172.18.0.3", zone="b"),
        cidr("kubernetes", "10.96.0.0/16"),
    ]


AGE = Age("2026-01-01T00:00:00Z", str(uuid5(NAMESPACE_URL, "services/shop/web")))
"""As the fake API server writes them."""
WEB = replace(proxied("shop/web", ["10.96.0.9"], [tcp(80, "http")], etp="Local"), selected=True, age=AGE)
WEB_1 = states_slice("shop/web-1", ["10.244.0.5"], [tcp(8080, "http")], service="web")


@pytest.mark.parametrize("streaming_lists", [True, False])
async def test_everything_it_needs(streaming_lists: bool) -> None:
    """Its own Services, their endpoints, its own Node and the ranges: selected by the server, changes at once."""
    async with FakeApiServer(objects(), rules=SYSTEM_NODE_PROXIER, streaming_lists=streaming_lists) as api:
        taken = await follow(
            api,
            lambda taken: kept_node("node1", ["172.18.0.2"], zone="c") in taken.last(NodeChange),
            lambda: api.patch("Node", "", "node1", {"metadata": {"labels": {"topology.kubernetes.io/zone": "c"}}}),
        )
        assert taken.last(ServiceChange) == [ServiceView(WEB, (WEB_1,))]
        assert taken.last(NodeChange) == [kept_node("node1", ["172.18.0.2"], zone="c")]
        assert taken.last(ServiceCIDRChange) == [service_cidr("kubernetes", "10.96.0.0/16")]
        assert {asked.verb for asked in api.asked} <= {"list", "watch"}


@pytest.mark.parametrize("code", [403, 404])
@pytest.mark.parametrize("streaming_lists", [True, False])
async def test_an_older_cluster_has_no_ranges(
    code: int, streaming_lists: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No right to list ServiceCIDRs, or no such kind: one warning, all else is followed as ever."""
    rules = {rule for rule in SYSTEM_NODE_PROXIER if code == 404 or rule[2] != "servicecidrs"}
    async with FakeApiServer(objects(), rules=rules, streaming_lists=streaming_lists) as api:
        if code == 404:
            api.absent = {"servicecidrs"}
        taken = await follow(api, lambda taken: bool(taken.last(ServiceChange)))
        assert taken.last(ServiceChange) == [ServiceView(WEB, (WEB_1,))]
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(said) == 1
        assert said[0].startswith(f"not following servicecidrs: {code}: ")
        streamed = [one.plural for one in api.asked if one.verb == "watch" and "sendInitialEvents" in one.query]
        if streaming_lists:
            assert {"services", "endpointslices", "nodes"} <= set(streamed)
