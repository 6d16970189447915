"""Step 8, of the layout node-local: a node's own DNS is killed, and the kernel goes around it."""

import asyncio
import signal
import time
from typing import Final

from kdns.lab.question import KUBE_DNS
from kdns.lab.steps_restart import EACH, load
from kdns.lab.walk import Walk
from kdns.lab.workloads import is_ready, key_of

CLIENT: Final = "busybox-2"
LIMIT: Final = 0.5
"""Seconds until every question is answered again."""


def local_dns(walk: Walk) -> None:
    """A Pod's questions stay on its node; kill -9 of the node's DNS sends them to the Deployment's, and back."""
    node = walk.cluster.network.pods[CLIENT].node
    walk.title("8. The node's own DNS dies")
    walk.say(
        f"{KUBE_DNS[0]} is local on {node} by a route, and alive as long as kdns there answers itself: its answer, as",
        "it leaves, keeps the element below for 300 ms more. While it is there, questions are not even tracked.",
    )
    route = walk.run(node, "ip route show table local proto 153")
    walk.check("the route is there", KUBE_DNS[0] in route, route)
    alive = walk.eventually("the address is alive", lambda: _alive(walk, node), lambda there: KUBE_DNS[0] in there)
    walk.check("it expires unless it is renewed", "expires" in alive, alive)
    walk.say(f"{CLIENT} asks {1 / EACH:.0f} times a second, each question once, while kdns on {node} is killed (-9).")
    asked, lost = walk.wait(_kill(walk, node))
    walk.check(f"{asked} queries, {lost} lost, at most {LIMIT} s of them", asked > 0 and lost <= LIMIT / EACH, lost)
    walk.eventually("the next process is alive", lambda: _alive(walk, node), lambda there: KUBE_DNS[0] in there)


def _alive(walk: Walk, node: str) -> str:
    return walk.cluster.network.run(node, ["nft", "list", "set", "inet", "kdns-local-dns", "alive-ip"]).stdout


async def _kill(walk: Walk, node: str) -> tuple[int, int]:
    """Kill the node's DNS under load, and wait until it is back; how many questions there were, and how many lost."""
    cluster, stop = walk.cluster, asyncio.Event()
    (pod,) = [body for body in cluster.pods("kube-system") if body["spec"].get("hostNetwork")
              and body["spec"]["nodeName"] == node]  # fmt: skip
    key = key_of(pod)
    asking = asyncio.create_task(load(cluster.network.parts[CLIENT].network, stop))
    try:
        await asyncio.sleep(0.5)
        killed = cluster.program(*key)
        killed.stop(signal.SIGKILL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            await asyncio.sleep(0.1)
            (now,) = [body for body in cluster.pods("kube-system") if key_of(body) == key]
            if is_ready(now) and cluster.program(*key).pid != killed.pid:
                break
        await asyncio.sleep(0.5)
    finally:
        stop.set()
        results = await asking
    return len(results), results.count(False)
