"""What the operator and the Node decide, worked out for one address family. Pure.

::

    ProxySettings ─┐
    our Node ──────┼──> Policy (how pods are recognised, where node ports are)
    ServiceCIDRs ──┤
    interfaces ────┘
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from kdns.base.objects import Network, Node
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.proxy.model import LOOPBACK, Family, LocalDetector, NodeRules
from kdns.proxy.rules import Policy

LOCALHOST: Final = {Family.IPV4: ip_address("127.0.0.1").packed, Family.IPV6: ip_address("::1").packed}


def node_policy(
    settings: ProxySettings,
    family: Family,
    node: Node | None,
    node_name: str,
    interfaces: Iterable[bytes],
    service_cidrs: Iterable[Network] = (),
    *,
    liberal: bool = False,
    other_nodes: Iterable[bytes] = (),
) -> Policy:
    """The policy of one family; ``node`` is None while, or if, the cluster has no such Node.

    ``interfaces``: every address of this machine. ``liberal``: connection tracking calls no packet out of window
    INVALID (nf_conntrack_tcp_be_liberal), so none need be dropped for that. ``other_nodes``: their addresses, where
    the mode asks for them.
    """
    primary = primary_address(settings, family, node)
    localhost = takes_localhost(settings, family)
    addresses = node_port_addresses(settings, family, primary, interfaces, localhost=localhost)
    rules = NodeRules(
        family,
        1 << settings.masquerade_bit,
        detector(settings, family, node),
        settings.masquerade_all,
        addresses,
        localhost,
        tuple(sorted(cidr for cidr in service_cidrs if len(cidr.address) == family.width)),
        not (liberal or settings.conntrack.tcp_be_liberal),
        frozenset(address for address in other_nodes if len(address) == family.width),
    )
    zone = node.zone if node is not None else ""
    return Policy(rules, node_name, zone, primary or LOCALHOST[family], settings.external_ips)


def primary_address(settings: ProxySettings, family: Family, node: Node | None) -> bytes | None:
    """The node's address: bindAddress unless that is unspecified, else what the Node says; None: none of the family."""
    bound = ip_address(settings.bind_address)
    if not bound.is_unspecified and len(bound.packed) == family.width:
        return bound.packed
    return next((address for address in (node.addresses if node else ()) if len(address) == family.width), None)


def detector(settings: ProxySettings, family: Family, node: Node | None) -> LocalDetector | None:
    """How pods are recognised; None: not at all, since what the mode needs is not there for this family."""
    match settings.detect_local_mode:
        case "BridgeInterface":
            return LocalDetector("bridge", interface=settings.detect_local.bridge_interface)
        case "InterfaceNamePrefix":
            return LocalDetector("prefix", interface=settings.detect_local.interface_name_prefix)
        case "ClusterCIDR":
            cidr = settings.cluster_cidr(family.width)
            return LocalDetector("CIDR", cidr) if cidr is not None else None
        case "NodeCIDR":
            cidrs = node.pod_cidrs if node is not None else ()
            network = next((candidate for candidate in cidrs if len(candidate.address) == family.width), None)
            return LocalDetector("CIDR", network) if network is not None else None


def node_port_addresses(
    settings: ProxySettings,
    family: Family,
    primary: bytes | None,
    interfaces: Iterable[bytes],
    *,
    localhost: bool = False,
) -> tuple[bytes, ...] | None:
    """Where node ports are, on loopback only if `localhost`; None: on every address."""
    chosen = settings.node_port_addresses
    if chosen.everywhere(family.width):
        return None
    networks = (*chosen.of_family(family.width), *((LOOPBACK[family],) if chosen.localhost else ()))
    addresses = {address for address in interfaces if any(address in network for network in networks)}
    if chosen.primary and primary is not None:
        addresses.add(primary)
    return tuple(sorted(address for address in addresses if localhost or address not in LOOPBACK[family]))


def takes_localhost(settings: ProxySettings, family: Family) -> bool:
    """127/8 takes node ports: kube-proxy's iptables mode alone, and not for ::1."""
    if settings.mode != "iptables" or family is not Family.IPV4 or not settings.iptables.localhost_node_ports:
        return False
    chosen = settings.node_port_addresses
    if chosen.localhost or chosen.everywhere(family.width):
        return True
    return any(LOCALHOST[family] in network for network in chosen.of_family(family.width))
