"""The names of one Service: its own, its ports', its endpoints'.

Kubernetes DNS specification 1.1.0: cluster IP (2.3), headless (2.4), ExternalName (2.5). Labels left of the Service's
name are an endpoint (one label), or a port and a protocol (two), read as CoreDNS reads them: underscores optional,
a lone underscore matches anything. With the option `zonal`, ``TOPOZONE.pin._zone`` are a headless Service's endpoints
in that zone.

SRV records are CoreDNS's, too: at the own name of a Service or an endpoint there is one for each port, whether the port
has a name or not. The weight is 100 divided by the pairs of port and address that match, at least 1; what has no ports
counts as having one, which gets no record.

A ServiceImport is a Service of several clusters (KEP-1645): with addresses of its own, or headless. Its endpoints have
their cluster's label too, ``ENDPOINT.CLUSTER``; of two labels the one with an underscore makes them port and protocol.

RRsets are made for the type that is asked for only: a headless Service of five thousand endpoints must not pay for
five thousand SRV records to answer an A question.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Final

from kdns.base.addresses import is_address
from kdns.base.objects import EndpointPort, EndpointSlice, Service, ServicePort, ServiceView
from kdns.records.endpoint import endpoint_labels, row_addresses, rows, rows_named
from kdns.records.reasons import SCHEMA, Missing, Reason
from kdns.records.rrset import Node, RRset, address_rrsets, rrsets_of, srv_rdata
from kdns.records.schema import Schema
from kdns.records.zonal import ANCHOR, PIN, PREFER, chosen
from kdns.wire.name import MAX_NAME, ROOT, leading_labels, parse_name
from kdns.wire.numbers import AAAA, CNAME, SRV, A
from kdns.wire.query import TCP_LIMIT

ALL: Final = None
"""Instead of a type: every RRset of the name."""
PART: Final = 200
"""Records of a large RRset that `streamed_rrsets` gives at a time: about a millisecond of work."""
SRV_RECORD: Final = 18
"""Octets of an SRV record besides its target: a pointer to its owner, type, class, TTL, length, and three numbers."""

RowPort = tuple[EndpointSlice, int, EndpointPort]
"""A row of a slice, and one of its ports."""


def service_node(
    view: ServiceView, owner: bytes, left: Sequence[bytes], schema: Schema, rtype: int | None = ALL
) -> Node | Missing:
    """What is at the name made of ``left`` (labels, without length) and the Service's name ``owner``.

    The view has a Service. With a type, RRsets of other types may be left out; that the name exists holds for all.
    """
    service = view.service
    assert service is not None, "slices alone make no names"
    if service.external_name is not None:
        return Missing(Reason.BELOW_ALIAS, service.key) if left else _external_node(service, owner, schema)
    hidden = _hidden(view, service, schema)
    if hidden is not None:
        return Missing(hidden, service.key)
    imported = _is_import(service)
    if schema.zonal and service.headless and not imported and _names_a_zone(left):
        return _zonal_node(view, service, owner, left, schema, rtype)
    match left:
        case []:
            return _own_node(view, service, owner, owner, schema, rtype)
        case [endpoint]:
            return _endpoint_node(view, service, owner, (endpoint,), schema, rtype)
        case [endpoint, cluster] if imported and not (endpoint.startswith(b"_") or cluster.startswith(b"_")):
            return _endpoint_node(view, service, owner, (endpoint, cluster), schema, rtype)
        case [port, protocol]:
            return _port_node(view, service, owner, (port, protocol), schema, rtype)
    return SCHEMA


def _hidden(view: ServiceView, service: Service, schema: Schema) -> Reason | None:
    """Why a Service that is not an ExternalName has no name; None: it has one."""
    if service.headless:  # 2.4.1: no ready endpoint, no name
        return None if any(part.addresses for part in view.slices) else Reason.NOT_READY
    if _is_import(service) and not service.ports:
        return Reason.NO_PORTS  # as in CoreDNS: a Service without ports has addresses, a ServiceImport has not
    if not service.cluster_ips:
        return Reason.NO_CLUSTER_IP
    if schema.ignore_empty_service and not any(part.addresses for part in view.slices):
        return Reason.IGNORED
    return None


def _names_a_zone(left: Sequence[bytes]) -> bool:
    """``TOPOZONE.pin._zone``, ``TOPOZONE.prefer._zone``, or what is above one of them."""
    return bool(left) and left[-1] == ANCHOR and (len(left) == 1 or left[-2] in {PIN, PREFER})


def _zonal_node(
    view: ServiceView, service: Service, owner: bytes, left: Sequence[bytes], schema: Schema, rtype: int | None
) -> Node | Missing:
    """The endpoints of a headless Service in one topology zone."""
    if len(left) < 3:
        return Missing(Reason.EMPTY, service.key)  # above names that exist (RFC 8020)
    slices = tuple(chosen(view.slices, left[:-2], left[-2]))
    if not slices:
        return Missing(Reason.TOPOLOGY_ZONE, service.key, _joined(left[:-2]))
    return _own_node(ServiceView(service, slices), service, _joined(left) + owner, owner, schema, rtype)


def _is_import(service: Service) -> bool:
    return service.key.kind == "ServiceImport"


def _external_node(service: Service, owner: bytes, schema: Schema) -> Node | Missing:
    target = external_target(service)
    if isinstance(target, Missing):
        return target
    return Node((RRset(owner, CNAME, schema.ttl, (target,), service.key),), tags=(service.key,))


def external_target(service: Service) -> bytes | Missing:
    """The name an ExternalName Service points at, spelled as there; an address or the root is not a target."""
    text = service.external_name or ""
    try:
        target = parse_name(text, fold=False)
    except ValueError:
        target = ROOT
    if target == ROOT or is_address(text.strip("[]")):
        return Missing(Reason.NO_TARGET, service.key)
    return target


def _own_node(
    view: ServiceView, service: Service, owner: bytes, service_name: bytes, schema: Schema, rtype: int | None
) -> Node:
    """The node of all that is in a view, at the Service's own name or another that is for the same."""
    tags = (service.key,)
    if service.headless:
        if rtype not in {A, AAAA, SRV, ALL}:
            return Node(tags=tags)
        addresses = row_addresses(rows(view.slices)) if rtype != SRV else ()
        rrsets = address_rrsets(owner, addresses, schema.ttl, service.key)
        if rtype in {SRV, ALL}:
            ports = _row_ports(view.slices, b"", b"")
            bare = sum(part.rows for part in view.slices if not part.ports)
            srv, additional = _endpoint_srv(owner, service_name, ports, service, schema, bare, _room(rtype))
            return Node((*rrsets, *srv), additional, tags)
        return Node(rrsets, tags=tags)
    return _cluster_ip_node(service, owner, service_name, service.ports, schema, rtype)


def _cluster_ip_node(
    service: Service, owner: bytes, service_name: bytes, ports: Iterable[ServicePort], schema: Schema, rtype: int | None
) -> Node:
    """The node of a cluster IP Service at its own name, or at one of its ports'."""
    addresses = address_rrsets(owner, service.cluster_ips, schema.ttl, service.key)
    numbers = [port.port for port in ports] if rtype in {SRV, ALL} else []
    if not numbers:
        return Node(addresses, tags=(service.key,))
    weight = max(1, 100 // (len(numbers) * len(service.cluster_ips)))
    rdatas = dict.fromkeys(srv_rdata(weight, number, service_name) for number in numbers)
    srv = RRset(owner, SRV, schema.ttl, tuple(rdatas), service.key)
    additional = address_rrsets(service_name, service.cluster_ips, schema.ttl, service.key)
    return Node((*addresses, srv), additional, (service.key,))


def _endpoint_node(
    view: ServiceView, service: Service, owner: bytes, left: tuple[bytes, ...], schema: Schema, rtype: int | None
) -> Node | Missing:
    """The node of an endpoint; of a ServiceImport it may have its cluster's label behind its own."""
    tags = (service.key,)
    slices = view.slices
    if _is_import(service):
        cluster = left[1].decode("latin-1") if len(left) > 1 else ""
        slices = tuple(part for part in slices if part.cluster == cluster)
    rows = list(rows_named(slices, left[0], schema))
    if rows:
        name = _joined(left) + owner
        addresses = address_rrsets(name, row_addresses(rows), schema.ttl, service.key)
        if rtype not in {SRV, ALL}:
            return Node(addresses, tags=tags)
        ports = [(part, row, port) for part, row in rows for port in part.ports]
        bare = sum(not part.ports for part, _ in rows)
        srv, additional = _endpoint_srv(name, owner, ports, service, schema, bare, _room(rtype))
        return Node((*addresses, *srv), additional, tags)
    if len(left) == 1 and (_names_a_cluster(view, service, left[0]) or _names_a_protocol(view, service, left[0])):
        return Missing(Reason.EMPTY, service.key)
    return Missing(Reason.NO_ENDPOINT, service.key, _joined(left))


def _names_a_cluster(view: ServiceView, service: Service, label: bytes) -> bool:
    """A cluster's label is above those of its endpoints, in names of a ServiceImport."""
    return _is_import(service) and any(part.addresses and part.cluster.encode() == label for part in view.slices)


def _names_a_protocol(view: ServiceView, service: Service, label: bytes) -> bool:
    """``_tcp`` is above ``_http._tcp`` (RFC 8020)."""
    return any(True for _ in _matching_ports(view, service, b"", label.removeprefix(b"_")))


def _joined(labels: Iterable[bytes]) -> bytes:
    return b"".join(bytes((len(part),)) + part for part in labels)


def _matching_ports(
    view: ServiceView, service: Service, port: bytes, protocol: bytes
) -> Iterator[ServicePort | EndpointPort]:
    if service.headless:
        for part in view.slices:
            if part.addresses:
                yield from (service_port for service_port in part.ports if _matches(service_port, port, protocol))
    else:
        yield from (service_port for service_port in service.ports if _matches(service_port, port, protocol))


def _matches(candidate: ServicePort | EndpointPort, port: bytes, protocol: bytes) -> bool:
    """True if a port has this name and protocol; empty octets match anything."""
    return (not port or candidate.name.lower().encode() == port) and (
        not protocol or candidate.protocol.lower().encode() == protocol
    )


def _port_node(
    view: ServiceView, service: Service, owner: bytes, left: tuple[bytes, bytes], schema: Schema, rtype: int | None
) -> Node | Missing:
    port, protocol = left[0].removeprefix(b"_"), left[1].removeprefix(b"_")
    name = _joined(left) + owner
    if not service.headless:
        ports = [row_ports for row_ports in service.ports if _matches(row_ports, port, protocol)]
        if not ports:
            return Missing(Reason.NO_PORT, service.key, _joined(left))
        return _cluster_ip_node(service, name, owner, ports, schema, rtype)
    row_ports = list(_row_ports(view.slices, port, protocol))
    if not row_ports:
        return Missing(Reason.NO_PORT, service.key, _joined(left))
    addresses = row_addresses((part, row) for part, row, _ in row_ports) if rtype != SRV else ()
    rrsets = address_rrsets(name, addresses, schema.ttl, service.key)
    if rtype not in {SRV, ALL}:
        return Node(rrsets, tags=(service.key,))
    srv, additional = _endpoint_srv(name, owner, row_ports, service, schema, room=_room(rtype))
    return Node((*rrsets, *srv), additional, (service.key,))


def _room(rtype: int | None) -> float:
    """Octets that an answer for a type can carry; no limit for walking the zone."""
    return inf if rtype is ALL else TCP_LIMIT


def _endpoint_srv(
    owner: bytes,
    service_name: bytes,
    ports: Iterable[RowPort],
    service: Service,
    schema: Schema,
    bare: int = 0,
    room: float = inf,
) -> tuple[tuple[RRset, ...], tuple[RRset, ...]]:
    """The SRV RRset for rows and their ports, and the addresses of its targets.

    ``bare``: how many rows have no ports; they have no records, but take their share of the weight. ``room``: no record
    is made behind the first one that ends beyond so many octets, since no message can carry it.
    """
    endpoint_ports = list(ports)
    rdatas: dict[bytes, None] = {}
    targets: dict[bytes, dict[bytes, None]] = {}
    size = 0
    for target, address, rdata in _srv_targets(service_name, endpoint_ports, service, schema, bare):
        if rdata not in rdatas:
            size += SRV_RECORD + len(target)
            rdatas[rdata] = None
        if size > room:
            targets.clear()  # no room for them
            break
        targets.setdefault(target, {})[address] = None
    additional = tuple(
        rrset
        for target, addresses in targets.items()
        for rrset in address_rrsets(target, tuple(addresses), schema.ttl, service.key)
    )
    srv = RRset(owner, SRV, schema.ttl, tuple(rdatas), service.key)
    return (srv,) if rdatas else (), additional


def _srv_targets(
    service_name: bytes, ports: Sequence[RowPort], service: Service, schema: Schema, bare: int
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The target, the packed address and the SRV rdata of each row and port."""
    weight = max(1, 100 // (len(ports) + bare)) if ports else 0
    imported = _is_import(service)
    for part, row, port in ports:
        target = endpoint_labels(part, row, schema, imported=imported) + service_name
        if len(target) <= MAX_NAME:
            yield target, part.address(row), srv_rdata(weight, port.port, target)


def streamed_rrsets(view: ServiceView, owner: bytes, left: Sequence[bytes], schema: Schema) -> Iterator[RRset]:
    """All RRsets at a name, as `service_node` has them, to be walked slowly: a large SRV RRset comes in parts."""
    service = view.service
    if service is None or not service.headless or len(left) not in {0, 2} or _is_import(service):
        yield from rrsets_of(service_node(view, owner, left, schema))
        return
    yield from rrsets_of(service_node(view, owner, left, schema, A))
    port, protocol = (part.removeprefix(b"_") for part in left) if left else (b"", b"")
    row_ports = list(_row_ports(view.slices, port, protocol))
    bare = 0 if left else sum(part.rows for part in view.slices if not part.ports)
    name = _joined(left) + owner
    seen: set[bytes] = set()
    batch: list[bytes] = []
    for _, _, rdata in _srv_targets(owner, row_ports, service, schema, bare):
        if rdata not in seen:
            seen.add(rdata)
            batch.append(rdata)
        if len(batch) >= PART:
            yield RRset(name, SRV, schema.ttl, tuple(batch), service.key)
            batch.clear()
    if batch:
        yield RRset(name, SRV, schema.ttl, tuple(batch), service.key)


def _row_ports(slices: Iterable[EndpointSlice], port: bytes, protocol: bytes) -> Iterator[RowPort]:
    for part in slices:
        ports = [endpoint_port for endpoint_port in part.ports if _matches(endpoint_port, port, protocol)]
        for row in range(part.rows) if ports else ():
            for endpoint_port in ports:
                yield part, row, endpoint_port


def service_names(view: ServiceView, owner: bytes, schema: Schema) -> Iterator[tuple[bytes, ...]]:
    """The labels left of a Service's name under which it has records, for walking the whole zone.

    Only the spellings of the specification: ``_port._protocol``, not those that lookups accept besides.
    """
    service = view.service
    if service is None:
        return
    yield ()
    if service.external_name is not None:
        return
    ports = dict.fromkeys(
        (f"_{port.name}".lower().encode(), f"_{port.protocol}".lower().encode())
        for port in _matching_ports(view, service, b"", b"")
        if port.name
    )
    yield from ports
    imported = _is_import(service)
    names: set[bytes] = set()
    for part, row in rows(view.slices):
        name = endpoint_labels(part, row, schema, imported=imported)
        if name not in names and len(name) + len(owner) <= MAX_NAME:
            names.add(name)
            yield tuple(leading_labels(name + ROOT, len(name)))
