"""This machine: its kernel, what this process may do, sysctls, and the programs whose place kdns takes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kdns.config.kubeproxy.settings import ConntrackSettings
from kdns.kernel import sysctl
from kdns.preflight.model import Line, fail, note, ok, warn
from kdns.preflight.sockets import Sockets

NET_BIND_SERVICE: Final = 10
NET_ADMIN: Final = 12
NET_RAW: Final = 13
"""Bits of capabilities (linux/capability.h)."""
PROGRAMS: Final = {
    "coredns": "CoreDNS",
    "kube-proxy": "kube-proxy",
    "node-cache": "NodeLocal DNSCache",
    "dnsmasq": "dnsmasq",
    "systemd-resolve": "systemd-resolved",
    "cilium-agent": "Cilium",
}
"""By the name of the process: what answers DNS or programs Services on nodes."""


def kernel(release: str = "") -> Iterator[Line]:
    """Its version, and which modes that allows; nftables needs 5.13 as in kube-proxy (KEP-3866)."""
    release = release or os.uname().release
    match = re.match(r"(\d+)\.(\d+)", release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < (5, 13):
        yield note("kernel", f"Linux {release}: modes iptables and ipvs; nftables needs 5.13")
    else:
        yield ok("kernel", f"Linux {release}: any mode")


def may(bit: int, root: Path = Path("/")) -> bool:
    """This process has the capability."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", (root / "proc/self/status").read_text(), re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> bit & 1)


def low_ports(ports: list[int], root: Path = Path("/")) -> Iterator[Line]:
    """Whether ports below 1024 can be bound by this process."""
    first = sysctl.read("net/ipv4/ip_unprivileged_port_start", root)
    low = [port for port in ports if port < (1024 if first is None else first)]
    if low and not may(NET_BIND_SERVICE, root):
        named = ", ".join(map(str, sorted(set(low))))
        yield fail("privileges", f"this process may not bind port {named}",
                   "run it as root, or with NET_BIND_SERVICE, as manifests/dns does with kdns-nonroot")  # fmt: skip
    elif low:
        yield ok("privileges", f"port {', '.join(map(str, sorted(set(low))))} may be bound")


def for_rules(root: Path = Path("/")) -> Iterator[Line]:
    """Whether this process may write rules."""
    if not may(NET_ADMIN, root):
        yield fail("privileges", "this process has no NET_ADMIN, which rules take",
                   "run it as root on the node, or with the capabilities of manifests/proxy")  # fmt: skip
    elif not may(NET_RAW, root):
        yield warn("privileges", "NET_ADMIN, but no NET_RAW, which iptables-legacy needs")
    else:
        yield ok("privileges", "NET_ADMIN and NET_RAW")


def sysctls(settings: ConntrackSettings, root: Path = Path("/")) -> Iterator[Line]:
    """Those without which Pods do not reach Services, and those that the proxy would set."""
    if sysctl.read("net/ipv4/ip_forward", root) == 0:
        yield fail("sysctl", "net.ipv4.ip_forward is 0: packets of Pods are not forwarded",
                   "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d")  # fmt: skip
    else:
        yield ok("sysctl", "net.ipv4.ip_forward is 1")
    if sysctl.read("net/bridge/bridge-nf-call-iptables", root) == 0:
        yield warn("sysctl", "net.bridge.bridge-nf-call-iptables is 0: between Pods of one bridge, replies of Services "
                   "come back with another address", "sysctl -w net.bridge.bridge-nf-call-iptables=1")  # fmt: skip
    for setting in sysctl.conntrack(settings, sysctl.online_cpus(root)):
        if not setting.path.startswith("proc/sys/"):
            continue
        name = setting.path.removeprefix("proc/sys/")
        before = sysctl.read(name, root)
        if before is not None and before != setting.value and not (setting.at_least and before > setting.value):
            yield note("sysctl", f"{name.replace('/', '.')} would change from {before} to {setting.value}")


def running(sockets: Sockets) -> Iterator[Line]:
    """What answers DNS or programs Services here now, as far as processes of the node are seen."""
    programs = sockets.programs()
    running = [(called, programs[name]) for name, called in PROGRAMS.items() if name in programs]
    for called, pids in running:
        yield note("running", f"{called} (pid {', '.join(map(str, pids))})")
    if not running:
        yield note("running", "no CoreDNS, kube-proxy or other resolver is seen; in a Pod that takes hostPID: true")
