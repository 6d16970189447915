"""Step 6: the DNS Pods are restarted one after the other, and the proxy is killed; no client notices."""

import asyncio
import signal
import socket
import time
from typing import Final

from kdns.lab import namespaces as kernel
from kdns.lab.asking import Arrived, Flow
from kdns.lab.question import KUBE_DNS, answered, query
from kdns.lab.walk import Walk
from kdns.lab.workloads import Json, is_ready, key_of
from kdns.lab.written import written

NAME: Final = "hostnames.default.svc.cluster.local"
EACH: Final = 0.02
"""Seconds between two questions."""
WRITING: Final = 1.5
"""Seconds in which a change is written: the proxies write at most once a second."""
LOOKS: Final = 10
ANSWERED: Final = 3.0
"""Seconds until a question counts as lost; there is no retry."""


def restarts(walk: Walk) -> None:
    """A rolling restart of the DNS Pods under load loses no query; kill -9 of the proxies loses no connection."""
    walk.title("6. Restarts")
    if walk.kind.layout == "node":
        walk.say("Each node has one DNS, so that its Pods wait while that is replaced: nothing to show.")
    else:
        walk.say(
            f"busybox-2 asks {1 / EACH:.0f} times a second, each question once, while one DNS Pod after the other is",
            "replaced.",
        )
        asked, lost = walk.wait(_under_load(walk))
        walk.check(f"{asked} queries, {lost} lost", asked > 0 and lost == 0)
    walk.say("Now both proxies are killed (-9). Rules stay in the kernel; who comes back adopts them.")
    walk.wait(_kill_proxies(walk))


async def _under_load(walk: Walk) -> tuple[int, int]:
    network = walk.cluster.network.parts["busybox-2"].network
    stop = asyncio.Event()
    asking = asyncio.create_task(load(network, stop))
    try:
        await asyncio.sleep(0.5)
        for pod in walk.cluster.pods("kube-system", **{"k8s-app": "kube-dns"}):
            await asyncio.to_thread(_replace, walk, key_of(pod)[1])
        await asyncio.sleep(0.5)
    finally:
        stop.set()
        results = await asking
    return len(results), results.count(False)


def _replace(walk: Walk, name: str) -> None:
    """Delete a Pod of the Deployment and wait until the one that takes its place is ready."""
    cluster = walk.cluster

    def uid_and_ready() -> tuple[bool, bool]:
        pods = [pod for pod in cluster.pods("kube-system") if pod["metadata"]["name"] == name]
        return bool(pods) and "deletionTimestamp" not in pods[0]["metadata"], bool(pods) and is_ready(pods[0])

    cluster.delete("Pod", "kube-system", name)
    cluster.wait_for(lambda: uid_and_ready() == (True, True), 60)
    time.sleep(WRITING)


async def load(network: int, stop: asyncio.Event) -> list[bool]:
    """Ask from a network namespace every `EACH` until ``stop``; whether each question was answered."""
    running: list[asyncio.Task[bool]] = []
    while not stop.is_set():
        running.append(asyncio.create_task(_question(network, len(running))))
        await asyncio.sleep(EACH)
    return await asyncio.gather(*running)


async def _question(network: int, number: int) -> bool:
    """Whether one question is answered with NOERROR."""
    loop = asyncio.get_running_loop()
    with kernel.socket_in(network, socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(KUBE_DNS)
        try:
            asking.send(query(NAME, number))
            return answered(await asyncio.wait_for(loop.sock_recv(asking, 512), ANSWERED))
        except (TimeoutError, ConnectionRefusedError):
            return False


async def _kill_proxies(walk: Walk) -> None:
    cluster = walk.cluster
    pods = [key_of(pod) for pod in _proxies(walk)]
    rules = await asyncio.to_thread(_rules, walk)
    flow = await cluster.network.open_flow("busybox", "TCP", "10.96.80.80", 80)
    assert isinstance(flow, Flow)
    try:
        first = await flow.ask()
        killed = {key: cluster.program(*key) for key in pods}
        for program in killed.values():
            program.stop(signal.SIGKILL)
        missed = asked = 0
        until = time.monotonic() + 60
        while time.monotonic() < until and not _returned(walk, {key: process.pid for key, process in killed.items()}):
            asked += 1
            missed += not isinstance(await cluster.network.probe("busybox", "TCP", "10.96.80.80", 80), Arrived)
            await asyncio.sleep(0.05)
        walk.check("they are back", _returned(walk, {key: process.pid for key, process in killed.items()}))
        walk.check(f"{asked} new connections meanwhile, {missed} failed", asked > 0 and missed == 0)
        walk.equal("a connection from before still goes on", await flow.ask(), first)
        now = await asyncio.to_thread(_rules, walk)
        walk.equal(f"the {len(rules)} rules of both nodes are the same as before", sorted(set(rules) ^ set(now)), [])
    finally:
        flow.close()


def _returned(walk: Walk, before: dict[tuple[str, str], int]) -> bool:
    pods = _proxies(walk)
    return all(is_ready(pod) and walk.cluster.program(*key_of(pod)).pid != before[key_of(pod)] for pod in pods)


def _proxies(walk: Walk) -> list[Json]:
    """The Pods of proxies: those that share their node's network."""
    return [pod for pod in walk.cluster.pods("kube-system") if pod["spec"].get("hostNetwork")]


def _rules(walk: Walk) -> list[str]:
    """What is written on the nodes, once nothing is being written any more."""
    nodes = [node.name for node in walk.cluster.plan.nodes]
    before: list[str] = []
    for _ in range(LOOKS):
        now = [f"{node} {line}" for node in nodes for line in written(walk.cluster.network, node, walk.kind)]
        if now == before:
            break
        before = now
        time.sleep(WRITING)
    return before
