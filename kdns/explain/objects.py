"""The objects of the evidence as the API server writes them, whole: explain shows their fields, age and version. Pure.

The packed objects of `kdns.base.objects` have only what names and rules need.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kdns.explain.model import Item

Body = Mapping[str, Any]


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
        self._by_kind: defaultdict[str, dict[tuple[str, str], Body]] = defaultdict(dict)
        for body in bodies:
            self.add(body)

    def add(self, body: Body) -> None:
        """Add an object; a later one of the same name takes its place."""
        metadata = body.get("metadata") or {}
        where = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        self._by_kind[str(body.get("kind") or "")][where] = body

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """One object, or None."""
        return self._by_kind[kind].get((namespace, name)) if kind in self._by_kind else None

    def all(self, kind: str, namespace: str | None = None) -> Iterator[Body]:
        """The objects of a kind, in one Namespace or in all, ordered by name."""
        for (where, _), body in sorted(self._by_kind.get(kind, {}).items()):
            if namespace is None or where == namespace:
                yield body

    def dumped(self, kind: str, namespace: str | None = None) -> bool:
        """Whether the evidence has objects of this kind (in this Namespace), so that an absence means something."""
        return any(namespace is None or where == namespace for where, _ in self._by_kind.get(kind, {}))

    def namespaces(self) -> set[str]:
        """Every Namespace that an object is in, or that is an object."""
        inside = {where for bodies in self._by_kind.values() for where, _ in bodies if where}
        return inside | {name for _, name in self._by_kind.get("Namespace", {})}


def key_of(body: Body) -> Key:
    """The name of an object."""
    metadata = body.get("metadata") or {}
    return Key(str(body.get("kind") or ""), str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))


def field(body: Body, path: str, default: Any = None) -> Any:
    """The value at a path such as ``spec.ports[0].port`` or ``metadata.labels.app``; or the default."""
    value: Any = body
    for word in path.replace("[", ".[").split("."):
        if word.startswith("[") and isinstance(value, list):
            index = int(word[1:-1])
            value = value[index] if index < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(word)
        else:
            return default
        if value is None:
            return default
    return value


def item(body: Body, path: str = "", value: Any = None) -> Item:
    """A piece of evidence: the object, one of its fields, and which version of the object that was."""
    metadata = body.get("metadata") or {}
    version = metadata.get("resourceVersion")
    about = ", ".join(
        text
        for text in (
            f"resourceVersion {version}" if version else "",
            f"created {metadata['creationTimestamp']}" if metadata.get("creationTimestamp") else "",
        )
        if text
    )
    shown = field(body, path) if path and value is None else value
    return Item(object=str(key_of(body)), field=path, value=shown, text=about)
