"""Rule sets by hand, for the tests of iptables mode: what the policy makes of one Service of each sort."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from kdns.base.objects import Network
from kdns.proxy.model import (
    Backend,
    Entry,
    Family,
    Frontend,
    FrontendKind,
    LocalDetector,
    Masquerade,
    NodeRules,
    Path,
    Protocol,
    RuleSet,
    ServicePortName,
    ServicePortRules,
    SourceOf,
    Verdict,
)


def packed(text: str) -> bytes:
    return ip_address(text).packed


def network(text: str) -> Network:
    parsed = ip_network(text)
    return Network(parsed.network_address.packed, parsed.prefixlen)


def backend(text: str) -> Backend:
    """``10.244.1.7:8080`` or ``[fd00::7]:8080``."""
    address, _, port = text.rpartition(":")
    return Backend(packed(address.strip("[]")), int(port))


def named(text: str, protocol: Protocol = "TCP") -> ServicePortName:
    """``shop/cart:web``."""
    key, _, port = text.partition(":")
    namespace, _, name = key.partition("/")
    return ServicePortName(namespace, name, port, protocol)


def node(family: Family = Family.IPV4, cidr: str | None = "", **more: object) -> NodeRules:
    """A node whose pods are in `cidr` (empty: the usual one; None: nobody knows who is a pod)."""
    usual = "10.244.0.0/16" if family is Family.IPV4 else "fd00:10:244::/56"
    detector = None if cidr is None else LocalDetector("CIDR", network(cidr or usual))
    defaults: dict[str, object] = {"detector": detector, "localhost_node_ports": family is Family.IPV4}
    return NodeRules(family, **(defaults | more))  # type: ignore[arg-type]


def path(source: SourceOf, verdict: Verdict, masquerade: Masquerade = "never") -> Path:
    return Path(source, verdict, masquerade)


INSIDE = (path("any", "cluster", "not pod"),)
CLUSTER = (path("any", "cluster", "always"),)
LOCAL = (path("pod", "cluster"), path("host", "cluster", "always"), path("any", "local"))
NO_LOCAL = (path("pod", "cluster"), path("host", "cluster", "always"), path("any", "drop"))
REJECT = (path("any", "reject"),)
DROP = (path("any", "drop"),)


def entry(
    way: FrontendKind, where: str | int, port: int, paths: tuple[Path, ...], sources: Iterable[str] | None = None
) -> Entry:
    """A frontend; a node port has no address (`where` is not looked at)."""
    address = packed(where) if isinstance(where, str) and where else b""
    allowed = None if sources is None else tuple(map(network, sources))
    return Entry(Frontend(way, address, port), paths, allowed)


def port(
    name: str,
    *entries: Entry,
    cluster: str = "",
    local: str = "",
    protocol: Protocol = "TCP",
    affinity: int = 0,
    external_local: bool = False,
    internal_local: bool = False,
    health_check_node_port: int = 0,
) -> ServicePortRules:
    """A service port; sets of backends are texts with spaces between."""
    return ServicePortRules(
        named(name, protocol),
        entries,
        cluster=tuple(map(backend, cluster.split())),
        local=tuple(map(backend, local.split())),
        affinity=affinity,
        external_local=external_local,
        internal_local=internal_local,
        health_check_node_port=health_check_node_port,
    )


def rule_set(node: NodeRules, *ports: ServicePortRules) -> RuleSet:
    return RuleSet(node, {port.name: port for port in ports})


def cart() -> ServicePortRules:
    """Everything at once: load balancer and node port, only local endpoints for outsiders, affinity."""
    return port(
        "shop/cart:web",
        entry("cluster IP", "10.96.7.7", 80, INSIDE),
        entry("load balancer IP", "198.51.100.20", 80, LOCAL),
        entry("node port", "", 30080, LOCAL),
        cluster="10.244.1.7:8080 10.244.2.9:8080",
        local="10.244.1.7:8080",
        affinity=10800,
        external_local=True,
    )


def rich() -> RuleSet:
    """One Service of each sort, in IPv4."""
    return rule_set(
        node(),
        port("default/kubernetes:https", entry("cluster IP", "10.96.0.1", 443, INSIDE), cluster="172.18.0.2:6443"),
        port(
            "kube-system/kube-dns:dns",
            entry("cluster IP", "10.96.0.10", 53, INSIDE),
            cluster="10.244.0.2:53 10.244.0.3:53 10.244.1.4:53",
            protocol="UDP",
        ),
        cart(),
        port(
            "shop/guarded",
            entry("cluster IP", "10.96.7.8", 80, INSIDE),
            entry("external IP", "192.0.2.9", 80, CLUSTER),
            entry("load balancer IP", "198.51.100.21", 80, CLUSTER, ["203.0.113.0/25", "198.51.100.21/32"]),
            entry("load balancer IP", "198.51.100.22", 80, CLUSTER, ["203.0.113.0/25", "198.51.100.21/32"]),
            entry("node port", "", 30081, CLUSTER),
            cluster="10.244.1.8:80 10.244.2.8:80",
        ),
        port(
            "shop/empty:web",
            entry("cluster IP", "10.96.7.9", 80, REJECT),
            entry("external IP", "192.0.2.10", 80, REJECT),
            entry("node port", "", 30082, REJECT),
        ),
        port(
            "shop/elsewhere:web",
            entry("cluster IP", "10.96.7.10", 80, INSIDE),
            entry("load balancer IP", "198.51.100.23", 80, NO_LOCAL),
            entry("node port", "", 30083, NO_LOCAL),
            cluster="10.244.2.11:80",
            external_local=True,
            health_check_node_port=32000,
        ),
        port(
            "shop/inside:web",
            entry("cluster IP", "10.96.7.11", 80, (path("any", "local", "not pod"),)),
            local="10.244.1.12:80",
            internal_local=True,
        ),
        port("shop/nobody:web", entry("cluster IP", "10.96.7.12", 80, DROP), internal_local=True),
        port(
            "media/signal:sctp",
            entry("cluster IP", "10.96.7.13", 5000, (path("any", "cluster", "always"),)),
            cluster="10.244.1.13:5000",
            protocol="SCTP",
        ),
    )


def rich6() -> RuleSet:
    """The same in short, in IPv6."""
    return rule_set(
        node(Family.IPV6),
        port(
            "kube-system/kube-dns:dns",
            entry("cluster IP", "fd00:10:96::a", 53, INSIDE),
            cluster="[fd00:10:244::2]:53 [fd00:10:244:1::2]:53",
            protocol="UDP",
        ),
        port(
            "shop/cart:web",
            entry("cluster IP", "fd00:10:96::77", 80, INSIDE),
            entry("load balancer IP", "2001:db8::20", 80, LOCAL, ["2001:db8:1::/48"]),
            entry("node port", "", 30080, LOCAL),
            cluster="[fd00:10:244::7]:8080 [fd00:10:244:1::9]:8080",
            local="[fd00:10:244::7]:8080",
            affinity=60,
            external_local=True,
        ),
        port("shop/empty:web", entry("cluster IP", "fd00:10:96::9", 80, REJECT), entry("node port", "", 30082, REJECT)),
    )
