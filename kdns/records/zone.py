"""The cluster as a tree of names: look up a name, walk all records.

Nothing here is compiled or kept: a lookup reads the objects as the last Change left them in `ClusterIndex`, so it
cannot be older than them. `answers` keeps what lookups found, for as long as the tags of a Result allow.

Where CoreDNS contradicts an RFC the RFC is followed: a name that exists has NODATA for types it lacks, never
NXDOMAIN (RFC 2308, RFC 8020), and a CNAME is always in the answer, with the rcode of the end of its chain (RFC 6604).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from kdns.base.objects import ServiceView
from kdns.records.apex import apex_node, name_servers, soa_rrset, version_node
from kdns.records.cluster import ClusterIndex
from kdns.records.pod import pod_node, pod_text
from kdns.records.reasons import EMPTY, NOT_A_NAME, OUTSIDE, PODS_DISABLED, SCHEMA, Missing, Reason
from kdns.records.reverse import reverse_node
from kdns.records.rrset import Node, Result, RRset, address_rrsets, pick, rrsets_of
from kdns.records.schema import Schema
from kdns.records.service import service_names, service_node
from kdns.wire.name import ROOT, child, label, label_starts, leading_labels, under
from kdns.wire.numbers import ANY, CNAME, NOERROR, NS, SRV
from kdns.wire.reverse import reverse_name

MAX_CHAIN: Final = 11
"""CNAMEs that are followed within our zones, as many as CoreDNS follows."""

_SVC: Final = label("svc")
_POD: Final = label("pod")
_DNS: Final = label("dns")
_NS_DNS: Final = label("ns") + label("dns")
_DNS_VERSION: Final = label("dns-version")


class Zone:
    """All names that one set of options gives to one cluster; see `ClusterIndex` for ``warn``."""

    def __init__(self, schema: Schema, warn: Callable[[str], None] = lambda _: None) -> None:
        self.schema = schema
        self.synced = False
        """False: not everything is known yet, so a name that is not found is SERVFAIL instead of NXDOMAIN."""
        self.own_addresses: tuple[bytes, ...] = ()
        """Packed addresses at which this server is reached."""
        self._apexes = sorted((*schema.zones, *schema.reverse_zones), key=len, reverse=True)
        self._endings = tuple(self._apexes)
        self._nested = [
            inner for inner in self._apexes if any(under(inner, outer) for outer in self._apexes if outer != inner)
        ]
        self.cluster = ClusterIndex(schema, warn)
        """The objects, which a Change is to be given to."""
        self._soas: dict[bytes, tuple[int, tuple[RRset]]] = {}  # by apex, with the version of the index

    def serial(self, apex: bytes) -> int:
        """Of one of our zones: it grows with each change that matters there, see `kdns.records.serial`."""
        return (self.cluster.import_serial if apex in self.schema.multicluster else self.cluster.serial).value

    def apex_of(self, name: bytes, starts: Sequence[int]) -> bytes | None:
        """The longest of our zones that a folded name is in; ``starts`` is where its labels begin."""
        for apex in self._apexes:
            at = len(name) - len(apex)
            if name.endswith(apex) and (at in starts or apex == ROOT):
                return apex
        return None

    def outside(self, name: bytes) -> bool:
        """A folded name is for sure in none of our zones."""
        return not name.endswith(self._endings)

    def lookup(self, name: bytes, rtype: int) -> Result | Missing:
        """What a folded name has of a type, CNAMEs followed within our zones; Missing if it is in none of them."""
        starts = label_starts(name)
        if starts is None:
            return NOT_A_NAME
        apex = self.apex_of(name, starts)
        if apex is None:
            return OUTSIDE
        node = self._node(apex, name, starts, rtype)
        if isinstance(node, Missing):
            return self._negative(apex, name, node)
        if node.rrsets and node.rrsets[0].rtype == CNAME and rtype not in {CNAME, ANY}:
            return self._follow(apex, name, node, rtype)
        # RFC 1034 section 4.3.2 step 3a: an alias is all there is, so to ask for ANY is to ask for it. Of other names
        # ANY gets nothing (RFC 8482 section 4): no client needs it, and it makes small questions into big answers.
        answer = pick(node.rrsets, CNAME if rtype == ANY else rtype)
        if not answer:
            return self._negative(apex, name, node.lacks(rtype))
        additional = node.additional if rtype in {SRV, NS} else ()
        return Result(apex, NOERROR, answer, (), additional, tags=node.tags, lasting=bool(node.tags))

    def services_under(self, parent: bytes) -> bytes | None:
        """Which children a folded name can have: ``b""``, none, for it does not exist itself (RFC 8020).

        Otherwise, for a Namespace, what follows a child's label in the keys of `services`, since it exists only if it
        is among them; and None when this is not known, or not the same for all children.
        """
        starts = label_starts(parent)
        apex = self.apex_of(parent, starts) if starts else None
        if starts is None or apex is None:
            return None
        if any(under(zone, parent) and zone != parent for zone in (*self.schema.fallthrough, *self._nested)):
            return None
        node = self._node(apex, parent, starts, NS)
        if isinstance(node, Missing) and not node.exists:
            return b""
        at_namespace = len(starts) > 1 and parent[starts[1] :] == _SVC + apex
        at_namespace = at_namespace and apex in self.schema.zones and apex not in self.schema.multicluster
        return parent[: starts[1]] if at_namespace else None

    def _follow(self, apex: bytes, name: bytes, alias: Node, rtype: int) -> Result:
        """The chain of CNAMEs from an alias, and what is at its end, with the rcode of that end."""
        answer = alias.rrsets
        tags = alias.tags
        seen = {name}
        while True:
            name = answer[-1].rdatas[0].lower()
            if name in seen or len(answer) > MAX_CHAIN:
                loop = Missing(Reason.LOOP, alias.source)
                return Result(apex, loop.rcode(synced=self.synced), answer, tags=tags, missing=loop)
            seen.add(name)
            starts = label_starts(name) or ()
            target_apex = self.apex_of(name, starts)
            if target_apex is None:
                return Result(apex, NOERROR, answer, chase=name, tags=tags, lasting=True)
            node = self._node(target_apex, name, starts, rtype)
            rrsets = () if isinstance(node, Missing) else pick(node.rrsets, rtype) or pick(node.rrsets, CNAME)
            if isinstance(node, Missing) or not rrsets:
                missing = node if isinstance(node, Missing) else node.lacks(rtype)
                end = self._negative(target_apex, name, missing)
                return Result(apex, end.rcode, answer, end.authority, tags=tags, missing=missing)
            answer += rrsets
            tags += node.tags
            if rrsets[0].rtype == rtype:
                additional = node.additional if rtype in {SRV, NS} else ()
                return Result(apex, NOERROR, answer, (), additional, tags=tags, lasting=bool(node.tags))

    def _negative(self, apex: bytes, name: bytes, missing: Missing) -> Result:
        """NODATA or NXDOMAIN (RFC 2308)."""
        zones = self.schema.fallthrough
        fallthrough = bool(zones) and not missing.exists and any(under(name, zone) for zone in zones)
        version, soa = self._soas.get(apex, (-1, None))
        if soa is None or version != self.cluster.version:
            soa = (soa_rrset(apex, self.serial(apex), self.schema),)
            self._soas[apex] = (self.cluster.version, soa)
        return Result(apex, missing.rcode(synced=self.synced), (), soa, fallthrough=fallthrough, missing=missing)

    def _node(self, apex: bytes, name: bytes, starts: Sequence[int], rtype: int | None) -> Node | Missing:
        """What is at a name in one of our zones."""
        node = self._node_in(apex, name, starts, rtype)
        if self._nested and isinstance(node, Missing) and any(under(inner, name) for inner in self._nested):
            return EMPTY  # on the way from a zone to one of our zones within it (RFC 8020)
        return node

    def _node_in(self, apex: bytes, name: bytes, starts: Sequence[int], rtype: int | None) -> Node | Missing:
        end = len(name) - len(apex)
        top = None if end else self._apex_node(apex)
        if apex in self.schema.reverse_zones:
            reverse = self._reverse_node(name)
            if top is None:
                return reverse
            if isinstance(reverse, Missing):
                return top
            return Node((*top.rrsets, *reverse.rrsets), top.additional)  # a zone of a single address
        if top is not None:
            return top
        depth = bisect_left(starts, end)
        first = name[starts[depth - 1] : end]
        if first == _SVC:
            return self._service_part(apex, name, starts, depth, rtype)
        if first == _POD:
            return self._pod_part(name, starts, depth)
        left = name[:end]
        if left == _DNS:
            return EMPTY
        if left == _NS_DNS:
            return Node(address_rrsets(name, self._server_addresses(apex), self.schema.ttl))
        if left == _DNS_VERSION:
            return version_node(name)
        return SCHEMA

    def _apex_node(self, apex: bytes) -> Node:
        return apex_node(apex, self.serial(apex), self.schema, self._name_servers(self._served_as(apex)))

    def services(self, apex: bytes) -> Mapping[bytes, ServiceView]:
        """The Services whose names are in a zone, or the ServiceImports, by the labels of name and Namespace."""
        return self.cluster.imports if apex in self.schema.multicluster else self.cluster.services

    def _service_part(
        self, apex: bytes, name: bytes, starts: Sequence[int], depth: int, rtype: int | None
    ) -> Node | Missing:
        """``svc`` and below: [left labels] service, namespace, svc."""
        if depth == 1:
            return EMPTY
        namespace = name[starts[depth - 2] : starts[depth - 1]]
        if not self.cluster.namespace_exists(namespace):
            return self.cluster.no_namespace(namespace)
        if depth == 2:
            return EMPTY
        at = starts[depth - 3]
        labels = name[at : starts[depth - 1]]
        view = self.services(apex).get(labels)
        if view is None or view.service is None:
            imported = apex in self.schema.multicluster
            return Missing(Reason.SERVICE_IMPORT if imported else Reason.SERVICE, labels=labels)
        return service_node(view, name[at:], leading_labels(name, at), self.schema, rtype)

    def _pod_part(self, name: bytes, starts: Sequence[int], depth: int) -> Node | Missing:
        """``pod`` and below: [address] namespace, pod."""
        if depth == 1:
            return EMPTY
        if self.schema.pods == "disabled":
            return PODS_DISABLED
        namespace = name[starts[depth - 2] : starts[depth - 1]]
        if not self.cluster.namespace_exists(namespace):
            return self.cluster.no_namespace(namespace)
        if depth == 2:
            return EMPTY
        if depth > 3:
            return SCHEMA
        text = pod_text(name[1 : starts[1]])
        if isinstance(text, Missing):
            return text
        if self.schema.pods == "insecure":
            return pod_node(text, name, self.schema.ttl, None)
        pods = self.cluster.pods.get((namespace[1:].decode("latin-1"), text))
        if not pods:
            return Missing(Reason.POD, labels=name[: starts[2]])
        return pod_node(text, name, self.schema.ttl, pods[0])

    def _reverse_node(self, name: bytes) -> Node | Missing:
        holders = self.cluster.addresses.lookup(name)
        return holders if isinstance(holders, Missing) else reverse_node(holders, name, self.schema)

    def _served_as(self, apex: bytes) -> bytes:
        """The zone in which the name servers of a zone have their names.

        A reverse zone has none of its own, and a zone of ServiceImports has no names for the Service that we are.
        """
        primary = self.schema.zones[0]  # a zone of ServiceImports only if there is no other
        return primary if apex in self.schema.reverse_zones or apex in self.schema.multicluster else apex

    def _name_servers(self, apex: bytes) -> list[tuple[bytes, tuple[bytes, ...]]]:
        return name_servers(apex, self.own_addresses, self.cluster.addresses, self.cluster.view, self.schema)

    def _server_addresses(self, apex: bytes) -> tuple[bytes, ...]:
        return tuple(address for _, addresses in self._name_servers(self._served_as(apex)) for address in addresses)

    # --- the whole zone ---

    def records(self) -> Iterator[RRset]:
        """Every RRset of every zone, in a fixed order; names of Pods only where they are verified."""
        for apex in (*self.schema.zones, *self.schema.reverse_zones):
            yield from self._apex_node(apex).rrsets
        for apex in self.schema.zones:
            owner = child(apex, "ns", "dns")
            yield from address_rrsets(owner, self._server_addresses(apex), self.schema.ttl)
            yield from version_node(child(apex, "dns-version")).rrsets
            for owner, view in sorted(self.services(apex).items()):
                if self.cluster.namespace_exists(owner[1 + owner[0] :]):
                    yield from self._service_records(owner + child(apex, "svc"), view)
            yield from self._pod_records(apex)
        yield from self._reverse_records()

    def _service_records(self, owner: bytes, view: ServiceView) -> Iterator[RRset]:
        for left in service_names(view, owner, self.schema):
            yield from rrsets_of(service_node(view, owner, left, self.schema))

    def _pod_records(self, apex: bytes) -> Iterator[RRset]:
        if self.schema.pods != "verified":
            return
        for (namespace, text), keys in sorted(self.cluster.pods.items()):
            if self.cluster.namespace_exists(label(namespace)):
                owner = child(apex, text.replace(".", "-").replace(":", "-"), namespace, "pod")
                yield from pod_node(text, owner, self.schema.ttl, keys[0]).rrsets

    def _reverse_records(self) -> Iterator[RRset]:
        for address in self.cluster.addresses:
            owner = reverse_name(address)
            if self.apex_of(owner, label_starts(owner) or ()) in self.schema.reverse_zones:
                yield from rrsets_of(reverse_node(self.cluster.addresses.holders(address), owner, self.schema))
