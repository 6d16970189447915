"""A whole cluster through one source: kinds side by side, long lists, and outages."""

import asyncio
from itertools import pairwise

import pytest

from kdns.base.errors import ConfigError
from kdns.base.objects import ObjectKey
from kdns.config.source import InCluster, KubeconfigContext, ServerUrl
from kdns.watch.api.cluster import load_credentials
from kdns.watch.api.credentials import Anonymous
from kdns.watch.source import Want
from tests.fakes.api_server import FakeApiServer
from tests.fakes.background import BackgroundApiServer
from tests.fakes.objects import crowd, endpoint_slice, namespace, pod, service
from tests.watch.api.dialogue import SERVICES, SLICES, Following

ALL = (SERVICES, SLICES, Want("Namespace"), Want("Pod"))


async def test_a_cluster_as_system_coredns_sees_it() -> None:
    """All four kinds under the rules of kubeadm's ClusterRole: nothing else is asked for, nothing is missing."""
    objects = [
        namespace("shop"),
        service("shop", "web", "10.96.0.9"),
        endpoint_slice("shop", "web-1", "web", ["10.244.0.4", "10.244.0.5"]),
        pod("shop", "web-1", "10.244.0.4"),
    ]
    async with FakeApiServer(objects) as api, Following(api, *ALL) as seen:
        await seen.synced()
        view = seen.store.view(ObjectKey("Service", "shop", "web"))
        assert view is not None
        assert view.service is not None
        assert [slice_.rows for slice_ in view.slices] == [2]
        assert [kept.key.name for kept in seen.store.namespaces()] == ["shop"]
        assert [kept.address for kept in seen.store.pods()] == ["10.244.0.4"]
        assert {(asked.verb, asked.plural) for asked in api.asked} == {
            ("watch", plural) for plural in ("services", "endpointslices", "namespaces", "pods")
        }


@pytest.mark.parametrize("streaming", [True, False])
async def test_the_loop_is_given_back_during_a_long_list(streaming: bool) -> None:
    """While a thousand slices are read, others get their turn again and again: queries are answered meanwhile."""
    with BackgroundApiServer(streaming_lists=streaming) as api:
        api.crowd(1000, 10)
        async with Following(api.url, SERVICES, SLICES) as seen:
            turns = [0]

            async def others() -> None:
                while not seen.store.synced("EndpointSlice"):
                    turns.append(len(seen.events))
                    await asyncio.sleep(0)

            await asyncio.wait_for(others(), 120)
            assert seen.store.count("EndpointSlice") == 1000
            # Whatever the machine: no turn takes in more than half of it all.
            assert max(after - before for before, after in pairwise(turns)) < 1000


async def test_a_relist_finds_what_changed_and_nothing_else() -> None:
    """After the server has forgotten our version: three Services differ, three changes are told."""
    async with FakeApiServer(crowd(50, 2, 5)) as api, Following(api, SERVICES, SLICES) as seen:
        await seen.synced()
        await api.down()
        api.state.delete("Service", "ns-1", "svc-1")
        api.state.put(service("ns-1", "new", "10.96.0.9"))
        api.state.patch("Service", "ns-2", "svc-2", {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}})
        api.compact()
        await api.up()
        await seen.until_said("listed Service", 2)
        assert seen.store.relisted("Service") == (1, 1, 1)
        await seen.until(lambda: seen.store.relisted("EndpointSlice") == (0, 0, 0))
        assert seen.store.count("EndpointSlice") == 50


async def test_closing_leaves_nothing_open() -> None:
    """Streams that are cancelled in the middle, and a source that is closed twice."""
    async with FakeApiServer(crowd(20, 2, 2)) as api:
        following = Following(api, *ALL)
        async with following:
            await following.synced()
            assert len(api.watchers) == 4
        await following.source.close()
        await following.until(lambda: not api.watchers)


async def test_where_credentials_come_from(tmp_path: object) -> None:
    """A URL asks nobody; a cluster and a kubeconfig that are not there say so."""
    credentials = await load_credentials(ServerUrl("http://127.0.0.1:8001"))
    assert isinstance(credentials, Anonymous)
    with pytest.raises(ConfigError, match="not inside a cluster"):
        await load_credentials(InCluster())
    with pytest.raises(ConfigError, match=f"no kubeconfig at {tmp_path}/none"):
        await load_credentials(KubeconfigContext(f"{tmp_path}/none", "lab"))
