"""The cluster of up.sh as tests use it: kubectl, commands in its Pods, waiting, and questions asked all the time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kustomize import HOUSE, Manifest

HERE: Final = Path(__file__).parent
REAL: Final = os.environ.get("KDNS_REAL", "")
NODE: Final = "172.18.0.2"
DNS: Final = "10.96.0.10"
INSIDE: Final = ("nsenter", "--net=/run/netns/k1")
"""The node's network."""
PATIENCE: Final = 180.0
"""Seconds for Pods to get ready."""


def run(*words: str, stdin: str = "", status: int | None = 0) -> str:
    """What a command prints, which must end with this status (None: any)."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    assert status is None or done.returncode == status, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def kubectl(*words: str, stdin: str = "") -> str:
    """Run kubectl as the cluster's administrator; its output."""
    return run(*INSIDE, f"{REAL}/bin/kubectl", f"--kubeconfig={REAL}/admin.conf", *words, stdin=stdin)


def kdns(*words: str, status: int | None = 0) -> str:
    """Run kdns of this repository on the node, with the administrator's kubeconfig in KUBECONFIG; its output."""
    command = (f"KUBECONFIG={REAL}/admin.conf", f"PYTHONPATH={HOUSE}", sys.executable, "-m", "kdns")
    return run(*INSIDE, "env", *command, *words, status=status)


def apply(*objects: Manifest) -> None:
    """Apply objects, strictly: an unknown field is an error."""
    kubectl("apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects))


def get(*words: str) -> Any:
    """Objects as JSON."""
    return json.loads(kubectl("get", *words, "-o", "json"))


def eventually(check: Callable[[], object], patience: float = PATIENCE) -> None:
    """Until the check passes, or its last failure."""
    until = time.monotonic() + patience
    while True:
        try:
            check()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


def all_ready() -> None:
    """Every Pod of the cluster that is to go on, as a Job's is not, is ready, and none is going."""
    pods = [
        pod for pod in get("pods", "--all-namespaces")["items"] if "job-name" not in pod["metadata"].get("labels", {})
    ]
    assert pods
    waiting = [pod["metadata"]["name"] for pod in pods if not _ready(pod)]
    assert not waiting, f"not ready: {waiting}"


def _ready(pod: dict[str, Any]) -> bool:
    conditions = {condition["type"]: condition["status"] for condition in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def rolled_out(workload: str) -> None:
    """Wait until every Pod of a Deployment or DaemonSet of kube-system is new and ready."""
    kubectl("-n", "kube-system", "rollout", "status", workload, f"--timeout={PATIENCE:.0f}s")


def busybox(*words: str) -> str:
    """Run a command in the Pod busybox."""
    return kubectl("exec", "busybox", "--", *words)


def network_of(pod: str) -> tuple[str, ...]:
    """How to run a command of this machine in the network of a Pod of Namespace default."""
    address = get("pod", pod)["status"]["podIP"]
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith("cni-") and f" {address}/" in run("ip", "-n", name, "-o", "-4", "address"):
            return ("nsenter", f"--net=/run/netns/{name}")
    raise AssertionError(f"no network namespace has {address}")


@contextmanager
def asking(network: tuple[str, ...] = INSIDE, address: str = DNS) -> Iterator[dict[str, Any]]:
    """Ask the cluster's DNS all the time; what it yields has the counts when it has ended (see questions)."""
    counts: dict[str, Any] = {}
    process = subprocess.Popen(
        (*network, sys.executable, "-m", "tests.e2e.real.questions", address),
        cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        time.sleep(1)  # some hundred questions before anything happens, and after
        yield counts
        time.sleep(1)
    finally:
        text, _ = process.communicate("\n", timeout=60)
    counts.update(json.loads(text))


def nothing_missed(counts: dict[str, Any]) -> None:
    """Every question was answered, and right, and there were some."""
    assert not counts["missed"], f"{counts['answered']} answered, {len(counts['missed'])} not: {counts['missed']}"
    assert counts["answered"] > 500


def main_process(workload: str) -> int:
    """The process of a container that kdns is, as this machine numbers it; the only one of the workload's Pods."""
    words = [line.split(maxsplit=1) for line in run("ps", "-eo", "pid=,args=").splitlines()]
    found = [int(pid) for pid, args in words if workload in args and "/opt/kdns/bin/" in args]
    assert len(found) == 1, found
    return found[0]
