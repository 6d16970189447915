"""THE policy: service ports and their endpoints -> rules. Everything is decided here, once, for all three modes. Pure.

::

                      no endpoint anywhere    policy Local, none here    otherwise
    cluster IP        reject                  drop                       to its set; masqueraded unless from a pod
    from outside,
      Cluster         reject                  -                          to the cluster set, always masqueraded
      Local           reject                  pod, host: cluster set     pod, host: cluster set; others: local set,
                                              others: drop               with their own address

"From outside" is what comes to an external IP, a load balancer IP or a node port, wherever it comes from. With policy
Local, pods and the node itself may go the short way to every endpoint, as they would without a load balancer.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.base.objects import UNKNOWN_AGE, Age, Network, ServiceView, address_text
from kdns.proxy.endpoints import endpoints
from kdns.proxy.left_out import LeftOut, listed
from kdns.proxy.model import (
    Backend,
    Endpoint,
    Entry,
    Frontend,
    Masquerade,
    NodeRules,
    Path,
    RuleSet,
    ServicePortName,
    ServicePortRules,
)
from kdns.proxy.service_ports import ServicePort, service_ports
from kdns.proxy.topology import Sets, choose

FIRST: Final = (("default", "kubernetes"), ("kube-system", "kube-dns"))
"""Namespaces and names of the Services that are written before all others: without them nothing else gets going."""
REJECT: Final = (Path("any", "reject"),)


class Policy(Struct, frozen=True):
    """What the operator and the node decide, for one address family."""

    node: NodeRules
    node_name: str = ""
    zone: str = ""
    """The node's label topology.kubernetes.io/zone."""
    node_address: bytes | None = None
    """The node's primary address of the family; only source ranges ask for it."""
    external_ips: bool = True
    """False: spec.externalIPs are not programmed (CVE-2020-8554)."""


class ServiceRules(NamedTuple):
    """What a Service comes to."""

    ports: tuple[ServicePortRules, ...]
    left_out: tuple[LeftOut, ...] = ()
    udp: Mapping[ServicePortName, frozenset[bytes]] = {}
    """Addresses that may go on with UDP flows they have, by service port: endpoints that serve, ready or not."""
    local_ready: int = 0
    """Different addresses of ready endpoints on this node, for the health-check node port."""
    age: Age = UNKNOWN_AGE
    """Of the Service: the older one keeps a frontend that several claim."""


def service_rules(view: ServiceView | None, policy: Policy) -> ServiceRules:
    """The rules of all service ports of one Service."""
    if view is None or view.service is None:
        return ServiceRules(())
    exposed, left_out = service_ports(view.service, policy.node.family, external_ips=policy.external_ips)
    if not exposed:
        return ServiceRules((), left_out)
    by_port, reserved = endpoints(view.slices, policy.node.family, policy.node_name)
    if reserved:
        left_out = (*left_out, _reserved_endpoints(reserved))
    ports, udp = [], {}
    for port in exposed:
        targets = by_port.get((port.name.port, port.name.protocol), ())
        ports.append(port_rules(port, targets, policy))
        if port.name.protocol == "UDP":
            udp[port.name] = frozenset(target.backend.address for target in targets if target.ready or target.serving)
    ready = {
        endpoint.backend.address
        for targets in by_port.values()
        for endpoint in targets
        if endpoint.local and endpoint.ready
    }
    return ServiceRules(tuple(ports), left_out, udp, len(ready), view.service.age)


def _reserved_endpoints(reserved: Mapping[bytes, str]) -> LeftOut:
    texts = [f"{address_text(address)} ({reason})" for address, reason in sorted(reserved.items())]
    message = f"endpoints {listed(texts)} left out: reserved addresses"
    return LeftOut("EndpointsLeftOut", message, tuple(sorted(reserved)))


def port_rules(port: ServicePort, targets: Sequence[Endpoint], policy: Policy) -> ServicePortRules:
    """The rules of one service port."""
    outside = port.externally_reachable
    external_local = port.external_local and outside
    sets = choose(
        targets,
        cluster=not port.internal_local or outside,
        local=port.internal_local or external_local,
        node=policy.node_name,
        zone=policy.zone,
    )
    return ServicePortRules(
        port.name,
        tuple(_entries(port, sets, policy)),
        _backends(sets.cluster),
        _backends(sets.local),
        port.affinity,
        external_local,
        port.internal_local,
        port.health_check_node_port,
    )


def _backends(chosen: Iterable[Endpoint]) -> tuple[Backend, ...]:
    return tuple(endpoint.backend for endpoint in chosen)


def _entries(port: ServicePort, sets: Sets, policy: Policy) -> Iterable[Entry]:
    taken: set[bytes] = set()

    def fresh(addresses: Iterable[bytes]) -> Iterable[bytes]:
        """An address that is two things at once is the first of them."""
        for address in addresses:
            if address not in taken:
                taken.add(address)
                yield address

    if port.cluster_ip is not None:
        inside = _internal(port, sets, policy.node)
        yield from (
            Entry(Frontend("cluster IP", cluster_ip, port.port), inside) for cluster_ip in fresh((port.cluster_ip,))
        )
    outside = _external(port, sets, policy.node)
    balancers = dict.fromkeys(port.load_balancer_ips)
    for address in fresh(
        external for external in port.external_ips if external not in balancers
    ):  # or ranges would have a way around
        yield Entry(Frontend("external IP", address, port.port), outside)
    sources = allowed(port, policy.node_address)
    for address in fresh(balancers):
        yield Entry(Frontend("load balancer IP", address, port.port), outside, sources)
    if port.node_port:
        yield Entry(Frontend("node port", b"", port.node_port), outside)


def _internal(port: ServicePort, sets: Sets, node: NodeRules) -> tuple[Path, ...]:
    if not sets.somewhere:
        return REJECT
    masquerade: Masquerade = "always" if node.masquerade_all else "not pod" if node.detector else "never"
    if not port.internal_local:
        return (Path("any", "cluster", masquerade),)
    return (Path("any", "local", masquerade),) if sets.local else (Path("any", "drop"),)


def _external(port: ServicePort, sets: Sets, node: NodeRules) -> tuple[Path, ...]:
    if not sets.somewhere:
        return REJECT
    if not port.external_local:
        return (Path("any", "cluster", "always"),)
    pods = (Path("pod", "cluster"),) if node.detector else ()
    return (*pods, Path("host", "cluster", "always"), Path("any", "local") if sets.local else Path("any", "drop"))


def allowed(port: ServicePort, node_address: bytes | None) -> tuple[Network, ...] | None:
    """Who may come to the load balancer IPs; None: everyone; empty: no one.

    If the ranges let the node in, they let in the load balancer's addresses too: where a load balancer is on the node
    itself, that is the source its traffic has.
    """
    if port.source_ranges is None:
        return None
    if node_address is None or not any(node_address in network for network in port.source_ranges):
        return port.source_ranges
    own = tuple(Network(address, len(address) * 8) for address in port.load_balancer_ips)
    return (*port.source_ranges, *(network for network in own if network not in port.source_ranges))


def urgency(name: ServicePortName) -> tuple[int, ServicePortName]:
    """In this order service ports are written."""
    pair = (name.namespace, name.name)
    return (FIRST.index(pair) if pair in FIRST else len(FIRST)), name


def rule_set(ports: Iterable[ServicePortRules], node: NodeRules) -> RuleSet:
    """All of them in the order in which they should be written."""
    named = {rules.name: rules for rules in ports}
    ordered = sorted(named)
    first = sorted((name for name in ordered if (name.namespace, name.name) in FIRST), key=urgency)
    return RuleSet(node, {name: named[name] for name in (*first, *ordered)})
