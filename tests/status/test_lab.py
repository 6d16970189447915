"""The pages of `kdns lab`: what its own programs count, and the path of a Service with what its kernels have."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdns.cli.status import lab_site
from kdns.lab.cluster import Cluster
from kdns.lab.kind import Kind
from kdns.lab.pages import Pages
from kdns.lab.standard import make_cluster, wait_until_ready
from tests.running import Kdns
from tests.status.browsing import Browser
from tests.status.serving import Served

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]
FIREWALL = (
    "add table ip firewall; add chain ip firewall forward { type filter hook forward priority -10; }; "
    "add rule ip firewall forward ip daddr 10.244.0.0/16 tcp dport 9376 drop"
)
"""What a firewall of others does to what node-0 forwards to the Pods of hostnames."""

STAYS = ("lab", "run", "--name", "stays", "--status", "127.0.0.1:0", "names")


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Cluster, str]]:
    """A lab whose node-0 has that firewall, and the address of its pages."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    kind = Kind("nftables")
    with make_cluster(kind, "pages") as cluster:
        wait_until_ready(cluster, kind, 90)
        assert cluster.network.run("node-0", ["nft", FIREWALL]).returncode == 0
        pages = Pages(cluster, kind, "127.0.0.1:0", lab_site)
        try:
            yield cluster, pages.url
        finally:
            pages.close()


async def test_the_overview_counts_what_the_lab_is_asked(lab: tuple[Cluster, str]) -> None:
    """Questions of Pods to the cluster DNS are on it, and each node's proxy with what its kernel has."""
    cluster, url = lab
    pages = Served(None, url)  # type: ignore[arg-type]  # its server is on another loop
    before = await pages.json("/overview.json")
    asked = ["busybox", "nslookup", "hostnames.default.svc.cluster.local", "10.96.0.10"]
    assert cluster.network.run("busybox", asked).returncode == 0
    page = await pages.json("/overview.json")
    assert page["unready"] == []
    assert page["dns"]["total"] > before["dns"]["total"]
    assert (await pages.json("/live.json"))["dns.total"] >= page["dns"]["total"]
    proxies = {program["node"]: program["proxy"] for program in page["programs"] if program["proxy"]}
    assert {node: (proxy["mode"], proxy["pending"], proxy["failures"]) for node, proxy in proxies.items()} == {
        "node-0": ("nftables", False, 0), "node-1": ("nftables", False, 0),
    }  # fmt: skip
    assert sum(program["questions"] is not None for program in page["programs"]) == 2
    assert page["dns"]["total"] == sum(program["questions"] or 0 for program in page["programs"])


async def test_the_path_has_what_the_kernels_have(lab: tuple[Cluster, str]) -> None:
    """A foreign firewall on one node is a fault of the rules of the Service that it harms, and of no other."""
    _, url = lab
    pages = Served(None, url)  # type: ignore[arg-type]  # its server is on another loop
    path = await pages.json("/services/default/hostnames.json")
    assert [(fault["stage"], fault["code"]) for fault in path["faults"]] == [("rule", "E33")]
    assert "firewall" in path["faults"][0]["says"]
    assert (await pages.json("/services/kube-system/kube-dns.json"))["faults"] == []


@pytest.mark.browser
async def test_a_broken_lab_in_a_browser(browser: Browser, lab: tuple[Cluster, str]) -> None:
    """From the overview to the Service whose rules are harmed: that box is red, with what explain says of it."""
    _, url = lab

    def visit() -> None:
        browser.open(url)
        assert browser.texts("#programs") == ["What runs in the lab"]
        browser.picture("lab")
        browser.follow("Services")
        browser.follow("default/hostnames")
        assert browser.texts(".wide-path .box.fault text:first-of-type") == ["E33 on node-0"]
        assert len(browser.texts(".wide-path .line.fault")) == 2
        browser.picture("lab-broken")

    await asyncio.to_thread(visit)
    assert browser.asked() == {url.removeprefix("http://").rstrip("/")}
    assert browser.complaints() == []


async def test_a_walk_with_pages_stays_until_a_signal(tmp_path: Path) -> None:
    """`kdns lab run --status` serves its pages from the start, and ends with the walk's status when asked to."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    async with Kdns(*STAYS, environ={**os.environ, "TMPDIR": str(tmp_path)}) as kdns:
        url = (await kdns.line(r"^The lab stays until Ctrl-C. See it in a browser: (\S+)$"))[1]
        assert (await Served(None, url).json("/overview.json"))["services"] > 3  # type: ignore[arg-type]
        kdns.send(signal.SIGINT)
        assert (await kdns.ended())[0] == 0
    assert os.listdir(tmp_path) == []
