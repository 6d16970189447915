"""Which objects of a collection are wanted, and what of them. Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from kdns.base.objects import EndpointSlice, Kind, Object, ObjectKey, Outside, Pod, Service
from kdns.watch.manifests.collection import Collection
from kdns.watch.manifests.manifest import FIELDS
from kdns.watch.selectors import Predicate, field_selector, label_selector
from kdns.watch.source import Want


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
