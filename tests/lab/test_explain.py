"""`kdns explain` in a lab, on the real kernel: no false alarm while it is healthy, and the cause when it is broken."""

import json
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import pytest

from kdns.lab.asking import Arrived, Silence
from kdns.lab.evidence import evidence
from kdns.lab.kind import Kind
from kdns.lab.standard import make_cluster, wait_until_ready
from kdns.lab.steps_explain import asked, explain
from kdns.lab.walk import Walk

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]
PATIENCE = 180.0
"""Seconds, on a machine that does much else."""
TARGETS = (
    "hostnames", "hostnames.default.svc:80", "cart.shop.svc:80", "kubernetes.default", "default-subdomain",
    "10.96.80.80:80", "my-service", "www.example.com",
)  # fmt: skip


@pytest.mark.parametrize("mode", ["nftables"])
def test_a_healthy_lab_has_no_fault_and_each_cause_is_found(mode: str) -> None:
    """Nothing is wrong with any name or address; then ten breaks each have their code, and are mended."""
    kind = Kind(mode)
    told: list[str] = []
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, PATIENCE)
        walk = Walk(cluster, kind, told.append)
        for target in TARGETS:  # a Pod that has just become ready is in the rules a moment later
            walk.eventually(
                f"{target} is well",
                lambda target=target: asked(walk, target),  # type: ignore[misc]
                lambda found: str(found) == "ok",
            )
        explain(walk)
    assert walk.failed == []
    assert walk.passed == len(TARGETS) + 11


def test_nodes_that_are_broken_by_hand() -> None:
    """Forwarding, reverse paths and policies of a node, in both families: silent, explained, and mended."""
    kind = Kind("nftables")
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, PATIENCE)
        walk = Walk(cluster, kind, lambda _: None)
        broken_nodes(walk)
        rules_of_this_node(walk)


@pytest.mark.parametrize("mode", ["iptables", "iptables-legacy"])
def test_the_rules_of_this_node(mode: str) -> None:
    """`kdns rules --diff` on a node, as root: nothing differs; a rule that is gone is a line, and comes back."""
    kind = Kind(mode)
    with make_cluster(kind) as cluster:
        wait_until_ready(cluster, kind, PATIENCE)
        rules_of_this_node(Walk(cluster, kind, lambda _: None))


class Node(NamedTuple):
    """A way to break a node that `kdns lab run explain` does not show."""

    code: str
    break_it: Sequence[str]
    mend: Sequence[str]
    says: str
    asked: Sequence[str]
    seen: tuple[str, str, int]
    """Who asks for real, and where."""


NODE_PORT = 30180
INSIDE = ("busybox", "fd00:10:96::7070", 80)
OUTSIDE = ("outside", "172.18.0.2", NODE_PORT)
FROM_OUTSIDE = (f"172.18.0.2:{NODE_PORT}", "--from", "outside=172.18.0.100")
FROM_INSIDE = ("[fd00:10:96::7070]:80", "--from", "default/busybox")
NODES = (
    Node("E34", ("sysctl -w net.ipv4.ip_forward=0",), ("sysctl -w net.ipv4.ip_forward=1",),
         "net.ipv4.ip_forward is 0", FROM_OUTSIDE, OUTSIDE),
    Node("E34", ("sysctl -w net.ipv4.conf.eth0.forwarding=0",), ("sysctl -w net.ipv4.conf.eth0.forwarding=1",),
         "net.ipv4.conf.eth0.forwarding is 0", FROM_OUTSIDE, OUTSIDE),
    Node("E34",
         ("ip link add odd type bridge", "ip link set odd up", "ip route add 172.18.0.100/32 dev odd",
          "sysctl -w net.ipv4.conf.eth0.rp_filter=1"),
         ("ip link del odd", "sysctl -w net.ipv4.conf.eth0.rp_filter=0"),
         "net.ipv4.conf.eth0.rp_filter is 1: packets come in by eth0 and answers leave by odd", FROM_OUTSIDE, OUTSIDE),
    Node("E34", ("sysctl -w net.ipv6.conf.all.forwarding=0",), ("sysctl -w net.ipv6.conf.all.forwarding=1",),
         "net.ipv6.conf.all.forwarding is 0", FROM_INSIDE, INSIDE),
    Node("E33", ("ip6tables -P FORWARD DROP",), ("ip6tables -P FORWARD ACCEPT",),
         "chain FORWARD has the policy drop", FROM_INSIDE, INSIDE),
)  # fmt: skip


def broken_nodes(walk: Walk) -> None:
    """Each node that is broken by hand is silent, is explained, and answers once it is mended."""
    [port] = next(body for body in walk.cluster.objects("Service") if body["metadata"]["name"] == "hostnames")["spec"][
        "ports"
    ]
    spec = {"type": "NodePort", "ports": [{**port, "nodePort": NODE_PORT}]}
    walk.cluster.patch("Service", "default", "hostnames", {"spec": spec})
    for node in NODES:
        part, address, number = node.seen
        sees = partial(walk.ask, part, "TCP", address, number)
        walk.eventually("it answers", sees, lambda seen: isinstance(seen, Arrived))
        _do(walk, node.break_it)
        try:
            walk.eventually("it is silent", sees, lambda seen: seen == Silence())
            report = _explained(walk, node.asked)
            says = [link["says"] for link in report["links"] if link["code"] == report["first_fault"]]
            assert (report["first_fault"], node.says in says[0]) == (node.code, True), says
        finally:
            _do(walk, node.mend)
        walk.eventually("it answers again", sees, lambda seen: isinstance(seen, Arrived))
        assert _explained(walk, node.asked)["first_fault"] is None
    assert walk.failed == []


def _do(walk: Walk, commands: Sequence[str]) -> None:
    for command in commands:
        done = walk.cluster.network.run("node-0", command.split())
        assert done.returncode == 0, f"{command}: {done.stderr}"


def _explained(walk: Walk, asked: Sequence[str]) -> dict[str, Any]:
    with evidence(walk.cluster) as folder:
        argv = walk.cluster.command("explain", *asked, "--evidence", str(folder), "-o", "json")
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


GONE = {
    "nftables": ("nft", "delete element ip kube-proxy service-ips { 10.96.80.80 . tcp . 80 }"),
    **{
        tool: (
            "sh",
            "-ec",
            f"rule=$({tool} -t nat -S KUBE-SERVICES | grep -e '-d 10.96.80.80/32' | sed 's/^-A/-D/'); "
            f"eval {tool} -t nat $rule",
        )
        for tool in ("iptables", "iptables-legacy")
    },
}
"""What takes the way to a Service away."""


def rules_of_this_node(walk: Walk) -> None:
    """`kdns rules --diff` without evidence, where the proxy of the node is suspended while a rule is gone."""
    mode = walk.kind.mode
    proxies = [
        walk.cluster.program("kube-system", pod["metadata"]["name"])
        for pod in walk.cluster.pods("kube-system")
        if pod["spec"].get("hostNetwork") and pod["spec"].get("nodeName") == "node-0"
    ]
    flags = ("--proxy-mode", mode.removesuffix("-legacy"), "--node", "node-0")
    argv = walk.cluster.command("rules", "--diff", "--source", f"kubeconfig:{walk.cluster.kubeconfig}", *flags)

    def differs() -> tuple[int, str]:
        done = walk.cluster.network.run("node-0", argv, patience=60)
        return done.returncode, done.stdout + done.stderr

    walk.eventually("nothing differs", differs, lambda found: found[0] == 0)
    for proxy in proxies:
        proxy.send(signal.SIGSTOP)
    try:
        done = walk.cluster.network.run("node-0", GONE[mode])
        assert done.returncode == 0, done.stderr
        status, text = differs()
        assert (status, "10.96.80.80:80/TCP  default/hostnames" in text) == (1, True), text
    finally:
        for proxy in proxies:
            proxy.send(signal.SIGCONT)
    assert walk.failed == []
