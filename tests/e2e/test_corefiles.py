"""The Corefiles that clusters come with, as they are: each starts and answers in a Pod of its own."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest
import yaml

from kdns.demo.ask import Question, Reply, ask
from kdns.demo.folder import example
from tests.e2e.pod import CLUSTER_DNS, LOCAL, NODE, POD, SERVICE, ApiServer, Pod, coredns_container, in_a_pod
from tests.e2e.resolver import Resolver
from tests.fakes.objects import Json, endpoint, endpoint_slice
from tests.running import Kdns

pytestmark = [pytest.mark.e2e, pytest.mark.kernel]

COREFILES: Final = Path(__file__).parents[1] / "corefiles"


def demo() -> list[Json]:
    """The demo's objects, with the EndpointSlices that a cluster has and its folder leaves out."""
    written = [each for text in example().values() for each in yaml.safe_load_all(text) if each]
    pods = [endpoint(f"10.244.0.3{number}", hostname=f"db-{number}", pod=f"db-{number}") for number in range(3)]
    return [*written, endpoint_slice("data", "db-a", "db", ports=[("postgresql", 5432)]) | {"endpoints": pods}]


class Case(NamedTuple):
    """A Corefile, and what is its own."""

    name: str
    files: Mapping[str, str]
    """Beside it, below /etc."""
    asked: str
    """Questions and what is expected, a line each: name, type, rcode, data between semicolons."""


EVERYWHERE: Final = """
kubernetes.default.svc.cluster.local        A     NOERROR  10.96.0.1
web.shop.svc.cluster.local                  A     NOERROR  10.96.20.1
web.shop.svc.cluster.local                  AAAA  NOERROR
db-1.db.data.svc.cluster.local              A     NOERROR  10.244.0.31
my-service.default.svc.cluster.local        A     NOERROR  CNAME my.database.example.com.; 198.18.0.54
_https._tcp.kubernetes.default.svc.cluster.local SRV NOERROR 0 100 443 kubernetes.default.svc.cluster.local.
10-244-0-31.data.pod.cluster.local          A     NOERROR  10.244.0.31
1.0.96.10.in-addr.arpa                      PTR   NOERROR  kubernetes.default.svc.cluster.local.
31.0.244.10.in-addr.arpa                    PTR   NOERROR  db-1.db.data.svc.cluster.local.
80.0.18.198.in-addr.arpa                    PTR   NOERROR  www.example.com.
nobody.shop.svc.cluster.local               A     NXDOMAIN
99.99.96.10.in-addr.arpa                    PTR   NXDOMAIN
www.example.com                             A     NOERROR  198.18.0.80
www.example.com                             AAAA  NOERROR  2001:db8:1::80
www.example.com                             MX    NOERROR
nobody.example.com                          A     NXDOMAIN
www.example.com.default.svc.cluster.local   A     NXDOMAIN
"""
CASES: Final = (
    Case("kubeadm", {}, ""),
    Case("kind", {}, ""),
    Case("eks", {}, ""),
    Case("k3s", {"coredns/NodeHosts": "172.18.0.3 node-1\n"}, """
node-1                                      A     NOERROR  172.18.0.3
3.0.18.172.in-addr.arpa                     PTR   NOERROR  node-1.
"""),
    Case("k3s", {
        "coredns/NodeHosts": "172.18.0.3 node-1\n",
        "coredns/custom/a.override": "log\n",
        "coredns/custom/b.server": "stub.test:53 {\n    errors\n    cache 30\n    forward . 192.0.2.53\n}\n",
    }, "nobody.stub.test                            A     NXDOMAIN"),
    Case("aks", {
        "coredns/custom/a.override": "hosts {\n    198.18.0.7 seven.example.com\n    fallthrough\n}\n",
        "coredns/custom/b.server": "stub.test:53 {\n    errors\n    cache 30\n    forward . 192.0.2.53\n}\n",
    }, """
seven.example.com                           A     NOERROR  198.18.0.7
nobody.stub.test                            A     NXDOMAIN
vm.internal.cloudapp.net                    A     NOERROR  198.18.0.90
www.example.com.a.b.internal.cloudapp.net   A     NXDOMAIN
www.reddog.microsoft.com                    A     NXDOMAIN
"""),
)  # fmt: skip


async def check(lines: str, address: str) -> None:
    """Ask each line over UDP, and again over TCP."""
    for line in filter(None, lines.splitlines()):
        name, rtype, rcode, *rest = line.split(maxsplit=3)
        data = tuple(text for each in rest for text in each.split("; "))
        for proto in ("udp", "tcp"):
            found = await ask(Question(name, rtype, proto), address, 53)
            assert found == Reply(rcode, data), f"{line} over {proto} at {address}"


async def page(url: str) -> tuple[int, str]:
    """Status and text."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def until_ready() -> None:
    """Wait until /ready says so, as the kubelet does."""
    async with asyncio.timeout(120):
        while (await page(f"http://{POD}:8181/ready"))[0] != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{len(case.files)}")
def test_it_serves_unchanged(tmp_path: Path, case: Case) -> None:
    """As the Deployment starts it: probes, the cluster's names, reverse names, outside names, and metrics."""

    async def life(pod: Pod) -> None:
        async with ApiServer(demo()) as api, Resolver(pod):  # noqa: SIM117 - the address is known once it is up
            async with coredns_container("-conf", "/etc/coredns/Corefile", environ=api.environ) as kdns:
                await kdns.line(r"^\.:53$")
                await kdns.line(r"^linux/")
                await until_ready()
                assert await page(f"http://{POD}:8080/health") == (200, "OK")
                for address in (SERVICE, POD):
                    await check(EVERYWHERE + case.asked, address)
                _, text = await page(f"http://{POD}:9153/metrics")
                for name in ("dns_requests_total", "cache_hits_total", "proxy_request_duration_seconds_count"):
                    assert f"\ncoredns_{name}{{" in text
                assert "coredns_panics_total 0.0" in text
                assert not [line for line in kdns.out if line.startswith(("[ERROR]", "[FATAL]"))]

    corefile = {"coredns/Corefile": (COREFILES / case.name).read_text()}
    in_a_pod(tmp_path, corefile | dict(case.files), life)


PLACEHOLDERS: Final = {
    "__PILLAR__DNS__DOMAIN__": "cluster.local",
    "__PILLAR__LOCAL__DNS__": LOCAL,
    "__PILLAR__DNS__SERVER__": SERVICE,
    "__PILLAR__CLUSTER__DNS__": CLUSTER_DNS,
    "__PILLAR__UPSTREAM__SERVERS__": "/etc/resolv.conf",
}
"""What the manifest's author and node-cache put in."""
NOT_ITS_OWN: Final = ("80.0.18.198.in-addr.arpa", "CNAME")
"""Lines of EVERYWHERE that need an upstream behind the cluster's DNS: node-cache sends all of these names there."""
LOCALLY: Final = "\n".join(line for line in EVERYWHERE.splitlines() if not any(word in line for word in NOT_ITS_OWN))


def test_nodelocal_serves_unchanged(tmp_path: Path) -> None:
    """NodeLocal DNSCache's Corefile asks the cluster's DNS over TCP, the node's resolver, and keeps the answers."""

    async def life(pod: Pod) -> None:
        flags = ("serve", "--listen", CLUSTER_DNS, "--ready", "", "--health", "", "--metrics", "127.0.0.1:0")
        names = ("--source", "cluster", "--pods", "insecure")
        async with ApiServer(demo()) as api, Resolver(pod):  # noqa: SIM117 - as above
            async with coredns_container(*flags, *names, environ=api.environ) as cluster:
                await cluster.line(r"^linux/")
                async with Kdns("-conf", "/etc/coredns/Corefile") as local:
                    await local.line(r"^linux/")
                    for address in (LOCAL, SERVICE):
                        await check(LOCALLY, address)
                    assert await page(f"http://{LOCAL}:8080/health") == (200, "OK")
                    _, text = await page(f"http://{POD}:9253/metrics")
                    assert (
                        f'coredns_proxy_conn_cache_hits_total{{proto="tcp",proxy_name="forward",to="{CLUSTER_DNS}:53"}}'
                        in text
                    )
                    assert f'to="{NODE}:53"' in text
                    await cluster.get("/metrics")
                    assert not [line for line in local.out if line.startswith(("[ERROR]", "[FATAL]"))]

    corefile = (COREFILES / "nodelocal").read_text()
    for placeholder, text in PLACEHOLDERS.items():
        corefile = corefile.replace(placeholder, text)
    in_a_pod(tmp_path, {"coredns/Corefile": corefile}, life)
