"""A node's DNS dies, hangs and is replaced under load, and the kernel goes around it: on the real kernel."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from bench.cgroup import Cgroup
from tests.needs import lacks_kernel
from tests.nodelocal.load import Load, Question
from tests.nodelocal.nodes import ADDRESSES, DNS, ENVIRON, HERE, KDNS, THERE, WHO, Nodes

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces"),
]

CASES = [
    ("nftables", "auto"),
    ("iptables-nft", "auto"),
    ("iptables-legacy", "auto"),
    ("iptables-nft", "iptables"),
    ("iptables-legacy", "iptables"),
]
LIMIT = 0.5
"""Seconds until every question is answered again."""
URGENT = -15
"""As of nice(1)."""
WHO_ASKS = pytest.mark.parametrize("part", ["client", "node-0"])


class Case:
    """The lab of one case, with its node's DNS running."""

    def __init__(self, mode: str, rules: str) -> None:
        self.nodes = Nodes(mode, rules)


@pytest.fixture(scope="module", autouse=True)
def urgent() -> Iterator[None]:
    """The labs come before other work of the machine, as far as we may: what is promised is about a server that dies,
    and not about one that gets no CPU. Threads and processes that are made from here on inherit it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, URGENT)
    yield
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before)


@pytest.fixture(scope="module", params=CASES, ids="/".join)
def lab(request: pytest.FixtureRequest) -> Iterator[Case]:
    """A lab for each mode of the proxy and kind of rules."""
    made = Case(*request.param)
    try:
        made.nodes.start_and_wait()
        yield made
    finally:
        made.nodes.close()


@pytest.fixture
def case(lab: Case) -> Case:
    """Its node's DNS answers, whatever the test before has done."""
    lab.nodes.go_on()
    return lab


def lost(asked: list[Question]) -> list[Question]:
    """Those without an answer."""
    return [question for question in asked if question.by is None]


@pytest.mark.parametrize("address", ADDRESSES, ids=["v4", "v6"])
@WHO_ASKS
def test_the_node_answers_and_nothing_is_tracked(case: Case, part: str, address: str) -> None:
    """Pods and host-network clients are answered here over UDP and TCP, and connection tracking has no entry of it."""
    nodes = case.nodes
    nodes.run("node-0", "conntrack -F 2>/dev/null; true")
    for _ in range(20):
        assert nodes.who(part, address) == HERE
        assert nodes.who_by_tcp(part, address) == HERE
    assert nodes.flows(address) == []


@pytest.mark.parametrize("fixed", [False, True], ids=["random-ports", "fixed-port"])
@WHO_ASKS
def test_killed(case: Case, part: str, fixed: bool) -> None:
    """After kill -9 every question is answered by the other node within half a second, none wrongly."""
    nodes = case.nodes
    with Load(nodes.network.parts[part].network, ADDRESSES[0], WHO, fixed=fixed) as load:
        load.until(300)
        killed = time.monotonic()
        nodes.node.stop(signal.SIGKILL)
        load.until(load.number + 800)
    asked = load.end()
    assert all(question.at - killed <= LIMIT for question in lost(asked))
    assert {question.by for question in asked} <= {HERE, THERE, None}
    assert asked[-1].by == THERE
    assert not [question for question in lost(asked) if question.at < killed - LIMIT]  # later ones it may have held


def test_killed_loses_a_pod_only_what_was_received(case: Case) -> None:
    """The kernel sees that no socket takes the packet: a Pod's next question already goes to the other node."""
    nodes = case.nodes
    with Load(nodes.network.parts["client"].network, ADDRESSES[1], WHO) as load:
        load.until(300)
        nodes.node.stop(signal.SIGKILL)
        gone = time.monotonic()
        load.until(load.number + 300)
    assert not [question for question in lost(load.end()) if question.at > gone]


def test_stopped_and_continued(case: Case) -> None:
    """SIGSTOP sends questions to the other node; after SIGCONT this one answers again, and counts a failover."""
    nodes = case.nodes
    with Load(nodes.network.parts["client"].network, ADDRESSES[0], WHO, fixed=True) as load:
        load.until(300)
        stopped = time.monotonic()
        nodes.node.send(signal.SIGSTOP)
        load.until(load.number + 1000)
        nodes.node.send(signal.SIGCONT)
        load.until(load.number + 500)
    asked = load.end()
    assert all(question.at - stopped <= LIMIT for question in lost(asked))
    assert THERE in {question.by for question in asked}
    assert asked[-1].by == HERE
    metrics = nodes.run("node-0", "curl -s 127.0.0.1:9153/metrics")
    value = next(line for line in metrics.splitlines() if line.startswith("kdns_local_dns_failovers_total{"))
    assert float(value.split()[-1]) >= 1
    requests = [line for line in metrics.splitlines() if line.startswith("coredns_dns_requests_total{")]
    assert requests
    assert not [line for line in requests if "heartbeat" in line]


def test_stuck_loop(case: Case) -> None:
    """A plugin that sleeps holds the loop: the kernel goes around, and comes back when it ends."""
    nodes = case.nodes
    with Load(nodes.network.parts["client"].network, ADDRESSES[0], WHO) as load:
        load.until(300)
        stuck = time.monotonic()
        nodes.who("client", ADDRESSES[0], "stall.example.com", 0.01)
        load.until(load.number + 1500)
    asked = load.end()
    assert all(question.at - stuck <= LIMIT for question in lost(asked))
    assert THERE in {question.by for question in asked}
    assert asked[-1].by == HERE


def test_out_of_memory(case: Case) -> None:
    """The kernel kills the process for its memory: as any other death, with nothing that notices first. The next
    process, which the kubelet starts, takes questions back."""
    nodes = case.nodes
    with Cgroup.make(200 << 20) as group, Load(nodes.network.parts["client"].network, ADDRESSES[0], WHO) as load:
        if not group.limits:
            lacks_kernel("the memory cgroup, or does not let us make one")
        group.take(nodes.node.pid)
        load.until(300)
        nodes.who("client", ADDRESSES[0], "grow.example.com", 0.01)
        assert nodes.node.wait(30) == -signal.SIGKILL
        killed = time.monotonic()
        load.until(load.number + 300)
        between = load.number
        nodes.start_and_wait()
        load.until(load.number + 200)
        asked = load.end()
    assert not [question for question in lost(asked) if question.at > killed]
    assert asked[between - 100].by == THERE
    assert asked[-1].by == HERE


def test_a_node_that_restarts(case: Case) -> None:
    """All rules and routes are gone, and so is the process; the next one makes them again."""
    nodes = case.nodes
    nodes.node.stop(signal.SIGKILL)
    nodes.run(
        "node-0", "nft flush ruleset; ip route flush table local proto 153; ip -6 route flush table local proto 153"
    )
    for program in ("iptables-legacy", "ip6tables-legacy"):
        nodes.run("node-0", f"for table in raw nat filter; do {program} -t $table -F 2>/dev/null; done; true")
    assert nodes.who("client", ADDRESSES[0], patience=0.2) is None
    nodes.start_and_wait()


def test_replaced(case: Case) -> None:
    """SIGTERM, a while without a process, and another one in its place: no question is lost.

    The load goes on over the moment in which the sockets close, and for more than a second after: whatever the kernel
    still held for alive then would send questions to nothing. Rules and route stay in between.
    """
    nodes = case.nodes
    parts = nodes.network.parts
    with (
        Load(parts["client"].network, ADDRESSES[0], WHO, fixed=True) as fixed,
        Load(parts["node-0"].network, ADDRESSES[1], WHO) as load,
    ):
        load.until(300)
        assert nodes.node.stop(patience=30) == 0
        ended = time.monotonic()
        load.until(load.number + 600)
        assert "10.96.0.10" in nodes.run("node-0", "ip route show table local proto 153")
        gap = time.monotonic()
        nodes.start_and_wait()
        load.until(load.number + 200)
    for asked in (load.end(), fixed.end()):
        assert lost(asked) == [], nodes.node.output()[-3000:]
        assert {question.by for question in asked if ended < question.at < gap} == {THERE}
        assert asked[-1].by == HERE


def test_a_full_table_of_connections(case: Case) -> None:
    """Questions are answered though connection tracking takes no more flows.

    The table is one for the whole machine, so a rule does what the kernel does when it is full: it drops every packet
    that would begin a flow.
    """
    nodes = case.nodes
    nodes.run("node-0", "nft add table inet full")
    for hook in ("prerouting", "output"):
        nodes.run("node-0", f"nft 'add chain inet full {hook} {{ type filter hook {hook} priority -150 ; }}'")
        nodes.run("node-0", f"nft 'add rule inet full {hook} ct state new drop'")
    try:
        for part in ("client", "node-0"):
            assert nodes.who(part, ADDRESSES[0]) == HERE
            assert nodes.who_by_tcp(part, ADDRESSES[1]) == HERE
        assert nodes.who("client", str(DNS.addresses[0]), patience=0.2) is None
    finally:
        nodes.run("node-0", "nft delete table inet full")


def test_other_ports_are_refused(case: Case) -> None:
    """A port of the address that is not DNS's is refused, though the address is local and the node listens there."""
    nodes = case.nodes
    line = f"curl -s -o /dev/null -m 2 http://{ADDRESSES[0]}:10256/healthz"
    assert nodes.network.run("client", ["sh", "-c", line]).returncode == 7  # refused, and not an answer


@pytest.mark.parametrize("address", ADDRESSES, ids=["v4", "v6"])
def test_a_route_that_is_removed_comes_back(case: Case, address: str) -> None:
    """Without the route, as after a reboot, own questions are not answered, and rules and route are written again."""
    nodes = case.nodes
    family = "-6" if ":" in address else "-4"
    nodes.run("node-0", f"ip {family} route del local {address} dev lo table local")
    nodes.wait_until_local()
    assert address in nodes.run("node-0", f"ip {family} route show {address} table local proto 153")


def test_rules_that_are_removed_come_back(case: Case) -> None:
    """Another program removes the rules under load: questions take the ordinary way, none is lost, and within seconds
    the node answers again."""
    nodes = case.nodes
    with Load(nodes.network.parts["client"].network, ADDRESSES[0], WHO) as load:
        load.until(300)
        nodes.remove_rules()
        assert not nodes.has_rules()
        nodes.wait_for(nodes.has_rules, nodes.node)
        nodes.wait_until_local()
        load.until(load.number + 200)
    asked = load.end()
    assert lost(asked) == []
    assert asked[-1].by == HERE
    assert "modified externally" in nodes.node.output()


def test_a_second_process_ends(case: Case) -> None:
    """A second `kdns node` on the same node finds its ports taken, says so, and the first one goes on."""
    nodes = case.nodes
    first = nodes.node
    with Load(nodes.network.parts["client"].network, ADDRESSES[0], WHO) as load:
        load.until(300)
        second = nodes.start()
        try:
            assert second.wait(60) == 1
        finally:
            nodes.node = first
        load.until(load.number + 200)
    asked = load.end()
    assert "the port is taken" in second.output()
    assert lost(asked) == []
    assert asked[-1].by == HERE


def test_cleanup_beside_a_process(case: Case) -> None:
    """`--cleanup` removes what a process that runs still wants: it writes rules and route again."""
    nodes = case.nodes
    nodes.network.run("node-0", (*KDNS, "node", "--conf=/run/kdns/Corefile", "--cleanup"), ENVIRON)
    nodes.wait_until_local()
    assert nodes.has_rules()
    assert "10.96.0.10" in nodes.run("node-0", "ip route show table local proto 153")


def test_only_this_node_as_endpoint_is_refused(case: Case) -> None:
    """With no endpoint but the node itself there is nothing to fail over to: it says so and does not answer."""
    nodes = case.nodes
    assert nodes.node.stop(patience=30) == 0
    nodes.point_at(["172.18.0.2", "fc00:f853:ccd:e793::2"])
    nodes.start()
    nodes.wait_for(lambda: "nothing to fail over to" in nodes.node.output().split("shutdown")[-1], nodes.node)
    assert nodes.who("client", ADDRESSES[0], patience=0.2) != HERE
    assert nodes.node.stop(patience=30) == 0
    nodes.point_at(["10.244.1.5", "fd00:10:244:1::5"])
    nodes.start_and_wait()


def test_cleanup_leaves_nothing(case: Case) -> None:
    """`--cleanup` removes the table, the chains, the sets and the routes."""
    nodes = case.nodes
    assert nodes.node.stop(patience=30) == 0
    done = nodes.network.run("node-0", (*KDNS, "node", "--conf=/run/kdns/Corefile", "--cleanup"), ENVIRON)
    assert done.returncode == 0, done.stderr
    assert nodes.run("node-0", "ip route show table local proto 153; ip -6 route show table local proto 153") == ""
    assert "kdns-local-dns" not in nodes.run("node-0", "nft list ruleset")
    for program in ("iptables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save", "ip6tables-nft-save"):
        assert "KDNS-DNS" not in nodes.run("node-0", f"{program} 2>/dev/null")
    assert "KDNS-DNS" not in nodes.run("node-0", "ls /proc/net/xt_recent")
