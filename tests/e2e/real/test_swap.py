"""In a cluster as kubeadm makes it, CoreDNS and kube-proxy are swapped for ours and back, while a Pod asks.

Needs two more archives in DIR/images: `coredns.tar` and `kube-proxy.tar`, named as `ORIGINAL` has them.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.real.cluster import (
    HERE,
    REAL,
    all_ready,
    apply,
    asking,
    eventually,
    get,
    kubectl,
    network_of,
    nothing_missed,
    rolled_out,
)
from tests.e2e.real.cluster import kdns as run_kdns
from tests.e2e.real.layouts import SYSTEM, addons
from tests.kustomize import MANIFESTS, Manifest

ORIGINAL = {"coredns": "registry.k8s.io/coredns/coredns:real", "kube-proxy": "registry.k8s.io/kube-proxy:real"}
WORKLOADS = {"coredns": "deployment/coredns", "kube-proxy": "daemonset/kube-proxy"}

pytestmark = pytest.mark.skipif(
    not all((Path(REAL) / "images" / f"{name}.tar").exists() for name in ORIGINAL),
    reason="KDNS_REAL has no images of CoreDNS and kube-proxy",
)


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def kubeadm_cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """A cluster with CoreDNS and kube-proxy; kube-proxy's mode."""
    subprocess.run((HERE / "up.sh", REAL), check=True)
    try:
        eventually(lambda: kubectl("get", "serviceaccount", "default"))
        apply(*(_original(each) for each in addons(request.param)))
        kubectl("apply", "-f", str(HERE / "apps.yaml"))
        eventually(all_ready)
        yield request.param
    finally:
        subprocess.run((HERE / "down.sh", REAL), check=True)


def _original(manifest: Manifest) -> Manifest:
    name = manifest["metadata"]["name"]
    if manifest["kind"] in ("Deployment", "DaemonSet"):
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = ORIGINAL[name]
    return manifest


@pytest.mark.parametrize("name", ["kube-proxy", "coredns"])
def test_there_and_back(kubeadm_cluster: str, name: str) -> None:
    """`kubectl patch` with our file, and `rollout undo`: no question is lost, none is answered wrongly."""
    workload, patch = WORKLOADS[name], MANIFESTS / f"{name}-swap" / "patch.yaml"
    assert _image(workload) == ORIGINAL[name]
    with asking(network_of("busybox")) as counts:
        kubectl("-n", SYSTEM, "patch", workload, "--patch-file", str(patch))
        rolled_out(workload)
    assert _image(workload) == "kdns:0.1.0"
    nothing_missed(counts)
    run_kdns("rules", "--diff", "--source", "kubeconfig", "--node", "node-1")
    with asking(network_of("busybox")) as counts:
        kubectl("-n", SYSTEM, "rollout", "undo", workload)
        rolled_out(workload)
    assert _image(workload) == ORIGINAL[name]
    nothing_missed(counts)


def _image(workload: str) -> str:
    image: str = get("-n", SYSTEM, workload)["spec"]["template"]["spec"]["containers"][0]["image"]
    return image
