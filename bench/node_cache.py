"""NodeLocal DNSCache (node-cache of kubernetes/dns) on a node of a lab, set up as its own manifest does."""

import os
import socket
from typing import Final

from bench.report import Target
from kdns.lab import namespaces
from kdns.lab.cluster import Cluster
from kdns.lab.processes import Process
from kdns.lab.question import KUBE_DNS, query

NODE_CACHE_PROGRAM: Final = "KDNS_BENCH_NODE_CACHE"
"""The environment variable with the path of a node-cache binary; without it NodeLocal DNSCache is left out."""
ADDRESS: Final = ("169.254.20.10", 53)
"""Where Pods ask it, as its page in the Kubernetes documentation says."""
FOLDER: Final = "/run/node-cache"
COREFILE: Final = f"""\
cluster.local:53 {{
    errors
    cache {{
        success 9984 30
        denial 9984 5
    }}
    bind {ADDRESS[0]}
    forward . {KUBE_DNS[0]} {{
        force_tcp
    }}
    prometheus :9253
    health {ADDRESS[0]}:8085
}}
"""
PATIENCE: Final = 120.0


def program() -> str:
    """The path of the binary; empty: it is not to be measured."""
    return os.environ.get(NODE_CACHE_PROGRAM, "")


def start(cluster: Cluster, node: str, name: str) -> Process:
    """Start it on a node, and wait until it answers a name and its rules are in the kernel."""
    network = cluster.network
    network.configure(node, [f"address add {ADDRESS[0]}/32 dev lo"])  # kernels without dummy links take this, too
    network.write(node, {f"{FOLDER}/Corefile.base": COREFILE.encode()})
    words = (
        ("-localip", ADDRESS[0]),
        ("-basecorefile", f"{FOLDER}/Corefile.base"),
        ("-corefile", f"{FOLDER}/Corefile"),
        ("-conf", f"{FOLDER}/Corefile"),
        ("-setupinterface=false",),
        ("-health-port", "8085"),
        ("-pidfile", f"{FOLDER}/pid"),  # with it, rules are written at once and not after a minute
    )
    argv = (program(), *(word for pair in words for word in pair))
    process = network.start(node, argv, {"KUBE_DNS_SERVICE_HOST": KUBE_DNS[0]}, "node-cache")

    def runs() -> bool:
        if process.status is not None:
            raise RuntimeError(process.output())
        rules = network.run(node, ("iptables-save", "-t", "raw")).stdout
        return f"-s {ADDRESS[0]}/32 -p udp" in rules and _answers(cluster, node, name)

    cluster.wait_for(runs, PATIENCE)
    return process


def _answers(cluster: Cluster, node: str, name: str) -> bool:
    network = cluster.network.parts[node].network
    with namespaces.socket_in(network, socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(ADDRESS)
            asking.send(query(name))
            return asking.recv(512)[3] & 0x0F == 0
        except OSError:
            return False


def targets(cpu: float | None, p50: float | None) -> list[Target]:
    """What is promised beside it; None: it was not measured."""
    text = "a question to the node's own DNS beside one to NodeLocal DNSCache"
    shown = [
        f"not run: {NODE_CACHE_PROGRAM} has no path" if ratio is None else f"{ratio:.2f} x" for ratio in (cpu, p50)
    ]
    met = [None if ratio is None else ratio <= 1.1 for ratio in (cpu, p50)]
    return [Target(f"{text}, CPU", shown[0], met[0]), Target(f"{text}, p50", shown[1], met[1])]
