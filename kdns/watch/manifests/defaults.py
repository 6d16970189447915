"""What the API server fills into objects that people write: cluster IPs, families, node ports. Pure; JSON in, JSON out.

After k8s.io/kubernetes pkg/registry/core/service/storage/alloc.go and pkg/apis/core/v1/defaults.go, as far as DNS and
the proxy read it. Objects of a live dump are never changed: what they lack, they lacked in the cluster.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kdns.watch.manifests.addresses import Addresses

Json = dict[str, Any]
NODE_PORTS: Final = range(30000, 32768)
"""kube-apiserver's default for --service-node-port-range."""
FAMILIES: Final = ("IPv4", "IPv6")
DUAL: Final = ("PreferDualStack", "RequireDualStack")
HEADLESS: Final = "None"


def is_live(body: Mapping[str, Any]) -> bool:
    """Whether an API server has written this object: only it gives a uid and a resourceVersion."""
    metadata = body.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("uid") or metadata.get("resourceVersion"))


def is_incomplete(service: Mapping[str, Any]) -> bool:
    """Whether a Service lacks something that `completed_service` would fill in and that records or rules depend on."""
    spec = service.get("spec")
    if is_live(service) or not isinstance(spec, dict) or spec.get("type") == "ExternalName":
        return False
    addresses = cluster_ips(spec)
    if not addresses or (spec.get("ipFamilyPolicy") in DUAL and len(addresses) < 2):
        return True
    if addresses[0] == HEADLESS:
        return not spec.get("ipFamilies")
    return _wants_node_ports(spec) and any(not port.get("nodePort") for port in _ports(spec))


def completed_service(service: Json, addresses: Addresses, node_ports: set[int]) -> Json:
    """A Service as the API server would have stored it; ``addresses`` and ``node_ports`` (in use) are added to.

    ValueError if no address or port is free. The body itself is left alone.
    """
    spec: Json = {**(service.get("spec") or {})}
    if is_live(service) or spec.get("type") == "ExternalName":
        return service
    metadata = service["metadata"]
    name = f"{metadata.get('namespace') or 'default'}/{metadata['name']}"
    given = cluster_ips(spec)
    families = service_families(spec)
    spec.setdefault("type", "ClusterIP")
    if given[:1] != [HEADLESS]:
        given += [
            addresses.take(name, family) for family in families if family not in {family_of(text) for text in given}
        ]
    spec["clusterIPs"], spec["clusterIP"] = given, given[0]
    spec["ipFamilies"] = list(families)
    if not isinstance(spec.get("ipFamilyPolicy"), str):
        spec["ipFamilyPolicy"] = "SingleStack" if len(families) == 1 else "RequireDualStack"
    for field, value in (("internalTrafficPolicy", "Cluster"), ("sessionAffinity", "None")):
        spec[field] = spec.get(field) or value
    spec["ports"] = _completed_ports(spec, name, node_ports)
    return {**service, "spec": spec}


def service_families(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The address families that a Service gets on a dual-stack cluster whose first family is IPv4 (KEP-563)."""
    policy, given = spec.get("ipFamilyPolicy"), cluster_ips(spec)
    named = spec.get("ipFamilies")
    families = [family for family in (named if isinstance(named, list) else ()) if family in FAMILIES]
    if not families and given[:1] != [HEADLESS]:
        families = [family_of(text) for text in given]
    if not families:
        without_selector = given[:1] == [HEADLESS] and not spec.get("selector") and not isinstance(policy, str)
        families = list(FAMILIES) if without_selector else ["IPv4"]
    families = list(dict.fromkeys(families))
    if policy in DUAL:
        return (*families, *(family for family in FAMILIES if family not in families))
    return tuple(families[:1] if policy == "SingleStack" else families)


def cluster_ips(spec: Mapping[str, Any]) -> list[str]:
    """clusterIPs, or clusterIP where there is only that."""
    many = spec.get("clusterIPs")
    texts: Sequence[Any] = many if isinstance(many, list) and many else [spec.get("clusterIP")]
    return [text for text in texts if isinstance(text, str) and text]


def family_of(address: str) -> str:
    """``IPv4`` or ``IPv6``."""
    return "IPv6" if ":" in address else "IPv4"


def _wants_node_ports(spec: Mapping[str, Any]) -> bool:
    return spec.get("type") == "NodePort" or (
        spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def _ports(spec: Mapping[str, Any]) -> list[Json]:
    ports = spec.get("ports")
    return [port for port in ports if isinstance(port, dict)] if isinstance(ports, list) else []


def _completed_ports(spec: Mapping[str, Any], name: str, node_ports: set[int]) -> list[Json]:
    completed = []
    wants = _wants_node_ports(spec)
    same: dict[int, int] = {}
    """Port -> node port: TCP and UDP of one port share it (alloc.go)."""
    for given in _ports(spec):
        port = {**given, "protocol": given.get("protocol") or "TCP"}
        port["targetPort"] = given.get("targetPort") or given.get("port")
        number = given.get("port")
        if wants and not given.get("nodePort") and isinstance(number, int):
            if number not in same:
                same[number] = _free_node_port(f"{name}:{number}", node_ports)
            port["nodePort"] = same[number]
        completed.append(port)
    return completed


def _free_node_port(name: str, taken: set[int]) -> int:
    begin = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % len(NODE_PORTS)
    for further in range(len(NODE_PORTS)):
        port = NODE_PORTS[(begin + further) % len(NODE_PORTS)]
        if port not in taken:
            taken.add(port)
            return port
    raise ValueError("no node port is free")
