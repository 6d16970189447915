"""What a lab's objects ask for: Pods of Deployments and DaemonSets, and what is filled into new objects. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from kdns.lab.plan import SERVICES, Node, Plan

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
READY_ANNOTATION: Final = "kdns.lab/ready"
"""``"false"`` on a Pod: it is not ready, whatever it does."""
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Those of generated names in Kubernetes: no vowels, no words."""
_FIRST_ALLOCATED: Final = 256
"""Cluster IPs that nobody chose begin at 10.96.1.0."""


def key_of(body: Mapping[str, Any]) -> Key:
    """An object's namespace and name."""
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def wanted_pods(owner: Json, nodes: Iterable[Node]) -> list[Json]:
    """The Pods of a Deployment (``replicas`` of them) or DaemonSet (one on each node); always the same names."""
    spec, metadata = owner["spec"], owner["metadata"]
    digest = _letters(f"{metadata['namespace']}/{metadata['name']}", 9)
    if owner["kind"] == "DaemonSet":
        return [_pod(owner, f"{metadata['name']}-{_letters(node.name, 5)}", node.name) for node in nodes]
    names = (f"{metadata['name']}-{digest}-{_letters(f'{digest}{number}', 5)}" for number in range(spec["replicas"]))
    return [_pod(owner, name, "") for name in names]


def _pod(owner: Json, name: str, node: str) -> Json:
    template = deepcopy(owner["spec"]["template"])
    template["metadata"] |= {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [{"kind": owner["kind"], "name": owner["metadata"]["name"], "controller": True}],
    }
    if node:
        template["spec"]["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", **template}


def owner_of(pod: Json) -> tuple[str, str, str] | None:
    """Kind, namespace and name of a Pod's owner."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        return owner["kind"], pod["metadata"]["namespace"], owner["name"]
    return None


def _letters(text: str, count: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_LETTERS[octet % len(_LETTERS)] for octet in digest[:count])


def completed(body: Json, taken: Collection[str]) -> Json:
    """A Service, Deployment or Pod with what the API server fills in; ``taken`` are the cluster IPs in use."""
    body = deepcopy(body)
    if body["kind"] not in ("Namespace", "Node", "ServiceCIDR"):
        body["metadata"].setdefault("namespace", "default")
    if body["kind"] == "Deployment":
        body["spec"].setdefault("replicas", 1)
    if body["kind"] != "Service":
        return body
    spec = body["spec"]
    spec.setdefault("type", "ClusterIP")
    if spec["type"] == "ExternalName":
        return body
    if not spec.get("clusterIP"):
        spec["clusterIP"] = (spec.get("clusterIPs") or [_free_address(taken)])[0]
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    six = [":" in address for address in spec["clusterIPs"]]
    spec.setdefault("ipFamilies", ["IPv6" if one else "IPv4" for one in six])
    spec.setdefault("ipFamilyPolicy", "SingleStack" if len(spec["ipFamilies"]) == 1 else "RequireDualStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    return body


def _free_address(taken: Collection[str]) -> str:
    for number in range(_FIRST_ALLOCATED, SERVICES[0].num_addresses - 1):
        if (address := str(SERVICES[0][number])) not in taken:
            return address
    raise ValueError("no cluster IP is free")


def pod_status(pod: Json, node: Node, addresses: Iterable[str], ready: bool, now: str) -> Json:
    """A Pod's status, as the kubelet reports it; ``now`` is an RFC 3339 time."""
    texts = [str(address) for address in addresses]
    conditions = [
        {"type": kind, "status": "True" if yes else "False", "lastTransitionTime": now}
        for kind, yes in (
            ("PodScheduled", True),
            ("Initialized", True),
            ("ContainersReady", ready),
            ("Ready", ready),
        )
    ]
    return {
        "phase": "Running",
        "hostIP": str(node.addresses[0]),
        "hostIPs": [{"ip": str(address)} for address in node.addresses],
        "podIP": texts[0],
        "podIPs": [{"ip": text} for text in texts],
        "startTime": pod.get("status", {}).get("startTime", now),
        "conditions": conditions,
    }


def is_ready(pod: Json) -> bool:
    """Whether its status says so."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def cluster_objects(plan: Plan, api_port: int) -> list[Json]:
    """What every cluster has of itself: Namespaces, Nodes, the ServiceCIDR, and the Service of the API server."""
    made: list[Json] = [
        {"kind": "Namespace", "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
        for name in ("default", "kube-system")
    ]
    made += [_node(node) for node in plan.nodes]
    made.append(
        {"kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(map(str, SERVICES))}}
    )
    ports = [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": api_port}]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    service: Json = {
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"clusterIP": str(SERVICES[0][1]), "ports": ports},
    }
    made.append(completed(service, ()))
    made.append(
        {
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [str(plan.nodes[0].addresses[0])], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "protocol": "TCP", "port": api_port}],
        }
    )
    return made


def _node(node: Node) -> Json:
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "lab",
        "topology.kubernetes.io/zone": node.zone,
    }
    addresses = [{"type": "InternalIP", "address": str(address)} for address in node.addresses]
    return {
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"podCIDR": str(node.pods[0]), "podCIDRs": list(map(str, node.pods))},
        "status": {
            "addresses": [*addresses, {"type": "Hostname", "address": node.name}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
