"""What a zone says about itself: SOA, NS, the name server's own addresses, the version of the schema."""

from collections.abc import Callable, Sequence

from kdns.base.objects import EndpointSlice, ObjectKey, Service, ServiceView
from kdns.records.endpoint import endpoint_name, rows
from kdns.records.reverse import AddressIndex
from kdns.records.rrset import Node, RRset, address_rrsets, soa_rdata, txt_rdata
from kdns.records.schema import SCHEMA_TTL, SCHEMA_VERSION, Schema
from kdns.wire.name import child
from kdns.wire.numbers import NS, SOA, TXT


def soa_rrset(apex: bytes, serial: int, schema: Schema) -> RRset:
    """The zone's SOA; what caches may keep of a "no" is the smaller of its TTL and its minimum (RFC 2308 section 5)."""
    rdata = soa_rdata(child(apex, "ns", "dns"), child(apex, "hostmaster"), serial, schema.ttl)
    return RRset(apex, SOA, min(schema.ttl, 300), (rdata,))


def version_node(owner: bytes) -> Node:
    """``dns-version.ZONE`` (Kubernetes DNS specification 1.1.0 section 2.2)."""
    return Node((RRset(owner, TXT, SCHEMA_TTL, (txt_rdata(SCHEMA_VERSION),)),))


def apex_node(apex: bytes, serial: int, schema: Schema, servers: Sequence[tuple[bytes, Sequence[bytes]]]) -> Node:
    """SOA and NS of a zone, with the addresses of its name servers as additional data."""
    glue = tuple(rrset for name, addresses in servers for rrset in address_rrsets(name, addresses, schema.ttl))
    names = tuple(dict.fromkeys(name for name, _ in servers))
    return Node((soa_rrset(apex, serial, schema), RRset(apex, NS, schema.ttl, names)), glue)


def name_servers(
    apex: bytes,
    own: Sequence[bytes],
    index: AddressIndex,
    service: Callable[[ObjectKey], ServiceView | None],
    schema: Schema,
) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """The names of this name server and their addresses.

    If one of our own addresses is an endpoint of a Service, that Service is how clients reach us: its name with its
    cluster IPs, or, headless, the names of its endpoints. Otherwise ``ns.dns.ZONE`` with our own addresses.
    """
    servers: dict[bytes, dict[bytes, None]] = {}
    parts = [part for address in own for part in index.find(address) if isinstance(part, EndpointSlice)]
    for part in parts:
        view = service(ObjectKey("Service", part.key.namespace, part.service))
        if view is None or not isinstance(view.service, Service):
            continue
        owner = child(apex, part.service, part.key.namespace, "svc")
        if view.service.headless:
            for endpoint_slice, row in rows((part,)):
                name = child(owner, endpoint_name(endpoint_slice, row, schema))
                servers.setdefault(name, {})[endpoint_slice.address(row)] = None
        elif view.service.cluster_ips:
            servers.setdefault(owner, {}).update(dict.fromkeys(view.service.cluster_ips))
    if not servers:
        return [(child(apex, "ns", "dns"), tuple(own))]
    return [(name, tuple(addresses)) for name, addresses in servers.items()]
