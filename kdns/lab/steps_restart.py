"""Step 6: the DNS Pods are restarted one after the other, and the proxy is killed; nobody notices."""

import asyncio
import signal
import socket
import struct
import time
from typing import Final

from kdns.lab import kernel
from kdns.lab.asking import Arrived, Flow
from kdns.lab.walk import Walk
from kdns.lab.workloads import is_ready, key_of

KUBE_DNS: Final = ("10.96.0.10", 53)
NAME: Final = b"\x09hostnames\x07default\x03svc\x07cluster\x05local\x00"
EACH: Final = 0.02
"""Seconds between two questions."""
ANSWERED: Final = 3.0
"""Seconds until a question counts as lost; nobody asks again."""


def restarts(walk: Walk) -> None:
    """A rolling restart of the DNS Pods under load loses no query; kill -9 of the proxies loses no connection."""
    walk.title("6. Restarts")
    walk.say(f"busybox-2 asks {1 / EACH:.0f} times a second, once each, while one DNS Pod after the other is replaced.")
    asked, lost = walk.wait(_under_load(walk))
    walk.check(f"{asked} queries, {lost} lost", asked > 0 and lost == 0)
    walk.say("Now both proxies are killed (-9). Rules stay in the kernel; who comes back adopts them.")
    walk.wait(_kill_proxies(walk))


async def _under_load(walk: Walk) -> tuple[int, int]:
    network = walk.cluster.network.parts["busybox-2"].network
    stop = asyncio.Event()
    load = asyncio.create_task(_load(network, stop))
    try:
        await asyncio.sleep(0.5)
        for pod in walk.cluster.pods("kube-system", **{"k8s-app": "kube-dns"}):
            await asyncio.to_thread(_replace, walk, key_of(pod)[1])
        await asyncio.sleep(0.5)
    finally:
        stop.set()
        results = await load
    return len(results), results.count(False)


def _replace(walk: Walk, name: str) -> None:
    """Delete a Pod of the Deployment and wait until the one that takes its place is ready."""
    cluster = walk.cluster

    def uid_and_ready() -> tuple[bool, bool]:
        found = [pod for pod in cluster.pods("kube-system") if pod["metadata"]["name"] == name]
        return bool(found) and "deletionTimestamp" not in found[0]["metadata"], bool(found) and is_ready(found[0])

    cluster.delete("Pod", "kube-system", name)
    cluster.wait_for(lambda: uid_and_ready() == (True, True), 60)
    time.sleep(1.5)  # the proxies write at most once a second


async def _load(network: int, stop: asyncio.Event) -> list[bool]:
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
            asking.send(struct.pack("!6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + NAME + struct.pack("!2H", 1, 1))
            answer = await asyncio.wait_for(loop.sock_recv(asking, 512), ANSWERED)
        except (TimeoutError, ConnectionRefusedError):
            return False
    return answer[3] & 0x0F == 0


async def _kill_proxies(walk: Walk) -> None:
    cluster = walk.cluster
    pods = [key_of(pod) for pod in cluster.pods("kube-system", **{"k8s-app": "kube-proxy"})]
    flow = await cluster.network.open_flow("busybox", "TCP", "10.96.80.80", 80)
    assert isinstance(flow, Flow)
    try:
        first = await flow.ask()
        killed = {key: cluster.program(*key) for key in pods}
        for program in killed.values():
            program.stop(signal.SIGKILL)
        missed = asked = 0
        until = time.monotonic() + 60
        while time.monotonic() < until and not _returned(walk, {key: one.pid for key, one in killed.items()}):
            asked += 1
            missed += not isinstance(await cluster.network.probe("busybox", "TCP", "10.96.80.80", 80), Arrived)
            await asyncio.sleep(0.05)
        walk.check("they are back", _returned(walk, {key: one.pid for key, one in killed.items()}))
        walk.check(f"{asked} new connections meanwhile, {missed} failed", asked > 0 and missed == 0)
        walk.equal("a connection from before still goes on", await flow.ask(), first)
    finally:
        flow.close()


def _returned(walk: Walk, before: dict[tuple[str, str], int]) -> bool:
    pods = walk.cluster.pods("kube-system", **{"k8s-app": "kube-proxy"})
    return all(is_ready(pod) and walk.cluster.program(*key_of(pod)).pid != before[key_of(pod)] for pod in pods)
