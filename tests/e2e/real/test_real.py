"""kdns in a real cluster of one node: names and Services as Pods see them, and a restart that loses nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.kustomize import HOUSE, built

HERE: Final = Path(__file__).parent
REAL: Final = os.environ.get("KDNS_REAL", "")
NODE: Final = "172.18.0.2"
INSIDE: Final = ("nsenter", "--net=/run/netns/k1")
PATIENCE: Final = 120.0
"""Seconds for Pods to get ready."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.not_about_tools,  # the binaries of Kubernetes are not packaged anywhere
    pytest.mark.skipif(not REAL, reason="KDNS_REAL names no folder with the binaries and images of a cluster"),
]


def kubectl(*words: str, stdin: str = "") -> str:
    """Run kubectl as the cluster's administrator; its output."""
    done = subprocess.run(
        (*INSIDE, f"{REAL}/bin/kubectl", f"--kubeconfig={REAL}/admin.conf", *words),
        input=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def eventually(check: Callable[[], object]) -> None:
    """Until the check passes, or its last failure."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            check()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return


def busybox(*words: str) -> str:
    """Run a command in the Pod busybox."""
    return kubectl("exec", "busybox", "--", *words)


@pytest.fixture(scope="module", params=["overlays/kind", "overlays/node"])
def cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """A cluster with kdns in one of its layouts, and some Pods; the layout."""
    subprocess.run((HERE / "up.sh", REAL), check=True)
    try:
        objects = yaml.safe_dump_all(built(request.param)).replace("kdns-control-plane", NODE)
        eventually(lambda: kubectl("get", "serviceaccount", "default"))
        kubectl("apply", "-f", "-", stdin=objects)
        kubectl("apply", "-f", str(HERE / "apps.yaml"))
        eventually(
            lambda: kubectl("wait", "--for=condition=Ready", "pods", "--all", "--all-namespaces", "--timeout=10s")
        )
        yield request.param
    finally:
        subprocess.run((HERE / "down.sh", REAL), check=True)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("kubernetes.default", "10.96.0.1"),
        ("kubernetes.default.svc.cluster.local", "10.96.0.1"),
        ("busybox-1.default-subdomain.default.svc.cluster.local", "10.244.0."),
        ("db-0.db.default.svc.cluster.local", "10.244.0."),
    ],
)
def test_names(cluster: str, name: str, address: str) -> None:
    """``nslookup`` from busybox answers, as the Kubernetes documentation shows it."""
    eventually(lambda: _answers(busybox("nslookup", name), address))


def _answers(text: str, address: str) -> None:
    _, _, answer = text.partition("Name:")
    assert address in answer, text


def test_a_service_is_reached(cluster: str) -> None:
    """Through its name from a Pod, and through its node port from outside."""
    eventually(lambda: _says_hostnames(busybox("wget", "-qO-", "http://hostnames")))
    outside = ("ip", "netns", "exec", "ksw", "curl", "-sS", "--max-time", "5", f"http://{NODE}:31025/")
    eventually(lambda: _says_hostnames(subprocess.run(outside, capture_output=True, text=True, check=False).stdout))


def _says_hostnames(text: str) -> None:
    assert text.startswith("hostnames-"), text


def test_a_rolling_restart_loses_nothing(cluster: str) -> None:
    """DNS is restarted while clients ask from one port and from many: every question is answered, and right."""
    if cluster == "overlays/node":
        pytest.skip("one process on one node: nothing is left to answer while it restarts")
    asking = subprocess.Popen(
        (*INSIDE, sys.executable, "-m", "tests.e2e.real.questions", "10.96.0.10"),
        cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        kubectl("-n", "kube-system", "rollout", "restart", "deployment/kdns")
        kubectl("-n", "kube-system", "rollout", "status", "deployment/kdns", "--timeout=120s")
    finally:
        counts, _ = asking.communicate("\n", timeout=30)
    found = json.loads(counts)
    assert (found["lost"], found["wrong"]) == (0, 0)
    assert found["answered"] > 100
