"""What every source of objects says, whatever it is: a stream of events per kind.

A source is an API server (`api.reflector`) or files (`manifests.files`). Both put a full list between `Listing` and
`ListComplete`, object by object, so that two copies of it are never held, and single events afterwards.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from kdns.base.objects import Kind, Object, ObjectKey


class Want(NamedTuple):
    """One kind to follow, and which of its objects and fields."""

    kind: Kind
    label_selector: str = ""
    field_selector: str = ""
    optional: bool = False
    """Being forbidden to list it is a warning and a lesser feature, not a reason to be unready."""
    installed: bool = True
    """False: the API server need not know the kind, which is to have none of it: a warning, and asked again later."""
    pod_names: bool = False
    """EndpointSlices only: keep the Pod name of each endpoint."""
    external: bool = False
    """Services only: keep how they are reached from outside the cluster."""
    zones: bool = False
    """EndpointSlices only: keep the topology zone of each endpoint."""
    imports: bool = False
    """EndpointSlices only: keep which ServiceImport they are of, and from which cluster."""
    labels: bool = False
    """Pods only: keep their labels."""
    routing: bool = False
    """Services: keep how traffic is to go. EndpointSlices: keep all endpoints with their conditions."""
    named: bool = True
    """EndpointSlices only: keep the ready endpoints as DNS has them, and slices that are of no Service."""

    def joined(self, other: "Want") -> "Want":
        """This, with the columns of both: what the selectors of this one pick."""
        return self._replace(
            pod_names=self.pod_names or other.pod_names,
            external=self.external or other.external,
            zones=self.zones or other.zones,
            routing=self.routing or other.routing,
            named=self.named or other.named,
            imports=self.imports or other.imports,
            labels=self.labels or other.labels,
        )


class Listing(NamedTuple):
    """A full list of one kind begins; `Upserted` events for it follow."""

    kind: Kind


class ListComplete(NamedTuple):
    """The full list is complete: what was not put since `Listing` is gone."""

    kind: Kind
    version: str = ""


class Upserted(NamedTuple):
    """An object is there, new or changed."""

    object: Object
    triggered: float | None = None
    """See `kdns.base.objects.ServiceChange.triggered`."""
    arrived: float | None = None
    """Monotonic seconds at which the octets that say so arrived; None in a list, and where it is not measured."""


class Deleted(NamedTuple):
    """An object is deleted."""

    key: ObjectKey
    arrived: float | None = None
    """As for `Upserted`."""


class Lost(NamedTuple):
    """The source cannot be followed just now; what is known stays in force.

    ``reason`` is one line that says what is wrong and on what: ``403: may not list namespaces``.
    """

    kind: Kind
    reason: str


class Resumed(NamedTuple):
    """After `Lost`: the stream goes on where it was, without a new list."""

    kind: Kind


class Skipped(NamedTuple):
    """An optional kind, or one that is not installed, is not followed for now (reported once): live without it."""

    kind: Kind
    reason: str


Event = Listing | ListComplete | Upserted | Deleted | Lost | Resumed | Skipped


class Source(Protocol):
    """Where objects come from."""

    def streams(self, wants: Sequence[Want]) -> Sequence[AsyncIterator[Event]]:
        """Endless streams, to be read side by side; together they cover every kind wanted."""
        ...

    async def close(self) -> None:
        """Let go of connections and file watches."""
        ...
