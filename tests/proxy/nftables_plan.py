"""Rule sets for the tests of nftables mode, written by hand, in both families.

::

    node 192.0.2.1            pods here 10.244.1.2 (a) and .3 (b), pod elsewhere 10.244.2.2 (c)
    node 2001:db8::1          pods here fd00:10:244:1::2, ::3, elsewhere fd00:10:244:2::2
    outside                   192.0.2.100 and 192.0.2.200, 2001:db8::100 and ::200
    external addresses        203.0.113.N, fd00:113::N
"""

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
    NodeRules,
    Path,
    Protocol,
    RuleSet,
    ServicePortName,
    ServicePortRules,
)
from kdns.proxy.render.nftables.elements import ElementsOf, element_text, key_text

V4, V6 = Family.IPV4, Family.IPV6

CLUSTER_IP = (Path("any", "cluster", "not pod"),)
CLUSTER_IP_LOCAL = (Path("any", "local", "not pod"),)
OUTSIDE = (Path("any", "cluster", "always"),)
OUTSIDE_LOCAL = (Path("pod", "cluster"), Path("host", "cluster", "always"), Path("any", "local"))
OUTSIDE_LOCAL_NONE = (Path("pod", "cluster"), Path("host", "cluster", "always"), Path("any", "drop"))
REJECT = (Path("any", "reject"),)
DROP = (Path("any", "drop"),)

POD_A, POD_B, POD_C = 0, 1, 2


def packed(text: str) -> bytes:
    return ip_address(text).packed


def network(text: str) -> Network:
    found = ip_network(text)
    return Network(found.network_address.packed, found.prefixlen)


def pod(family: Family, which: int) -> str:
    v4 = ("10.244.1.2", "10.244.1.3", "10.244.2.2")
    v6 = ("fd00:10:244:1::2", "fd00:10:244:1::3", "fd00:10:244:2::2")
    return (v4 if family is V4 else v6)[which]


def cluster_ip(family: Family, number: int) -> str:
    return f"10.96.0.{number}" if family is V4 else f"fd00:10:96::{number:x}"


def external(family: Family, number: int) -> str:
    return f"203.0.113.{number}" if family is V4 else f"fd00:113::{number:x}"


def node_address(family: Family) -> str:
    return "192.0.2.1" if family is V4 else "2001:db8::1"


def client(family: Family, number: int = 100) -> str:
    return f"192.0.2.{number}" if family is V4 else f"2001:db8::{number}"


def node_rules(family: Family, **other: object) -> NodeRules:
    """The pods of the whole cluster are pods; every address of the node takes node ports."""
    settings: dict[str, object] = {
        "detector": LocalDetector("CIDR", network("10.244.0.0/16" if family is V4 else "fd00:10:244::/48")),
        "service_cidrs": (network("10.96.0.0/12" if family is V4 else "fd00:10:96::/112"),),
    }
    return NodeRules(family, **{**settings, **other})  # type: ignore[arg-type]


def backends(family: Family, which: Iterable[int], port: int = 8080) -> tuple[Backend, ...]:
    return tuple(Backend(packed(pod(family, each)), port) for each in which)


def entry(
    way: FrontendKind, address: str, port: int, paths: tuple[Path, ...], sources: tuple[Network, ...] | None = None
) -> Entry:
    return Entry(Frontend(way, packed(address) if address else b"", port), paths, sources)


def port_rules(
    name: str,
    entries: Iterable[Entry],
    cluster: tuple[Backend, ...] = (),
    local: tuple[Backend, ...] = (),
    affinity: int = 0,
    port: str = "http",
    protocol: Protocol = "TCP",
) -> ServicePortRules:
    return ServicePortRules(ServicePortName("shop", name, port, protocol), tuple(entries), cluster, local, affinity)


def rule_set(node: NodeRules, ports: Iterable[ServicePortRules]) -> RuleSet:
    return RuleSet(node, {port.name: port for port in ports})


KINDS = (
    "plain", "alone", "empty", "local", "elsewhere", "inner", "inner-none", "sticky", "sticky-local", "ranges",
    "ranges-empty",
)  # fmt: skip
"""What a Service of the plan can be; the address plan gives the n-th of them number n."""


def of_kind(family: Family, kind: str, number: int, name: str = "") -> ServicePortRules:
    """A service port with every frontend that its kind may have, at addresses and a node port of this number."""
    three, here = backends(family, (POD_A, POD_B, POD_C)), backends(family, (POD_A,))
    ranges = (network(f"{client(family)}/{32 if family is V4 else 128}"),)
    inside, outside, cluster, local = {
        "plain": (CLUSTER_IP, OUTSIDE, three, ()),
        "alone": (CLUSTER_IP, OUTSIDE, here, ()),
        "empty": (REJECT, REJECT, (), ()),
        "local": (CLUSTER_IP, OUTSIDE_LOCAL, three, here),
        "elsewhere": (CLUSTER_IP, OUTSIDE_LOCAL_NONE, backends(family, (POD_C,)), ()),
        "inner": (CLUSTER_IP_LOCAL, (), (), here),
        "inner-none": (DROP, (), (), ()),
        "sticky": (CLUSTER_IP, OUTSIDE, three, ()),
        "sticky-local": (CLUSTER_IP, OUTSIDE_LOCAL, three, here),
        "ranges": (CLUSTER_IP, OUTSIDE, three, ()),
        "ranges-empty": (REJECT, REJECT, (), ()),
    }[kind]
    entries = [entry("cluster IP", cluster_ip(family, number), 80, inside)]
    if outside:
        sources = ranges if kind.startswith("ranges") else None
        entries += [
            entry("external IP", external(family, number), 80, outside),
            entry("load balancer IP", external(family, number + 100), 80, outside, sources),
            entry("node port", "", 30000 + number, outside),
        ]
    affinity = {"sticky": 3600, "sticky-local": 60}.get(kind, 0)
    return port_rules(name or kind, entries, cluster, local, affinity)


def rich(family: Family) -> list[ServicePortRules]:
    """One of each kind, numbered from 1, and UDP and SCTP ports beside the first."""
    every = [of_kind(family, kind, number) for number, kind in enumerate(KINDS, 1)]
    dns = [entry("cluster IP", cluster_ip(family, 1), 53, CLUSTER_IP)]
    sctp = [entry("cluster IP", cluster_ip(family, 1), 132, CLUSTER_IP), entry("node port", "", 30132, OUTSIDE_LOCAL)]
    return [
        *every,
        port_rules("plain", dns, every[0].cluster, port="dns", protocol="UDP"),
        port_rules("plain", sctp, every[0].cluster, every[0].cluster[:1], port="sctp", protocol="SCTP"),
    ]


def many(family: Family, services: int, endpoints: int = 10) -> dict[ServicePortName, ServicePortRules]:
    """A large cluster: every endpoint has an address of its own."""
    v4 = family is V4
    services_at = int(ip_address("10.96.0.0" if v4 else "fd00:10:96::"))
    pods_at = int(ip_address("10.128.0.0" if v4 else "fd00:10:244::"))

    def at(number: int) -> bytes:
        return number.to_bytes(4 if v4 else 16, "big")

    found = {}
    for number in range(services):
        first = pods_at + number * endpoints
        name = ServicePortName(f"ns{number % 100}", f"service{number}", "http", "TCP")
        entries = (Entry(Frontend("cluster IP", at(services_at + number), 80), CLUSTER_IP),)
        found[name] = ServicePortRules(
            name, entries, tuple(Backend(at(first + each), 8080) for each in range(endpoints))
        )
    return found


def texts(elements: ElementsOf) -> dict[tuple[str, str], str]:
    """Elements as nft lists them: by container and key, the comment and the value."""
    found = {}
    for container, some in elements.items():
        for key, octets in some.items():
            name = key_text(container, key)
            found[container, name] = element_text(container, octets).removeprefix(name)
    return found
