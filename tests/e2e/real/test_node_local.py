"""DNS on the node's own address in a real cluster: it is killed, exchanged and drained while a Pod asks."""

import os
import signal

import pytest

from tests.e2e.real.cluster import (
    all_ready,
    asking,
    eventually,
    get,
    kubectl,
    main_process,
    network_of,
    nothing_missed,
    rolled_out,
    run,
)
from tests.e2e.real.layouts import LAYOUTS, PROXY, SYSTEM, Layout

pytestmark = pytest.mark.parametrize("cluster", [each for each in LAYOUTS if each.name == "node-local"], indirect=True)

PROCESS = "kdns node"


def alive() -> None:
    """The node's kernel sends questions to the DNS on the node."""
    listed = run("nsenter", "--net=/run/netns/k1", "nft", "list", "table", "inet", "kdns-local-dns")
    elements = listed.partition("set alive")[2].partition("}\n")[0]
    assert "10.96.0.10" in elements, listed


def test_questions_stay_on_the_node(cluster: Layout) -> None:
    """The address is alive, and no question to it is tracked."""
    eventually(alive)
    with asking(network_of("busybox")) as counts:
        flows = run("nsenter", "--net=/run/netns/k1", "conntrack", "-L", "-p", "udp", "--orig-dst", "10.96.0.10")
    assert not flows.strip()
    nothing_missed(counts)


def test_a_killed_process_is_gone_around(cluster: Layout) -> None:
    """SIGKILL loses what the process had received, a few questions, and no answer is wrong."""
    eventually(alive)
    with asking(network_of("busybox")) as counts:
        os.kill(main_process(PROCESS), signal.SIGKILL)
        eventually(restarted)
    eventually(all_ready)
    assert counts["wrong"] == 0
    assert counts["lost"] <= 50
    assert counts["outage"] <= 1.0


def restarted() -> None:
    """The kubelet has started the container again."""
    pods = get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=kdns-proxy")["items"]
    (status,) = pods[0]["status"]["containerStatuses"]
    assert status["restartCount"] > 0
    assert status["ready"]


def test_a_restart_of_the_daemon_set_loses_nothing(cluster: Layout) -> None:
    """`kubectl rollout restart` of the DaemonSet: every question is answered, and right."""
    eventually(alive)
    with asking(network_of("busybox")) as counts:
        kubectl("-n", SYSTEM, "rollout", "restart", PROXY)
        rolled_out(PROXY)
        eventually(alive)
    nothing_missed(counts)


def test_a_deleted_daemon_set_loses_nothing(cluster: Layout) -> None:
    """Without the DaemonSet the Deployment answers, by way of the rules that are still there."""
    eventually(alive)
    with asking(network_of("busybox")) as counts:
        kubectl("-n", SYSTEM, "delete", PROXY, "--wait", "--timeout=60s")
        eventually(no_pod)
    nothing_missed(counts)


def no_pod() -> None:
    """The DaemonSet's Pods are gone."""
    assert not get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=kdns-proxy")["items"]
