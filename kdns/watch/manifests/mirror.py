"""EndpointSlices of ``v1`` Endpoints, as the EndpointSlice mirroring controller writes them. Pure; JSON out.

Follows k8s.io/kubernetes pkg/controller/endpointslicemirroring (utils.go, reconciler_helpers.go): which Endpoints are
mirrored, which conditions their endpoints get, and that a slice has addresses of one family and one list of ports.
"""

from collections.abc import Iterator
from typing import Any, Final

from kdns.base.addresses import parse_address
from kdns.watch.decode.status import Wire
from kdns.watch.manifests.slices import MANAGED_BY, SERVICE_NAME, SourceMetadata

Json = dict[str, Any]
MIRRORED_BY: Final = "endpointslicemirroring-controller.k8s.io"
SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
SUBSET_LIMIT: Final = 1000
"""Addresses of a subset that are mirrored: kube-controller-manager's --mirroring-max-endpoints-per-subset."""


class SourceReference(Wire):
    """ObjectReference."""

    kind: str | None = None
    name: str | None = None


class SourceAddress(Wire):
    """EndpointAddress."""

    ip: str | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: SourceReference | None = None


class SourceEndpointPort(Wire):
    """v1 EndpointPort."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class SourceSubset(Wire):
    """EndpointSubset."""

    addresses: list[SourceAddress | None] | None = None
    not_ready_addresses: list[SourceAddress | None] | None = None
    ports: list[SourceEndpointPort | None] | None = None


class SourceEndpointsMetadata(SourceMetadata):
    """ObjectMeta with what says whether it is mirrored."""

    annotations: dict[str, str | None] | None = None


class SourceEndpoints(Wire):
    """A v1 Endpoints."""

    metadata: SourceEndpointsMetadata | None = None
    subsets: list[SourceSubset | None] | None = None


def is_mirrored(endpoints: SourceEndpoints) -> bool:
    """Whether the controller takes it at all; that its Service is there, without a selector, is for the caller."""
    metadata = endpoints.metadata or SourceEndpointsMetadata()
    return (metadata.labels or {}).get(SKIP) != "true" and LEADER not in (metadata.annotations or {})


def mirrored_slices(endpoints: SourceEndpoints) -> Iterator[Json]:
    """The slices: endpoints with the same ports and family together, called after it: ``web-mirrored-ipv4-0``."""
    metadata = endpoints.metadata or SourceEndpointsMetadata()
    groups: dict[tuple[str, tuple[tuple[str, str, int | None], ...]], list[Json]] = {}
    for subset in endpoints.subsets or ():
        if subset is None:
            continue
        ports = tuple((port.name or "", port.protocol or "TCP", port.port) for port in subset.ports or () if port)
        for family, endpoint in _endpoints(subset):
            groups.setdefault((family, ports), []).append(endpoint)
    labels = {key: value or "" for key, value in (metadata.labels or {}).items()}
    labels |= {SERVICE_NAME: metadata.name or "", MANAGED_BY: MIRRORED_BY}
    for number, ((family, ports), made) in enumerate(groups.items()):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{metadata.name}-mirrored-{family.lower()}-{number}",
                "namespace": metadata.namespace,
                "labels": labels,
            },
            "addressType": family,
            "endpoints": made,
            "ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in ports],
        }


def _endpoints(subset: SourceSubset) -> Iterator[tuple[str, Json]]:
    count = 0
    for ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
        for address in addresses or ():
            if address is None or count >= SUBSET_LIMIT:
                continue
            try:
                family = "IPv4" if len(parse_address(address.ip or "")) == 4 else "IPv6"
            except ValueError:
                continue  # warned about when the file was read
            count += 1
            endpoint: Json = {"addresses": [address.ip], "conditions": {"ready": ready}}
            if address.hostname:
                endpoint["hostname"] = address.hostname
            if address.node_name:
                endpoint["nodeName"] = address.node_name
            if address.target_ref is not None:
                endpoint["targetRef"] = {"kind": address.target_ref.kind, "name": address.target_ref.name}
            yield family, endpoint
