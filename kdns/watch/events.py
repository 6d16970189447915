"""The lines of a watch, as the API server writes them: an event with its object. Pure."""

from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from kdns.objects import Kind
from kdns.watch.schema import WIRE_TYPES, Metadata
from kdns.watch.status import Status, Wire

T = TypeVar("T")


class Versioned(Wire):
    """The metadata of any object, and nothing else."""

    metadata: Metadata | None = None


class Added(Struct, Generic[T], tag="ADDED", gc=False):
    """A watch event: the object is new to this watch."""

    object: T


class Modified(Struct, Generic[T], tag="MODIFIED", gc=False):
    """A watch event: the object changed."""

    object: T


class Deleted(Struct, Generic[T], tag="DELETED", gc=False):
    """A watch event: the object is gone, or no longer passes the selectors."""

    object: T


class Bookmark(Struct, tag="BOOKMARK", gc=False):
    """A watch event: only a newer resource version to resume from."""

    object: Versioned


class Failed(Struct, tag="ERROR", gc=False):
    """A watch event: the watch is over, and why."""

    object: Status


WatchEvent = Added[Any] | Modified[Any] | Deleted[Any] | Bookmark | Failed


def watch_decoder(kind: Kind) -> Decoder[WatchEvent]:
    """One line of a watch to an event; made once per kind and used for each line."""
    wire: Any = WIRE_TYPES[kind]
    return Decoder(Added[wire] | Modified[wire] | Deleted[wire] | Bookmark | Failed)


def named_decoder() -> Decoder[WatchEvent]:
    """As `watch_decoder`, but reads no more than metadata: it names the object that `watch_decoder` cannot read."""
    return Decoder(Added[Versioned] | Modified[Versioned] | Deleted[Versioned] | Bookmark | Failed)
