"""Names for what is reached from outside the cluster: ``SERVICE.NAMESPACE.ZONE``, as CoreDNS's k8s_external has them.

::

    web.shop.example.org.                A, AAAA: spec.externalIPs and the load balancer's; or a CNAME
    _http._tcp.web.shop.example.org.     SRV, and the same addresses
    db-0.db.shop.example.org.            with `headless`: an endpoint of a Service that has nothing outside
    ns1.dns.example.org.                 this server; `dns` is the option `apex`

Below a Service's name everything is as in the cluster's own zone, see `service`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final, NamedTuple

from msgspec.structs import replace

from kdns.base.objects import EndpointSlice, ObjectKey, RecordSource, Service, ServiceView
from kdns.records.reasons import ADDRESS, EMPTY, NOT_A_NAME, OUTSIDE, SCHEMA, Missing, Reason
from kdns.records.rrset import Node, Result, RRset, address_rrsets, merged, pick, rrsets_of, soa_rdata
from kdns.records.schema import Schema, is_reverse
from kdns.records.service import service_names, service_node
from kdns.records.zone import Zone
from kdns.wire.name import ROOT, child, label_starts, leading_labels, parse_name, under
from kdns.wire.numbers import ANY, CNAME, NOERROR, NS, PTR, SOA, SRV
from kdns.wire.reverse import reverse_name

_NS1: Final = b"\3ns1"
_SOME: Final = (b"\0\0\0\0",)
"""Stands for the addresses of a name, wherever that leads."""
_HOSTMASTER: Final = b"\12hostmaster"


class ExternalOptions(NamedTuple):
    """What shapes the names."""

    zones: tuple[bytes, ...]
    """Apexes, forward and reverse; reverse names point into the first forward one."""
    apex: bytes
    """What the names of this server are under, relative to a zone: labels without the root."""
    ttl: int
    """Seconds, of all records."""
    headless: bool
    """Endpoints of Services that have nothing outside have names, too."""


class External:
    """The external names of one cluster. Reads the cluster as `Zone` keeps it; nothing is kept here."""

    def __init__(self, zone: Zone, options: ExternalOptions) -> None:
        self._zone, self._options = zone, options
        self._apexes = sorted(options.zones, key=len, reverse=True)
        self._primary = next(apex for apex in options.zones if not is_reverse(apex))
        self._schema: Schema = replace(zone.schema, ttl=options.ttl, ignore_empty_service=False, zonal=False)

    def lookup(self, name: bytes, rtype: int) -> Result | Missing:
        """What a folded name has of a type; Missing when it is in none of the zones. CNAMEs are not followed."""
        starts = label_starts(name)
        if starts is None:
            return NOT_A_NAME
        apex = next((zone for zone in self._apexes if name.endswith(zone) and under(name, zone)), None)
        if apex is None:
            return OUTSIDE
        node = self._node(apex, name, starts, rtype)
        if isinstance(node, Missing):
            return self._negative(apex, node)
        alias = pick(node.rrsets, CNAME)
        answer = pick(node.rrsets, rtype) or (alias if rtype != SRV else ())
        if not answer:
            return self._negative(apex, node.lacks(rtype))
        chase = alias[0].rdatas[0].lower() if answer is alias and rtype not in {CNAME, ANY} else None
        return Result(apex, NOERROR, answer, (), node.additional if rtype in {SRV, NS} else (), chase)

    def _negative(self, apex: bytes, missing: Missing) -> Result:
        """NODATA or NXDOMAIN (RFC 2308)."""
        rcode = missing.rcode(synced=self._zone.synced)
        return Result(apex, rcode, (), (self._soa(apex),), fallthrough=not missing.exists, missing=missing)

    @property
    def synced(self) -> bool:
        """True once every initial list is complete."""
        return self._zone.synced

    def serial(self, apex: bytes) -> int:
        """Of one of the zones: it grows with each change in the cluster."""
        return self._zone.serial(apex)

    def records(self, apex: bytes) -> Iterator[RRset]:
        """All of one zone for another server (RFC 5936): SOA, NS, this server's addresses, Services by name, or PTR.

        What is there now is taken down at once, and made into records as the iterator is walked.
        """
        top = self._node(apex, apex, (), NS)
        assert isinstance(top, Node), "an apex exists"
        own = [rrset for rrset in top.additional if under(rrset.owner, apex)]
        cluster = self._zone.cluster
        if is_reverse(apex):
            return chain(top.rrsets, own, self._reverse_records(apex, list(cluster.outside)))
        services = [
            (owner + apex, view)
            for owner, view in sorted(cluster.services.items())
            if cluster.namespace_exists(owner[1 + owner[0] :])
        ]
        return chain(top.rrsets, own, self._service_records(services))

    def _service_records(self, services: Sequence[tuple[bytes, ServiceView]]) -> Iterator[RRset]:
        for owner, view in services:
            service = view.service
            if service is None or isinstance(shown := self._shown(view, service), Missing):
                continue
            for left in service_names(shown, owner, self._schema):
                rrsets = rrsets_of(self._service_node(view, service, owner, left, None))
                alias = pick(rrsets, CNAME)
                if alias:  # nothing may stand beside a CNAME
                    rrsets = pick(rrsets, SRV) if left else alias
                yield from rrsets

    def _reverse_records(self, apex: bytes, addresses: Sequence[bytes]) -> Iterator[RRset]:
        for address in addresses:
            name = reverse_name(address)
            if next((candidate for candidate in self._apexes if under(name, candidate)), None) == apex:
                yield from rrsets_of(self._reverse_node(name))

    def _soa(self, apex: bytes) -> RRset:
        server, mail = (self._named(left, apex) for left in (_NS1, _HOSTMASTER))
        rdata = soa_rdata(server, mail, self._zone.serial(apex), self._options.ttl)
        return RRset(apex, SOA, self._options.ttl, (rdata,))

    def _named(self, left: bytes, apex: bytes) -> bytes:
        """A name of this server; a reverse zone has none of its own."""
        return left + self._options.apex + (self._primary if is_reverse(apex) else apex)

    def _node(self, apex: bytes, name: bytes, starts: Sequence[int], rtype: int) -> Node | Missing:
        if name == apex:
            server = self._named(_NS1, apex)
            ns = RRset(apex, NS, self._options.ttl, (server,))
            return Node((self._soa(apex), ns), address_rrsets(server, self._own_addresses(), self._options.ttl))
        if is_reverse(apex):
            return self._reverse_node(name)
        server = self._named(_NS1, apex)
        if under(server, name):  # this server's name, or on the way to it
            own = self._own_addresses() if name == server else ()
            return Node(address_rrsets(name, own, self._options.ttl))
        if under(name, self._options.apex + apex):
            return SCHEMA
        depth = sum(start < len(name) - len(apex) for start in starts)
        namespace = name[starts[depth - 1] : len(name) - len(apex)]
        if not self._zone.cluster.namespace_exists(namespace):
            return self._zone.cluster.no_namespace(namespace)
        if depth == 1:
            return EMPTY
        at = starts[depth - 2]
        labels = name[at : len(name) - len(apex)]
        view = self._zone.cluster.services.get(labels)
        if view is None or view.service is None:
            return Missing(Reason.SERVICE, labels=labels)
        return self._service_node(view, view.service, name[at:], leading_labels(name, at), rtype)

    def _service_node(
        self, view: ServiceView, service: Service, owner: bytes, left: Sequence[bytes], rtype: int | None
    ) -> Node | Missing:
        shown = self._shown(view, service)
        if isinstance(shown, Missing):
            return shown
        if service.outside.names and not service.outside.addresses:
            return self._named_node(service, _target(service), owner, left)
        if service.outside.addresses or service.headless or len(left) == 1:
            return service_node(shown, owner, left, self._schema, rtype)
        if not left and any(part.addresses for part in view.slices):
            return Missing(Reason.EMPTY, service.key)
        return Missing(Reason.NOT_OUTSIDE, service.key)

    def _shown(self, view: ServiceView, service: Service) -> ServiceView | Missing:
        """A Service as it is seen from outside: with other addresses, or as if it were headless."""
        addresses, names = service.outside
        if addresses or names:
            return ServiceView(Service(service.key, addresses or _SOME, ports=service.ports))
        if not self._options.headless or service.external_name is not None:
            return Missing(Reason.NOT_OUTSIDE, service.key)
        return ServiceView(Service(service.key, headless=True, ports=service.ports), view.slices)

    def _named_node(
        self, service: Service, target: bytes | Missing, owner: bytes, left: Sequence[bytes]
    ) -> Node | Missing:
        """Of a Service behind a load balancer that has a name only: where a cluster IP has addresses it has a CNAME."""
        shown = ServiceView(Service(service.key, _SOME, ports=service.ports))
        node = service_node(shown, owner, left, self._schema)
        if isinstance(node, Missing):
            return node
        if isinstance(target, Missing):
            return target
        name = node.rrsets[0].owner
        srv = [
            rrset._replace(rdatas=tuple(dict.fromkeys(rdata[:6] + target for rdata in rrset.rdatas)))
            for rrset in pick(node.rrsets, SRV)
        ]
        return Node((RRset(name, CNAME, self._options.ttl, (target,), service.key), *srv))

    def _reverse_node(self, name: bytes) -> Node | Missing:
        holders = self._zone.cluster.outside.lookup(name)
        if isinstance(holders, Missing):
            return holders
        sources: dict[bytes, RecordSource] = {}
        for service in holders.owners:
            with suppress(ValueError):  # too long to be a name in this zone
                sources[child(self._primary, service.key.name, service.key.namespace)] = service.key
        return Node((merged(name, PTR, self._options.ttl, sources),)) if sources else ADDRESS

    def _own_addresses(self) -> tuple[bytes, ...]:
        """Where this server is reached from outside: what the Services have that it is an endpoint of, or its own."""
        cluster = self._zone.cluster
        addresses: dict[bytes, None] = {}
        for address in self._zone.own_addresses:
            for part in cluster.addresses.find(address):
                if isinstance(part, EndpointSlice):
                    view = cluster.view(ObjectKey("Service", part.key.namespace, part.service))
                    if view is not None and view.service is not None:
                        addresses |= dict.fromkeys(view.service.outside.addresses)
        return tuple(addresses) or self._zone.own_addresses


def _target(service: Service) -> bytes | Missing:
    """The first of its load balancers' host names that is a name: one CNAME at most (RFC 1034 section 3.6.2)."""
    for text in service.outside.names:
        try:
            target = parse_name(text, fold=False)
        except ValueError:
            continue
        if target != ROOT:
            return target
    return Missing(Reason.NO_TARGET, service.key)
