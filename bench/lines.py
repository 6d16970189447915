"""Watch lines as a real API server writes them: managedFields, annotations and references included.

10,000 Services; 9,500 of them have 10 endpoints each in one slice, every fifth is headless; and one headless Service
`big` has 5,000 endpoints in 50 slices. About 70 MB of JSON, of which kdns keeps a few percent.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from bench import plan

SERVICES, WITH_ENDPOINTS, ENDPOINTS = plan.SERVICES - 1, 9_500, 10
BIG_SLICES, BIG_ENDPOINTS = 50, 100
VERSION = 1_000_000
"""The resource version of the first list."""
_TIME = "2026-01-01T00:00:00Z"
_SERVICE_FIELDS: dict[str, Any] = {
    "f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {}},
                   "f:labels": {".": {}, "f:app": {}, "f:app.kubernetes.io/managed-by": {}}},
    "f:spec": {"f:internalTrafficPolicy": {}, "f:ports": {".": {},
               'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {},
                                                  "f:targetPort": {}}},
               "f:selector": {}, "f:sessionAffinity": {}, "f:type": {}},
}  # fmt: skip
_SLICE_FIELDS: dict[str, Any] = {
    "f:addressType": {}, "f:endpoints": {},
    "f:metadata": {"f:annotations": {".": {}, "f:endpoints.kubernetes.io/last-change-trigger-time": {}},
                   "f:generateName": {},
                   "f:labels": {".": {}, "f:app": {}, "f:endpointslice.kubernetes.io/managed-by": {},
                                "f:kubernetes.io/service-name": {}},
                   "f:ownerReferences": {".": {}, 'k:{"uid":"6f6b6e1c-0000-4000-8000-000000000000"}': {}}},
    "f:ports": {},
}  # fmt: skip


def first_pod(number: int, generation: int) -> int:
    """The number of the first Pod of service N; other Pods in every generation."""
    return generation * 200_000 + number * ENDPOINTS


def all_lines(kind: str, generation: int, *, headless: bool = True) -> Iterator[bytes]:
    """The ADDED lines of everything of one kind: namespaces, nodes, services or endpointslices.

    ``headless``: every fifth Service is.
    """
    if kind == "namespaces":
        for name in ("default", "kube-system", "many", *map(plan.namespace_name, range(plan.NAMESPACES))):
            yield line(
                "ADDED", "v1", "Namespace", {"metadata": _metadata(name, None, {}), "status": {"phase": "Active"}}
            )
    elif kind == "nodes":
        yield line("ADDED", "v1", "Node", {"metadata": _metadata("node-0", None, {}), "status": {}})
    elif kind == "services":
        for number in range(SERVICES):
            address = "None" if headless and number % 5 == 0 else plan.cluster_ip(number)
            yield _service(plan.service_name(number), plan.namespace_name(number), address)
        yield _service("big", "many", "None")
    else:
        for number in range(WITH_ENDPOINTS):
            start = first_pod(number, generation)
            yield slice_line("ADDED", number, [plan.pod_ip(start + row) for row in range(ENDPOINTS)], VERSION)
        for part in range(BIG_SLICES):
            yield big_line("ADDED", part, big_addresses(part, generation), VERSION)


def big_addresses(part: int, generation: int) -> list[str]:
    """The endpoints of one slice of `big`."""
    start = generation * 200_000 + 150_000 + part * BIG_ENDPOINTS
    return [plan.pod_ip(start + row) for row in range(BIG_ENDPOINTS)]


def fresh_address(number: int) -> str:
    """An address that no list has: the one an update brings."""
    return str(IPv4Address(int(IPv4Address("10.200.0.0")) + number))


def slice_line(event: str, number: int, addresses: list[str], version: int) -> bytes:
    """The slice of service N."""
    return _slice(event, plan.service_name(number), plan.namespace_name(number), "abcde", addresses, version)


def big_line(event: str, part: int, addresses: list[str], version: int) -> bytes:
    """One of the slices of `big`."""
    return _slice(event, "big", "many", f"b{part:04}", addresses, version)


def line(event: str, api: str, kind: str, fields: dict[str, Any]) -> bytes:
    """One line of a watch."""
    body = {"type": event, "object": {"kind": kind, "apiVersion": api, **fields}}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    """One HTTP/1.1 chunk (RFC 9112 section 7.1): the API server flushes after each line."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _metadata(name: str, namespace: str | None, fields: dict[str, Any], version: int = VERSION, **more: Any) -> Any:
    place = {"namespace": namespace} if namespace else {}
    managed = [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": _TIME,
                "fieldsType": "FieldsV1", "fieldsV1": fields}]  # fmt: skip
    return {"name": name, **place, "uid": "0b1c2d3e-4f50-4111-8222-333344445555", "resourceVersion": str(version),
            "creationTimestamp": _TIME, **more, "managedFields": managed}  # fmt: skip


def _service(name: str, namespace: str, address: str) -> bytes:
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]
    selector = {"app": name}
    labels = {"app": name, "app.kubernetes.io/managed-by": "bench"}
    place = {"annotations": {}, "labels": labels, "name": name, "namespace": namespace}
    spec_text = {"ports": ports, "selector": selector}
    applied = json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": spec_text})
    metadata = _metadata(name, namespace, _SERVICE_FIELDS, labels=labels,
                         annotations={"kubectl.kubernetes.io/last-applied-configuration": applied + "\n"})  # fmt: skip
    spec = {"ports": ports, "selector": selector, "clusterIP": address, "clusterIPs": [address], "type": "ClusterIP",
            "sessionAffinity": "None", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster"}  # fmt: skip
    return line("ADDED", "v1", "Service", {"metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}})


def _slice(event: str, service: str, namespace: str, suffix: str, addresses: list[str], version: int) -> bytes:
    metadata = _metadata(
        f"{service}-{suffix}", namespace, _SLICE_FIELDS, version, generation=3, generateName=f"{service}-",
        labels={"app": service, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": service},
        annotations={"endpoints.kubernetes.io/last-change-trigger-time": _TIME},
        ownerReferences=[{"apiVersion": "v1", "kind": "Service", "name": service, "controller": True,
                          "uid": "6f6b6e1c-0000-4000-8000-000000000000", "blockOwnerDeletion": True}],
    )  # fmt: skip
    endpoints = [
        {"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False},
         "nodeName": f"node-{row % 50}.example", "zone": f"zone-{row % 3}",
         "targetRef": {"kind": "Pod", "namespace": namespace, "name": f"{service}-7d4f8c7b9d-{row:05}",
                       "uid": "11112222-3333-4444-8555-666677778888"}}
        for row, address in enumerate(addresses)
    ]  # fmt: skip
    ports = [{"name": "http", "protocol": "TCP", "port": 8080}]
    fields = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}
    return line(event, "discovery.k8s.io/v1", "EndpointSlice", fields)
