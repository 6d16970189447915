"""What the API server writes, and how it is packed into `kdns.objects`. Pure.

The wire structs name only the fields in use: the decoder skips all others (managedFields are most of an object)
without making Python objects of them. JSON lines come in through `kdns.watch.events`, YAML dictionaries through
``msgspec.convert``. Every field may be null or missing on the wire; the ``keep_*`` functions decide what that means,
and raise ValueError, in one line that does not repeat the object's name, for an object nobody can serve.
"""

import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any

from msgspec import field

from kdns.objects import (
    EndpointPort,
    EndpointSlice,
    Kind,
    Namespace,
    Object,
    ObjectKey,
    Outside,
    Pod,
    Service,
    ServicePort,
)
from kdns.watch.outside import ApiServiceStatus, keep_outside
from kdns.watch.status import Wire

Warn = Callable[[str], None]
"""Told in one line what was left out of an object, without the object's name."""

SharedPorts = dict[tuple[EndpointPort, ...], tuple[EndpointPort, ...]]
"""Equal port lists of many slices become one tuple; the same dictionary is handed to each `keep_slice`."""
SHARED_PORTS_LIMIT = 4096
CLUSTER = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


class Labels(Wire):
    """The labels in use."""

    service_name: str | None = field(name="kubernetes.io/service-name", default=None)
    import_name: str | None = field(name="multicluster.kubernetes.io/service-name", default=None)
    source_cluster: str | None = field(name="multicluster.kubernetes.io/source-cluster", default=None)


class Annotations(Wire):
    """The annotations in use."""

    trigger_time: str | None = field(name="endpoints.kubernetes.io/last-change-trigger-time", default=None)
    initial_events_end: str | None = field(name="k8s.io/initial-events-end", default=None)
    """``"true"`` on the bookmark that ends a streaming list (KEP-3157)."""


class Metadata(Wire):
    """ObjectMeta of an object, or ListMeta of a list."""

    name: str | None = None
    namespace: str | None = None
    resource_version: str | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None
    continue_token: str | None = field(name="continue", default=None)
    """Lists only: asks for the next page."""


class ApiServicePort(Wire):
    """An entry of Service.spec.ports."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class ApiServiceSpec(Wire):
    """Service.spec."""

    type: str | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: list[str | None] | None = field(name="clusterIPs", default=None)
    external_name: str | None = None
    external_ips: list[str | None] | None = field(name="externalIPs", default=None)
    ports: list[ApiServicePort | None] | None = None


class ApiService(Wire):
    """A core/v1 Service."""

    metadata: Metadata | None = None
    spec: ApiServiceSpec | None = None
    status: ApiServiceStatus | None = None


class ApiServiceImportSpec(Wire):
    """ServiceImport.spec."""

    type: str | None = None
    """ClusterSetIP or Headless."""
    ips: list[str | None] | None = None
    ports: list[ApiServicePort | None] | None = None


class ApiServiceImport(Wire):
    """A multicluster.x-k8s.io/v1alpha1 ServiceImport (KEP-1645)."""

    metadata: Metadata | None = None
    spec: ApiServiceImportSpec | None = None


class ApiConditions(Wire):
    """EndpointConditions: null means unknown, which counts as ready."""

    ready: bool | None = None


class ApiTargetRef(Wire):
    """What stands behind an endpoint."""

    kind: str | None = None
    name: str | None = None


class ApiEndpoint(Wire):
    """An entry of EndpointSlice.endpoints."""

    addresses: list[str | None] | None = None
    conditions: ApiConditions | None = None
    hostname: str | None = None
    target_ref: ApiTargetRef | None = None
    zone: str | None = None


class ApiEndpointPort(Wire):
    """An entry of EndpointSlice.ports."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class ApiEndpointSlice(Wire):
    """A discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata | None = None
    address_type: str | None = None
    endpoints: list[ApiEndpoint | None] | None = None
    ports: list[ApiEndpointPort | None] | None = None


class ApiNamespace(Wire):
    """A core/v1 Namespace."""

    metadata: Metadata | None = None


class ApiPodStatus(Wire):
    """Pod.status."""

    pod_ip: str | None = field(name="podIP", default=None)


class PodMetadata(Metadata):
    """ObjectMeta of a Pod, with all its labels."""

    labels: dict[str, str | None] | None = None  # type: ignore[assignment]


class ApiPod(Wire):
    """A core/v1 Pod."""

    metadata: PodMetadata | None = None
    status: ApiPodStatus | None = None


WIRE_TYPES: dict[Kind, type[Any]] = {
    "Service": ApiService,
    "EndpointSlice": ApiEndpointSlice,
    "Namespace": ApiNamespace,
    "Pod": ApiPod,
    "ServiceImport": ApiServiceImport,
}


def key_of(kind: Kind, metadata: Metadata | None) -> ObjectKey:
    """The key of an object; ValueError if it has no name, or no namespace where its kind needs one."""
    if metadata is None or not metadata.name:
        raise ValueError("it has no name")
    if kind == "Namespace":
        return ObjectKey(kind, "", sys.intern(metadata.name))
    if not metadata.namespace:
        raise ValueError("it has no namespace")
    return ObjectKey(kind, sys.intern(metadata.namespace), metadata.name)


def keep_service(wire: ApiService, *, external: bool = False, warn: Warn | None = None) -> Service:
    """Pack a Service; ValueError for one without spec, with a port that is none, or an address that is none.

    `external`: keep how it is reached from outside; what is no address there is left out and told to `warn`.
    """
    key = key_of("Service", wire.metadata)
    spec = wire.spec
    if spec is None:
        raise ValueError("it has no spec")
    ports = tuple(_service_port(port) for port in spec.ports or () if port is not None)
    outside = keep_outside(spec.external_ips or (), wire.status, warn) if external else Outside()
    if spec.type == "ExternalName":
        return Service(key, external_name=spec.external_name or "", ports=ports, outside=outside)
    texts = [text for text in spec.cluster_ips or (spec.cluster_ip,) if text]
    if "None" in texts:
        return Service(key, headless=True, ports=ports, outside=outside)
    return Service(key, cluster_ips=tuple(_packed_any(text) for text in texts), ports=ports, outside=outside)


def keep_import(wire: ApiServiceImport) -> Service:
    """Pack a ServiceImport; ValueError for one without spec, with a port that is none, or an address that is none."""
    key = key_of("ServiceImport", wire.metadata)
    spec = wire.spec
    if spec is None:
        raise ValueError("it has no spec")
    ports = tuple(_service_port(port) for port in spec.ports or () if port is not None)
    if spec.type == "Headless":
        return Service(key, headless=True, ports=ports)
    return Service(key, cluster_ips=tuple(_packed_any(text) for text in spec.ips or () if text), ports=ports)


def keep_slice(
    wire: ApiEndpointSlice,
    *,
    pod_names: bool,
    zones: bool = False,
    imports: bool = False,
    warn: Warn | None = None,
    shared: SharedPorts | None = None,
) -> EndpointSlice | None:
    """Pack the ready endpoints of a slice; None for a slice of names (FQDN), which DNS does not use.

    An endpoint is ready if its condition says so or says nothing (EndpointConditions.ready: null is "unknown, to be
    taken as ready"). Each of its addresses is a row. An address that is none is left out and told to `warn`, once a
    slice. ValueError: no name, or an address type nobody knows.
    """
    key = key_of("EndpointSlice", wire.metadata)
    if wire.address_type == "FQDN":
        return None
    family = {"IPv4": AF_INET, "IPv6": AF_INET6}.get(wire.address_type or "")
    if family is None:
        raise ValueError(f"its addressType is {_quoted(wire.address_type)}, not IPv4, IPv6 or FQDN")
    addresses, hostnames, pods, texts, places = bytearray(), [], [], [], []
    bad: list[str | None] = []
    odd = False
    for endpoint in wire.endpoints or ():
        if endpoint is None or (endpoint.conditions is not None and endpoint.conditions.ready is False):
            continue
        for text in endpoint.addresses or ():
            try:
                packed = inet_pton(family, text or "")
            except (OSError, ValueError):  # ValueError: octet 0 within the text
                bad.append(text)
                continue
            odd = odd or (family is AF_INET6 and not _canonical(packed, text or ""))
            addresses += packed
            texts.append(text or "")
            hostnames.append((endpoint.hostname or "").lower())
            pods.append(_pod_name(endpoint.target_ref) if pod_names else "")
            places.append(sys.intern((endpoint.zone or "").lower()) if zones else "")
    if bad and warn is not None:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        warn(f"address {_quoted(bad[0])}{more} left out: not {wire.address_type}")
    labels = (wire.metadata.labels if wire.metadata else None) or Labels()
    imported, cluster = _import_labels(labels, warn) if imports else ("", "")
    return EndpointSlice(
        key,
        sys.intern(labels.service_name or ""),
        4 if family is AF_INET else 16,
        bytes(addresses),
        _endpoint_ports(wire.ports or (), warn, shared),
        tuple(hostnames) if any(hostnames) else (),
        tuple(pods) if any(pods) else (),
        tuple(texts) if odd else (),
        tuple(places) if any(places) else (),
        imported=imported,
        cluster=cluster,
    )


def _import_labels(labels: Labels, warn: Warn | None) -> tuple[str, str]:
    """The ServiceImport a slice is of, and its cluster, which has to be a label of names (KEP-1645); empty for none."""
    imported, cluster = labels.import_name or "", (labels.source_cluster or "").lower()
    if imported and cluster and not CLUSTER.fullmatch(cluster):
        if warn is not None:
            warn(f"no endpoints of ServiceImport {_quoted(imported)}: its cluster {_quoted(cluster)} is no label")
        return "", ""
    return sys.intern(imported), sys.intern(cluster)


def keep_namespace(wire: ApiNamespace) -> Namespace:
    """Pack a Namespace; ValueError for one without a name."""
    return Namespace(key_of("Namespace", wire.metadata))


def keep_pod(wire: ApiPod, *, labels: bool = False) -> Pod:
    """Pack a Pod; ValueError for one without a name."""
    key = key_of("Pod", wire.metadata)
    found = (wire.metadata.labels if labels and wire.metadata else None) or {}
    kept = tuple((sys.intern(name), sys.intern(value or "")) for name, value in sorted(found.items()))
    return Pod(key, (wire.status.pod_ip if wire.status else None) or "", kept)


def keeper(
    kind: Kind,
    *,
    pod_names: bool = False,
    external: bool = False,
    zones: bool = False,
    imports: bool = False,
    labels: bool = False,
) -> Callable[[Any, Warn], Object | None]:
    """The function that packs objects of one kind, with what they share; None from it: nothing of it is used."""
    shared: SharedPorts = {}
    match kind:
        case "Service":
            return lambda wire, warn: keep_service(wire, external=external, warn=warn)
        case "EndpointSlice":
            return lambda wire, warn: keep_slice(
                wire, pod_names=pod_names, zones=zones, imports=imports, warn=warn, shared=shared
            )
        case "Namespace":
            return lambda wire, warn: keep_namespace(wire)
        case "Pod":
            return lambda wire, warn: keep_pod(wire, labels=labels)
        case "ServiceImport":
            return lambda wire, warn: keep_import(wire)


def trigger_time(metadata: Metadata | None) -> float | None:
    """When the cluster began the change that this EndpointSlice shows, in Unix seconds; None if it does not say."""
    text = metadata.annotations.trigger_time if metadata and metadata.annotations else None
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _service_port(port: ApiServicePort) -> ServicePort:
    if port.port is None or not 0 < port.port < 65536:
        raise ValueError(f"its port {_quoted(port.port)} is not 1 to 65535")
    return ServicePort(sys.intern(port.name or ""), sys.intern(port.protocol or "TCP"), port.port)


def _endpoint_ports(
    ports: Sequence[ApiEndpointPort | None], warn: Warn | None, shared: SharedPorts | None
) -> tuple[EndpointPort, ...]:
    """A port without a number means "any port": there is no SRV to make of it. Servers do not check the range."""
    kept = []
    for port in ports:
        if port is None or port.port is None:
            continue
        if 0 < port.port < 65536:
            kept.append(EndpointPort(sys.intern(port.name or ""), sys.intern(port.protocol or "TCP"), port.port))
        elif warn is not None:
            warn(f"port {_quoted(port.port)} left out: not 1 to 65535")
    found = tuple(kept)
    if shared is None:
        return found
    if len(shared) >= SHARED_PORTS_LIMIT:
        shared.clear()  # only sharing is lost
    return shared.setdefault(found, found)


def _packed_any(text: str) -> bytes:
    try:
        return inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        raise ValueError(f"its cluster IP {_quoted(text)} is not an address") from None


def _canonical(packed: bytes, text: str) -> bool:
    """RFC 5952 text. Below ::/80 libraries disagree (dotted quads or not), so the object's own spelling is kept."""
    return any(packed[:10]) and inet_ntop(AF_INET6, packed) == text


def _pod_name(target: ApiTargetRef | None) -> str:
    return (target.name or "") if target is not None and target.kind == "Pod" else ""


def _quoted(value: object) -> str:
    """Whatever the object holds, short and on one line."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 64 else text[:60] + "..."
