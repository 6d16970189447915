"""The Kubernetes objects kdns keeps, as small frozen structs: only the fields in use.

What the API server writes is decoded by `kdns.watch.decode.schema` and packed into these at once, so that ten thousand
EndpointSlices with a hundred thousand endpoints stay in a few megabytes: a slice holds its addresses as octets
side by side, and a column of names only where there are names.

No I/O here, and nothing that knows DNS or packets.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address
from typing import Final, Literal, NamedTuple

from msgspec import Struct

Kind = Literal["Service", "EndpointSlice", "Namespace", "Pod", "Node", "ServiceCIDR", "ServiceImport"]
PLURALS: Final[Mapping[Kind, str]] = {
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Namespace": "namespaces",
    "Pod": "pods",
    "Node": "nodes",
    "ServiceCIDR": "servicecidrs",
    "ServiceImport": "serviceimports",
}
"""Each kind as the API's paths and RBAC rules spell it."""


class ObjectKey(NamedTuple):
    """Names one object of the cluster; ``str()`` is what people read: ``Service shop/web``."""

    kind: Kind
    namespace: str
    """Empty for kinds without a namespace."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class DerivedFrom(NamedTuple):
    """The object that kdns made another one from, which no source has: ``derived from Service shop/web``."""

    kind: Literal["Service", "Endpoints"]
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"derived from {self.kind} {self.namespace}/{self.name}"


RecordSource = ObjectKey | DerivedFrom
"""Where a record came from."""


class ServicePort(Struct, frozen=True):
    """One port of a Service."""

    name: str
    """Empty for the unnamed port."""
    protocol: str
    """As the API writes it: TCP, UDP or SCTP."""
    port: int
    node_port: int = 0
    """Where nodes take traffic for it, 0 for nowhere; kept only when `Service.routing` is."""


class Network(NamedTuple):
    """A range of addresses in CIDR notation; ``str()`` is ``10.244.0.0/16``."""

    address: bytes
    """Packed; the bits beyond the length are 0."""
    length: int

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, bytes) or len(address) != len(self.address):
            return False
        shift = len(address) * 8 - self.length
        return int.from_bytes(address, "big") >> shift == int.from_bytes(self.address, "big") >> shift

    def __str__(self) -> str:
        return f"{address_text(self.address)}/{self.length}"


def address_text(address: bytes) -> str:
    """The text of a packed address (RFC 5952 for 16 octets)."""
    if len(address) == 4:
        return "%d.%d.%d.%d" % tuple(address)  # noqa: UP031 - a quarter of what format() takes
    return str(IPv6Address(address))


class Routing(Struct, frozen=True):
    """How traffic for a Service is to go: what only the proxy reads, kept only when it is wanted."""

    type: str = "ClusterIP"
    """ClusterIP, NodePort or LoadBalancer."""
    external_ips: tuple[bytes, ...] = ()
    load_balancer_ips: tuple[bytes, ...] = ()
    """Those of status.loadBalancer.ingress whose ipMode is VIP, or is not there."""
    source_ranges: tuple[Network, ...] = ()
    """loadBalancerSourceRanges, as far as they can be read."""
    external_local: bool = False
    """externalTrafficPolicy is Local."""
    internal_local: bool = False
    """internalTrafficPolicy is Local."""
    affinity: int = 0
    """sessionAffinity ClientIP: for how many seconds; 0 for None."""
    health_check_node_port: int = 0
    elsewhere: bool = False
    """The label service.kubernetes.io/service-proxy-name gives it to another proxy."""
    unreadable_ranges: tuple[str, ...] = ()
    """loadBalancerSourceRanges that are not ranges, quoted for messages."""


class Outside(NamedTuple):
    """How a Service is reached from outside the cluster."""

    addresses: tuple[bytes, ...] = ()
    """Packed: spec.externalIPs, then the load balancer's."""
    names: tuple[str, ...] = ()
    """Host names of load balancers that have no address."""


class Age(NamedTuple):
    """When an object was created; they sort from the oldest to the newest, the same way everywhere."""

    created: str
    """metadata.creationTimestamp, RFC 3339 in UTC as API servers write it: its text sorts by time."""
    uid: str
    """metadata.uid, for what was created in one second."""


UNKNOWN_AGE: Final = Age("~", "")
"""Of an object that a file describes; it sorts behind every other."""


class Service(Struct, frozen=True):
    """A Service as DNS sees it, or a ServiceImport: a Service of several clusters, with the same fields.

    The kind in its key tells which of the two it is.
    """

    key: ObjectKey
    cluster_ips: tuple[bytes, ...] = ()
    """Packed addresses, 4 or 16 octets, in the order of the object; empty when headless or ExternalName."""
    headless: bool = False
    """clusterIP is None."""
    external_name: str | None = None
    """The target text of type ExternalName, None for every other type."""
    ports: tuple[ServicePort, ...] = ()
    outside: Outside = Outside()
    """Kept only when a setting uses it."""
    selected: bool = False
    """It has a selector, so that the cluster makes its slices."""
    routing: Routing | None = None
    """Kept only when the proxy wants it, and not for type ExternalName."""
    age: Age = UNKNOWN_AGE
    """Kept only when the proxy wants it."""


class EndpointPort(Struct, frozen=True):
    """One port of an EndpointSlice; its number is where the endpoints listen."""

    name: str
    protocol: str
    port: int


READY: Final = 1
SERVING: Final = 2
TERMINATING: Final = 4


class EndpointStates(Struct, frozen=True):
    """Every endpoint of a slice, ready or not, as the proxy sees it: row i is the i-th endpoint, by its first address.

    Columns of hints are empty when no row has any, else as long as there are rows.
    """

    addresses: bytes = b""
    conditions: bytes = b""
    """An octet a row: READY, SERVING and TERMINATING, added. What the API leaves out counts as ready and serving."""
    nodes: tuple[str, ...] = ()
    """The node of each row; empty text if it is not known."""
    zone_hints: tuple[tuple[str, ...], ...] = ()
    """hints.forZones of each row."""
    node_hints: tuple[tuple[str, ...], ...] = ()
    """hints.forNodes of each row."""


class EndpointSlice(Struct, frozen=True):
    """The ready endpoints of one EndpointSlice, packed: row i is the i-th address.

    Columns beside ``addresses`` are empty when no row has anything to say, else as long as there are rows.
    """

    key: ObjectKey
    service: str
    """The value of the label kubernetes.io/service-name; empty when the slice belongs to no Service."""
    width: int
    """Octets of each address: 4 or 16."""
    addresses: bytes = b""
    ports: tuple[EndpointPort, ...] = ()
    """Empty when the slice lists no ports: its addresses still have names, but no SRV."""
    hostnames: tuple[str, ...] = ()
    """spec.hostname of the Pod behind the row, folded to lower case; empty text for none."""
    pods: tuple[str, ...] = ()
    """targetRef.name, folded, when it is a Pod; kept only when a setting names endpoints after Pods."""
    texts: tuple[str, ...] = ()
    """The address as the object spells it; kept only when a spelling is not the canonical one."""
    zones: tuple[str, ...] = ()
    """The topology zone of the row, folded; kept only when a setting has names for zones."""
    states: EndpointStates | None = None
    """All endpoints with their conditions; kept only when the proxy wants it."""
    imported: str = ""
    """The value of the label multicluster.kubernetes.io/service-name: the ServiceImport that these are endpoints of;
    empty for none. Kept only when a setting has names for ServiceImports, as is the next."""
    cluster: str = ""
    """The value of the label multicluster.kubernetes.io/source-cluster, folded: where the endpoints are."""
    derived_from: DerivedFrom | None = None
    """What kdns made this from, where a source has a Service and its Pods, or Endpoints, but no slices; else None."""

    @property
    def source(self) -> RecordSource:
        """The object to look at for where its endpoints came from: itself, or what it was derived from."""
        return self.derived_from or self.key

    @property
    def rows(self) -> int:
        """How many addresses there are."""
        return len(self.addresses) // self.width

    def address(self, row: int) -> bytes:
        """The packed address of one row."""
        return self.addresses[row * self.width : (row + 1) * self.width]


class Namespace(Struct, frozen=True):
    """A Namespace that exists, and passes the label selector if one is set."""

    key: ObjectKey


class Pod(Struct, frozen=True):
    """A Pod, kept only for ``pods verified``."""

    key: ObjectKey
    address: str
    """status.podIP as the object spells it; empty before there is one."""
    labels: tuple[tuple[str, str], ...] = ()
    """Keys and values, in the order of the keys; kept only when a setting tells of clients."""
    node: str = ""
    """spec.nodeName; empty before it is scheduled."""
    host_network: bool = False
    """Its address is its node's."""


class Node(Struct, frozen=True):
    """A Node, as the proxy that runs on it sees it."""

    key: ObjectKey
    addresses: tuple[bytes, ...] = ()
    """Packed: InternalIP, then ExternalIP, each in the order of the object."""
    zone: str = ""
    """The label topology.kubernetes.io/zone."""
    pod_cidrs: tuple[Network, ...] = ()
    eligible: bool = True
    """Load balancers may send it traffic: it is neither being deleted nor about to be by the cluster autoscaler."""


class ServiceCIDR(Struct, frozen=True):
    """A range that cluster IPs come from (networking.k8s.io)."""

    key: ObjectKey
    cidrs: tuple[Network, ...] = ()


Object = Service | EndpointSlice | Namespace | Pod | Node | ServiceCIDR


class ServiceView(Struct, frozen=True):
    """One Service, or ServiceImport, joined with its EndpointSlices.

    ``service`` is None when only slices are left: reverse names of their endpoints live on without it.
    """

    service: Service | None
    slices: tuple[EndpointSlice, ...] = ()
    """In the order of their names."""


class ServiceChange(NamedTuple):
    """What one event made of a Service or ServiceImport. The key is its own, whether it exists or not."""

    key: ObjectKey
    before: ServiceView | None
    after: ServiceView | None
    triggered: float | None = None
    """Unix seconds at which the cluster started this change (annotation endpoints.kubernetes.io/
    last-change-trigger-time); None if unknown, and for all that was there when the watch began."""


class NamespaceChange(NamedTuple):
    """A Namespace came or went."""

    key: ObjectKey
    before: Namespace | None
    after: Namespace | None


class PodChange(NamedTuple):
    """A Pod came, went, or got another address."""

    key: ObjectKey
    before: Pod | None
    after: Pod | None


class NodeChange(NamedTuple):
    """A Node came, went, or is different in what we keep of it."""

    key: ObjectKey
    before: Node | None
    after: Node | None


class ServiceCIDRChange(NamedTuple):
    """A range of cluster IPs came, went, or is another."""

    key: ObjectKey
    before: ServiceCIDR | None
    after: ServiceCIDR | None


Change = ServiceChange | NamespaceChange | PodChange | NodeChange | ServiceCIDRChange
Changes = Sequence[Change]
