"""The machine: kernel, privileges, sysctls, and what runs there."""

from pathlib import Path

import pytest

from kdns.config.kubeproxy.settings import ConntrackSettings
from kdns.preflight import node
from kdns.preflight.model import Verdict
from kdns.preflight.sockets import Sockets
from tests.preflight.proc import ALL, machine

KERNELS = (("6.1.0-28-amd64", "any mode"), ("5.13.0", "any mode"), ("5.10.0-33", "nftables needs 5.13"))


@pytest.mark.parametrize(("release", "text"), KERNELS)
def test_kernels(release: str, text: str) -> None:
    """kube-proxy's mode nftables needs 5.13 (KEP-3866)."""
    (line,) = node.kernel(release)
    assert text in line.text


WITHOUT_ADMIN, WITHOUT_RAW = ALL & ~(1 << 12), ALL & ~(1 << 13)
PRIVILEGES = ((ALL, Verdict.OK), (WITHOUT_RAW, Verdict.WARN), (WITHOUT_ADMIN, Verdict.FAIL))


@pytest.mark.parametrize(("capabilities", "verdict"), PRIVILEGES)
def test_rules_take_privileges(tmp_path: Path, capabilities: int, verdict: Verdict) -> None:
    """NET_ADMIN for all, NET_RAW for iptables-legacy."""
    (line,) = node.for_rules(machine(tmp_path, capabilities=capabilities))
    assert line.verdict is verdict


LOW = (
    (ALL, "1024", [53, 8080], Verdict.OK),
    (0, "1024", [53], Verdict.FAIL),
    (0, "0", [53], None),  # the Pod's sysctl allows it
    (0, "1024", [1053], None),
    (1 << 10, "1024", [853], Verdict.OK),
)


@pytest.mark.parametrize(("capabilities", "first", "ports", "verdict"), LOW)
def test_low_ports(tmp_path: Path, capabilities: int, first: str, ports: list[int], verdict: Verdict | None) -> None:
    """They take NET_BIND_SERVICE, or a sysctl; others take nothing."""
    root = machine(tmp_path, capabilities=capabilities, sysctls={"net/ipv4/ip_unprivileged_port_start": first})
    assert [line.verdict for line in node.low_ports(ports, root)] == ([verdict] if verdict else [])


SYSCTLS = {
    "net/ipv4/ip_forward": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/netfilter/nf_conntrack_max": "1000",
    "net/netfilter/nf_conntrack_tcp_timeout_established": "86400",
}


def test_sysctls(tmp_path: Path) -> None:
    """What keeps packets from arriving, and what the proxy would set: not what is so already, or is not there."""
    lines = list(node.sysctls(ConntrackSettings(), machine(tmp_path, sysctls=SYSCTLS)))
    assert [(line.verdict, line.text.split()[0]) for line in lines] == [
        (Verdict.FAIL, "net.ipv4.ip_forward"),
        (Verdict.WARN, "net.bridge.bridge-nf-call-iptables"),
        (Verdict.NOTE, "net.netfilter.nf_conntrack_max"),
    ]
    assert lines[2].text.endswith("would change from 1000 to 131072")  # kube-proxy's minimum
    assert all(line.todo for line in lines[:2])


def test_sysctls_that_are_well(tmp_path: Path) -> None:
    """One line says so."""
    lines = list(node.sysctls(ConntrackSettings(), machine(tmp_path, sysctls={"net/ipv4/ip_forward": "1"})))
    assert [line.verdict for line in lines] == [Verdict.OK]


RUNNING = (
    ({1: "init"}, ["no CoreDNS"]),
    ({1: "init", 8: "coredns", 9: "kube-proxy"}, ["CoreDNS (pid 8)", "kube-proxy (pid 9)"]),
    ({5: "cilium-agent"}, ["Cilium (pid 5)"]),
)


@pytest.mark.parametrize(("programs", "texts"), RUNNING)
def test_what_runs(tmp_path: Path, programs: dict[int, str], texts: list[str]) -> None:
    """By the names of processes."""
    lines = list(node.running(Sockets(machine(tmp_path, programs))))
    assert len(lines) == len(texts)
    assert all(line.text.startswith(text) for line, text in zip(lines, texts, strict=True))
