"""The objects of the cluster as names need them: by name and by address. A Change says which of them it touches."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from kdns.base.addresses import is_address
from kdns.base.objects import (
    Change,
    EndpointSlice,
    NamespaceChange,
    ObjectKey,
    PodChange,
    Service,
    ServiceChange,
    ServiceView,
)
from kdns.records.clients import ClientIndex
from kdns.records.reasons import Missing, Reason
from kdns.records.reverse import AddressIndex
from kdns.records.schema import Schema
from kdns.records.serial import Serial
from kdns.records.service import external_target
from kdns.wire.name import child, label


class ClusterIndex:
    """What is exposed of one cluster, and can have names; the rest is left out, in one warning if it is odd.

    ``warn`` gets a line that names the object, and says what was left out and why.
    """

    def __init__(self, schema: Schema, warn: Callable[[str], None]) -> None:
        self.services: dict[bytes, ServiceView] = {}
        """By the labels of name and Namespace."""
        self.imports: dict[bytes, ServiceView] = {}
        """ServiceImports, as `services`."""
        self.pods: dict[tuple[str, str], tuple[ObjectKey, ...]] = {}
        """By Namespace and address text."""
        self.addresses = AddressIndex()
        self.outside = AddressIndex()
        """Services by the addresses they have outside of the cluster, if those are kept."""
        self.clients = ClientIndex()
        """Pods by address; filled only if the schema wants it."""
        self.version = 0
        """Another number after each change that touches something."""
        self.serial, self.import_serial = Serial(), Serial()
        """Of zones with Services, and of those with ServiceImports: a change of the one leaves the other as it is."""
        self._schema, self._warn = schema, warn
        self._namespaces: set[bytes] = set()
        self._service_counts: dict[bytes, int] = {}  # by namespace label

    def update(self, change: Change, now: int) -> Sequence[object]:
        """Index a change and say which tags it touches: keys of objects, and packed addresses; none if it is hidden.

        ``now`` (Unix seconds) becomes the serial, see `kdns.records.serial`.
        """
        touched = self._index_change(change)
        if touched:
            self.version += 1
            if change.key.kind != "ServiceImport":
                self.serial.change(now)
            if change.key.kind != "Service":
                self.import_serial.change(now)
        return touched

    def _index_change(self, change: Change) -> Sequence[object]:
        match change:
            case ServiceChange():
                return self._index_service(change)
            case NamespaceChange():
                return self._index_namespace(change)
            case PodChange():
                return self._index_pod(change)
        return ()  # nodes, and what else only the proxy reads

    def view(self, key: ObjectKey) -> ServiceView | None:
        """The Service or ServiceImport of a key, as the zone has it."""
        try:
            return self._known(key).get(label(key.name) + label(key.namespace))
        except ValueError:
            return None

    def namespace_exists(self, namespace: bytes) -> bool:
        """True for a namespace (its label with length octet) that has an object, or a Service as proof of it."""
        if namespace in self._namespaces:
            return True
        return not self._schema.namespaces_selected and namespace in self._service_counts

    def no_namespace(self, namespace: bytes) -> Missing:
        """Why a namespace (its label with length octet) does not exist here."""
        schema = self._schema
        hidden = bool(schema.namespaces) and not schema.exposed(namespace[1:].decode("ascii", "backslashreplace"))
        hidden = hidden or (schema.namespaces_selected and namespace in self._service_counts)
        return Missing(Reason.NAMESPACE_NOT_EXPOSED if hidden else Reason.NAMESPACE, labels=namespace)

    def _index_service(self, change: ServiceChange) -> Sequence[object]:
        key = change.key
        if not self._schema.exposed(key.namespace):
            return ()
        try:
            namespace = label(key.namespace)
            owner = label(key.name) + namespace if key.name else b""
            child(max(self._schema.zones, key=len), key.name or "x", key.namespace, "svc")
        except ValueError as error:
            if change.before is None:
                self._warn(f"{key}: left out: {error}")
            return ()
        touched: list[object] = [key]
        before = change.before.service if change.before is not None else None
        after = change.after.service if change.after is not None else None
        if key.kind == "Service":
            touched += self._index_addresses(change)
        if owner:
            self._put(owner, namespace, change)
        if after is not None and after.external_name is not None and before != after:
            self._check_external(after)
        same = _same_to_dns(change.before or ServiceView(None), change.after or ServiceView(None))
        return () if same else touched

    def _index_addresses(self, change: ServiceChange) -> Iterator[bytes]:
        """Note who has which address now; those that a change touches. ServiceImports have no reverse names."""
        before = change.before or ServiceView(None)
        after = change.after or ServiceView(None)
        kept = {id(part) for part in before.slices} & {id(part) for part in after.slices}
        for add, view in ((False, before), (True, after)):
            for address, holder in _holders(view, kept, same_service=before.service is after.service):
                (self.addresses.add if add else self.addresses.remove)(address, holder)
                yield address
        if before.service is not after.service:
            for service, note in ((before.service, self.outside.remove), (after.service, self.outside.add)):
                if service is not None:
                    for address in service.outside.addresses:
                        note(address, service)

    def _known(self, key: ObjectKey) -> dict[bytes, ServiceView]:
        return self.imports if key.kind == "ServiceImport" else self.services

    def _put(self, owner: bytes, namespace: bytes, change: ServiceChange) -> None:
        views = self._known(change.key)
        present = views.get(owner)
        had = present is not None and present.service is not None
        has = change.after is not None and change.after.service is not None
        if change.after is None:
            views.pop(owner, None)
        else:
            views[owner] = change.after
        if had != has:
            count = self._service_counts.get(namespace, 0) + (1 if has else -1)
            if count:
                self._service_counts[namespace] = count
            else:
                self._service_counts.pop(namespace, None)

    def _check_external(self, service: Service) -> None:
        if isinstance(external_target(service), Missing):
            name = (service.external_name or "")[:80]
            self._warn(f"{service.key}: externalName {name!r} is not a domain name: it gets no records")

    def _index_namespace(self, change: NamespaceChange) -> Sequence[object]:
        name = change.key.name
        if not self._schema.exposed(name):
            return ()
        try:
            namespace = label(name)
        except ValueError as error:
            self._warn(f"{change.key}: left out: {error}")
            return ()
        if change.after is None:
            self._namespaces.discard(namespace)
        else:
            self._namespaces.add(namespace)
        return (change.key,)

    def _index_pod(self, change: PodChange) -> Sequence[object]:
        if not self._schema.exposed(change.key.namespace):
            return ()
        for pod, add in ((change.before, False), (change.after, True)):
            if pod is None or not is_address(pod.address):
                continue
            at = (pod.key.namespace.lower(), pod.address.lower())
            keys = tuple(key for key in self.pods.get(at, ()) if key != pod.key) + ((pod.key,) if add else ())
            if keys:
                self.pods[at] = keys
            else:
                self.pods.pop(at, None)
        if self._schema.by_client:
            self.clients.update(change.before, change.after)
        addresses = {pod.address if pod is not None else "" for pod in (change.before, change.after)}
        return (change.key,) if len(addresses) > 1 else ()  # labels make no names


def _same_to_dns(before: ServiceView, after: ServiceView) -> bool:
    """Only what the proxy reads has changed; where nothing of that is kept, what has changed is for DNS."""
    routed = any(view.service is not None and view.service.routing is not None for view in (before, after))
    if not routed and all(part.states is None for view in (before, after) for part in view.slices):
        return False
    return _to_dns(before) == _to_dns(after)


def _to_dns(view: ServiceView) -> ServiceView:
    """Without what only the proxy reads."""
    service = view.service
    if service is not None and service.routing is not None:
        ports = tuple(replace(port, node_port=0) for port in service.ports)
        service = replace(service, routing=None, ports=ports)
    return ServiceView(service, tuple(replace(part, states=None) for part in view.slices))


def _holders(
    view: ServiceView, kept: set[int], *, same_service: bool
) -> Iterable[tuple[bytes, Service | EndpointSlice]]:
    """The addresses of a view and who has each, but for what a change left as it was."""
    if view.service is not None and not same_service:
        for address in view.service.cluster_ips:
            yield address, view.service
    for part in view.slices:
        if id(part) not in kept:
            for row in range(part.rows):
                yield part.address(row), part
