"""One watch and one store for all blocks that name a cluster, through all reloads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.config.settings import ApiOptions, KubernetesOptions
from kdns.dns.server.clusters import Clusters
from kdns.metrics.dns import Metrics
from kdns.records.rrset import Result
from kdns.watch.open_source import build_source
from kdns.watch.source import Source
from kdns.wire.name import parse_name
from kdns.wire.numbers import NXDOMAIN, A
from tests.fakes.api_server import WITH_IMPORTS, FakeApiServer
from tests.fakes.objects import endpoint_slice, namespace, pod, service, service_import

SHOP = (
    namespace("shop"),
    service("shop", "web", "10.96.0.9"),
    endpoint_slice("shop", "web-1", "web", ("10.1.0.1",)),
    pod("shop", "web-0", "10.1.0.1"),
)
WEB = parse_name("web.shop.svc.cluster.local")
POD = parse_name("10-1-0-1.shop.pod.cluster.local")
PLAIN = KubernetesOptions()
TTL = KubernetesOptions(ttl=30)
PODS = KubernetesOptions(pods="verified")


@asynccontextmanager
async def clusters(api: FakeApiServer) -> AsyncIterator[tuple[Clusters, asyncio.TaskGroup]]:
    """All clusters are the fake one."""

    async def source(options: KubernetesOptions) -> Source:
        return await build_source(api.url, api=options.api)

    made = Clusters(source, Metrics())
    async with asyncio.TaskGroup() as tasks:
        yield made, tasks
        await made.stop()


def watches(api: FakeApiServer, plural: str = "services") -> int:
    """How many watches of a kind were opened."""
    return sum(asked.verb == "watch" and asked.plural == plural for asked in api.asked)


async def test_blocks_share_a_watch() -> None:
    """Other options are other answers from the same store; Pods are followed if anybody wants them."""
    async with FakeApiServer(SHOP) as api, clusters(api) as (made, tasks):
        plain, ttl, pods = made.answers(PLAIN), made.answers(TTL), made.answers(PODS)
        assert made.answers(KubernetesOptions()) is plain
        await made.start(tasks)
        await asyncio.wait_for(made.synced(), 120)
        for answers, seconds in ((plain, 5), (ttl, 30), (pods, 5)):
            found = answers.lookup(WEB, A)
            assert isinstance(found, Result)
            assert [rrset.ttl for rrset in found.answer] == [seconds]
        of_pods = [answers.lookup(POD, A) for answers in (plain, pods)]
        assert [isinstance(result, Result) and bool(result.answer) for result in of_pods] == [False, True]
        assert (watches(api), watches(api, "pods")) == (1, 1)
        assert made.reasons() == []


async def test_imports_that_are_not_installed() -> None:
    """A cluster without ServiceImports is known as soon as everything else is, and then they do not exist."""
    imports = KubernetesOptions(zones=("cluster.local.", "set.local."), multicluster=("set.local.",))
    web = parse_name("web.shop.svc.set.local")
    async with FakeApiServer(SHOP, rules=WITH_IMPORTS) as api, clusters(api) as (made, tasks):
        api.absent.add("serviceimports")
        answers = made.answers(imports)
        await made.start(tasks)
        await asyncio.wait_for(made.synced(), 120)
        assert made.reasons() == []
        found, there = answers.lookup(web, A), answers.lookup(WEB, A)
        assert isinstance(found, Result)
        assert isinstance(there, Result)
        assert (found.rcode, len(there.answer)) == (NXDOMAIN, 1)


async def test_imports() -> None:
    """They are followed for those who want them, in the same store."""
    imports = KubernetesOptions(zones=("cluster.local.", "set.local."), multicluster=("set.local.",))
    objects = (*SHOP, service_import("shop", "web", ("10.112.0.9",)))
    async with FakeApiServer(objects, rules=WITH_IMPORTS) as api, clusters(api) as (made, tasks):
        made.answers(PLAIN)
        answers = made.answers(imports)
        await made.start(tasks)
        await asyncio.wait_for(made.synced(), 120)
        found = answers.lookup(parse_name("web.shop.svc.set.local"), A)
        assert isinstance(found, Result)
        assert [rrset.rdatas for rrset in found.answer] == [(b"\np\0\t",)]
        assert (watches(api), watches(api, "serviceimports")) == (1, 1)


async def test_a_reload_asks_nothing_twice() -> None:
    """New options get all that is known at once; what nobody uses is let go of; what needs more is followed anew."""
    async with FakeApiServer(SHOP) as api, clusters(api) as (made, tasks):
        plain = made.answers(PLAIN)
        await made.start(tasks)
        await asyncio.wait_for(made.synced(), 120)
        ttl = made.answers(TTL)
        assert ttl.synced
        found = ttl.lookup(WEB, A)
        assert isinstance(found, Result)
        assert [rrset.ttl for rrset in found.answer] == [30]
        await made.retain([ttl])
        assert made.all_answers() == [ttl]
        await made.start(tasks)
        assert watches(api) == 1
        pods = made.answers(PODS)
        await made.start(tasks)
        await asyncio.wait_for(made.synced(), 120)
        await made.retain([pods])
        assert len(made.followers) == 1
        assert (watches(api), watches(api, "pods")) == (2, 1)
        assert made.answers(PLAIN) is not plain


@pytest.mark.parametrize(
    "options",
    [
        KubernetesOptions(labels="app=web"),
        KubernetesOptions(namespace_labels="team=shop"),
        KubernetesOptions(endpoints=False),
    ],
    ids=str,
)
async def test_another_choice_of_objects_is_another_watch(options: KubernetesOptions) -> None:
    """Selectors are the server's business, so blocks that differ in them cannot share."""
    async with FakeApiServer(SHOP) as api, clusters(api) as (made, tasks):
        made.answers(PLAIN)
        made.answers(options)
        await made.start(tasks)
        await asyncio.wait_for(made.synced(), 120)
        assert len(made.followers) == 2


async def test_a_source_that_cannot_be_starts_nothing(tmp_path: Path) -> None:
    """A kubeconfig or certificate that is not there is a ConfigError, and the others are not followed."""
    async with FakeApiServer(SHOP) as api, clusters(api) as (made, tasks):
        made.answers(PLAIN)
        made.answers(KubernetesOptions(api=ApiOptions(kubeconfig=str(tmp_path / "none"))))
        with pytest.raises(ConfigError, match="no kubeconfig at"):
            await made.start(tasks)
        assert made.followers == []
        tls = ApiOptions(endpoint=api.url, certificate="/none", key="/none", ca="/none")
        with pytest.raises(ConfigError, match="no CA certificate in /none"):
            await build_source("cluster", api=tls)


async def test_the_snapshot_of_a_choice_of_objects_has_its_name_after_a_reload_too() -> None:
    """A reload that needs another watch writes where the next start, with the same Corefile, reads."""
    async with FakeApiServer(SHOP) as api:
        async with clusters(api) as (made, tasks):
            made.answers(PLAIN)
            await made.start(tasks)
            made.answers(PODS)
            await made.start(tasks)
            before, after = (cluster.name() for cluster in made._clusters)
        async with clusters(api) as (made, tasks):
            made.answers(PODS)
            await made.start(tasks)
            assert [cluster.name() for cluster in made._clusters] == [after] != [before]
