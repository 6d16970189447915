"""What the proxy speaks of: service ports, endpoints, and the rule set that all three modes spell. Pure values.

A `RuleSet` is for one address family on one node. It holds, for each service port, the frontends (where traffic
arrives), for each frontend the paths (who goes where), and the two sets of backends that paths lead to::

    RuleSet ── node: NodeRules          what is the same for all: mark, local detector, node port addresses
       └────── ports: ServicePortRules  one for each service port
                  ├── cluster, local    sets of backends (addresses and ports)
                  └── entries           Frontend + allowed sources + paths: source -> verdict, masquerade

The first path whose source fits decides. Hairpin (a backend that reaches itself) is always masqueraded, whatever the
path says, since it is known only once the backend is chosen.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from kdns.base.objects import Network, ObjectKey, address_text

Mode = Literal["iptables", "nftables", "ipvs"]
Protocol = Literal["TCP", "UDP", "SCTP"]


class Family(Enum):
    """An address family; the value is how metrics and status pages call it."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"

    @property
    def width(self) -> int:
        """Octets of an address."""
        return 4 if self is Family.IPV4 else 16


LOOPBACK: Final[Mapping[Family, Network]] = {
    Family.IPV4: Network(b"\x7f\0\0\0", 8),
    Family.IPV6: Network(bytes(15) + b"\1", 128),
}


class ServicePortName(NamedTuple):
    """Names one service port; ``str()`` is ``shop/web:http``, and ``shop/web`` for the unnamed port."""

    namespace: str
    name: str
    port: str
    """The port's name, empty for the unnamed one."""
    protocol: Protocol

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}" if self.port else f"{self.namespace}/{self.name}"

    @property
    def service(self) -> ObjectKey:
        """The Service it is a port of."""
        return ObjectKey("Service", self.namespace, self.name)


class Backend(NamedTuple):
    """An endpoint as chosen for one set; ``str()`` is ``10.244.1.3:9376`` or ``[fd00::3]:9376``."""

    address: bytes
    port: int

    def __str__(self) -> str:
        text = address_text(self.address)
        return f"{text}:{self.port}" if len(self.address) == 4 else f"[{text}]:{self.port}"


class Endpoint(NamedTuple):
    """One endpoint of a service port, in any condition."""

    backend: Backend
    local: bool
    """It is on our node."""
    ready: bool
    serving: bool
    terminating: bool
    zones: tuple[str, ...] = ()
    """hints.forZones"""
    nodes: tuple[str, ...] = ()
    """hints.forNodes"""


FrontendKind = Literal["cluster IP", "external IP", "load balancer IP", "node port"]


class Frontend(NamedTuple):
    """Where traffic arrives; the protocol is the service port's."""

    way: FrontendKind
    address: bytes
    """Packed; empty for a node port, which is on every address in `NodeRules.node_port_addresses`."""
    port: int


SourceOf = Literal["any", "pod", "host"]
"""pod: the local detector says so. host: the source is an address of this node, 127/8 and ::1 among them."""
Verdict = Literal["cluster", "local", "reject", "drop"]
"""cluster, local: DNAT to a backend of that set. reject: refuse at once. drop: silence."""
Masquerade = Literal["never", "not pod", "always"]
"""not pod: unless the local detector says that the source is a pod."""


class Path(NamedTuple):
    """One line of the policy for a frontend."""

    source: SourceOf
    verdict: Verdict
    masquerade: Masquerade = "never"


class Entry(NamedTuple):
    """A frontend and what becomes of its traffic."""

    frontend: Frontend
    paths: tuple[Path, ...]
    """The first whose source fits; the last one is for any source."""
    sources: tuple[Network, ...] | None = None
    """Load balancer IPs only: who may come at all, everyone else is dropped; None: no such limit. Where a load
    balancer is on this node, its own addresses are among them (facts a.9)."""


class ServicePortRules(Struct, frozen=True):
    """All rules of one service port in one family.

    Equal values mean equal rules, so what has not changed need not be written again.
    """

    name: ServicePortName
    entries: tuple[Entry, ...] = ()
    """Cluster IP, external IPs, load balancer IPs, node port, in this order; frontends are not repeated."""
    cluster: tuple[Backend, ...] = ()
    """The cluster set, ordered by text; empty also when no path can lead to it."""
    local: tuple[Backend, ...] = ()
    """The local set, likewise."""
    affinity: int = 0
    """Seconds for which a client address stays with its backend; 0: it does not."""
    external_local: bool = False
    """Traffic from outside goes to local backends (externalTrafficPolicy Local is in force)."""
    internal_local: bool = False
    """The same for the cluster IP."""
    health_check_node_port: int = 0

    @property
    def reachable(self) -> tuple[Backend, ...]:
        """Both sets as one, each backend once, ordered by text."""
        return tuple(sorted({*self.cluster, *self.local}, key=str)) if self.local else self.cluster


DetectorKind = Literal["CIDR", "bridge", "prefix"]


class LocalDetector(NamedTuple):
    """How pods of this node (or of the cluster) are distinguished from others, by what a packet shows."""

    kind: DetectorKind
    network: Network | None = None
    """CIDR: sources in it are pods."""
    interface: str = ""
    """bridge: the interface packets come in through; prefix: how its name begins."""


class NodeRules(Struct, frozen=True):
    """What is the same for every service port of a family on this node."""

    family: Family
    masquerade_mark: int = 1 << 14
    detector: LocalDetector | None = None
    """None: no source is known to be a pod, so cluster IP traffic is not masqueraded for its source."""
    masquerade_all: bool = False
    """Already worked into the paths; here for renderers that spell paths by sets."""
    node_port_addresses: tuple[bytes, ...] | None = None
    """None: every local address. Loopback is among them only if `localhost_node_ports`."""
    localhost_node_ports: bool = False
    """127/8 takes node ports, too (iptables mode, IPv4)."""
    service_cidrs: tuple[Network, ...] = ()
    """Of this family; nftables mode drops what goes to an unused address in them."""
    drop_invalid: bool = True
    """Drop packets that connection tracking calls INVALID before they are forwarded (not with tcpBeLiberal)."""
    other_nodes: frozenset[bytes] = frozenset()
    """Addresses of other nodes, packed: never put on this one (ipvs mode)."""
    packet_counters: bool = False
    """Rules count packets with nfacct (iptables mode, where the kernel has it); the applier says so."""


class RuleSet(NamedTuple):
    """What the kernel should do for one family on this node."""

    node: NodeRules
    ports: Mapping[ServicePortName, ServicePortRules]
    """In the order in which they should be written: the API server's and DNS's Services come first."""


class RuleChange(NamedTuple):
    """One service port that is to be written again: before is what the kernel was last given."""

    name: ServicePortName
    before: ServicePortRules | None
    after: ServicePortRules | None
