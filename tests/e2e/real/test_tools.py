"""What an operator runs in a real cluster: the Jobs of preflight and collect, and explain on what they found."""

from pathlib import Path

import pytest

from tests.e2e.real.cluster import all_ready, apply, busybox, eventually, get, kdns, kubectl, run
from tests.e2e.real.layouts import LAYOUTS, SYSTEM, Layout
from tests.kustomize import built

pytestmark = pytest.mark.parametrize("cluster", [each for each in LAYOUTS if each.name == "swapped"], indirect=True)


def test_preflight_as_a_job(cluster: Layout) -> None:
    """It ends well with its own rights, and knows what runs, the Corefile and the rules that are there."""
    apply(*built("preflight"))
    eventually(lambda: _succeeded("kdns-preflight"))
    log = kubectl("-n", SYSTEM, "logs", "job/kdns-preflight")
    kubectl("-n", SYSTEM, "delete", "job/kdns-preflight")
    assert "FAIL" not in log, log
    assert "ok   rights: may list and watch services" in log, log
    assert "Corefile: ConfigMap coredns" in log, log
    assert "rules of mode iptables are there" in log, log
    assert log.splitlines()[-1].startswith("ready"), log


def _succeeded(job: str) -> None:
    status = get("-n", SYSTEM, "job", job)["status"]
    assert status.get("succeeded") == 1, status


def test_collect_as_a_job(cluster: Layout, tmp_path: Path) -> None:
    """Its file has objects, the logs of DNS, the node's rules and its pages; explain reads it and finds no fault."""
    kubectl("label", "node", "node-1", "kdns-collect=yes", "--overwrite")
    apply(*built("collect"))
    eventually(_written)
    copied = kubectl("-n", SYSTEM, "exec", "job/kdns-collect", "--", "base64", "/out/evidence.tar.gz")
    evidence = tmp_path / "evidence.tar.gz"
    run("sh", "-c", f"base64 -d > {evidence}", stdin=copied)
    kubectl("-n", SYSTEM, "delete", "job/kdns-collect")
    names = run("tar", "-tzf", str(evidence))
    for name in (
        "services.json",
        "pods.json",
        "configmaps.json",
        "node/node-1/iptables-save.txt",
        "node/node-1/sysctl.txt",
    ):
        assert name in names
    assert "/log.txt" in names
    text = kdns("explain", "hostnames", "--from", "default/busybox", "--evidence", str(evidence))
    assert "FAULT" not in text, text


def _written() -> None:
    log = kubectl("-n", SYSTEM, "logs", "job/kdns-collect")
    assert "--evidence /out/evidence.tar.gz" in log, log


def test_explain_the_live_cluster(cluster: Layout) -> None:
    """A Service that works has no fault; one whose Pods are all gone has, and busybox agrees with both."""
    eventually(all_ready)
    target = ("explain", "hostnames:80", "--from", "default/busybox", "--source", "kubeconfig")
    assert "FAULT" not in kdns(*target)
    assert "hostnames-" in busybox("wget", "-qO-", "http://hostnames.default.svc.cluster.local")
    kubectl("scale", "deployment/hostnames", "--replicas=0")
    eventually(lambda: _no_endpoints("hostnames"))
    try:
        text = kdns(*target, status=1)
    finally:
        kubectl("scale", "deployment/hostnames", "--replicas=3")
    assert "FAULT" in text
    assert "endpoints" in text


def _no_endpoints(service: str) -> None:
    slices = get("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
    assert not [endpoint for each in slices for endpoint in each.get("endpoints") or ()]
