"""Lines of watches and items of lists to objects; what cannot be read is left out, named, and the rest served. Pure."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

from kdns.base.errors import ApiError
from kdns.base.objects import PLURALS, Object, ObjectKey
from kdns.watch.decode.nesting import UNREADABLE, shallow
from kdns.watch.decode.packing import keeper
from kdns.watch.decode.schema import (
    Added,
    Bookmark,
    Deleted,
    Failed,
    Metadata,
    Versioned,
    WatchEvent,
    key_of,
    named_decoder,
    trigger_time,
    watch_decoder,
    wire_type,
)
from kdns.watch.decode.spelling import Warn, quoted
from kdns.watch.source import Want

WARNED_LIMIT: Final = 1000
"""Warnings remembered, so that a relist does not repeat them."""


class ObjectEvent(NamedTuple):
    """An event about one object."""

    change: int
    """1: it came; 0: it changed; -1: it went."""
    key: ObjectKey | None
    """None: it has no valid name, so it cannot be known to us."""
    object: Object | None
    """None: it went, it is not used, or it cannot be read; then it is not served any more, as after a list."""
    version: str
    triggered: float | None = None
    """See `kdns.base.objects.ServiceChange.triggered`."""


class ObjectReader:
    """Reads the objects of one kind; `warn` is called once for each object, or line, that is left out."""

    def __init__(self, want: Want, warn: Warn) -> None:
        self._want, self._plural = want, PLURALS[want.kind]
        self.warn_once = _Once(warn)
        self._keep: Callable[[Any, Warn], Object | None] = keeper(
            want.kind,
            pod_names=want.pod_names,
            external=want.external,
            zones=want.zones,
            routing=want.routing,
            named=want.named,
            imports=want.imports,
            labels=want.labels,
        )
        self._decode = watch_decoder(want.kind, routing=want.routing)
        self._decode_named = named_decoder()
        self._decode_object: Decoder[Any] = Decoder(wire_type(want.kind, routing=want.routing))

    def line(self, line: bytes) -> ObjectEvent | Bookmark | Failed | None:
        """What a line of a watch says; None: something that cannot be read, nor named. Raises ApiError: not JSON."""
        try:
            return self._event(self._decode.decode(line))
        except ValidationError as error:
            return self._named(line, str(error))
        except (RecursionError, MemoryError) as error:
            return self._named(line, _too_much(error))
        except (DecodeError, UnicodeDecodeError) as error:
            problem = f"a line of the watch on {self._plural} is not JSON: {error}"
            self.warn_once(problem)
            raise ApiError(0, "garbage", problem) from error

    def item(self, item: bytes | Raw) -> ObjectEvent:
        """An object of a list page."""
        try:
            wire = self._decode_object.decode(item)
        except ValidationError as error:
            return self._unreadable(bytes(item), str(error))
        except UNREADABLE as error:
            return self._unreadable(bytes(item), _too_much(error))
        return self._object(1, wire, wire.metadata)

    def _event(self, event: WatchEvent) -> ObjectEvent | Bookmark | Failed:
        match event:
            case Bookmark() | Failed():
                return event
            case Deleted(object=wire):
                return self._gone(wire.metadata)
            case _:
                return self._object(int(isinstance(event, Added)), event.object, event.object.metadata)

    def _object(self, change: int, wire: Any, metadata: Metadata | None) -> ObjectEvent:
        key, kept = None, None
        try:
            key = key_of(self._want.kind, metadata)
            kept = self._keep(wire, lambda text: self.warn_once(f"{key}: {text}"))
        except ValueError as error:
            self.warn_once(f"{key or self._want.kind} left out: {error}")
        return ObjectEvent(change, key, kept, _version(metadata), trigger_time(metadata))

    def _gone(self, metadata: Metadata | None) -> ObjectEvent:
        key = None
        with suppress(ValueError):  # we cannot have known it either
            key = key_of(self._want.kind, metadata)
        return ObjectEvent(-1, key, None, _version(metadata))

    def _named(self, line: bytes, why: str) -> ObjectEvent | Bookmark | Failed | None:
        """An object that cannot be read: name it, and go on behind it."""
        try:
            event = self._decode_named.decode(shallow(line))
        except UNREADABLE:
            self.warn_once(f"an event of {self._plural} left out: {why}")
            return None
        if isinstance(event, Bookmark | Failed):
            return event
        if isinstance(event, Deleted):
            return self._gone(event.object.metadata)
        return self._left_out(int(isinstance(event, Added)), event.object.metadata, why)

    def _unreadable(self, item: bytes, why: str) -> ObjectEvent:
        metadata = None
        with suppress(*UNREADABLE):  # nameless too: then the warning says all there is
            metadata = _VERSIONED.decode(shallow(item)).metadata
        return self._left_out(1, metadata, why)

    def _left_out(self, change: int, metadata: Metadata | None, why: str) -> ObjectEvent:
        key = None
        with suppress(ValueError):
            key = key_of(self._want.kind, metadata)
        self.warn_once(f"{key or self._want.kind} left out: {why}")
        return ObjectEvent(change, key, None, _version(metadata))


_VERSIONED: Final = Decoder(Versioned)


def _version(metadata: Metadata | None) -> str:
    return (metadata.resource_version if metadata else None) or ""


def _too_much(error: BaseException) -> str:
    """What msgspec's own text says for none of its users."""
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case MemoryError():
            return "it needs more memory than there is"
    return f"it is not JSON: {error}"


class _Once:
    """Passes each warning on once, as far back as a bounded memory goes; control characters are escaped."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._warned: dict[str, None] = {}

    def __call__(self, text: str) -> None:
        text = text if text.isprintable() else quoted(text)
        if text in self._warned:
            return
        if len(self._warned) >= WARNED_LIMIT:
            self._warned.clear()
        self._warned[text] = None
        self._warn(text)
