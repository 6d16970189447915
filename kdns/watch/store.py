"""The cluster as far as it is known: events in, changes out. Pure.

Objects may come in any order: a slice before its Service, a Service after its Namespace is gone. The same objects in
the end make the same store, and an event yields a Change only if something that is kept is different now.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from kdns.base.objects import (
    Change,
    EndpointSlice,
    Kind,
    Namespace,
    NamespaceChange,
    Node,
    NodeChange,
    Object,
    ObjectKey,
    Pod,
    PodChange,
    Service,
    ServiceChange,
    ServiceCIDR,
    ServiceCIDRChange,
    ServiceView,
)
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Skipped, Upserted


class Relisted(NamedTuple):
    """What a complete list made of what was known before it."""

    added: int
    changed: int
    removed: int


class Store:
    """Every object that is known, and the Services joined with their slices."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[ObjectKey, Any]] = {
            "Service": {},
            "EndpointSlice": {},
            "Namespace": {},
            "Pod": {},
            "Node": {},
            "ServiceCIDR": {},
            "ServiceImport": {},
        }
        self._slices_of: dict[ObjectKey, tuple[EndpointSlice, ...]] = {}
        """By the key of the Service, which need not exist; in the order of their names."""
        self._unseen: dict[Kind, dict[ObjectKey, None]] = {}
        """While a list is under way: what was known before it and has not been put since."""
        self._tallies: dict[Kind, list[int]] = {}
        """While a list is under way: added, changed and removed so far."""
        self._relisted: dict[Kind, Relisted] = {}
        self._skipped: set[Kind] = set()

    def apply(self, event: Event) -> Sequence[Change]:
        """Take one event; the changes it makes, none if nothing that is kept is different now."""
        match event:
            case Upserted(object=kept, triggered=triggered):
                return self._put(kept, triggered)
            case Deleted(key=key):
                return self._remove(key)
            case Listing(kind=kind):
                self._unseen[kind] = dict.fromkeys(self._objects[kind])
                self._tallies[kind] = [0, 0, 0]
            case ListComplete(kind=kind):
                return self._sweep(kind)
            case Skipped(kind=kind):
                self._skipped.add(kind)
        return ()

    def synced(self, kind: Kind) -> bool:
        """True if the kind was listed completely once, or is skipped."""
        return kind in self._relisted or kind in self._skipped

    def count(self, kind: Kind) -> int:
        """How many objects of the kind are known."""
        return len(self._objects[kind])

    def objects(self, kind: Kind) -> list[Object]:
        """Every object of the kind."""
        return list(self._objects[kind].values())

    def relisted(self, kind: Kind) -> Relisted | None:
        """What the last complete list of the kind changed; None before the first."""
        return self._relisted.get(kind)

    def view(self, key: ObjectKey) -> ServiceView | None:
        """A Service or ServiceImport by its key, with its slices; None if there is neither."""
        service: Service | None = self._objects[key.kind].get(key)
        slices = self._slices_of.get(key, ())
        return ServiceView(service, slices) if service is not None or slices else None

    def views(self) -> Iterator[tuple[ObjectKey, ServiceView]]:
        """Every Service and ServiceImport that exists or has slices."""
        for key in dict.fromkeys((*self._objects["Service"], *self._objects["ServiceImport"], *self._slices_of)):
            if (view := self.view(key)) is not None:
                yield key, view

    def service_keys(self) -> Collection[ObjectKey]:
        """Of every Service that exists."""
        return self._objects["Service"].keys()

    def namespaces(self) -> Iterator[Namespace]:
        """Every Namespace."""
        return iter(self._objects["Namespace"].values())

    def pods(self) -> Iterator[Pod]:
        """Every Pod."""
        return iter(self._objects["Pod"].values())

    def nodes(self) -> Iterator[Node]:
        """Every Node."""
        return iter(self._objects["Node"].values())

    def service_cidrs(self) -> Iterator[ServiceCIDR]:
        """Every ServiceCIDR."""
        return iter(self._objects["ServiceCIDR"].values())

    def changes(self) -> Iterator[Change]:
        """Every object as the Change that brought it, for a consumer that begins later."""
        for namespace in self.namespaces():
            yield NamespaceChange(namespace.key, None, namespace)
        for key, view in self.views():
            yield ServiceChange(key, None, view)
        for pod in self.pods():
            yield PodChange(pod.key, None, pod)
        for node in self.nodes():
            yield NodeChange(node.key, None, node)
        for cidr in self.service_cidrs():
            yield ServiceCIDRChange(cidr.key, None, cidr)

    def _put(self, kept: Object, triggered: float | None) -> Sequence[Change]:
        kind, known = kept.key.kind, self._objects[kept.key.kind]
        if (unseen := self._unseen.get(kind)) is not None:
            unseen.pop(kept.key, None)
        before = known.get(kept.key)
        if before == kept:
            return ()  # the object that is known stays, so that a relist leaves no second copy behind
        if (tally := self._tallies.get(kind)) is not None:
            tally[0 if before is None else 1] += 1
        return self._replace(kept.key, before, kept, triggered)

    def _remove(self, key: ObjectKey) -> Sequence[Change]:
        if (unseen := self._unseen.get(key.kind)) is not None:
            unseen.pop(key, None)
        before = self._objects[key.kind].get(key)
        if before is None:
            return ()
        if (tally := self._tallies.get(key.kind)) is not None:
            tally[2] += 1
        return self._replace(key, before, None, None)

    def _sweep(self, kind: Kind) -> Sequence[Change]:
        """What a full list did not mention is gone."""
        changes = [change for key in self._unseen.pop(kind, ()) for change in self._remove(key)]
        self._relisted[kind] = Relisted(*self._tallies.pop(kind, (0, 0, 0)))
        self._skipped.discard(kind)
        return changes

    def _replace(
        self, key: ObjectKey, before: Object | None, after: Object | None, triggered: float | None
    ) -> Sequence[Change]:
        """Put `after` where `before` was, which is known to differ; None is absence."""
        match before or after:
            case Service():
                view = self.view(key)
                self._set(key, after)
                return (ServiceChange(key, view, self.view(key), triggered),)
            case EndpointSlice():
                assert isinstance(before, EndpointSlice | None)
                assert isinstance(after, EndpointSlice | None)
                return self._replace_slice(key, before, after, triggered)
            case Namespace():
                assert isinstance(before, Namespace | None)
                assert isinstance(after, Namespace | None)
                self._set(key, after)
                return (NamespaceChange(key, before, after),)
            case Node():
                assert isinstance(before, Node | None)
                assert isinstance(after, Node | None)
                self._set(key, after)
                return (NodeChange(key, before, after),)
            case ServiceCIDR():
                assert isinstance(before, ServiceCIDR | None)
                assert isinstance(after, ServiceCIDR | None)
                self._set(key, after)
                return (ServiceCIDRChange(key, before, after),)
            case _:
                assert isinstance(before, Pod | None)
                assert isinstance(after, Pod | None)
                self._set(key, after)
                return (PodChange(key, before, after),)

    def _replace_slice(
        self, key: ObjectKey, before: EndpointSlice | None, after: EndpointSlice | None, triggered: float | None
    ) -> Sequence[Change]:
        """A change for each that it belongs to, or did: two if it went from one Service to another."""
        owners = dict.fromkeys(owner for slice_ in (before, after) for owner in _owners(slice_))
        views = [self.view(owner) for owner in owners]
        self._set(key, after)
        for owner in owners:
            others = [slice_ for slice_ in self._slices_of.get(owner, ()) if slice_.key != key]
            if after is not None and owner in _owners(after):
                others.append(after)
                others.sort(key=_name)
            if others:
                self._slices_of[owner] = tuple(others)
            else:
                self._slices_of.pop(owner, None)
        return [
            ServiceChange(owner, view, self.view(owner), triggered) for owner, view in zip(owners, views, strict=True)
        ]

    def _set(self, key: ObjectKey, after: Object | None) -> None:
        if after is None:
            del self._objects[key.kind][key]
        else:
            self._objects[key.kind][key] = after


def _owners(slice_: EndpointSlice | None) -> Iterator[ObjectKey]:
    """What a slice is of: a Service, a ServiceImport, both, or nothing."""
    if slice_ is not None and slice_.service:
        yield ObjectKey("Service", slice_.key.namespace, slice_.service)
    if slice_ is not None and slice_.imported:
        yield ObjectKey("ServiceImport", slice_.key.namespace, slice_.imported)


def _name(slice_: EndpointSlice) -> str:
    return slice_.key.name
