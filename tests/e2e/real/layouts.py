"""The ways that docs/install.md has to put kdns into a cluster, each as the objects that `kubectl apply` is given."""

import subprocess
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import yaml

from tests import kubeadm
from tests.config.defaults import DEFAULTS
from tests.e2e.real.cluster import NODE
from tests.kustomize import HOUSE, MANIFESTS, Manifest, built

SYSTEM: Final = "kube-system"
KUBECONFIG: Final = f"""\
apiVersion: v1
kind: Config
clusters:
- name: default
  cluster:
    server: https://{NODE}:6443
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
users:
- name: default
  user: {{tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token}}
contexts:
- name: default
  context: {{cluster: default, namespace: default, user: default}}
current-context: default
"""
CONFIGURATION: Final = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: /var/lib/kube-proxy/kubeconfig.conf}
clusterCIDR: 10.244.0.0/16
conntrack: {maxPerCore: 0}
mode: MODE
"""
RULES_OF_COREDNS: Final = [
    {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


class Layout(NamedTuple):
    """One of them."""

    name: str
    objects: Callable[[], list[Manifest]]
    dns: str
    """The workload whose Pods answer."""
    proxy: str
    pauses: bool = False
    """Whether DNS is away while its only Pod is exchanged."""


def config_map(name: str, **data: str) -> Manifest:
    """A ConfigMap of kube-system."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SYSTEM}, "data": data}


API_SERVER: Final = config_map("kdns-api-server", KUBERNETES_SERVICE_HOST=NODE, KUBERNETES_SERVICE_PORT="6443")


def kube_proxy_settings(mode: str = "iptables") -> Manifest:
    """kubeadm's ConfigMap kube-proxy."""
    settings = {"config.conf": CONFIGURATION.replace("MODE", mode), "kubeconfig.conf": KUBECONFIG}
    return config_map("kube-proxy", **settings)


def _account(name: str, role: str) -> list[Manifest]:
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"kubeadm:{name}"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}],
        },
    ]


def addons(mode: str = "iptables") -> list[Manifest]:
    """kubeadm's CoreDNS and kube-proxy, without their images: `swapped` has them."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": RULES_OF_COREDNS,
    }
    service = next(each for each in built("dns") if each["kind"] == "Service")
    return [
        *_account("coredns", "system:coredns"),
        role,
        *_account("kube-proxy", "system:node-proxier"),
        config_map("coredns", Corefile=DEFAULTS["kubeadm"]),
        kube_proxy_settings(mode),
        service,
        kubeadm.coredns(),
        kubeadm.kube_proxy(),
    ]


def swapped(objects: list[Manifest]) -> list[Manifest]:
    """The same with the images of our two patches."""
    for folder in ("coredns-swap", "kube-proxy-swap"):
        patch = yaml.safe_load((MANIFESTS / folder / "patch.yaml").read_text())
        (new,) = patch["spec"]["template"]["spec"]["containers"]
        for each in objects:
            containers: list[dict[str, Any]] = (
                each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
            )
            for container in containers:
                if container["name"] == new["name"]:
                    container.update(new)
    return objects


def chart(values: str, *settings: str) -> list[Manifest]:
    """What helm makes of our chart."""
    values_file = f"charts/kdns/ci/{values}-values.yaml"
    words = ("helm", "template", "kdns", "charts/kdns", "-n", SYSTEM, "--kube-version=1.35.4", "-f", values_file)
    done = subprocess.run((*words, *settings), cwd=HOUSE, check=True, capture_output=True, text=True)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _kind() -> list[Manifest]:
    text = yaml.safe_dump_all(built("overlays/kind")).replace("kdns-control-plane", NODE)
    return list(yaml.safe_load_all(text))


DEPLOYMENT: Final = "deployment/kdns"
PROXY: Final = "daemonset/kdns-proxy"

LAYOUTS: Final = (
    Layout("kind", _kind, DEPLOYMENT, PROXY),
    Layout("kubeadm", lambda: [kube_proxy_settings("nftables"), *built("overlays/kubeadm")], DEPLOYMENT, PROXY),
    Layout(
        "node", lambda: [API_SERVER, *built("overlays/node")], "daemonset/kdns-node", "daemonset/kdns-node", pauses=True
    ),
    Layout("node-local", lambda: [API_SERVER, *built("overlays/node-local")], PROXY, PROXY),
    Layout("pods-verified", lambda: [API_SERVER, *built("base"), *built("overlays/pods-verified")], DEPLOYMENT, PROXY),
    Layout("swapped", lambda: swapped(addons()), "deployment/coredns", "daemonset/kube-proxy"),
    Layout(
        "chart",
        lambda: chart("node-local", "--set", f"apiServer.host={NODE}", "--set", "proxy.config.mode=nftables"),
        PROXY,
        PROXY,
    ),
)
