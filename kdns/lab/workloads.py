"""What a lab's objects ask for: Pods of workloads, and what is filled into new objects. Pure.

Most of it is what `kdns records --source` does with the same manifests, see `kdns.watch.manifests`.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from kdns.lab.plan import SERVICES, Node, Plan
from kdns.watch.manifests import workloads
from kdns.watch.manifests.addresses import WELL_KNOWN, Addresses
from kdns.watch.manifests.defaults import cluster_ips, completed_service

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
READY_ANNOTATION: Final = "kdns.lab/ready"
"""``"false"`` on a Pod: it is not ready, whatever it does."""


def key_of(body: Mapping[str, Any]) -> Key:
    """An object's namespace and name."""
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def wanted_pods(owner: Json, nodes: Iterable[Node]) -> Iterable[Json]:
    """The Pods of a workload; none for one that makes no sense, of which a warning was logged when it was read."""
    try:
        return list(workloads.wanted_pods(owner, [node.name for node in nodes]))
    except ValueError:
        return ()


def owner_of(pod: Json) -> tuple[str, str, str] | None:
    """Kind, namespace and name of a Pod's owner."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        return owner["kind"], pod["metadata"]["namespace"], owner["name"]
    return None


def completed(body: Json, services: Iterable[Json]) -> Json:
    """A Service or another object with what the API server fills in; ``services`` are those that are there."""
    body = deepcopy(body)
    if body["kind"] not in ("Namespace", "Node", "ServiceCIDR"):
        body["metadata"].setdefault("namespace", "default")
    if body["kind"] != "Service":
        return body
    others = [service["spec"] for service in services if key_of(service) != key_of(body)]
    addresses = Addresses(SERVICES, (text for spec in others for text in cluster_ips(spec)), WELL_KNOWN)
    node_ports = {port["nodePort"] for spec in others for port in spec.get("ports") or () if port.get("nodePort")}
    return completed_service(body, addresses, node_ports)


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
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


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
