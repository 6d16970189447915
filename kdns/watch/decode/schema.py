"""What the API server writes, as far as it is used. Pure.

The wire structs name only the fields in use: the decoder skips all others (managedFields are most of an object)
without making Python objects of them. JSON lines come in through `watch_decoder`, YAML dictionaries through
``msgspec.convert``. Every field may be null or missing on the wire; `kdns.watch.decode.packing` decides what that
means.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.json import Decoder

from kdns.base.objects import Kind, ObjectKey
from kdns.watch.decode.names import check_name, check_namespace
from kdns.watch.decode.outside import ApiServiceStatus
from kdns.watch.decode.status import Status, Wire

T = TypeVar("T")

CLUSTER_WIDE: Final[frozenset[Kind]] = frozenset({"Namespace", "Node", "ServiceCIDR"})
"""Kinds whose objects are in no namespace."""


class Labels(Wire):
    """The labels in use."""

    service_name: str | None = field(name="kubernetes.io/service-name", default=None)
    import_name: str | None = field(name="multicluster.kubernetes.io/service-name", default=None)
    source_cluster: str | None = field(name="multicluster.kubernetes.io/source-cluster", default=None)
    headless: str | UnsetType | None = field(name="service.kubernetes.io/headless", default=UNSET)
    """EndpointSlices of headless Services; what counts is that it is there."""
    proxy_name: str | UnsetType | None = field(name="service.kubernetes.io/service-proxy-name", default=UNSET)
    """Services of another proxy; what counts is that it is there."""
    zone: str | None = field(name="topology.kubernetes.io/zone", default=None)


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
    deletion_timestamp: str | None = None
    """When its deletion was asked for; set until all finalizers are removed."""
    continue_token: str | None = field(name="continue", default=None)
    """Lists only: asks for the next page."""
    remaining_item_count: int | None = None
    """Lists only: how many objects the pages after this one have; unset where a selector was given."""


class ApiServicePort(Wire):
    """An entry of Service.spec.ports."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    node_port: int | None = None


class ApiClientIP(Wire):
    """SessionAffinityConfig.clientIP."""

    timeout_seconds: int | None = None


class ApiAffinityConfig(Wire):
    """Service.spec.sessionAffinityConfig."""

    client_ip: ApiClientIP | None = field(name="clientIP", default=None)


class ApiServiceSpec(Wire):
    """Service.spec."""

    type: str | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: list[str | None] | None = field(name="clusterIPs", default=None)
    external_name: str | None = None
    external_ips: list[str | None] | None = field(name="externalIPs", default=None)
    load_balancer_source_ranges: list[str | None] | None = None
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None
    session_affinity: str | None = None
    session_affinity_config: ApiAffinityConfig | None = None
    health_check_node_port: int | None = None
    ports: list[ApiServicePort | None] | None = None
    selector: dict[str, str | None] | None = None


class ServiceMetadata(Metadata):
    """ObjectMeta of a Service."""

    creation_timestamp: str | None = None
    uid: str | None = None


class ApiService(Wire):
    """A core/v1 Service."""

    metadata: ServiceMetadata | None = None
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


class ApiStates(ApiConditions):
    """EndpointConditions, all of them: null counts as ready and serving, and as not terminating."""

    serving: bool | None = None
    terminating: bool | None = None


class ApiHint(Wire):
    """An entry of EndpointHints.forZones or forNodes."""

    name: str | None = None


class ApiHints(Wire):
    """EndpointHints: whose traffic an endpoint is for."""

    for_zones: list[ApiHint | None] | None = None
    for_nodes: list[ApiHint | None] | None = None


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


class ApiRoutedEndpoint(ApiEndpoint):
    """The same with what only the proxy reads, so that DNS does not pay for decoding it."""

    conditions: ApiStates | None = None
    node_name: str | None = None
    hints: ApiHints | None = None


class ApiEndpointPort(Wire):
    """An entry of EndpointSlice.ports."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class ApiEndpointSlice(Wire):
    """A discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata | None = None
    address_type: str | None = None
    endpoints: Sequence[ApiEndpoint | None] | None = None
    ports: list[ApiEndpointPort | None] | None = None


class ApiRoutedSlice(ApiEndpointSlice):
    """The same with what only the proxy reads of its endpoints."""

    endpoints: Sequence[ApiRoutedEndpoint | None] | None = None


class ApiNamespace(Wire):
    """A core/v1 Namespace."""

    metadata: Metadata | None = None


class ApiPodStatus(Wire):
    """Pod.status."""

    pod_ip: str | None = field(name="podIP", default=None)


class ApiPodSpec(Wire):
    """Pod.spec."""

    node_name: str | None = None
    host_network: bool | None = None


class PodMetadata(Metadata):
    """ObjectMeta of a Pod, with all its labels."""

    labels: dict[str, str | None] | None = None  # type: ignore[assignment]


class ApiPod(Wire):
    """A core/v1 Pod."""

    metadata: PodMetadata | None = None
    spec: ApiPodSpec | None = None
    status: ApiPodStatus | None = None


class ApiTaint(Wire):
    """An entry of Node.spec.taints."""

    key: str | None = None


class ApiNodeSpec(Wire):
    """Node.spec."""

    pod_cidr: str | None = field(name="podCIDR", default=None)
    pod_cidrs: list[str | None] | None = field(name="podCIDRs", default=None)
    taints: list[ApiTaint | None] | None = None


class ApiNodeAddress(Wire):
    """An entry of Node.status.addresses."""

    type: str | None = None
    address: str | None = None


class ApiNodeStatus(Wire):
    """Node.status."""

    addresses: list[ApiNodeAddress | None] | None = None


class ApiNode(Wire):
    """A core/v1 Node."""

    metadata: Metadata | None = None
    spec: ApiNodeSpec | None = None
    status: ApiNodeStatus | None = None


class ApiServiceCIDRSpec(Wire):
    """ServiceCIDR.spec."""

    cidrs: list[str | None] | None = None


class ApiServiceCIDR(Wire):
    """A networking.k8s.io ServiceCIDR, the same in v1 and v1beta1."""

    metadata: Metadata | None = None
    spec: ApiServiceCIDRSpec | None = None


_WIRE_TYPES: dict[Kind, type[Any]] = {
    "Service": ApiService,
    "EndpointSlice": ApiEndpointSlice,
    "Namespace": ApiNamespace,
    "Pod": ApiPod,
    "Node": ApiNode,
    "ServiceImport": ApiServiceImport,
    "ServiceCIDR": ApiServiceCIDR,
}


def wire_type(kind: Kind, *, routing: bool = False) -> type[Any]:
    """The wire struct of a kind; `routing`: with all that `kdns.watch.source.Want.routing` wants."""
    return ApiRoutedSlice if routing and kind == "EndpointSlice" else _WIRE_TYPES[kind]


class Versioned(Wire):
    """The metadata of any object, and nothing else."""

    metadata: Metadata | None = None


class Added(Struct, Generic[T], tag="ADDED", gc=False):
    """A watch event: the object is new to this watch."""

    object: T


class Modified(Struct, Generic[T], tag="MODIFIED", gc=False):
    """A watch event: the object changed."""

    object: T


class Deleted(Struct, Generic[T], tag="DELETED", gc=False):
    """A watch event: the object is gone, or no longer passes the selectors."""

    object: T


class Bookmark(Struct, tag="BOOKMARK", gc=False):
    """A watch event: only a newer resource version to resume from."""

    object: Versioned


class Failed(Struct, tag="ERROR", gc=False):
    """A watch event: the watch is over, and why."""

    object: Status


WatchEvent = Added[Any] | Modified[Any] | Deleted[Any] | Bookmark | Failed


def watch_decoder(kind: Kind, *, routing: bool = False) -> Decoder[WatchEvent]:
    """One line of a watch to an event; made once per kind and used for each line. `routing` as for `wire_type`."""
    wire: Any = wire_type(kind, routing=routing)
    return Decoder(Added[wire] | Modified[wire] | Deleted[wire] | Bookmark | Failed)


def named_decoder() -> Decoder[WatchEvent]:
    """As `watch_decoder`, but reads no more than metadata: it names the object that `watch_decoder` cannot read."""
    return Decoder(Added[Versioned] | Modified[Versioned] | Deleted[Versioned] | Bookmark | Failed)


def key_of(kind: Kind, metadata: Metadata | None) -> ObjectKey:
    """The key of an object; ValueError if it has no valid name, or no valid namespace where its kind needs one."""
    if metadata is None or not metadata.name:
        raise ValueError("it has no name")
    check_name(kind, metadata.name)
    if kind in CLUSTER_WIDE:
        return ObjectKey(kind, "", sys.intern(metadata.name))
    if not metadata.namespace:
        raise ValueError("it has no namespace")
    check_namespace(metadata.namespace)
    return ObjectKey(kind, sys.intern(metadata.namespace), metadata.name)


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
