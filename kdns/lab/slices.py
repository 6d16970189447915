"""The EndpointSlices of a lab, as the controller writes them: from Services, Pods and the zones of Nodes. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from kdns.watch.manifests.mirror import SourceEndpoints, is_mirrored, mirrored_slices
from kdns.watch.manifests.slices import DerivedSlice, SourcePod, SourceService, derive_slices

Json = dict[str, Any]
CLOSE = ("PreferClose", "PreferSameZone")
"""Values of trafficDistribution that keep traffic in its zone."""
SAME_NODE = "PreferSameNode"


def build_slices(services: Iterable[Json], pods: Iterable[Json], zones: Mapping[str, str]) -> Iterator[Json]:
    """The slice objects for Services with selectors; ``zones`` by the name of the node."""
    services, pods = list(services), list(pods)
    by_name = {(pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in pods}
    specs = {
        (service["metadata"]["namespace"], service["metadata"]["name"]): service.get("spec") or {}
        for service in services
    }
    derived = derive_slices(
        (msgspec.convert(body, SourceService) for body in services), (msgspec.convert(body, SourcePod) for body in pods)
    )
    for derived_slice in derived:
        metadata = derived_slice.wire.metadata
        assert metadata is not None
        namespace = metadata.namespace or ""
        spec = specs[namespace, derived_slice.labels["kubernetes.io/service-name"]]
        yield _slice(derived_slice, namespace, str(spec.get("trafficDistribution")), by_name, zones)


def mirrored(services: Iterable[Json], endpoints: Iterable[Json]) -> Iterator[Json]:
    """The slice objects for Endpoints of Services without selectors."""
    plain = {
        (service["metadata"]["namespace"], service["metadata"]["name"])
        for service in services
        if not (service.get("spec") or {}).get("selector")
    }
    for body in endpoints:
        source = msgspec.convert(body, SourceEndpoints)
        if (body["metadata"]["namespace"], body["metadata"]["name"]) in plain and is_mirrored(source):
            yield from mirrored_slices(source)


def _slice(
    derived: DerivedSlice,
    namespace: str,
    distribution: str,
    pods: Mapping[tuple[str, str], Json],
    zones: Mapping[str, str],
) -> Json:
    wire, metadata = derived.wire, derived.wire.metadata
    assert metadata is not None
    endpoints = []
    for endpoint in wire.endpoints or ():
        assert endpoint is not None
        assert endpoint.target_ref is not None
        pod = pods[namespace, endpoint.target_ref.name or ""]
        ready = bool(endpoint.conditions and endpoint.conditions.ready)
        made = _endpoint(pod, list(endpoint.addresses or ()), ready, endpoint.hostname, distribution, zones)
        endpoints.append(made)
    ports = [
        {"name": port.name or "", "protocol": port.protocol, "port": port.port} for port in wire.ports or () if port
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": metadata.name, "namespace": namespace, "labels": dict(derived.labels)},
        "addressType": wire.address_type,
        "endpoints": endpoints,
        "ports": ports,
    }


def _endpoint(
    pod: Json,
    addresses: list[str | None],
    ready: bool,
    hostname: str | None,
    distribution: str,
    zones: Mapping[str, str],
) -> Json:
    metadata, node = pod["metadata"], pod["spec"].get("nodeName", "")
    conditions = pod.get("status", {}).get("conditions", ())
    serving = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    made: Json = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": "deletionTimestamp" in metadata},
        "targetRef": {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"]},
        "nodeName": node,
    }
    if hostname:
        made["hostname"] = hostname
    if zone := zones.get(node):
        made["zone"] = zone
        if distribution in CLOSE:
            made["hints"] = {"forZones": [{"name": zone}]}
        elif distribution == SAME_NODE:
            made["hints"] = {"forZones": [{"name": zone}], "forNodes": [{"name": node}]}
    return made
