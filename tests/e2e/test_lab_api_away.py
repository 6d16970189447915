"""DNS on the node while the API server is away: its answers go on, it stays alive, and says how old they are."""

import os
import signal
from collections.abc import Iterator

import pytest

from kdns.lab.cluster import API_PORT, Cluster
from kdns.lab.kind import Kind
from kdns.lab.question import KUBE_DNS
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.workloads import key_of
from tests.e2e.test_lab import UNHURRIED
from tests.nodelocal.load import Load

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces"),
]
CLIENT = "busybox-2"
NAME = "hostnames.default.svc.cluster.local"
CUT = (
    "add table inet cut",
    "add chain inet cut output { type filter hook output priority 0 ; }",
    f"add rule inet cut output tcp dport {API_PORT} reject with tcp reset",
)
"""The node's processes reach no API server, and notice at once."""


class Node:
    """The node of the client, and the DNS of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.network = cluster, cluster.network
        self.name = cluster.network.pods[CLIENT].node
        self.host = str(cluster.plan.node(self.name).addresses[0])

    @property
    def key(self) -> tuple[str, str]:
        """The Pod of its DNS."""
        pods = self.cluster.pods("kube-system")
        (pod,) = [pod for pod in pods if pod["spec"].get("hostNetwork") and pod["spec"]["nodeName"] == self.name]
        return key_of(pod)

    def run(self, *words: str) -> str:
        """What a command prints there."""
        done = self.network.run(self.name, words)
        assert not done.returncode, done.stderr
        return done.stdout

    def metric(self, name: str) -> float | None:
        """The largest value of a metric of its DNS; None: there is none."""
        lines = self.network.run(self.name, ("curl", "-s", f"http://{self.host}:9153/metrics")).stdout.splitlines()
        values = [float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return max(values, default=None)

    def is_away(self) -> bool:
        """Its DNS notices that the API server is."""
        return (self.metric("kdns_watch_losses_total") or 0) > 0

    def is_alive(self) -> bool:
        """The kernel sends questions to its own DNS."""
        return self.metric("kdns_local_dns_alive") == 1

    def by_itself(self) -> float:
        """How many questions it has answered."""
        return self.metric("coredns_dns_requests_total") or 0


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A lab of layout node-local."""
    kind = Kind("nftables", "node-local")
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, UNHURRIED)
        there = Node(cluster)
        cluster.wait_for(there.is_alive, UNHURRIED)
        yield there


@pytest.fixture
def away(node: Node) -> Iterator[Node]:
    """Its processes cannot reach the API server any more."""
    for line in CUT:
        node.run("nft", line)
    try:
        node.run("ss", "-K", "dport", "=", f":{API_PORT}")  # what is open would be quiet, and not lost
        yield node
    finally:
        node.run("nft", "delete table inet cut")


def test_answers_go_on(away: Node) -> None:
    """From what it knew, with nothing lost, on the node itself; and the age of that is in the metrics."""
    client = away.network.parts[CLIENT].network
    away.cluster.wait_for(away.is_away, UNHURRIED)
    before = away.by_itself()
    with Load(client, KUBE_DNS[0], NAME) as load:
        load.until(1000)
    asked = load.end()
    assert [question for question in asked if question.by is None] == []
    assert away.is_alive()
    assert away.by_itself() - before > len(asked) / 2  # on a busy machine the kernel may go around now and then
    first = away.metric("kdns_watch_data_age_seconds")
    assert first is not None
    away.cluster.wait_for(lambda: (away.metric("kdns_watch_data_age_seconds") or 0) > first, UNHURRIED)


def test_killed_while_it_is_away(away: Node) -> None:
    """The next process knows nothing, is not ready, and so the kernel goes around it: DNS on other nodes answers."""
    client, key = away.network.parts[CLIENT].network, away.key
    killed = away.cluster.program(*key)
    killed.stop(signal.SIGKILL)
    away.cluster.wait_for(lambda: away.cluster.program(*key).pid != killed.pid, UNHURRIED)
    with Load(client, KUBE_DNS[0], NAME) as load:
        load.until(500)
    assert [question for question in load.end() if question.by is None] == []
    away.run("nft", "flush table inet cut")
    away.cluster.wait_for(away.is_alive, UNHURRIED)
