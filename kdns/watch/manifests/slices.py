"""EndpointSlices for Services whose source has none: what the EndpointSlice controller would write. Pure.

Follows k8s.io/endpointslice (reconciler.go, utils.go, util/controller_utils.go): which Pods, which addresses, which
port numbers, and what "ready" means. Topology hints and zones are not derived; neither are the empty
slices that the controller keeps for Services without Pods.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET, field

from kdns.base.addresses import parse_address
from kdns.base.objects import address_text
from kdns.watch.decode import schema
from kdns.watch.decode.status import Wire

SLICE_LIMIT = 100
"""Endpoints a slice: kube-controller-manager's default for --max-endpoints-per-slice."""
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})


class SourcePort(Wire):
    """An entry of Service.spec.ports."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    target_port: int | str | None = None
    """A number, or the name of a container's port; null or empty is the same number as `port`."""


class SourceServiceSpec(Wire):
    """Service.spec."""

    type: str | None = None
    selector: dict[str, str | None] | None = None
    ip_families: list[str | None] | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: list[str | None] | None = field(name="clusterIPs", default=None)
    ports: list[SourcePort | None] | None = None
    publish_not_ready_addresses: bool | None = None


class SourceMetadata(Wire):
    """ObjectMeta with all labels."""

    name: str | None = None
    namespace: str | None = None
    labels: dict[str, str | None] | None = None
    deletion_timestamp: str | None = None


class SourceService(Wire):
    """A Service, with the fields that decide which Pods are its endpoints."""

    metadata: SourceMetadata | None = None
    spec: SourceServiceSpec | None = None


class SourceContainerPort(Wire):
    """An entry of a container's ports."""

    name: str | None = None
    protocol: str | None = None
    container_port: int | None = None


class SourceContainer(Wire):
    """A container, or an init container; one of those with restartPolicy Always is a sidecar."""

    ports: list[SourceContainerPort | None] | None = None
    restart_policy: str | None = None


class SourcePodSpec(Wire):
    """Pod.spec."""

    hostname: str | None = None
    subdomain: str | None = None
    node_name: str | None = None
    containers: list[SourceContainer | None] | None = None
    init_containers: list[SourceContainer | None] | None = None


class SourceCondition(Wire):
    """An entry of Pod.status.conditions."""

    type: str | None = None
    status: str | None = None


class SourcePodIP(Wire):
    """An entry of Pod.status.podIPs."""

    ip: str | None = None


class SourcePodStatus(Wire):
    """Pod.status."""

    phase: str | None = None
    pod_ip: str | None = field(name="podIP", default=None)
    pod_ips: list[SourcePodIP | None] | None = field(name="podIPs", default=None)
    conditions: list[SourceCondition | None] | None = None


class SourcePod(Wire):
    """A Pod, with the fields that make an endpoint of it."""

    metadata: SourceMetadata | None = None
    spec: SourcePodSpec | None = None
    status: SourcePodStatus | None = None


class DerivedSlice(NamedTuple):
    """A slice as its Service would have got it, and all its labels."""

    wire: schema.ApiRoutedSlice
    labels: Mapping[str, str]


PortKey = tuple[str, str, int]
"""Name, protocol, number."""


def derive_slices(services: Iterable[SourceService], pods: Iterable[SourcePod]) -> Iterator[DerivedSlice]:
    """The slices of each Service that has a selector, from the Pods of its namespace, Pods in the order of names.

    The Services and Pods must have names and namespaces. A slice is called after its Service:
    ``web-derived-ipv4-0``.
    """
    by_label = _Index(pods)
    for service in services:
        metadata, spec = service.metadata, service.spec
        if metadata is None or spec is None or not spec.selector or spec.type == "ExternalName":
            continue
        selected = by_label.select(_namespace(metadata), spec.selector)
        for family in _families(spec):
            for number, (ports, endpoints) in enumerate(_filled(metadata, spec, selected, family)):
                name = f"{metadata.name}-derived-{family.lower()}-{number}"
                yield _slice(name, metadata, spec, family, ports, endpoints)


class _Index:
    """Pods by namespace and label, so that a Service does not look at every Pod of its namespace."""

    def __init__(self, pods: Iterable[SourcePod]) -> None:
        self._pods: dict[tuple[str, str, str], list[SourcePod]] = defaultdict(list)
        for pod in sorted(pods, key=lambda pod: (pod.metadata and pod.metadata.name) or ""):
            for key, value in _labels(pod.metadata).items():
                self._pods[_namespace(pod.metadata), key, value].append(pod)

    def select(self, namespace: str, selector: Mapping[str, str | None]) -> Sequence[SourcePod]:
        """The Pods that have all labels of a selector, which is not empty."""
        wanted = {key: value or "" for key, value in selector.items()}
        candidates = min((self._pods.get((namespace, *pair), ()) for pair in wanted.items()), key=len)
        return [pod for pod in candidates if wanted.items() <= _labels(pod.metadata).items()]


def _namespace(metadata: SourceMetadata | None) -> str:
    return (metadata and metadata.namespace) or ""


def _labels(metadata: SourceMetadata | None) -> dict[str, str]:
    return {key: value or "" for key, value in ((metadata and metadata.labels) or {}).items()}


def _families(spec: SourceServiceSpec) -> Sequence[str]:
    """spec.ipFamilies, or the families of its cluster IPs; both for a headless Service that does not say."""
    if named := [family for family in ("IPv4", "IPv6") if family in (spec.ip_families or ())]:
        return named
    texts = [text for text in spec.cluster_ips or (spec.cluster_ip,) if text and text != "None"]
    return sorted({_family(text) for text in texts}) or ("IPv4", "IPv6")


def _family(text: str) -> str:
    return "IPv6" if ":" in text else "IPv4"


def _filled(
    metadata: SourceMetadata, spec: SourceServiceSpec, pods: Iterable[SourcePod], family: str
) -> Iterator[tuple[tuple[PortKey, ...], list[schema.ApiRoutedEndpoint]]]:
    """Port lists with the endpoints that listen so; Pods for which a named port is another number stand apart."""
    groups: dict[tuple[PortKey, ...], list[schema.ApiRoutedEndpoint]] = {}
    for pod in pods:
        if pod.status is None or pod.status.phase in TERMINAL_PHASES:
            continue
        if addresses := [text for text in _addresses(pod.status) if _family(text) == family]:
            endpoint = _endpoint(metadata, spec, pod, addresses)
            groups.setdefault(_ports(spec, pod), []).append(endpoint)
    for ports, endpoints in groups.items():
        for start in range(0, len(endpoints), SLICE_LIMIT):
            yield ports, endpoints[start : start + SLICE_LIMIT]


def _addresses(status: SourcePodStatus) -> Iterator[str]:
    """status.podIPs, or status.podIP where a file has only that: the API server always writes both."""
    texts = [entry.ip for entry in status.pod_ips or () if entry is not None] or [status.pod_ip]
    for text in texts:
        try:
            yield address_text(parse_address(text or ""))
        except ValueError:
            continue  # reported when the file was read


def _endpoint(
    metadata: SourceMetadata, spec: SourceServiceSpec, pod: SourcePod, addresses: list[str]
) -> schema.ApiRoutedEndpoint:
    """A terminating Pod is never ready, whatever its condition says, unless the Service publishes all addresses."""
    conditions = (pod.status.conditions if pod.status else None) or ()
    first = next((condition for condition in conditions if condition is not None and condition.type == "Ready"), None)
    terminating = pod.metadata is not None and pod.metadata.deletion_timestamp is not None
    serving = first is not None and first.status == "True"
    ready = bool(spec.publish_not_ready_addresses) or (serving and not terminating)
    named = pod.spec is not None and bool(pod.spec.hostname) and pod.spec.subdomain == metadata.name
    return schema.ApiRoutedEndpoint(
        addresses=list(addresses),
        conditions=schema.ApiStates(ready=ready, serving=serving, terminating=terminating),
        hostname=pod.spec.hostname if named and pod.spec else None,
        target_ref=schema.ApiTargetRef(kind="Pod", name=pod.metadata.name if pod.metadata else None),
        node_name=pod.spec.node_name if pod.spec else None,
    )


def _ports(spec: SourceServiceSpec, pod: SourcePod) -> tuple[PortKey, ...]:
    """The Service's ports as numbers of this Pod; a named port that the Pod does not have is left out."""
    slice_ports = []
    for port in spec.ports or ():
        if port is None or port.port is None:
            continue
        protocol = port.protocol or "TCP"
        target = port.target_port or port.port
        number = target if isinstance(target, int) else _named_port(pod, target, protocol)
        if number is not None:
            slice_ports.append((port.name or "", protocol, number))
    return tuple(slice_ports)


def _named_port(pod: SourcePod, name: str, protocol: str) -> int | None:
    """The first container's port of that name and protocol; sidecars come after containers."""
    if pod.spec is None:
        return None
    containers = [spec for spec in pod.spec.containers or () if spec is not None]
    containers += [
        spec for spec in pod.spec.init_containers or () if spec is not None and spec.restart_policy == "Always"
    ]
    for container in containers:
        for port in container.ports or ():
            if port is not None and port.name == name and (port.protocol or "TCP") == protocol:
                return port.container_port
    return None


def _slice(
    name: str,
    metadata: SourceMetadata,
    spec: SourceServiceSpec,
    family: str,
    ports: Iterable[PortKey],
    endpoints: list[schema.ApiRoutedEndpoint],
) -> DerivedSlice:
    """The controller copies the Service's labels to its slices, and adds its own."""
    labels = _labels(metadata) | {SERVICE_NAME: metadata.name or "", MANAGED_BY: "kdns"}
    labels.pop(HEADLESS, None)
    if (spec.cluster_ip or next(iter(spec.cluster_ips or ()), None)) in {None, "", "None"}:
        labels[HEADLESS] = ""
    wire = schema.ApiRoutedSlice(
        metadata=schema.Metadata(
            name=name,
            namespace=metadata.namespace,
            labels=schema.Labels(service_name=metadata.name, headless=labels.get(HEADLESS, UNSET)),
        ),
        address_type=family,
        endpoints=list(endpoints),
        ports=[schema.ApiEndpointPort(name=port, protocol=protocol, port=number) for port, protocol, number in ports],
    )
    return DerivedSlice(wire, labels)
