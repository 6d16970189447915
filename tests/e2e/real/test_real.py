"""kdns in a real cluster of one node, in each of its layouts: names and Services as Pods see them, and restarts."""

import json

import pytest

from tests.e2e.real.cluster import (
    NODE,
    all_ready,
    asking,
    busybox,
    eventually,
    kdns,
    kubectl,
    nothing_missed,
    rolled_out,
    run,
)
from tests.e2e.real.layouts import Layout


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("kubernetes.default", "10.96.0.1"),
        ("kubernetes.default.svc.cluster.local", "10.96.0.1"),
        ("busybox-1.default-subdomain.default.svc.cluster.local", "10.244.0."),
        ("db-0.db.default.svc.cluster.local", "10.244.0."),
    ],
)
def test_names(cluster: Layout, name: str, address: str) -> None:
    """``nslookup`` from busybox answers, as the Kubernetes documentation shows it."""
    if cluster.name == "swapped" and name == "kubernetes.default":
        pytest.skip("kubeadm's Corefile has no shortnames, and this busybox asks no search list")
    eventually(lambda: _answers(busybox("nslookup", name), address))


def _answers(text: str, address: str) -> None:
    assert "10.96.0.10" in text, text
    _, _, answer = text.partition("Name:")
    assert address in answer, text


def test_a_host_network_pod_resolves(cluster: Layout) -> None:
    """A Pod with hostNetwork and dnsPolicy ClusterFirstWithHostNet asks from the node itself."""
    name = "kubernetes.default.svc.cluster.local"
    eventually(lambda: _answers(kubectl("exec", "hostnet", "--", "nslookup", name), "10.96.0.1"))


def test_a_service_is_reached(cluster: Layout) -> None:
    """Through its name from a Pod, and through its node port from outside."""
    eventually(lambda: _says_hostnames(busybox("wget", "-qO-", "http://hostnames.default.svc.cluster.local")))
    outside = ("ip", "netns", "exec", "ksw", "curl", "-sS", "--max-time", "5", f"http://{NODE}:31025/")
    eventually(lambda: _says_hostnames(run(*outside, status=None)))


def _says_hostnames(text: str) -> None:
    assert text.startswith("hostnames-"), text


def test_pods_are_verified(cluster: Layout) -> None:
    """With ``pods verified`` a Pod's name is there for Pods that exist, and for no other address."""
    if cluster.name != "pods-verified":
        pytest.skip("other layouts have `pods insecure`")
    address = json.loads(kubectl("get", "pod", "busybox", "-o", "json"))["status"]["podIP"]
    zone = "default.pod.cluster.local"
    eventually(lambda: _answers(busybox("nslookup", f"{address.replace('.', '-')}.{zone}"), address))
    assert "NXDOMAIN" in kubectl("exec", "busybox", "--", "sh", "-c", f"nslookup 10-244-0-250.{zone}; true")


def test_the_kernel_has_the_rules(cluster: Layout) -> None:
    """``kdns rules --diff`` on the node finds nothing missing and nothing different."""
    eventually(lambda: kdns("rules", "--diff", "--source", "kubeconfig", "--node", "node-1"))


def test_a_rolling_restart_loses_nothing(cluster: Layout) -> None:
    """DNS is restarted while clients ask from one port and from many: every question is answered, and right."""
    if cluster.pauses:
        pytest.skip("one process on one node: nothing is left to answer while it restarts")
    with asking() as counts:
        kubectl("-n", "kube-system", "rollout", "restart", cluster.dns)
        rolled_out(cluster.dns)
    eventually(all_ready)
    nothing_missed(counts)
