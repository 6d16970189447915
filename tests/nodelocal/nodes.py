"""Two nodes: ``kdns node`` with local DNS on one, and the cluster's DNS in a Pod of the other."""

import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import kdns
from kdns.lab import namespaces as kernel
from kdns.lab.network import Network
from kdns.lab.plan import PLAN, Plan
from kdns.lab.processes import Process
from kdns.lab.question import query

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
    stall
    errors
    hosts {
        %s who.example.com
    }
    kubernetes cluster.local
    ready 127.0.0.1:8181
    prometheus 127.0.0.1:9153
}
"""


def slices(addresses: Sequence[str]) -> str:
    """EndpointSlices of kube-dns with an endpoint of each family."""
    families = ("IPv4", "IPv6")
    return "".join(
        SLICE % {"name": f.lower(), "family": f, "address": a} for f, a in zip(families, addresses, strict=True)
    )


STALL: Final = """\
import time
from kdns.dns.api.options import NoOptions as Options, parse_bare as parse
from kdns.dns.api.plugin import Built

NAME = "stall"
BEFORE = "hosts"
HELD = []

def build(options, parts):
    def plugin(following):
        async def handle(request):
            if request.query.name.startswith(b"\\5stall"):
                time.sleep(2)
            if request.query.name.startswith(b"\\4grow"):
                HELD.append(b"x" * (400 << 20))
            return await following(request)
        return handle
    return Built(plugin=plugin)
"""
"""A plugin that holds the loop for two seconds when it is asked for ``stall``, and 400 MB when asked for ``grow``."""
VARIANTS: Final = {"iptables-nft": "-nft", "iptables-legacy": "-legacy"}


class Nodes:
    """The lab. Close it."""

    def __init__(self, mode: str = "nftables", rules: str = "auto") -> None:
        """``mode``: the proxy's, of iptables with its variant, such as ``iptables-legacy``."""
        self.network = Network(Plan(pods=(CLIENT, DNS)))
        try:
            self._words = (f"--proxy-mode={mode.partition('-')[0]}", f"--local-dns-rules={rules}")
            if suffix := VARIANTS.get(mode):  # as the kubelet says which variant is the node's
                for program in ("iptables", "ip6tables"):
                    self.run("node-0", f"{program}{suffix} -t mangle -N KUBE-IPTABLES-HINT")
            self._write("node-0", HERE, slices([str(address) for address in DNS.addresses]))
            self._write("dns", THERE, "")
            self._start_other()
        except BaseException:
            self.close()
            raise

    def _write(self, part: str, who: bytes, more: str) -> None:
        files = {
            "/run/kdns/objects/all.yaml": OBJECTS + more,
            "/run/kdns/Corefile": COREFILE % ".".join(map(str, who)),
            "/run/kdns/plugins/stall.py": STALL,
        }
        self.network.write(part, {path: text.encode() for path, text in files.items()})

    def point_at(self, addresses: Sequence[str]) -> None:
        """Give kube-dns these endpoints, one of each family, for the next start."""
        self._write("node-0", HERE, slices(addresses))

    def _start_other(self) -> None:
        """Start the cluster's DNS on the other node, and wait for it."""
        words = ("serve", "--conf=/run/kdns/Corefile", "--plugins=/run/kdns/plugins", "--source=/run/kdns/objects")
        other = self.network.start("dns", (*KDNS, *words), ENVIRON, "dns")
        self.wait_for(lambda: self.who("dns", str(DNS.addresses[0])) == THERE, other)

    def start(self, *more: str) -> Process:
        """Start `kdns node` on node-0."""
        words = ("--conf=/run/kdns/Corefile", "--plugins=/run/kdns/plugins", "--source=/run/kdns/objects")
        flags = ("--hostname-override=node-0", "--cluster-cidr=10.244.0.0/16,fd00:10:244::/56")
        argv = (*KDNS, "node", *words, *flags, "--conntrack-max-per-core=0", "--local-dns", *self._words, *more)
        self.node = self.network.start("node-0", argv, ENVIRON, "node")
        return self.node

    def go_on(self) -> None:
        """Start what an earlier test may have left dead, stopped or unlike what is wanted."""
        if self.node.status is None:
            self.node.send(signal.SIGCONT)
        else:
            self.start()
        self.wait_until_local()

    def start_and_wait(self) -> Process:
        """Start it, and wait until it answers on both addresses."""
        self.start()
        self.wait_until_local()
        return self.node

    def wait_until_local(self) -> None:
        """Wait until the node's own DNS answers on both addresses."""
        for address in ADDRESSES:
            self.wait_for(partial(self._here, address), self.node)

    def _here(self, address: str) -> bool:
        return self.who("client", address) == HERE == self.who("node-0", address)

    def wait_for(self, condition: Callable[[], bool], process: Process, patience: float = 60.0) -> None:
        """Wait until something is so; AssertionError with what the process wrote."""
        until = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < until, process.output()
            assert process.status is None, process.output()
            time.sleep(0.02)

    def who(self, part: str, server: str, name: str = WHO, patience: float = 0.5) -> bytes | None:
        """Who answers a question from a part; None: nothing does."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with kernel.socket_in(self.network.parts[part].network, family, socket.SOCK_DGRAM) as asking:
            try:
                asking.settimeout(patience)
                asking.connect((server, 53))
                asking.send(query(name))
                return asking.recv(512)[-4:]
            except OSError:
                return None

    def who_by_tcp(self, part: str, server: str) -> bytes | None:
        """The same over TCP."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with kernel.socket_in(self.network.parts[part].network, family, socket.SOCK_STREAM) as asking:
            asking.settimeout(2.0)
            try:
                asking.connect((server, 53))
                asking.send(len(query(WHO)).to_bytes(2, "big") + query(WHO))
                return asking.recv(512)[-4:]
            except OSError:
                return None

    def run(self, part: str, line: str) -> str:
        """What a command of a part prints; AssertionError if it fails."""
        done = self.network.run(part, ["sh", "-c", line])
        assert not done.returncode, done.stderr
        return done.stdout

    def has_rules(self) -> bool:
        """Whether node-0 has rules of the local DNS, of either kind."""
        lines = ("nft list tables", *(f"{variant}-save" for variant in ("iptables-nft", "iptables-legacy")))
        text = "".join(self.run("node-0", f"{line} 2>/dev/null") for line in lines)
        return "kdns-local-dns" in text or "-j KDNS-DNS-" in text

    def remove_rules(self) -> None:
        """Remove them, as a firewall does that is loaded again."""
        self.run("node-0", "nft delete table inet kdns-local-dns 2>/dev/null; true")
        for program in ("iptables-nft", "iptables-legacy"):
            line = f"{program}-save | grep -q 'A PREROUTING -j KDNS-DNS' && {program} -t raw -F; true"
            self.run("node-0", line)
            line = f"{program}-save | grep -q 'A INPUT -j KDNS-DNS' && {program} -F INPUT; true"
            self.run("node-0", line)

    def flows(self, address: str) -> list[str]:
        """What connection tracking of node-0 has of port 53 of an address."""
        family = "ipv6" if ":" in address else "ipv4"
        lines = self.run("node-0", f"conntrack -L -f {family} 2>/dev/null").splitlines()
        return [line for line in lines if f"dst={address} " in line and "dport=53 " in line]

    def close(self) -> None:
        """End everything."""
        self.network.close()
