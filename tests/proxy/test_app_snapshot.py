"""A proxy that starts while the API server is away, with a snapshot of the cluster beside it."""

import asyncio
from pathlib import Path

import pytest

from kdns.base.errors import KernelError
from kdns.config.kubeproxy.flags import ProxyCommand
from kdns.proxy.app import ProxyApp
from kdns.proxy.apply.present import rules_present
from kdns.proxy.model import Family
from kdns.watch.follower import proxy_wants
from kdns.watch.snapshot_file import SnapshotFile
from tests.fakes.api_server import SYSTEM_NODE_PROXIER, FakeApiServer
from tests.fakes.objects import node
from tests.proxy.test_app import NODE, Rig, endpoints, web
from tests.watch.api.dialogue import Following


async def kept(api: FakeApiServer, folder: Path) -> None:
    """Write the snapshot that a proxy of this cluster would have left behind."""
    wants = proxy_wants(NODE)
    async with Following(api, *wants) as seen:
        await seen.synced()
        file = SnapshotFile(str(folder), "proxy", seen.source.identity)
        await file.save(wants, [(want.kind, seen.store.objects(want.kind)) for want in wants])


@pytest.mark.parametrize("present", [False, True], ids=["an empty kernel", "rules of the last process"])
async def test_a_snapshot_stands_in_for_the_cluster(present: bool, tmp_path: Path) -> None:
    """Rules are written from the snapshot where the kernel has none; those it has stay as they are, whole. Once the
    cluster is listed, all is as it says, and only then other modes are cleaned up."""
    objects = (node(NODE, "172.18.0.2"), web(), endpoints("10.244.0.5"))
    async with FakeApiServer(objects, rules=SYSTEM_NODE_PROXIER) as api:
        await kept(api, tmp_path)
        await api.down()
        rig = Rig(api)
        rig.machine.present = present
        rig.app = ProxyApp(ProxyCommand(rig.settings, source=api.url, snapshot=str(tmp_path)), rig.machine)
        task = asyncio.create_task(rig.app.run(rig.stop))
        try:
            expected = {} if present else {"shop/web:http": ["10.244.0.5:8080"]}
            await rig.until(lambda: "apply conntrack" in rig.machine.done)
            await rig.until(lambda: rig.kernel == expected)
            await asyncio.sleep(0.2)  # nothing more happens
            assert rig.kernel == expected
            assert rig.app._view.node is not None
            assert not rig.app.synced
            async with asyncio.timeout(120):
                await rig.app.caught_up()  # what is beside the proxy need not wait for the cluster
            assert [done for done in rig.machine.done if done.startswith("cleanup")] == []
            assert (await rig.get(rig.healthz, "/healthz"))[0] == 200
            _, scraped = await rig.get(rig.pages, "/metrics")
            assert "\nkdns_watch_snapshot_age_seconds " in scraped
            api.put(endpoints("10.244.0.6"))
            await api.up()
            await rig.until(lambda: rig.kernel == {"shop/web:http": ["10.244.0.6:8080"]})
            await rig.until(lambda: rig.app.synced)
        finally:
            rig.stop.asked.set()
            await task


TABLES = "table ip filter\ntable ip kube-proxy\ntable ip6 mangle\n"
KERNELS: tuple[tuple[str, dict[str, str], Family, bool], ...] = (
    ("a table of nftables", {"nft list tables": TABLES}, Family.IPV4, True),
    ("a table of the other family", {"nft list tables": TABLES}, Family.IPV6, False),
    ("chains of iptables-legacy", {"iptables-legacy -w 5 -t nat -S KUBE-SERVICES 1": ""}, Family.IPV4, True),
    ("chains of ip6tables", {"ip6tables -w 5 -t nat -S KUBE-SERVICES 1": "-A KUBE-SERVICES"}, Family.IPV6, True),
    ("nothing, with nft", {"nft list tables": "table ip filter\n"}, Family.IPV4, False),
    ("no tool at all", {}, Family.IPV4, False),
)


@pytest.mark.parametrize(("title", "kernel", "family", "present"), KERNELS, ids=[kernel[0] for kernel in KERNELS])
async def test_what_counts_as_rules(title: str, kernel: dict[str, str], family: Family, present: bool) -> None:
    """Rules of any mode and any of its tools; a tool that is missing or fails has none."""

    async def runner(argv: list[str], stdin: str | bytes = b"", patience: float = 0.0) -> str:
        if (output := kernel.get(" ".join(argv))) is None:
            raise KernelError(argv, 1, "no such chain")
        return output

    assert await rules_present(family, runner) == present  # type: ignore[arg-type]
