"""The cluster that `kdns lab` shows: its objects, the proxy on each node, and the resolver of the world outside."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError
from kdns.kernel.netlink import generic_family
from kdns.lab.cluster import API_PORT, Cluster
from kdns.lab.flags import LAYOUTS
from kdns.lab.folder import brings_dns, read_folder
from kdns.lab.kind import Kind
from kdns.lab.kubelet import runs_programs
from kdns.lab.plan import CLIENT, OUTSIDE, PLAN, PODS
from kdns.lab.processes import Process
from kdns.lab.question import KUBE_DNS, is_answered
from kdns.lab.tools import PROGRAMS
from kdns.lab.workloads import Json
from kdns.watch.manifests.documents import read_documents

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
DNS_OF: Final = {"node-local": ("pods", "node-local")}
"""Layouts whose cluster DNS is in more than the file of their own name."""
IN_CLUSTER: Final = "kubernetes.default.svc.cluster.local"
IN_THE_WORLD: Final = "www.example.com"
MOMENT: Final = 0.5
"""Seconds that an answer may take."""


def make_cluster(kind: Kind, name: str = "", *, kept: bool = False) -> Cluster:
    """The cluster of a kind of lab, with its programs started. ConfigError for what this machine lacks."""
    if kind.mode == "ipvs" and kind.layout == "node-local":
        raise ConfigError("local DNS does not go with mode ipvs", hint="choose another --mode or --layout")
    if kind.mode == "ipvs" and generic_family("IPVS") is None:
        raise ConfigError(
            "this machine's kernel has no IPVS", hint="load its module (modprobe ip_vs), or choose another --mode"
        )
    made = Cluster(
        [*wanted_objects(kind), *programs(kind)],
        environ=DIRECT if kind.mode == "none" else {},
        upstream=[UPSTREAM],
        programs=PROGRAMS[kind.mode],
        iptables=kind.iptables,
        name=name,
        kept=kept,
    )
    try:
        start_upstream(made)
    except BaseException:
        made.close()
        raise
    return made


def wait_until_ready(cluster: Cluster, kind: Kind, patience: float) -> None:
    """Wait until every Pod is ready, and the cluster DNS answers on every node, also for names of outside.

    A Pod that is ready is not yet in the rules of the nodes. ConfigError when it takes too long.
    """
    cluster.wait_until_ready(patience)
    addresses = [service["spec"].get("clusterIP") for service in cluster.objects("Service")]
    if kind.mode == "none" or KUBE_DNS[0] not in addresses or not _runs_dns(cluster):
        return
    names = [IN_CLUSTER] if kind.folder else [IN_CLUSTER, IN_THE_WORLD]
    nodes = [cluster.network.parts[node.name].network for node in cluster.plan.nodes]
    cluster.wait_for(
        lambda: all(is_answered(node, asked, MOMENT) for node in nodes for asked in names),
        patience,
        f"the cluster DNS does not answer at {KUBE_DNS[0]}",
    )


def objects(layout: str = LAYOUTS[0]) -> list[Json]:
    """The objects of the package: the application, clients, and the cluster DNS as the layout has it."""
    bodies: list[Json] = []
    others = {f"dns-{other}.yaml" for other in LAYOUTS if other not in DNS_OF.get(layout, (layout,))}
    for entry in sorted(files("kdns.lab").joinpath("manifests").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml") and entry.name not in others:
            bodies += [document.value for document in read_documents(entry.read_bytes(), entry.name)]
    return bodies


def wanted_objects(kind: Kind) -> list[Json]:
    """Those of the package, or those of the folder with the package's cluster DNS, unless the folder brings its own."""
    if not kind.folder:
        return objects(kind.layout)
    read = read_folder(Path(kind.folder), PLAN)
    return [*read.objects, *([] if brings_dns(read.objects) else dns_objects(kind.layout))]


def dns_objects(layout: str) -> list[Json]:
    """The cluster DNS of the package, as the layout has it."""
    objects: list[Json] = []
    for kind in DNS_OF.get(layout, (layout,)):
        entry = files("kdns.lab").joinpath("manifests", f"dns-{kind}.yaml")
        objects += [document.value for document in read_documents(entry.read_bytes(), entry.name)]
    return objects


def _runs_dns(cluster: Cluster) -> bool:
    """Whether kdns runs for the cluster DNS: of any other image, which a folder may bring, there is no program here."""
    return any(
        runs_programs(pod) and (pod["metadata"].get("labels") or {}).get("k8s-app") == "kube-dns"
        for pod in cluster.objects("Pod")
    )


def start_upstream(cluster: Cluster) -> Process:
    """Serve the outside names, in the outside part; it takes a moment to answer."""
    network = cluster.network
    network.write(OUTSIDE, {path: text.encode() for path, text in NAMES.items()})
    return network.start(OUTSIDE, cluster.command("-conf", "/run/kdns/Corefile"), name="upstream")


def programs(kind: Kind) -> list[Json]:
    """What runs on each node: a proxy, or DNS and proxy, or nothing."""
    if kind.mode == "none":
        return []
    makers = {"node": node, "node-local": local_node}
    return [makers.get(kind.layout, proxy)(kind.proxy_mode)]


def proxy(mode: str, arguments: Sequence[str] = ()) -> Json:
    """A DaemonSet that runs `kdns proxy` on each node, as kubeadm's kube-proxy runs; more ``arguments`` come last."""
    ready = {"path": "/healthz", "port": 10256}
    return _daemon_set("kube-proxy", {"k8s-app": "kube-proxy"}, ("proxy", *_flags(mode), *arguments), ready)


def node(mode: str, arguments: Sequence[str] = ()) -> Json:
    """A DaemonSet that runs `kdns node`, as manifests/overlays/node has it; its Corefile is a ConfigMap's."""
    words = ("node", "--conf=/run/kdns/Corefile", *_flags(mode), *arguments)
    made = _daemon_set("kdns-node", {"k8s-app": "kube-dns"}, words, {"path": "/ready", "port": 8181})
    spec = made["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "config", "configMap": {"name": "kdns"}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "config", "mountPath": "/run/kdns"}]
    return made


def local_node(mode: str, arguments: Sequence[str] = ()) -> Json:
    """The same at the cluster's own DNS address, as manifests/overlays/node-local has it."""
    made = node(mode, ("--local-dns", *arguments))
    labels = {"k8s-app": "kube-proxy"}  # not what Service kube-dns selects
    made["metadata"]["labels"] = made["spec"]["selector"]["matchLabels"] = labels
    made["spec"]["template"]["metadata"]["labels"] = labels
    made["spec"]["template"]["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "kdns-node"}}]
    return made


def _flags(mode: str) -> tuple[str, ...]:
    return (
        f"--proxy-mode={mode}",
        "--hostname-override=$(NODE_NAME)",
        f"--cluster-cidr={PODS[0]},{PODS[1]}",
        "--conntrack-max-per-core=0",  # tables of connections are the whole machine's; kind does the same
    )


def _daemon_set(name: str, labels: Json, words: Sequence[str], ready: Json) -> Json:
    """``ready``: where it is asked whether it is."""
    container: Json = {
        "name": name,
        "image": "kdns",
        "args": list(words),
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            *({"name": name, "value": value} for name, value in DIRECT.items()),
        ],
        "readinessProbe": {"httpGet": ready},
    }
    spec: Json = {"hostNetwork": True, "dnsPolicy": "Default", "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }
