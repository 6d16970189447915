"""Service -> service ports: what there is to reach, for one address family. Pure.

Source of the rules: the Service API (core/v1) as kube-proxy reads it; see docs/coming-from-kube-proxy.md.
"""

from collections.abc import Iterable, Iterator
from typing import Final, cast

from msgspec import Struct

from kdns.base.objects import Network, Routing, Service, address_text
from kdns.proxy.left_out import LeftOut, listed
from kdns.proxy.model import Family, Protocol, ServicePortName
from kdns.proxy.reserved import reserved

PROTOCOLS: Final = frozenset({"TCP", "UDP", "SCTP"})


class ServicePort(Struct, frozen=True):
    """One service port in one address family."""

    name: ServicePortName
    port: int
    cluster_ip: bytes | None
    """None: the one it has is left out."""
    node_port: int = 0
    external_ips: tuple[bytes, ...] = ()
    load_balancer_ips: tuple[bytes, ...] = ()
    source_ranges: tuple[Network, ...] | None = None
    """Of this family: who may use the load balancer IPs. None: everyone; empty: no one."""
    external_local: bool = False
    internal_local: bool = False
    affinity: int = 0
    health_check_node_port: int = 0

    @property
    def externally_reachable(self) -> bool:
        """There is a way in beside the cluster IP."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)


def service_ports(
    service: Service, family: Family, *, external_ips: bool = True
) -> tuple[tuple[ServicePort, ...], tuple[LeftOut, ...]]:
    """The service ports of a Service in one family, and what of it is left out.

    None at all for a Service that is headless, is of type ExternalName, has no cluster IP of the family, or belongs to
    another proxy. ``external_ips``: False leaves spec.externalIPs out (CVE-2020-8554).
    """
    routing = service.routing
    cluster_ip = next((address for address in service.cluster_ips if len(address) == family.width), None)
    if routing is None or service.headless or service.external_name is not None or routing.elsewhere:
        return (), ()
    if cluster_ip is None:
        return (), ()
    left_out: list[LeftOut] = []
    kept_cluster_ip = next(iter(_usable("cluster IP", (cluster_ip,), family, left_out)), None)
    external = tuple(_usable("external IP", routing.external_ips, family, left_out))
    if external and not external_ips:
        texts = ", ".join(map(address_text, external))
        left_out.append(
            LeftOut("ExternalIPsSwitchedOff", f"external IPs {texts} left out: they are switched off here", external)
        )
        external = ()
    balancers = tuple(_usable("load balancer IP", routing.load_balancer_ips, family, left_out))
    ranges = _source_ranges(routing, family, left_out)
    external_local = routing.external_local and (routing.type != "ClusterIP" or bool(routing.external_ips))
    ports = []
    for port in service.ports:
        if port.protocol not in PROTOCOLS:
            left_out.append(LeftOut("UnknownProtocol", f"port {port.port} left out: protocol {port.protocol[:20]!a}"))
            continue
        ports.append(
            ServicePort(
                ServicePortName(service.key.namespace, service.key.name, port.name, cast(Protocol, port.protocol)),
                port.port,
                kept_cluster_ip,
                port.node_port,
                external,
                balancers,
                ranges,
                external_local,
                routing.internal_local,
                routing.affinity,
                _health_check(routing) if external_local else 0,
            )
        )
    return tuple(ports), tuple(left_out)


def _source_ranges(routing: Routing, family: Family, left_out: list[LeftOut]) -> tuple[Network, ...] | None:
    """Ranges of the other family alone are no limit, as in kube-proxy; a range that cannot be read never opens."""
    ranges = tuple(network for network in routing.source_ranges if len(network.address) == family.width)
    if routing.unreadable_ranges:
        closed = "" if ranges else f"; no client may use its {family.value} load balancer IPs"
        texts = listed(routing.unreadable_ranges)
        left_out.append(LeftOut("SourceRangesLeftOut", f"source ranges {texts} left out: not readable{closed}"))
    return ranges if ranges or routing.unreadable_ranges else None


def _health_check(routing: Routing) -> int:
    return routing.health_check_node_port if routing.type == "LoadBalancer" else 0


def _usable(way: str, addresses: Iterable[bytes], family: Family, left_out: list[LeftOut]) -> Iterator[bytes]:
    """Those of the family, each once, without reserved ones."""
    for address in dict.fromkeys(addresses):
        if len(address) != family.width:
            continue
        reason = reserved(address)
        if reason is None:
            yield address
        else:
            text = f"{way} {address_text(address)} left out: it is {reason}"
            left_out.append(LeftOut("AddressLeftOut", text, (address,)))
