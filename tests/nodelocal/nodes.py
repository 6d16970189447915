"""Two nodes: ``kdns node`` with local DNS on one, and the cluster's DNS in a Pod of the other."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import kdns
from kdns.lab.network import Network
from kdns.lab.plan import PLAN, Plan
from kdns.lab.processes import Process
from kdns.lab.question import query
from kdns.lab import namespaces as kernel

CLIENT: Final = PLAN.pod("client", "10.244.0.5")
DNS: Final = PLAN.pod("dns", "10.244.1.5")
ADDRESSES: Final = ("10.96.0.10", "fd00:10:96::a")
WHO: Final = "who.example.com"
HERE: Final = bytes((192, 0, 2, 1))
"""What the node's own DNS answers for `WHO`."""
THERE: Final = bytes((192, 0, 2, 2))
"""What the one in the Pod on the other node answers."""
ENVIRON: Final = {"PYTHONPATH": str(Path(kdns.__file__).parents[1])}
KDNS: Final = (sys.executable, "-m", "kdns")

OBJECTS: Final = """\
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:10:96::a"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: v1
kind: Node
metadata: {name: node-0}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
"""
SLICE: Final = """\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-%(name)s, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: %(family)s
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: ["%(address)s"], conditions: {ready: true}}]
"""
COREFILE: Final = """\
.:53 {
    errors
    hosts {
        %s who.example.com
    }
    kubernetes cluster.local
    ready 127.0.0.1:8181
    prometheus 127.0.0.1:9153
    plugin_sleep
}
"""


def slices(addresses: Sequence[str]) -> str:
    """EndpointSlices of kube-dns with an endpoint of each family."""
    families = ("IPv4", "IPv6")
    return "".join(SLICE % {"name": f.lower(), "family": f, "address": a} for f, a in zip(families, addresses, strict=True))


class Nodes:
    """The lab. Close it."""

    def __init__(self, mode: str = "nftables", iptables: str = "", rules: str = "auto") -> None:
        self.network = Network(Plan(pods=(CLIENT, DNS)))
        self._words = (f"--proxy-mode={mode}", f"--local-dns-rules={rules}")
        self._write("node-0", HERE, slices([str(a) for a in DNS.addresses]))
        self._write("dns", THERE, "")
        self.start_other()

    def _write(self, part: str, who: bytes, more: str) -> None:
        corefile = COREFILE.replace("    plugin_sleep\n", "") % ".".join(map(str, who))
        files = {"/run/kdns/objects/all.yaml": (OBJECTS + more).encode(), "/run/kdns/Corefile": corefile.encode()}
        self.network.write(part, files)

    def start_other(self) -> None:
        """Start the cluster's DNS on the other node, and wait for it."""
        words = ("serve", "--conf=/run/kdns/Corefile", "--source=/run/kdns/objects")
        self.other = self.network.start("dns", (*KDNS, *words), ENVIRON, "dns")
        self.wait_for(lambda: self.who("dns", str(DNS.addresses[0])) == THERE, self.other)

    def start(self) -> Process:
        """Start `kdns node` on node-0."""
        words = ("node", "--conf=/run/kdns/Corefile", "--source=/run/kdns/objects", "--hostname-override=node-0")
        words += ("--local-dns", "--cluster-cidr=10.244.0.0/16,fd00:10:244::/56", "--conntrack-max-per-core=0")
        self.node = self.network.start("node-0", (*KDNS, *words, *self._words), ENVIRON, "node")
        return self.node

    def start_and_wait(self) -> Process:
        """Start it, and wait until it answers on both addresses."""
        self.start()
        for address in ADDRESSES:
            self.wait_for(lambda of=address: self.who("client", of) == HERE, self.node)  # type: ignore[misc]
        return self.node

    def wait_for(self, condition: Callable[[], bool], process: Process, patience: float = 30.0) -> None:
        """Wait until something is so; AssertionError with what the process wrote."""
        until = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < until, process.output()
            assert process.status is None, process.output()
            time.sleep(0.02)

    def who(self, part: str, server: str, patience: float = 0.5) -> bytes | None:
        """Who answers a question from a part; None: nothing does."""
        import select, socket  # noqa

        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with kernel.socket_in(self.network.parts[part].network, family, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect((server, 53))
                asking.send(query(WHO))
                readable, _, _ = select.select((asking,), (), (), patience)
                return asking.recv(512)[-4:] if readable else None
            except OSError:
                return None

    def close(self) -> None:
        """End everything."""
        self.network.close()
