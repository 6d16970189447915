"""The objects of several files together, as a cluster that holds just them would list them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from kdns.base.objects import EndpointSlice, Kind, Namespace, Object, ObjectKey, Outside, Pod, Service
from kdns.watch.decode.packing import keeper
from kdns.watch.manifests.reading import FIELDS, Manifest, Manifests
from kdns.watch.manifests.slices import SourcePod, SourceService, derive_slices
from kdns.watch.selectors import Predicate, field_selector, label_selector
from kdns.watch.source import Want

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that the API server puts on every Namespace: its name."""


class Collection(NamedTuple):
    """Everything the files say, each object once."""

    objects: Mapping[ObjectKey, Manifest]
    warnings: tuple[str, ...]


class Selection:
    """What of a collection is wanted. ConfigError from the constructor for a selector that cannot be parsed."""

    def __init__(self, wants: Iterable[Want]) -> None:
        self._wants: dict[Kind, tuple[Want, Predicate, Predicate]] = {}
        for want in wants:
            names = {".".join(path) for path in FIELDS[want.kind]} | {"metadata.name", "metadata.namespace"}
            fields = field_selector(want.field_selector, frozenset(names))
            self._wants[want.kind] = want, label_selector(want.label_selector), fields

    def pick(self, collection: Collection) -> dict[Kind, dict[ObjectKey, Object]]:
        """The wanted objects of each wanted kind, in the order of their keys."""
        picked: dict[Kind, dict[ObjectKey, Object]] = {kind: {} for kind in self._wants}
        for key, manifest in sorted(collection.objects.items()):
            want, labels, fields = self._wants.get(key.kind, (None, None, None))
            if want and labels and fields and labels(manifest.labels) and fields(manifest.fields):
                picked[key.kind][key] = _trimmed(manifest.object, want)
        return picked


def _trimmed(kept: Object, want: Want) -> Object:
    """Without what is not wanted of it."""
    if isinstance(kept, EndpointSlice):
        return _trimmed_slice(kept, want)
    if isinstance(kept, Pod) and kept.labels and not want.labels:
        return replace(kept, labels=())
    if isinstance(kept, Service):
        if not want.external and any(kept.outside):
            kept = replace(kept, outside=Outside())
        if not want.routing:
            ports = tuple(replace(port, node_port=0) if port.node_port else port for port in kept.ports)
            kept = replace(kept, routing=None, ports=ports)
    return kept


def _trimmed_slice(kept: EndpointSlice, want: Want) -> EndpointSlice:
    if not want.named:
        kept = replace(kept, addresses=b"", hostnames=(), pods=(), texts=(), zones=())
    if kept.pods and not want.pod_names:
        kept = replace(kept, pods=())
    if kept.zones and not want.zones:
        kept = replace(kept, zones=())
    if (kept.imported or kept.cluster) and not want.imports:
        kept = replace(kept, imported="", cluster="")
    return kept if want.routing else replace(kept, states=None)


def collect(files: Mapping[str, Manifests]) -> Collection:
    """Put files together: the first in the order of their names wins, derived objects fill what no file has."""
    objects: dict[ObjectKey, Manifest] = {}
    warnings: list[str] = []
    for name in sorted(files):
        warnings += files[name].warnings
        for manifest in files[name].objects:
            first = objects.setdefault(manifest.key, manifest)
            if first is not manifest:
                warnings.append(f"{manifest.key} in {manifest.at}: skipped: it is in {first.at} already")
    for derived in chain(_slices(list(objects.values())), _namespaces(objects)):
        objects.setdefault(derived.key, derived)
    for key, manifest in objects.items():
        if key.kind == "Namespace" and NAMESPACE_NAME not in manifest.labels:
            objects[key] = replace(manifest, labels={**manifest.labels, NAMESPACE_NAME: key.name})
    return Collection(objects, tuple(warnings))


def _slices(manifests: Sequence[Manifest]) -> Iterable[Manifest]:
    """Slices for the Services that no file has any slice of."""
    served = {
        (manifest.key.namespace, manifest.object.service)
        for manifest in manifests
        if isinstance(manifest.object, EndpointSlice)
    }
    services = {
        (manifest.key.namespace, manifest.key.name): manifest
        for manifest in manifests
        if isinstance(manifest.source, SourceService)
    }
    pods = [manifest.source for manifest in manifests if isinstance(manifest.source, SourcePod)]
    keep = keeper("EndpointSlice", pod_names=True, routing=True)
    wanting = [manifest.source for key, manifest in services.items() if key not in served]
    for wire, labels in derive_slices((one for one in wanting if isinstance(one, SourceService)), pods):
        kept = keep(wire, lambda problem: None)  # the Pods' addresses were checked, and told, when they were read
        if isinstance(kept, EndpointSlice):
            at = services[kept.key.namespace, kept.service].at
            fields = {"metadata.name": kept.key.name, "metadata.namespace": kept.key.namespace}
            yield Manifest(kept, labels, fields, at)


def _namespaces(objects: Mapping[ObjectKey, Manifest]) -> Iterable[Manifest]:
    """A Namespace for each that some object is in: folders of manifests rarely have them all."""
    found: dict[str, Manifest] = {}
    for key, manifest in objects.items():
        if key.namespace:
            found.setdefault(key.namespace, manifest)
    for name, manifest in found.items():
        key = ObjectKey("Namespace", "", name)
        fields = {"metadata.name": name, "metadata.namespace": "", "status.phase": "Active"}
        yield Manifest(Namespace(key), {}, fields, manifest.at)
