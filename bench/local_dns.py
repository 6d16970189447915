"""A question from a Pod to its node's own DNS, against one to a DNS Pod on another node: latency and CPU.

Two labs beside each other, of `kdns lab`: layout node-local, and layout pods with its only DNS Pod on the other node.
There NodeLocal DNSCache runs on the client's node, if an environment variable names its binary (`bench.node_cache`).
Questions are asked one after the other from sockets of their own, as glibc does, in turns of the two labs. CPU is that
of the whole machine (/proc/stat, in hundredths of a second), the asking client's with it; and of the server and the
client alone (schedstat), which other programs of a busy machine do not change.
"""

import os
import socket
import statistics
import time
from typing import NamedTuple

from bench import machine, node_cache
from bench.report import Target, table
from bench.rounds import percentile
from kdns.lab import namespaces
from kdns.lab.cluster import Cluster
from kdns.lab.kind import Kind
from kdns.lab.question import KUBE_DNS, query
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.workloads import key_of

KEY = "local-dns"
NAME = "hostnames.default.svc.cluster.local"
TURNS, EACH = 8, 2_000
PATIENCE = 400.0
CLIENT = "busybox"
HEAD = ("way", "p50 us", "p99 us", "machine CPU us", "server + client CPU us", "questions")


OWN, AWAY, CACHE = "the node's own", "a Pod on another node", "NodeLocal DNSCache"


class Way(NamedTuple):
    """Who asks whom."""

    cluster: Cluster
    client: str
    pid: int
    """Of the server."""
    address: tuple[str, int] = KUBE_DNS


class Turn(NamedTuple):
    """Some questions to one lab."""

    seconds: list[float]
    """Of each question."""
    cpu: float
    """Of the machine, seconds for each."""
    own: float
    """Of the server and the client alone."""


def measure() -> tuple[str, list[Target]]:
    """The table, and what it says of the promise. Needs root."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    local, pods = Kind("nftables", "node-local"), Kind("nftables", "pods")
    with make_cluster(local, "bench-local") as near, make_cluster(pods, "bench-pods") as far:
        for cluster, kind in ((near, local), (far, pods)):
            wait_until_ready(cluster, kind, PATIENCE)
        far_client, far_pid = _away(far)
        ways = {
            OWN: Way(near, CLIENT, _pid_on(near, near.network.pods[CLIENT].node)),
            AWAY: Way(far, far_client, far_pid),
        }
        if node_cache.program():
            cache = node_cache.start(far, far.network.pods[far_client].node, NAME)
            ways[CACHE] = Way(far, far_client, cache.pid, node_cache.ADDRESS)
        turns: dict[str, list[Turn]] = {way: [] for way in ways}
        for _ in range(TURNS):
            for way, asked in ways.items():
                turns[way].append(_ask(asked))
    ratio = _cpu(turns, AWAY)
    met = "a question to the node's own DNS costs less CPU than one to another node"
    beside = (_cpu(turns, CACHE), _p50(turns[OWN]) / _p50(turns[CACHE])) if CACHE in turns else (None, None)
    return table(HEAD, [_row(way, some) for way, some in turns.items()]), [
        Target(met, f"{ratio:.2f} x", ratio < 1),
        *node_cache.targets(*beside),
    ]


def _cpu(turns: dict[str, list[Turn]], way: str) -> float:
    """What a question to the node's own DNS costs, as a multiple of another way: the median of the turns."""
    return statistics.median(own.own / other.own for own, other in zip(turns[OWN], turns[way], strict=True))


def _p50(turns: list[Turn]) -> float:
    return percentile(sorted(second for turn in turns for second in turn.seconds), 0.5)


def _pid_on(cluster: Cluster, node: str) -> int:
    """The process of `kdns node` on a node."""
    (pod,) = [pod for pod in cluster.pods("kube-system")
              if pod["spec"].get("hostNetwork") and pod["spec"]["nodeName"] == node]  # fmt: skip
    return cluster.program(*key_of(pod)).pid


def _away(cluster: Cluster) -> tuple[str, int]:
    """Leave one DNS Pod, and name a client that is on the other node; the Pod's process."""
    cluster.scale("kube-system", "kdns", 1)
    cluster.wait_for(lambda: len(cluster.pods("kube-system", **{"k8s-app": "kube-dns"})) == 1, PATIENCE)
    time.sleep(2)  # until the rules know it
    (dns,) = cluster.pods("kube-system", **{"k8s-app": "kube-dns"})
    clients = [name for name, pod in cluster.network.pods.items() if pod.node != dns["spec"]["nodeName"]]
    return next(name for name in clients if name.startswith(CLIENT)), cluster.program(*key_of(dns)).pid


def _ask(way: Way) -> Turn:
    network, message, seconds = way.cluster.network.parts[way.client].network, query(NAME), []
    busy, own = machine.busy_seconds(), _own_seconds(way)
    for _ in range(EACH):
        with namespaces.socket_in(network, socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5.0)
            asking.connect(way.address)
            began = time.perf_counter()
            asking.send(message)
            asking.recv(512)
            seconds.append(time.perf_counter() - began)
    return Turn(seconds, (machine.busy_seconds() - busy) / EACH, (_own_seconds(way) - own) / EACH)


def _own_seconds(way: Way) -> float:
    return machine.cpu_seconds(way.pid) + time.thread_time()


def _row(way: str, turns: list[Turn]) -> tuple[str, ...]:
    seconds = sorted(second for turn in turns for second in turn.seconds)
    numbers = (
        percentile(seconds, 0.5),
        percentile(seconds, 0.99),
        statistics.median(turn.cpu for turn in turns),
        statistics.median(turn.own for turn in turns),
    )
    return way, *(f"{number * 1e6:.0f}" for number in numbers), f"{len(seconds):,}"
