"""The cluster that `kdns lab` shows: its objects, the proxy on each node, and the resolver of the world outside."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from kdns.lab.cluster import API_PORT, Cluster
from kdns.lab.plan import CLIENT, OUTSIDE, PLAN, PODS
from kdns.lab.processes import Process
from kdns.lab.workloads import Json
from kdns.watch.documents import read_documents

DIRECT: Final = {"KUBERNETES_SERVICE_HOST": str(PLAN.nodes[0].addresses[0]), "KUBERNETES_SERVICE_PORT": str(API_PORT)}
"""Where the API server is for those who run before a proxy does, or without one."""
UPSTREAM: Final = str(CLIENT[0])
"""The nodes' name server: kdns in the outside part, with a few names of its own."""
NAMES: Final = {
    "/run/kdns/Corefile": f"""\
.:53 {{
    bind {UPSTREAM}
    errors
    file /run/kdns/world.zone .
}}
""",
    "/run/kdns/world.zone": """\
.                 60 IN SOA ns.example. admin.example. 1 3600 600 86400 60
.                 60 IN NS  ns.example.
www.example.com.  60 IN A   198.18.0.80
example.org.      60 IN A   198.18.0.81
""",
}
"""What it serves: the whole world, as far as a lab knows it."""


def objects() -> list[Json]:
    """The objects of the package: the application, clients, and the cluster DNS."""
    found: list[Json] = []
    for entry in sorted(files("kdns.lab").joinpath("manifests").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            found += [document.value for document in read_documents(entry.read_bytes(), entry.name)]
    return found


def start_upstream(cluster: Cluster) -> Process:
    """Serve the outside names, in the outside part; it takes a moment to answer."""
    network = cluster.network
    network.write(OUTSIDE, {path: text.encode() for path, text in NAMES.items()})
    return network.start(OUTSIDE, cluster.command("-conf", "/run/kdns/Corefile"), name="upstream")


def proxy(mode: str, arguments: Sequence[str] = ()) -> Json:
    """A DaemonSet that runs `kdns proxy` on each node, as kubeadm's kube-proxy runs; more ``arguments`` come last."""
    words = (
        "proxy",
        f"--proxy-mode={mode}",
        "--hostname-override=$(NODE_NAME)",
        f"--cluster-cidr={PODS[0]},{PODS[1]}",
        "--conntrack-max-per-core=0",  # tables of connections are the whole machine's; kind does the same
        *arguments,
    )
    container: Json = {
        "name": "kube-proxy",
        "image": "kdns",
        "args": list(words),
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            *({"name": name, "value": value} for name, value in DIRECT.items()),
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 10256}},
    }
    spec: Json = {"hostNetwork": True, "dnsPolicy": "Default", "containers": [container]}
    labels = {"k8s-app": "kube-proxy"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }
