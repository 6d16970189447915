"""`kdns proxy` as the process it is, on both nodes: killed, replaced by one of another mode, cleaned up."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from signal import SIGKILL

import pytest

from kdns.lab.asking import Arrived, Flow, Outcome
from kdns.lab.cluster import Cluster
from kdns.lab.network import Network
from kdns.lab.plan import PLAN
from kdns.lab.standard import proxy
from kdns.lab.workloads import Json
from tests.proxy.flows.modes import Variant, mode_of, variants
from tests.proxy.flows.proxying import Constantly, Place, name_of

pytestmark = [pytest.mark.kernel, pytest.mark.e2e, pytest.mark.timeout(900)]

UNHURRIED = 90.0
NODES = tuple(node.name for node in PLAN.nodes)
NODE_PORT = 30080
OTHER: dict[Variant, Variant] = {
    "iptables-nft": "nftables",
    "iptables-legacy": "nftables",
    "nftables": "iptables-nft",
    "ipvs": "iptables-legacy",
}
"""The mode that takes over."""
CLUSTER_IPS = ("10.96.80.80", "fd00:10:96::5050")
PLACES = (
    *(Place("client", "TCP", address, 80) for address in CLUSTER_IPS),
    *(Place("client", "UDP", address, 80) for address in CLUSTER_IPS),
    *(Place("outside", "TCP", str(address), NODE_PORT) for node in PLAN.nodes for address in node.addresses),
)


def pod_spec(labels: dict[str, str]) -> Json:
    """A Pod that answers on TCP and UDP port 9376."""
    ports = [{"containerPort": 9376, "protocol": protocol} for protocol in ("TCP", "UDP")]
    container = {"name": "web", "image": "example/web:1", "ports": ports}
    return {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}


def objects() -> list[Json]:
    """Three Pods behind a Service with node ports, and one that asks."""
    ports = [
        {"name": name, "protocol": name.upper(), "port": 80, "targetPort": 9376, "nodePort": NODE_PORT}
        for name in ("tcp", "udp")
    ]
    service = {
        "type": "NodePort",
        "selector": {"app": "web"},
        "clusterIP": CLUSTER_IPS[0],
        "clusterIPs": list(CLUSTER_IPS),
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "RequireDualStack",
        "ports": ports,
    }
    deployment = {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": pod_spec({"app": "web"}),
    }
    return [
        {"kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": service},
        {"kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": deployment},
        {"kind": "Pod", **pod_spec({}), "metadata": {"name": "client", "namespace": "default"}},
    ]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """The cluster, without a proxy."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    with Cluster(objects()) as made:
        made.wait_until_ready(UNHURRIED)
        yield made


@pytest.mark.parametrize("variant", variants())
async def test_a_proxy_is_killed_replaced_and_cleaned_up(cluster: Cluster, variant: Variant) -> None:
    """Nobody notices that it was killed, nor that another mode has taken over; nothing is left of either."""
    if variant == "iptables-legacy":
        prefer_legacy(cluster.network)
    await asyncio.to_thread(begin, cluster, variant)
    await follows(cluster)
    assert traces(cluster.network, variant), "it wrote nothing that we know"
    flow = await connect(cluster.network)
    async with Constantly(asking(cluster.network), PLACES) as constantly:
        await asyncio.to_thread(kill, cluster)
        await constantly.some_more()
        await asyncio.to_thread(cluster.wait_until_ready, UNHURRIED)
        await constantly.some_more()
        assert name_of(await flow.ask(5))
    assert not constantly.failures
    await follows(cluster)

    other = OTHER[variant]
    async with Constantly(asking(cluster.network), PLACES) as constantly:
        await asyncio.to_thread(end, cluster)
        await constantly.some_more()
        await asyncio.to_thread(begin, cluster, other)
        await asyncio.to_thread(cluster.wait_for, lambda: not traces(cluster.network, variant), UNHURRIED)
        await constantly.some_more()
        assert name_of(await flow.ask(5))
    assert not constantly.failures
    flow.close()
    await follows(cluster)

    await asyncio.to_thread(end, cluster)
    for node in NODES:
        done = cluster.network.run(node, cluster.command("proxy", "--cleanup"), patience=60)
        assert done.returncode == 0, done
    assert not traces(cluster.network, variant)
    assert not traces(cluster.network, other)
    for place in PLACES:
        outcome = await cluster.network.probe(place.part, place.protocol, place.address, place.port, timeout=0.5)
        assert not isinstance(outcome, Arrived), place


def begin(cluster: Cluster, variant: Variant) -> None:
    """Run a proxy on each node, until all are ready."""
    cluster.put(proxy(mode_of(variant)))
    cluster.wait_until_ready(UNHURRIED)


def end(cluster: Cluster) -> None:
    """No node has a proxy any more."""
    cluster.delete("DaemonSet", "kube-system", "kube-proxy")
    cluster.wait_for(lambda: not cluster.pods("kube-system"), UNHURRIED)


def kill(cluster: Cluster) -> None:
    """Each proxy is killed, and started again by its kubelet."""
    for pod in cluster.pods("kube-system"):
        name = pod["metadata"]["name"]
        killed = cluster.program("kube-system", name)
        killed.stop(SIGKILL)

        def started_again(name: str = name, before: int = killed.pid) -> bool:
            return cluster.program("kube-system", name).pid != before

        cluster.wait_for(started_again, UNHURRIED)


def asking(network: Network) -> Callable[[Place], Awaitable[Outcome]]:
    """Asks at a place."""

    async def ask(place: Place) -> Outcome:
        return await network.probe(place.part, place.protocol, place.address, place.port, timeout=5)

    return ask


async def connect(network: Network) -> Flow:
    """A connection of the client to the cluster IP."""
    flow = await network.open_flow("client", "TCP", CLUSTER_IPS[0], 80, timeout=5)
    assert isinstance(flow, Flow), flow
    assert name_of(await flow.ask(5))
    return flow


async def follows(cluster: Cluster) -> None:
    """The proxies follow the cluster: a Pod that is not ready is left out, and comes back."""
    pods = [pod["metadata"]["name"] for pod in cluster.pods(app="web")]
    cluster.set_ready("default", pods[0], False)
    await hears(cluster.network, set(pods[1:]))
    cluster.set_ready("default", pods[0], True)
    await hears(cluster.network, set(pods))


async def hears(network: Network, names: set[str]) -> None:
    """Wait until at each place exactly these Pods answer."""
    ask = asking(network)
    async with asyncio.timeout(UNHURRIED):
        for place in PLACES:
            heard: set[str] = set()
            while heard != names:
                heard = {name_of(outcome) for outcome in await asyncio.gather(*(ask(place) for _ in range(24)))}


def prefer_legacy(network: Network) -> None:
    """As a kubelet does that uses this variant."""
    for node in NODES:
        for tool in ("iptables-legacy", "ip6tables-legacy"):
            done = network.run(node, [tool, "-t", "mangle", "-N", "KUBE-KUBELET-CANARY"])
            assert done.returncode == 0, done


def traces(network: Network, variant: Variant) -> list[str]:
    """What is there of a variant on the nodes, but what the kubelet has, too."""
    found = []
    for node in NODES:
        match variant:
            case "nftables":
                text = network.run(node, ["nft", "list", "tables"]).stdout
                found += [line for line in text.splitlines() if "kube-proxy" in line]
            case "iptables-nft" | "iptables-legacy" | "ipvs":
                suffix = variant.removeprefix("iptables-") if variant != "ipvs" else "legacy"
                for tool in ("iptables", "ip6tables"):
                    text = network.run(node, [f"{tool}-{suffix}-save"]).stdout
                    shared = ("KUBE-FIREWALL", "KUBE-KUBELET-CANARY")
                    lines = [line for line in text.splitlines() if "KUBE-" in line]
                    found += [line for line in lines if not any(word in line for word in shared)]
        if variant == "ipvs":
            found += network.run(node, ["ip", "-o", "link", "show", "dev", "kube-ipvs0"]).stdout.splitlines()
    return found
