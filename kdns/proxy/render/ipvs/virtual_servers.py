"""A rule set as IPVS wants it: virtual servers with real servers, addresses of a dummy link, members of sets. Pure.

IPVS knows an address, a port and who serves them; who may come, who is masqueraded and dropped is decided by a few
fixed iptables rules (`kdns.proxy.render.ipvs.tables`) that look into ipsets. So a Service is virtual servers plus
members, and a change of one Service touches nothing else.

Where kube-proxy's IPVS mode does less than the policy, this does what the paths of an `Entry` say:

* Local with no local backend is dropped (set KUBE-NO-LOCAL, table mangle), not sent to the cluster set.
* Pods and this node reach the cluster set also where outsiders are kept to local backends: in table mangle their
  packets get a mark that is looked up for their frontend (set KUBE-SHORT-CIRCUIT with skbinfo), and a second virtual
  server listens to that mark.
* Source ranges are looked at in table mangle, so that they hold for the node itself, too (IPVS takes the node's own
  packets before table filter sees them).

What IPVS cannot do, or does in its own way (`trace` has to know):

* reject is an ICMP port unreachable by the kernel, for TCP as well; a blocked source is dropped even where there is
  no backend, as in nftables mode.
* Affinity is kept per virtual server: a client may get another backend at another frontend of the same Service. Through
  the short circuit it is chosen by the client's address (scheduler sh): where a virtual server of a mark is persistent,
  the kernel takes the client's port instead of the backend's.
* A node port is on each address the node has at the time (looked at again at each full sync), never on loopback.
* An undefined port of a service address is refused instead of reaching a port of this node; ICMP echo is answered by
  the node.
* The source of a packet that the node sends to an address on the dummy link is that address; it is masqueraded
  always, also without a local detector.
* Backends are chosen by the scheduler (in turn for rr), not at random.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from kdns.base.objects import Network
from kdns.proxy.model import (
    Backend,
    Entry,
    Family,
    NodeRules,
    Path,
    Protocol,
    RuleSet,
    ServicePortName,
    ServicePortRules,
)

DUMMY: Final = "kube-ipvs0"
"""The link that holds the service addresses, so that packets for them come to this node's INPUT."""

PERSISTENT: Final = 0x0001
FALLBACK: Final = 0x0008
"""IP_VS_SVC_F_SCHED_SH_FALLBACK: the sh scheduler looks for another one where a backend drains."""
SOURCE_PORT: Final = 0x0010
"""IP_VS_SVC_F_SCHED_MH_PORT: the mh scheduler hashes the source port, too."""
SCHEDULERS: Final = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh")

MARK_PREFIX: Final = 0x4B000000
MARK_MASK: Final = 0xFF000000
"""Marks of the short circuit: our prefix, below it a number for each service port."""


class VirtualAt(NamedTuple):
    """What a virtual server listens to: protocol, address and port, or a mark alone (of any protocol: TCP here)."""

    protocol: Protocol
    address: bytes = b""
    port: int = 0
    mark: int = 0

    def __str__(self) -> str:
        return f"FWM {self.mark:#x}" if self.mark else f"{self.protocol} {Backend(self.address, self.port)}"


class Virtual(NamedTuple):
    """A virtual server: how it chooses, and among whom."""

    scheduler: str
    flags: int
    timeout: int
    """Seconds of persistence, with the flag."""
    backends: tuple[Backend, ...]


class Member(NamedTuple):
    """An element of a set; what its type has no use for is empty."""

    port: int = 0
    protocol: Protocol | None = None
    address: bytes = b""
    other: bytes = b""
    """The second address of ip,port,ip; the network's of ip,port,net."""
    length: int = 0
    """The network's length."""


class SetType(NamedTuple):
    """How a set is made."""

    kind: str
    marks: bool = False
    """Its members carry marks (skbinfo)."""


SETS: Final[Mapping[str, SetType]] = {
    "KUBE-LOOP-BACK": SetType("hash:ip,port,ip"),
    "KUBE-CLUSTER-IP": SetType("hash:ip,port"),
    "KUBE-EXTERNAL-IP": SetType("hash:ip,port"),
    "KUBE-EXTERNAL-IP-LOCAL": SetType("hash:ip,port"),
    "KUBE-LOAD-BALANCER": SetType("hash:ip,port"),
    "KUBE-LOAD-BALANCER-LOCAL": SetType("hash:ip,port"),
    "KUBE-LOAD-BALANCER-FW": SetType("hash:ip,port"),
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": SetType("hash:ip,port,net"),
    "KUBE-NODE-PORT-TCP": SetType("bitmap:port"),
    "KUBE-NODE-PORT-LOCAL-TCP": SetType("bitmap:port"),
    "KUBE-NODE-PORT-UDP": SetType("bitmap:port"),
    "KUBE-NODE-PORT-LOCAL-UDP": SetType("bitmap:port"),
    "KUBE-NODE-PORT-SCTP-HASH": SetType("hash:ip,port"),
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": SetType("hash:ip,port"),
    "KUBE-HEALTH-CHECK-NODE-PORT": SetType("bitmap:port"),
    "KUBE-IPVS-IPS": SetType("hash:ip"),
    "KUBE-NO-LOCAL": SetType("hash:ip,port"),
    "KUBE-SHORT-CIRCUIT": SetType("hash:ip,port", marks=True),
}
FOREIGN_SETS: Final = ("KUBE-LOAD-BALANCER-SOURCE-IP",)
"""Kube-proxy's that we have no use for; removed by a cleanup."""


def set_name(name: str, family: Family) -> str:
    """A set's name in the kernel: at most 31 characters, KUBE-6- for IPv6."""
    return name if family is Family.IPV4 else f"KUBE-6-{name.removeprefix('KUBE-')}"[:31]


class Here(NamedTuple):
    """What the kernel knows of this node and the rule set does not: its addresses, without those of the dummy link."""

    addresses: frozenset[bytes]
    """Never put on the dummy link: a Service that names one gets its own ports and no others."""
    node_ports: tuple[bytes, ...]
    """The addresses that take node ports."""


class PortState(NamedTuple):
    """What one service port puts into the kernel."""

    virtuals: Mapping[VirtualAt, Virtual]
    addresses: frozenset[bytes]
    """For the dummy link."""
    members: Mapping[tuple[str, Member], int]
    """By set and member; the value is the mark, 0 in most sets."""


def port_state(rules: ServicePortRules, node: NodeRules, here: Here, scheduler: str, mark: int) -> PortState:
    """Spell one service port; `mark` is the one its short circuit may use."""
    protocol = rules.name.protocol
    flags = (PERSISTENT if rules.affinity else 0) | (SOURCE_PORT if scheduler == "mh" else 0)
    virtuals: dict[VirtualAt, Virtual] = {}
    addresses: set[bytes] = set()
    members: dict[tuple[str, Member], int] = {}

    def serve(at: VirtualAt, backends: tuple[Backend, ...]) -> None:
        virtuals[at] = Virtual(scheduler, flags, rules.affinity, backends)
        for backend in backends:
            members["KUBE-LOOP-BACK", Member(backend.port, protocol, backend.address, backend.address)] = 0

    for entry in rules.entries:
        final = entry.paths[-1]
        node_port = not entry.frontend.address
        for address in here.node_ports if node_port else (entry.frontend.address,):
            serve(VirtualAt(protocol, address, entry.frontend.port), _backends(rules, final))
            place = Member(entry.frontend.port, protocol, address)
            if final.verdict == "drop":
                members["KUBE-NO-LOCAL", place] = 0
            if short(entry):
                serve(VirtualAt("TCP", mark=mark), rules.cluster)
                if rules.affinity:
                    virtuals[VirtualAt("TCP", mark=mark)] = Virtual("sh", FALLBACK, 0, rules.cluster)
                members["KUBE-SHORT-CIRCUIT", place] = mark
            # With another node's address on its own link, this node could not reach that one any more.
            if not node_port and address not in here.addresses and address not in node.other_nodes:
                addresses.add(address)
                members["KUBE-IPVS-IPS", Member(address=address)] = 0
            for name in _sets(entry):
                if node_port:
                    members[_node_port_member(name, place)] = 0
                else:
                    members[name, place] = 0
            if entry.sources is not None:
                members["KUBE-LOAD-BALANCER-FW", place] = 0
                for network in _halves(entry.sources):
                    allowed = place._replace(other=network.address, length=network.length)
                    members["KUBE-LOAD-BALANCER-SOURCE-CIDR", allowed] = 0
    if rules.health_check_node_port:
        members["KUBE-HEALTH-CHECK-NODE-PORT", Member(rules.health_check_node_port)] = 0
    return PortState(virtuals, frozenset(addresses), members)


def short(entry: Entry) -> bool:
    """Whether pods or this node reach the cluster set where others do not."""
    return entry.paths[-1].verdict != "cluster" and any(path.verdict == "cluster" for path in entry.paths)


def _backends(rules: ServicePortRules, path: Path) -> tuple[Backend, ...]:
    if path.verdict == "cluster":
        return rules.cluster
    return rules.local if path.verdict == "local" else ()


def _sets(entry: Entry) -> Iterable[str]:
    """The sets by which nat tells what to masquerade."""
    masqueraded = entry.paths[-1].masquerade == "always"
    match entry.frontend.way:
        case "cluster IP":
            yield "KUBE-CLUSTER-IP"
        case "external IP":
            yield "KUBE-EXTERNAL-IP" if masqueraded else "KUBE-EXTERNAL-IP-LOCAL"
        case "load balancer IP":
            yield "KUBE-LOAD-BALANCER"
            if not masqueraded:
                yield "KUBE-LOAD-BALANCER-LOCAL"
        case "node port":
            yield "KUBE-NODE-PORT-"
            if not masqueraded:
                yield "KUBE-NODE-PORT-LOCAL-"


def _node_port_member(name: str, place: Member) -> tuple[str, Member]:
    if place.protocol == "SCTP":
        return f"{name}SCTP-HASH", place
    return f"{name}{place.protocol}", Member(place.port)


def _halves(networks: Iterable[Network]) -> Iterable[Network]:
    """A set of networks takes no length of 0; two halves are as good."""
    for network in networks:
        if network.length:
            yield network
        else:
            yield Network(network.address, 1)
            yield Network(b"\x80" + network.address[1:], 1)


class Marks:
    """Numbers for the short circuits: the same name gets the same one after a restart, unless two meet."""

    def __init__(self, masquerade_mark: int) -> None:
        self._avoid = masquerade_mark
        self._names: dict[int, ServicePortName] = {}
        self._marks: dict[ServicePortName, int] = {}

    def mark(self, name: ServicePortName) -> int:
        """The mark of a service port; never with the masquerade bit in it."""
        if (known := self._marks.get(name)) is not None:
            return known
        number = zlib.crc32(f"{name} {name.protocol}".encode())
        while (mark := self._of(number)) in self._names:
            number += 1
        self._marks[name] = mark
        self._names[mark] = name
        return mark

    def forget(self, name: ServicePortName) -> None:
        """The service port is gone; its mark is free."""
        if (mark := self._marks.pop(name, None)) is not None:
            del self._names[mark]

    def _of(self, number: int) -> int:
        return (MARK_PREFIX | number & ~MARK_MASK) & ~self._avoid


def mark_match(node: NodeRules) -> str:
    """How iptables matches any mark of a short circuit."""
    mask = MARK_MASK & ~node.masquerade_mark
    return f"{MARK_PREFIX & mask:#x}/{mask:#x}"


def here(node: NodeRules, addresses: Collection[bytes]) -> Here:
    """Of a node with these addresses (those of the dummy link are not its own)."""
    return Here(frozenset(addresses), node_port_addresses(node, addresses))


def node_port_addresses(node: NodeRules, addresses: Collection[bytes]) -> tuple[bytes, ...]:
    """The addresses of this node that take node ports; IPVS cannot do loopback and link-local ones."""
    wanted = addresses if node.node_port_addresses is None else node.node_port_addresses
    return tuple(sorted(address for address in wanted if not _unfit(address)))


def _unfit(address: bytes) -> bool:
    if len(address) == 4:
        return address[0] == 127
    return address == bytes(15) + b"\x01" or (address[0] == 0xFE and address[1] & 0xC0 == 0x80)


def states(rules: RuleSet, here: Here, scheduler: str) -> Mapping[ServicePortName, PortState]:
    """All of a rule set, by service port."""
    marks = Marks(rules.node.masquerade_mark)
    return {name: port_state(port, rules.node, here, scheduler, marks.mark(name)) for name, port in rules.ports.items()}
