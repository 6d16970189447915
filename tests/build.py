"""One line per object: `view`, `slice_`, `namespace`, `pod` make what `kdns.objects` holds, packed as it is there."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from msgspec.structs import replace

from kdns.objects import (
    EndpointPort,
    EndpointSlice,
    Kind,
    Namespace,
    NamespaceChange,
    ObjectKey,
    Outside,
    Pod,
    PodChange,
    Service,
    ServiceChange,
    ServicePort,
    ServiceView,
)


class Endpoint(NamedTuple):
    """One ready address of a slice."""

    address: str
    hostname: str = ""
    pod: str = ""
    zone: str = ""


def tcp(port: int, name: str = "") -> ServicePort:
    """A TCP port."""
    return ServicePort(name, "TCP", port)


def udp(port: int, name: str = "") -> ServicePort:
    """A UDP port."""
    return ServicePort(name, "UDP", port)


def key(kind: Kind, path: str) -> ObjectKey:
    """The key of ``namespace/name``, or of ``name`` for kinds without a namespace."""
    space, _, name = path.rpartition("/")
    return ObjectKey(kind, space, name)


def packed(address: str) -> bytes:
    """4 or 16 octets."""
    return ip_address(address).packed


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
