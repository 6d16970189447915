"""A small cluster whose rules real kernels hold, and how life breaks them: the cases E30 to E41 in ``cases/``.

::

    worker-1  172.18.0.2   Pods 10.244.1.0/24   client 10.244.1.20, cart-1 10.244.1.7
    worker-2  172.18.0.3   Pods 10.244.2.0/24   cart-2 10.244.2.9, depot-1 10.244.2.11
    cart      10.96.7.7:80 -> 8080, load balancer 198.51.100.20, node port 30080
    depot     10.96.7.10:80, internalTrafficPolicy Local, endpoint on worker-2 only
    guarded   10.96.7.8:80, load balancer 198.51.100.21, loadBalancerSourceRanges 203.0.113.0/25
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

NODES = {"worker-1": ("172.18.0.2", "10.244.1.0/24"), "worker-2": ("172.18.0.3", "10.244.2.0/24")}
PODS = {
    "client": ("10.244.1.20", "worker-1"), "cart-1": ("10.244.1.7", "worker-1"), "cart-2": ("10.244.2.9", "worker-2"),
    "depot-1": ("10.244.2.11", "worker-2"), "guarded-1": ("10.244.2.8", "worker-2"),
}  # fmt: skip


SIX: Mapping[str, str] = {
    r"10\.244\.(\d+)\.0/24": r"fd00:244:\1::/64",
    r"10\.244\.0\.0/16": "fd00:244::/32",
    r"203\.0\.113\.0/25": "2001:db8:113::/120",
    r"10\.244\.(\d+)\.(\d+)": r"fd00:244:\1::\2",
    r"10\.96\.(\d+)\.(\d+)": r"fd00:96::\1:\2",
    r"172\.18\.0\.(\d+)(?:/16)?": r"fd00:18::\1",
    r"198\.51\.100\.(\d+)": r"2001:db8:51::\1",
    r"203\.0\.113\.(\d+)": r"2001:db8:113::\1",
    "IPv4": "IPv6",
}


def in_ipv6(text: str) -> str:
    """The same cluster with IPv6 alone: every address and network of the text in the other family."""
    for pattern, other in SIX.items():
        text = re.sub(pattern, other, text)
    return text


def _metadata(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "resourceVersion": "100", "labels": labels}


def service(name: str, cluster_ip: str, port: int, pod_port: int, **spec: Any) -> dict[str, Any]:
    """A Service of Namespace shop with one port."""
    ports = [{"name": "http", "port": port, "protocol": "TCP", "targetPort": pod_port}]
    if "node_port" in spec:
        ports[0]["nodePort"] = spec.pop("node_port")
    balancer = spec.pop("balancer", "")
    body: dict[str, Any] = {
        "apiVersion": "v1", "kind": "Service", "metadata": _metadata(name, "shop", app=name),
        "spec": {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": ports, "selector": {"app": name},
                 "type": "ClusterIP", "ipFamilies": ["IPv4"], **spec},
    }  # fmt: skip
    if balancer:
        body["status"] = {"loadBalancer": {"ingress": [{"ip": balancer}]}}
    return body


def endpoint_slice(name: str, pod_port: int, *pods: str) -> dict[str, Any]:
    """The slice of a Service of Namespace shop."""
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {**_metadata(f"{name}-x1", "shop"), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": pod_port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [PODS[pod][0]], "conditions": {"ready": True, "serving": True, "terminating": False},
             "nodeName": PODS[pod][1], "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod}}
            for pod in pods
        ],
    }  # fmt: skip


def pod(name: str) -> dict[str, Any]:
    """A ready Pod of Namespace shop."""
    address, node = PODS[name]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": _metadata(name, "shop", app=name.rpartition("-")[0] or name),
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry.example/main:1"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                   "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def node(name: str) -> dict[str, Any]:
    """A Node."""
    address, cidr = NODES[name]
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "resourceVersion": "90"},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }  # fmt: skip


def proxy_config(mode: str) -> dict[str, Any]:
    """kubeadm's ConfigMap."""
    text = (
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
        f"mode: {mode}\nclusterCIDR: 10.244.0.0/16\n"
    )
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata("kube-proxy", "kube-system", app="kube-proxy"),
        "data": {"config.conf": text},
    }  # fmt: skip


def objects(mode: str, *, cart: Mapping[str, Any] | None = None, carts: tuple[str, ...] = ("cart-1", "cart-2")) -> str:
    """The cluster as ``kubectl get -o yaml`` prints it. ``cart``: more fields of that Service's spec."""
    exposed: dict[str, Any] = {"type": "LoadBalancer", "balancer": "198.51.100.20", "node_port": 30080}
    items = [
        *(node(name) for name in NODES),
        *(pod(name) for name in PODS),
        service("cart", "10.96.7.7", 80, 8080, **{**exposed, **(cart or {})}),
        endpoint_slice("cart", 8080, *carts),
        service("depot", "10.96.7.10", 80, 80, internalTrafficPolicy="Local"),
        endpoint_slice("depot", 80, "depot-1"),
        service("guarded", "10.96.7.8", 80, 80, type="LoadBalancer", balancer="198.51.100.21", node_port=30081,
                loadBalancerSourceRanges=["203.0.113.0/25"]),
        endpoint_slice("guarded", 80, "guarded-1"),
        proxy_config(mode),
    ]  # fmt: skip
    return yaml.safe_dump_all(items, sort_keys=False, width=118)
