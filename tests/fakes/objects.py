"""Objects as an API server shows them, in one call each: plain dictionaries, with managedFields if wanted.

`crowd` is a whole cluster of them for measurements.
"""

from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]
Port = tuple[str, int] | tuple[str, int, str]
"""Name, number, and the protocol if it is not TCP."""


def service(
    namespace: str, name: str, address: str | Sequence[str] = (), ports: Sequence[Port] = (("http", 80),), **spec: Any
) -> Json:
    """A Service; `address` "None" makes it headless; `spec` adds to spec."""
    addresses = [address] if isinstance(address, str) else list(address)
    own: Json = {"type": "ClusterIP", "selector": {"app": name}, "ports": [_port(port) for port in ports]}
    if addresses:
        own |= {"clusterIP": addresses[0], "clusterIPs": addresses}
    return {"kind": "Service", "apiVersion": "v1", "metadata": _metadata(namespace, name), "spec": own | spec}


def endpoint_slice(
    namespace: str,
    name: str,
    owner: str,
    addresses: Sequence[str] = (),
    ports: Sequence[Port] | None = (("http", 8080),),
    **fields: Any,
) -> Json:
    """An EndpointSlice of the Service `owner`, one ready endpoint per address; `fields` replace top-level fields."""
    metadata = _metadata(namespace, name)
    metadata["labels"] = {"kubernetes.io/service-name": owner} if owner else {}
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata,
        "addressType": "IPv6" if any(":" in address for address in addresses) else "IPv4",
        "endpoints": [endpoint(address) for address in addresses],
        "ports": None if ports is None else [_port(port) for port in ports],
        **fields,
    }


def service_import(
    namespace: str, name: str, addresses: Sequence[str] = (), ports: Sequence[Port] = (("http", 80),)
) -> Json:
    """A ServiceImport; without addresses it is headless."""
    spec: Json = {"type": "ClusterSetIP" if addresses else "Headless", "ports": [_port(port) for port in ports]}
    return {
        "kind": "ServiceImport",
        "apiVersion": "multicluster.x-k8s.io/v1alpha1",
        "metadata": _metadata(namespace, name),
        "spec": spec | ({"ips": list(addresses)} if addresses else {}),
    }


def imported_slice(namespace: str, name: str, owner: str, cluster: str, addresses: Sequence[str]) -> Json:
    """An EndpointSlice of the ServiceImport `owner` with endpoints in a cluster."""
    made = endpoint_slice(namespace, name, "", addresses)
    label = "multicluster.kubernetes.io"
    made["metadata"]["labels"] = {f"{label}/service-name": owner, f"{label}/source-cluster": cluster}
    return made


def endpoint(address: str, *, ready: bool | None = True, hostname: str = "", pod: str = "") -> Json:
    """One endpoint of a slice."""
    made: Json = {"addresses": [address], "conditions": {"ready": ready, "serving": ready, "terminating": False}}
    if hostname:
        made["hostname"] = hostname
    if pod:
        made["targetRef"] = {"kind": "Pod", "name": pod}
    return made


def namespace(name: str, **labels: str) -> Json:
    """A Namespace with labels."""
    return {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def pod(namespace: str, name: str, address: str, *, phase: str = "Running", **labels: str) -> Json:
    """A Pod with its address and phase."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {**_metadata(namespace, name), "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "example.com/c:1"}]},
        "status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]},
    }


def node(name: str, *addresses: str, zone: str = "", pod_cidrs: Sequence[str] = ()) -> Json:
    """A Node with its InternalIPs."""
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone} if zone else {}},
        "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]},
    }


def service_cidr(name: str, *cidrs: str) -> Json:
    """A range of cluster IPs."""
    return {
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
    }


def crowd(services: int, endpoints_each: int, namespaces: int = 100) -> Iterator[Json]:
    """A cluster of that many Services, each with one slice of that many endpoints, as large on the wire as real ones.

    Service i is ``svc-i`` in ``ns-(i mod namespaces)`` at 10.96.0.0/12 + 256 + i; endpoints count up from 10.128.0.0.
    """
    for index in range(namespaces):
        yield namespace(f"ns-{index}")
    for index in range(services):
        space, name = f"ns-{index % namespaces}", f"svc-{index}"
        made = service(space, name, _dotted((10 << 24) + (96 << 16) + 256 + index), (("http", 80), ("metrics", 9100)))
        made["metadata"] |= {"uid": _uid(index), "labels": {"app": name, "team": "shop"}, "managedFields": [_managed()]}
        made["spec"] |= {"sessionAffinity": "None", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
        yield made | {"status": {"loadBalancer": {}}}
    for index in range(services):
        yield _crowd_slice(index, f"ns-{index % namespaces}", f"svc-{index}", endpoints_each)


def _crowd_slice(index: int, space: str, owner: str, endpoints_each: int) -> Json:
    made = endpoint_slice(space, f"{owner}-x7k2p", owner, (), (("http", 8080), ("metrics", 9100)))
    made["metadata"] |= {
        "uid": _uid(index + (1 << 24)),
        "generateName": f"{owner}-",
        "generation": 7,
        "labels": {
            "app": owner,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": owner,
        },
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "name": owner,
                "uid": _uid(index),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
        "managedFields": [_managed()],
    }
    first = (10 << 24) + (128 << 16) + index * endpoints_each
    made["endpoints"] = [
        {
            "addresses": [_dotted(first + row)],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node-{row % 50}",
            "targetRef": {
                "kind": "Pod",
                "namespace": space,
                "name": f"{owner}-6c9f8d7b5-{row:05x}",
                "uid": _uid((2 << 24) + first + row),
            },
            "zone": "eu-west-1a",
        }
        for row in range(endpoints_each)
    ]
    return made


def _managed() -> Json:
    """About as much as the slice controller leaves behind."""
    labels: Json = {
        ".": {},
        "f:app": {},
        "f:endpointslice.kubernetes.io/managed-by": {},
        "f:kubernetes.io/service-name": {},
    }
    owner: Json = {".": {}, 'k:{"uid":"4b0f6a1e-1de0-4b1a-9a53-8f5f6a6f0a11"}': {}}
    return {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "discovery.k8s.io/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:addressType": {},
            "f:endpoints": {},
            "f:metadata": {
                "f:annotations": {".": {}, "f:endpoints.kubernetes.io/last-change-trigger-time": {}},
                "f:generateName": {},
                "f:labels": labels,
                "f:ownerReferences": owner,
            },
            "f:ports": {},
        },
    }


def _metadata(namespace: str, name: str) -> Json:
    return {"namespace": namespace, "name": name}


def _port(port: Port) -> Json:
    protocol = port[2] if len(port) == 3 else "TCP"
    return {"name": port[0], "port": port[1], "protocol": protocol}


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def _uid(number: int) -> str:
    return f"4b0f6a1e-1de0-4b1a-9a53-{number:012x}"
