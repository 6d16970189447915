"""The objects of the evidence as the API server writes them, whole: explain shows their fields, age and version. Pure.

The packed objects of `kdns.base.objects` have only what names and rules need.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from kdns.explain.model import Item

Body = Mapping[str, Any]
STEP: Final = re.compile(r'\["([^"]*)"\]|\[(\d+)\]|([^.\[]+)')
"""Of a path: a key in quotes, an index, or a key without dots."""


class Key(NamedTuple):
    """Names an object; ``str()`` is ``Kind/namespace/name``, or ``Kind/name`` without a Namespace."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


class Objects:
    """Objects by kind, Namespace and name.

    A kind or Namespace of which nothing is here counts as not dumped: its absence proves nothing.
    """

    def __init__(self, bodies: Iterable[Body] = ()) -> None:
        self._by_kind: defaultdict[str, dict[str, dict[str, Body]]] = defaultdict(dict)
        self._passed_over: set[tuple[str, str]] = set()
        for body in bodies:
            self.add(body)

    def add(self, body: Body) -> None:
        """Add an object; a later one of the same name takes its place."""
        key = key_of(body)
        self._by_kind[key.kind].setdefault(key.namespace, {})[key.name] = body

    def pass_over(self, kind: str, namespace: str) -> None:
        """Note that the evidence has such an object, which the question does not need."""
        self._passed_over.add((kind, namespace))

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """One object, or None."""
        return self._by_kind.get(kind, {}).get(namespace, {}).get(name)

    def all(self, kind: str, namespace: str | None = None) -> Iterator[Body]:
        """The objects of a kind, in one Namespace or in all, ordered by Namespace and name."""
        places = self._by_kind.get(kind, {})
        for where in sorted(places) if namespace is None else (namespace,):
            yield from (body for _, body in sorted(places.get(where, {}).items(), key=lambda pair: pair[0]))

    def dumped(self, kind: str, namespace: str | None = None) -> bool:
        """Whether an absence means something: the evidence has objects of this kind, and of this Namespace."""
        some = bool(self._by_kind.get(kind)) or any(passed == kind for passed, _ in self._passed_over)
        return some and (namespace is None or namespace in self.namespaces())

    def namespaces(self) -> set[str]:
        """Every Namespace that an object is in, or that is an object."""
        inside = {where for places in self._by_kind.values() for where in places if where}
        inside |= {where for _, where in self._passed_over}
        return inside | set(self._by_kind.get("Namespace", {}).get("", {}))


def key_of(body: Body) -> Key:
    """The name of an object."""
    metadata = body.get("metadata") or {}
    kind = str(body.get("kind") or "")
    namespace = "" if kind in CLUSTER_WIDE else str(metadata.get("namespace") or "default")
    return Key(kind, namespace, str(metadata.get("name") or ""))


CLUSTER_WIDE: Final = frozenset({"Namespace", "Node", "ServiceCIDR", "IPAddress", "PersistentVolume"})
"""Kinds without a Namespace; of others one that is not written is ``default``."""


def field(body: Body, path: str, default: Any = None) -> Any:
    """The value at a path such as ``spec.ports[0].port`` or ``metadata.labels["app.kubernetes.io/name"]``; or default.

    A value of another type than the default is the default: evidence is edited by hand, too.
    """
    value: Any = body
    for step in STEP.finditer(path):
        quoted, index, plain = step.groups()
        if index is not None:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            value = value.get(quoted if quoted is not None else plain) if isinstance(value, Mapping) else None
        if value is None:
            return default
    if isinstance(default, (list, dict, str)) and not isinstance(value, type(default)):
        return default
    return value


def maps(body: Body, path: str) -> list[Body]:
    """The mappings of a list, such as ``spec.ports``; what is no mapping is left out."""
    return [entry for entry in field(body, path, []) if isinstance(entry, Mapping)]


def labels_of(body: Body) -> dict[str, str]:
    """metadata.labels."""
    return {str(key): str(value) for key, value in field(body, "metadata.labels", {}).items()}


def item(body: Body, path: str = "", value: Any = None, text: str = "") -> Item:
    """A piece of evidence: the object, one of its fields, and which version of the object that was."""
    shown = field(body, path) if path and value is None else value
    version = field(body, "metadata.resourceVersion", "")
    about = ", ".join(filter(None, (text, f"resourceVersion {version}" if version else "")))
    return Item(str(key_of(body)), path, shown, text=about, created=field(body, "metadata.creationTimestamp", ""))
