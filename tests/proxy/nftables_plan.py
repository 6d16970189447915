"""Rule sets for the tests of nftables mode, written by hand, in both families.

::

    node 192.0.2.1            pods here 10.244.1.2 (a) and .3 (b), pod elsewhere 10.244.2.2 (c)
    node 2001:db8::1          pods here fd00:10:244:1::2, ::3, elsewhere fd00:10:244:2::2
    outside                   192.0.2.100 and 192.0.2.200, 2001:db8::100 and ::200
    external addresses        203.0.113.N, fd00:113::N
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from kdns.objects import Network
from kdns.proxy.model import (
    Backend,
    Entry,
    Family,
    Frontend,
    LocalDetector,
    NodeRules,
    Path,
    Protocol,
    RuleSet,
    ServicePortName,
    ServicePortRules,
    Way,
)

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
    way: Way, address: str, port: int, paths: tuple[Path, ...], sources: tuple[Network, ...] | None = None
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


def rich(family: Family) -> dict[str, ServicePortRules]:
    """One of each, by Service name."""
    three, here = backends(family, (POD_A, POD_B, POD_C)), backends(family, (POD_A,))
    far = backends(family, (POD_C,))

    def outside(number: int, paths: tuple[Path, ...], *ranges: str) -> list[Entry]:
        sources = tuple(map(network, ranges)) or None
        return [
            entry("external IP", external(family, number), 80, paths),
            entry("load balancer IP", external(family, number + 100), 80, paths, sources),
            entry("node port", "", 30000 + number, paths),
        ]

    def inside(number: int, paths: tuple[Path, ...] = CLUSTER_IP) -> Entry:
        return entry("cluster IP", cluster_ip(family, number), 80, paths)

    only = f"{client(family)}/{32 if family is V4 else 128}"
    every = [
        port_rules("plain", [inside(1), *outside(1, OUTSIDE)], three),
        port_rules(
            "plain", [entry("cluster IP", cluster_ip(family, 1), 53, CLUSTER_IP)], three, port="dns", protocol="UDP"
        ),
        port_rules("alone", [inside(2), *outside(2, OUTSIDE)], here),
        port_rules("empty", [inside(3, REJECT), *outside(3, REJECT)]),
        port_rules("local", [inside(4), *outside(4, OUTSIDE_LOCAL)], three, here),
        port_rules("elsewhere", [inside(5), *outside(5, OUTSIDE_LOCAL_NONE)], far),
        port_rules("inner", [inside(6, CLUSTER_IP_LOCAL)], (), here),
        port_rules("inner-none", [inside(7, DROP)]),
        port_rules("sticky", [inside(8), *outside(8, OUTSIDE)], three, affinity=3600),
        port_rules("sticky-local", [inside(9), *outside(9, OUTSIDE_LOCAL)], three, here, affinity=60),
        port_rules("ranges", [inside(10), *outside(10, OUTSIDE, only)], three),
        port_rules("ranges-empty", [inside(11, REJECT), *outside(11, REJECT, only)]),
    ]
    return {f"{port.name.name}{'-dns' * (port.name.port == 'dns')}": port for port in every}
