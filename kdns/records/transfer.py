"""One zone of the cluster as it is copied to another server (RFC 5936), in CoreDNS's order."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from kdns.base.objects import ServiceView
from kdns.records.reverse import reverse_node
from kdns.records.rrset import Result, RRset, rrsets_of
from kdns.records.service import service_names, streamed_rrsets
from kdns.records.zone import Zone
from kdns.wire.name import child, label_starts, under
from kdns.wire.numbers import NS, SOA
from kdns.wire.reverse import reverse_name


def transfer(zone: Zone, apex: bytes) -> Iterator[RRset]:
    """SOA, NS, the name server's addresses, Services by name; of a reverse zone its PTR records. No names of Pods.

    What is in the zone now is taken down at once, and made into records as the iterator is walked: the zone may
    change meanwhile.
    """
    schema = zone.schema
    top: list[RRset] = []
    for rtype in (SOA, NS):
        result = zone.lookup(apex, rtype)
        assert isinstance(result, Result), "an apex is in its zone"
        top += result.answer
        top += _glue(result, apex) if rtype == NS and apex in schema.zones else ()
    if apex in schema.reverse_zones:
        return chain(top, _addresses(zone, apex, list(zone.cluster.addresses)))
    services = [
        (owner + child(apex, "svc"), view)
        for owner, view in sorted(zone.services(apex).items())
        if zone.cluster.namespace_exists(owner[1 + owner[0] :])
    ]
    return chain(top, _services(zone, services))


def _glue(result: Result, apex: bytes) -> Iterable[RRset]:
    """Addresses of name servers that no Service of the zone is going to have."""
    services = child(apex, "svc")
    return (record for record in result.additional if under(record.owner, apex) and not under(record.owner, services))


def _services(zone: Zone, services: Sequence[tuple[bytes, ServiceView]]) -> Iterator[RRset]:
    for owner, view in services:
        for left in service_names(view, owner, zone.schema):
            yield from streamed_rrsets(view, owner, left, zone.schema)


def _addresses(zone: Zone, apex: bytes, addresses: Sequence[bytes]) -> Iterator[RRset]:
    for address in addresses:
        owner = reverse_name(address)
        if under(owner, apex) and zone.apex_of(owner, label_starts(owner) or ()) == apex:
            yield from rrsets_of(reverse_node(zone.cluster.addresses.holders(address), owner, zone.schema))
