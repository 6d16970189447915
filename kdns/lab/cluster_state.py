"""What an API server of a lab knows: objects as encoded octets, their versions, and the history that watches replay.

No sockets here. Objects are kept encoded, with their labels and selectable fields beside them, so that a hundred
thousand endpoints fit in and a list costs no encoding.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import msgspec

from kdns.watch.selectors import field_selector, label_selector

Json = dict[str, Any]


class Resource(NamedTuple):
    """One kind as it appears in paths."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects say it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """The path above namespaces or plural."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


RESOURCES = (
    Resource("", "v1", "services", "Service"),
    Resource("", "v1", "endpoints", "Endpoints"),
    Resource("", "v1", "pods", "Pod"),
    Resource("", "v1", "namespaces", "Namespace", namespaced=False),
    Resource("", "v1", "nodes", "Node", namespaced=False),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "replicationcontrollers", "ReplicationController"),
    Resource("apps", "v1", "daemonsets", "DaemonSet"),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("apps", "v1", "replicasets", "ReplicaSet"),
    Resource("apps", "v1", "statefulsets", "StatefulSet"),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False),
    Resource("events.k8s.io", "v1", "events", "Event"),
    Resource("multicluster.x-k8s.io", "v1alpha1", "serviceimports", "ServiceImport"),
)
BY_KIND = {resource.kind: resource for resource in RESOURCES}


class Stored(NamedTuple):
    """An object as a list or a watch shows it."""

    namespace: str
    name: str
    version: int
    raw: bytes
    labels: Mapping[str, str]
    fields: Mapping[str, str]


class Occurred(NamedTuple):
    """One write, as the history keeps it."""

    version: int
    before: Stored | None
    after: Stored | None


class View(NamedTuple):
    """What one request sees: a namespace or all, and the objects its selectors pick."""

    namespace: str
    labels: str
    fields: str

    def predicate(self) -> Callable[[Stored | None], bool]:
        """True for objects in view."""
        labels, fields = label_selector(self.labels), field_selector(self.fields)

        def sees(stored: Stored | None) -> bool:
            return (
                stored is not None
                and self.namespace in ("", stored.namespace)
                and labels(stored.labels)
                and fields(stored.fields)
            )

        return sees


class Collection:
    """All objects of one resource, and their history."""

    HISTORY = 10_000

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.objects: dict[tuple[str, str], Stored] = {}
        self.history: deque[Occurred] = deque()
        self.forgotten = 0
        """The newest version whose events the history no longer has."""

    def note(self, occurred: Occurred) -> None:
        """Append to the history; the oldest is forgotten when it is full."""
        self.history.append(occurred)
        if len(self.history) > self.HISTORY:
            self.forgotten = self.history.popleft().version

    def since(self, version: int) -> Iterator[Occurred]:
        """The events after `version`, oldest first; a snapshot that survives further writes."""
        fresh: deque[Occurred] = deque()
        for occurred in reversed(self.history):
            if occurred.version <= version:
                break
            fresh.appendleft(occurred)
        return iter(fresh)


class ClusterState:
    """Every collection under one counter of versions, as etcd counts them."""

    def __init__(self, version: int = 1000) -> None:
        self.version = version
        self.collections = {resource.plural: Collection(resource) for resource in RESOURCES}

    def put(self, body: Json) -> Stored:
        """Create or replace; metadata that a server fills in is filled in. The caller's dictionary is left alone."""
        resource = BY_KIND[body["kind"]]
        collection = self.collections[resource.plural]
        body = {"kind": resource.kind, "apiVersion": resource.api_version, **deepcopy(body)}
        metadata: Json = body.setdefault("metadata", {})
        if resource.namespaced:
            metadata.setdefault("namespace", "default")
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        metadata.setdefault("uid", str(uuid5(NAMESPACE_URL, f"{resource.plural}/{namespace}/{name}")))
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        stored = _stored(body, self.version)
        before = collection.objects.get((namespace, name))
        collection.objects[namespace, name] = stored
        collection.note(Occurred(self.version, before, stored))
        return stored

    def get(self, kind: str, namespace: str, name: str) -> Json:
        """The object as a fresh dictionary; KeyError if there is none."""
        body: Json = msgspec.json.decode(self.collections[BY_KIND[kind].plural].objects[namespace, name].raw)
        return body

    def patch(self, kind: str, namespace: str, name: str, changes: Json) -> Stored:
        """RFC 7396 merge patch; KeyError if there is no such object."""
        return self.put(_merged(self.get(kind, namespace, name), changes))

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete; KeyError if there is no such object. The last state is shown with the version of the deletion."""
        collection = self.collections[BY_KIND[kind].plural]
        before = collection.objects[namespace, name]
        last = self.get(kind, namespace, name)
        del collection.objects[namespace, name]
        self.version += 1
        last["metadata"]["resourceVersion"] = str(self.version)
        collection.note(Occurred(self.version, _stored(last, before.version)._replace(version=self.version), None))

    def compact(self) -> None:
        """Forget all history: every older version is 410 from now on."""
        for collection in self.collections.values():
            collection.history.clear()
            collection.forgotten = self.version

    def load(self, bodies: Iterable[Json]) -> None:
        """Put many, without history."""
        for body in bodies:
            self.put(body)
            self.collections[BY_KIND[body["kind"]].plural].history.clear()
        self.compact()


def _stored(body: Json, version: int) -> Stored:
    metadata, status = body["metadata"], body.get("status") or {}
    spec = spec_value if isinstance(spec_value := body.get("spec"), dict) else {}
    fields = {
        "metadata.name": metadata.get("name") or "",
        "metadata.namespace": metadata.get("namespace") or "",
        "spec.clusterIP": spec.get("clusterIP") or "",
        "spec.type": spec.get("type") or "",
        "status.phase": status.get("phase") or "" if isinstance(status, dict) else "",
        "spec.nodeName": spec.get("nodeName") or "",
    }
    labels = metadata.get("labels") or {}
    return Stored(
        fields["metadata.namespace"], fields["metadata.name"], version, msgspec.json.encode(body), labels, fields
    )


def _merged(target: Json, changes: Json) -> Json:
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merged(target[key], value)
        else:
            target[key] = value
    return target
