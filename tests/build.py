"""One line per object: `view`, `slice_`, `namespace`, `pod` make what `kdns.base.objects` holds, packed as it is there.

For the proxy: `proxied` and `states_slice`.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Literal, NamedTuple

from msgspec.structs import replace

from kdns.base.objects import (
    READY,
    SERVING,
    EndpointPort,
    EndpointSlice,
    EndpointStates,
    Kind,
    Namespace,
    NamespaceChange,
    Network,
    Node,
    ObjectKey,
    Outside,
    Pod,
    PodChange,
    Routing,
    Service,
    ServiceChange,
    ServiceCIDR,
    ServicePort,
    ServiceView,
)


class Endpoint(NamedTuple):
    """One ready address of a slice."""

    address: str
    hostname: str = ""
    pod: str = ""
    zone: str = ""


def tcp(port: int, name: str = "", node_port: int = 0) -> ServicePort:
    """A TCP port."""
    return ServicePort(name, "TCP", port, node_port)


def udp(port: int, name: str = "", node_port: int = 0) -> ServicePort:
    """A UDP port."""
    return ServicePort(name, "UDP", port, node_port)


def sctp(port: int, name: str = "", node_port: int = 0) -> ServicePort:
    """An SCTP port."""
    return ServicePort(name, "SCTP", port, node_port)


def key(kind: Kind, path: str) -> ObjectKey:
    """The key of ``namespace/name``, or of ``name`` for kinds without a namespace."""
    space, _, name = path.rpartition("/")
    return ObjectKey(kind, space, name)


def packed(address: str) -> bytes:
    """4 or 16 octets."""
    return ip_address(address).packed


def network(text: str) -> Network:
    """``10.244.0.0/16``"""
    found = ip_network(text)
    return Network(found.network_address.packed, found.prefixlen)


def node(
    name: str, addresses: Iterable[str] = (), *, zone: str = "", pod_cidrs: Iterable[str] = (), eligible: bool = True
) -> Node:
    """A Node with its addresses, InternalIPs first."""
    return Node(key("Node", name), tuple(map(packed, addresses)), zone, tuple(map(network, pod_cidrs)), eligible)


def service_cidr(name: str, *cidrs: str) -> ServiceCIDR:
    """A ServiceCIDR with its ranges."""
    return ServiceCIDR(key("ServiceCIDR", name), tuple(map(network, cidrs)))


def namespace(name: str) -> Namespace:
    """A Namespace that exists."""
    return Namespace(key("Namespace", name))


def pod(path: str, address: str) -> Pod:
    """A Pod with its status.podIP."""
    return Pod(key("Pod", path), address)


def service(
    path: str,
    ips: Sequence[str] = (),
    ports: Iterable[ServicePort] = (),
    *,
    external: str | None = None,
    outside: Sequence[str] = (),
) -> Service:
    """A Service; ``ips=("None",)`` is headless, ``external`` is type ExternalName, ``outside`` external addresses."""
    headless = tuple(ips) == ("None",)
    addresses = () if headless else tuple(map(packed, ips))
    reached = Outside(
        tuple(packed(text) for text in outside if _is_address(text)),
        tuple(text for text in outside if not _is_address(text)),
    )
    return Service(key("Service", path), addresses, headless, external, tuple(ports), reached)


def service_import(path: str, ips: Sequence[str] = (), ports: Iterable[ServicePort] = ()) -> Service:
    """A ServiceImport; ``ips=("None",)`` is headless."""
    return replace(service(path, ips, ports), key=key("ServiceImport", path))


def imported(
    path: str,
    ips: Sequence[str] = (),
    ports: Iterable[ServicePort] = (),
    clusters: Mapping[str, Iterable[str | Endpoint]] | None = None,
    *,
    target_ports: Iterable[ServicePort] | None = None,
) -> ServiceView:
    """A ServiceImport with the slices of each cluster."""
    ports = tuple(ports)
    name = path.rpartition("/")[2]
    own = tuple(
        replace(
            part, key=part.key._replace(name=f"{part.key.name}-{cluster}"), service="", imported=name, cluster=cluster
        )
        for cluster, endpoints in (clusters or {}).items()
        for part in slices(path, endpoints, ports if target_ports is None else target_ports)
    )
    return ServiceView(service_import(path, ips, ports), tuple(sorted(own, key=lambda one: one.key)))


def _is_address(text: str) -> bool:
    return text[0].isdigit() or ":" in text


def slice_(
    path: str,
    service: str,
    endpoints: Iterable[str | Endpoint],
    ports: Iterable[ServicePort] = (),
) -> EndpointSlice:
    """A slice of ready endpoints of one family; a bare text is an endpoint with nothing but its address."""
    rows = [Endpoint(row) if isinstance(row, str) else row for row in endpoints]
    addresses = [packed(row.address) for row in rows]
    width = len(addresses[0]) if addresses else 4
    assert all(len(address) == width for address in addresses), f"{path} mixes address families"
    canonical = all(str(ip_address(row.address)) == row.address for row in rows)
    return EndpointSlice(
        key("EndpointSlice", path),
        service,
        width,
        b"".join(addresses),
        tuple(EndpointPort(port.name, port.protocol, port.port) for port in ports),
        tuple(row.hostname.lower() for row in rows) if any(row.hostname for row in rows) else (),
        tuple(row.pod.lower() for row in rows) if any(row.pod for row in rows) else (),
        () if canonical else tuple(row.address for row in rows),
        tuple(row.zone for row in rows) if any(row.zone for row in rows) else (),
    )


def slices(
    path: str, endpoints: Iterable[str | Endpoint], ports: Iterable[ServicePort] = ()
) -> tuple[EndpointSlice, ...]:
    """The slices a controller would write for one Service: one for each address family in use."""
    _, _, name = path.rpartition("/")
    families: dict[int, list[Endpoint]] = {4: [], 6: []}
    for row in endpoints:
        endpoint = Endpoint(row) if isinstance(row, str) else row
        families[ip_address(endpoint.address).version].append(endpoint)
    ports = tuple(ports)
    return tuple(slice_(f"{path}-v{family}", name, rows, ports) for family, rows in families.items() if rows)


def view(
    path: str,
    ips: Sequence[str] = (),
    ports: Iterable[ServicePort] = (),
    endpoints: Iterable[str | Endpoint] = (),
    *,
    external: str | None = None,
    target_ports: Iterable[ServicePort] | None = None,
    more: Iterable[EndpointSlice] = (),
    outside: Sequence[str] = (),
) -> ServiceView:
    """A Service with its slices; ``target_ports`` are the slices' when they differ, ``more`` are further slices."""
    ports = tuple(ports)
    own = slices(path, endpoints, ports if target_ports is None else target_ports)
    joined = sorted((*own, *more), key=lambda one: one.key)
    return ServiceView(service(path, ips, ports, external=external, outside=outside), tuple(joined))


Policy = Literal["Cluster", "Local"]


def proxied(
    path: str,
    ips: Sequence[str] = (),
    ports: Iterable[ServicePort] = (),
    *,
    type: Literal["", "ClusterIP", "NodePort", "LoadBalancer"] = "",  # noqa: A002 - as the API calls it
    external_ips: Iterable[str] = (),
    lb: Iterable[str] = (),
    ranges: Iterable[str] = (),
    etp: Policy = "Cluster",
    itp: Policy = "Cluster",
    affinity: int = 0,
    health: int = 0,
    elsewhere: bool = False,
    unreadable: Iterable[str] = (),
) -> Service:
    """A Service as the proxy keeps it; ``tcp(80, "http", 30080)`` has a node port.

    Without `type` it is the least that has what is asked for. `lb`: load balancer IPs; `etp`, `itp`: traffic policies;
    `affinity`: seconds; `health`: the healthCheckNodePort; `unreadable`: source
    ranges that are not ranges.
    """
    ports, balancers = tuple(ports), tuple(map(packed, lb))
    least = (
        "LoadBalancer" if balancers or health else "NodePort" if any(port.node_port for port in ports) else "ClusterIP"
    )
    routing = Routing(
        type or least,
        tuple(map(packed, external_ips)),
        balancers,
        tuple(map(network, ranges)),
        etp == "Local",
        itp == "Local",
        affinity,
        health,
        elsewhere,
        tuple(unreadable),
    )
    headless = tuple(ips) == ("None",)
    addresses = () if headless else tuple(map(packed, ips))
    return Service(key("Service", path), addresses, headless, None, ports, routing=routing)


class State(NamedTuple):
    """One endpoint of a slice in any condition: READY, SERVING and TERMINATING, added."""

    address: str
    node: str = ""
    conditions: int = READY | SERVING
    zones: tuple[str, ...] = ()
    """hints.forZones"""
    nodes: tuple[str, ...] = ()
    """hints.forNodes"""


def states_slice(
    path: str,
    rows: Iterable[str | tuple[str, str] | tuple[str, str, int] | State],
    ports: Iterable[ServicePort] = (),
    *,
    service: str | None = None,
    family: Literal[4, 6] | None = None,
) -> EndpointSlice:
    """A slice as the proxy keeps it: endpoints with their nodes and conditions, of one family.

    ``states_slice("shop/web", (("10.244.0.5", "node1"), ("10.244.1.5", "node2", SERVING | TERMINATING)), (tcp(80),))``.
    It belongs to the Service of its name, unless `service` says another. `family` need only be said without rows.
    """
    states = [State(row) if isinstance(row, str) else State(*row) for row in rows]
    addresses = [packed(state.address) for state in states]
    width = len(addresses[0]) if addresses else 16 if family == 6 else 4
    assert all(len(address) == width for address in addresses), f"{path} mixes address families"
    return EndpointSlice(
        key("EndpointSlice", path),
        path.rpartition("/")[2] if service is None else service,
        width,
        ports=tuple(EndpointPort(port.name, port.protocol, port.port) for port in ports),
        states=EndpointStates(
            b"".join(addresses),
            bytes(state.conditions for state in states),
            tuple(state.node for state in states),
            tuple(state.zones for state in states) if any(state.zones for state in states) else (),
            tuple(state.nodes for state in states) if any(state.nodes for state in states) else (),
        ),
    )


def orphan(*slices: EndpointSlice) -> ServiceView:
    """What is left of a Service that is gone while its slices are not."""
    return ServiceView(None, slices)


def view_key(view: ServiceView) -> ObjectKey:
    """The key of the Service that a view is of, there or not."""
    if view.service is not None:
        return view.service.key
    if view.slices[0].imported:
        return ObjectKey("ServiceImport", view.slices[0].key.namespace, view.slices[0].imported)
    return ObjectKey("Service", view.slices[0].key.namespace, view.slices[0].service)


Thing = ServiceView | Namespace | Pod
"""What a change brings or takes away."""


def change(before: Thing | None, after: Thing | None) -> ServiceChange | NamespaceChange | PodChange:
    """The change from one state of an object to another; None: it is not there."""
    match before, after:
        case (None | ServiceView(), None | ServiceView()):
            known = after or before
            assert known is not None, "nothing became of nothing"
            return ServiceChange(view_key(known), before, after)
        case (None | Namespace(), None | Namespace()):
            space = after or before
            assert space is not None
            return NamespaceChange(space.key, before, after)
        case (None | Pod(), None | Pod()):
            one = after or before
            assert one is not None
            return PodChange(one.key, before, after)
    raise AssertionError(f"{before} cannot become {after}")
