"""One measurement of the Service path: rules for so many Services, in the network namespace this process is in.

``python -m bench.path_worker MODE SERVICES ENDPOINTS CHANGES SECONDS STICKY`` prints one JSON object. Each round is a
whole one: the proxier decides what changed, renders it, and has the kernel take it. A change replaces one endpoint of
one Service. ``SECONDS``: then 100 changes a second for so long. ``STICKY``: so many Services have affinity, and none of
them changes.
"""

import asyncio
import gc
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterable
from ipaddress import ip_address
from socket import AF_INET

from bench import machine
from kdns.base.objects import (
    READY,
    SERVING,
    EndpointPort,
    EndpointSlice,
    EndpointStates,
    Network,
    ObjectKey,
    Routing,
    Service,
    ServiceChange,
    ServicePort,
    ServiceView,
)
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.kernel.nft_elements import compose_key
from kdns.kernel.nftables import Nftables
from kdns.kernel.run import run
from kdns.ops.process import prepare
from kdns.proxy.apply.applier import Applier
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.iptables_tools import installed
from kdns.proxy.apply.modes import MODES, make_applier
from kdns.proxy.model import Family, LocalDetector, NodeRules
from kdns.proxy.proxier import Proxier, Round
from kdns.proxy.render.nftables.elements import frontend_key, number_octets, port_octets
from kdns.proxy.rules import Policy

NODE_PORT = 30000
AFFINITY = 10800
RATE = 100
"""Changes a second."""
LEAST = 0.01
"""Seconds between rounds, where they are not asked for one by one."""
PORT = EndpointPort("http", "TCP", 9376)
VIPS = int(ip_address("10.96.0.0"))
PODS = int(ip_address("10.128.0.0"))


def packed(number: int) -> bytes:
    """An IPv4 address."""
    return number.to_bytes(4, "big")


def cluster_ip(n: int) -> bytes:
    """Of the n-th Service."""
    return packed(VIPS + 256 + n)


def view(n: int, endpoints: list[bytes], affinity: int = 0) -> ServiceView:
    """The n-th Service; one in ten has a node port. ``affinity`` in seconds."""
    key = ObjectKey("Service", f"ns-{n % 50}", f"svc-{n}")
    node_port = NODE_PORT + n // 10 if n % 10 == 0 and n // 10 < 2700 else 0
    port = ServicePort("http", "TCP", 80, node_port)
    routing = Routing("NodePort" if node_port else "ClusterIP", affinity=affinity)
    states = EndpointStates(
        b"".join(endpoints), bytes([READY | SERVING]) * len(endpoints), ("node-1",) * len(endpoints)
    )
    slice_key = ObjectKey("EndpointSlice", key.namespace, f"{key.name}-1")
    slice_ = EndpointSlice(slice_key, key.name, 4, ports=(PORT,), states=states)
    return ServiceView(Service(key, (cluster_ip(n),), ports=(port,), routing=routing), (slice_,))


def came(now: ServiceView) -> ServiceChange:
    """A Service is like this from now on."""
    assert now.service is not None
    return ServiceChange(now.service.key, None, now)


def policy() -> Policy:
    """A node whose pods are 10.128.0.0/9."""
    pods = LocalDetector("CIDR", Network(packed(PODS), 9))
    return Policy(NodeRules(Family.IPV4, detector=pods), "node-0")


async def applier_of(mode: str) -> Applier:
    """The applier of ``nftables``, ``ipvs``, or iptables in one of its variants: ``iptables-legacy``."""
    if mode.startswith("iptables"):
        tools = await installed(Family.IPV4, run)
        made: Applier = IptablesApplier(Family.IPV4, tool=next(tool for tool in tools if tool.program == mode))
    else:
        known = next(one for one in MODES if one == mode)
        made = make_applier(known, Family.IPV4, ProxySettings(mode=known))
    await made.prepare()
    return made


async def measure(
    mode: str, services: int, endpoints: int, changes: int, seconds: int = 0, sticky: int = 0
) -> dict[str, object]:
    """The figures, in seconds and MB."""
    backends = {n: [packed(PODS + n * endpoints + m) for m in range(endpoints)] for n in range(services)}
    known = [came(view(n, some, AFFINITY if n < sticky else 0)) for n, some in backends.items()]
    gc.freeze()  # as the followers do with what they list
    applier = await applier_of(mode)
    rounds: list[Round] = []

    async def report(done: Round) -> None:
        rounds[1:] = [done]  # the first and the last: all of them would be megabytes

    def proxier_of(applier: Applier) -> Proxier:
        return Proxier(policy(), applier, least=LEAST, report=report, report_left_out=print)

    proxier = proxier_of(applier)
    for change in known:
        proxier.touch(change)
    began, spent = time.monotonic(), cpu()
    await checked(proxier)
    cold, cold_cpu = time.monotonic() - began, cpu() - spent
    totals = dict(rounds[0].applied.totals) if rounds[0].applied else {}
    chance, times = random.Random(1), []
    await applier.tidy()

    def another(number: int) -> ServiceChange:
        n = chance.randrange(sticky, services)
        backends[n][chance.randrange(endpoints)] = packed(PODS + services * endpoints + number)
        return came(view(n, backends[n]))

    spent = cpu()
    for number in range(changes):
        changed = another(number)
        began = time.monotonic()
        proxier.touch(changed)
        await checked(proxier)
        times.append(time.monotonic() - began)
    change_cpu = (cpu() - spent) / max(changes, 1)
    share, waiting = await steadily(proxier, (another(changes + number) for number in range(RATE * seconds)), seconds)
    repair = await repaired(proxier, cluster_ip(services - 1)) if mode == "nftables" else 0.0
    memory = machine.resident_mb(os.getpid(), "VmHWM")  # of one proxy; the next one is a second
    again = proxier_of(await applier_of(mode))
    for n, some in backends.items():
        again.touch(came(view(n, some, AFFINITY if n < sticky else 0)))
    gc.freeze()
    spent = cpu()
    await checked(again)
    return {
        "cold": cold,
        "cold_cpu": cold_cpu,
        "changes": sorted(times),
        "change_cpu": change_cpu,
        "share": share,
        "waiting": waiting,
        "repair": repair,
        "adopt_cpu": cpu() - spent,
        "adopt_wrote": rounds[-1].applied.rules if rounds[-1].applied else -1,
        "rss": memory,
        "tools": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6,
        "objects": totals,
    }


async def repaired(proxier: Proxier, frontend: bytes) -> float:
    """Seconds until what another process has deleted is there again: this cluster IP, and an endpoint of it; the longer
    one. The Service has no affinity."""
    elements = {
        "service-ips": frontend_key(frontend, "TCP", 80),
        "backends-tcp": frontend + port_octets(80) + number_octets(0),
    }
    proxier.synced()
    working = asyncio.create_task(proxier.run())
    await asyncio.sleep(3)  # the first round is a full one, and what it leaves for later follows
    longest = 0.0
    with Nftables(AF_INET) as others:
        for name, key in elements.items():
            others.commit(list(others.delete("kube-proxy", name, [compose_key(key)])))
            began = time.monotonic()
            while others.look("kube-proxy", name, [key]) is None:  # noqa: ASYNC110 - it is in the kernel
                await asyncio.sleep(0.002)
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(1)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return longest


async def steadily(proxier: Proxier, changes: Iterable[ServiceChange], seconds: int) -> tuple[float, bool]:
    """100 changes a second: the share of a core that it takes, and whether some still wait a second afterwards."""
    if not seconds:
        return 0.0, False
    proxier.synced()
    working = asyncio.create_task(proxier.run())
    await asyncio.sleep(2)  # the first round is a full one
    began, spent = time.monotonic(), cpu()
    for number, change in enumerate(changes, 1):
        proxier.touch(change)
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
    share = (cpu() - spent) / (time.monotonic() - began)
    await asyncio.sleep(1)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return share, proxier.pending


async def checked(proxier: Proxier) -> None:
    """One round that must succeed."""
    done = await proxier.round()
    if done.error is not None:
        raise done.error


def cpu() -> float:
    """CPU seconds of this process and the tools it has run."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    prepare()  # as every process of kdns
    print(json.dumps(asyncio.run(measure(name, *map(int, numbers)))))
