"""YAML text as values with places, put together from the events of libyaml's parser. Pure.

PyYAML's own composer calls itself for each level, without a limit, so that a file of brackets ends the process; it
turns unquoted dates and 22:22 into dates and numbers; and it takes three times as long. Values are resolved as
Kubernetes' own reader does for the types that a manifest has (YAML 1.1 booleans, null, numbers; all else is text);
keys are always text.

`Composer` has the bounds, the anchors and the merges, once for all: `compose` makes plain values of it (manifests),
`find` looks for the place of one, and `kdns.config.yaml_tree` keeps the place of each (configuration files).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import yaml

DEPTH_LIMIT: Final = 200
"""Levels of nesting. CustomResourceDefinitions, the deepest manifests about, have some 50."""
ALIASED_LIMIT: Final = 100_000
"""Values of one document that exist only because an alias repeats them: ten levels of ten aliases make 10^10."""

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]
"""Keys and indexes from the top of a document."""
Position = tuple[int, int]
"""Line and column, both from 0."""
V = TypeVar("V")


class Misplaced(Exception):
    """Valid YAML that we do not take."""

    def __init__(self, problem: str, place: Position, hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.place, self.hint = problem, place, hint


class Composed(NamedTuple):
    """One document."""

    value: Any
    place: Position
    places: Mapping[Path, Position]
    """Of the collections at most two levels below the top."""


def compose(content: str) -> Iterator[Composed]:
    """The documents of a stream; `Misplaced` or yaml.YAMLError at the first place that is not YAML, or not ours."""
    composer = _Plain()
    for event in yaml.parse(content, LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            composer = _Plain()
        elif isinstance(event, yaml.DocumentEndEvent):
            yield Composed(composer.top, composer.place, composer.places)
        else:
            composer.take(event)


def find(content: str, number: int, wanted: Path) -> Position | None:
    """Where the value at `wanted` stands in one document, or the nearest value around it; None: no such document."""
    finder = _Finder(wanted)
    documents = -1
    for event in yaml.parse(content, LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if documents > number:
            break
        if documents == number:
            finder.take(event)
    return finder.best


def position(event: Any) -> Position:
    """Where an event begins."""
    return event.start_mark.line, event.start_mark.column


class Frame(Generic[V]):
    """A collection that is being put together."""

    __slots__ = ("anchor", "entries", "items", "key", "mapping", "place", "size")

    def __init__(self, event: Any, place: Position) -> None:
        self.mapping = isinstance(event, yaml.MappingStartEvent)
        self.anchor: str | None = event.anchor
        self.place = place
        self.entries: dict[str, Any] = {}
        """What `Composer.enter` puts there: values, or something around them."""
        self.items: list[V] = []
        self.key: tuple[str, Position] | None = None
        self.size = 1
        """Values in it, those that aliases repeat counted each time."""

    @property
    def step(self) -> str | int:
        """The key or index of what comes next."""
        return len(self.items) if not self.mapping else self.key[0] if self.key else ""


class Composer(ABC, Generic[V]):
    """Puts one document together. Its subclasses say what becomes of a scalar, a collection and an alias."""

    def __init__(self) -> None:
        self.top: V | None = None
        self.place: Position = (0, 0)
        self.frames: list[Frame[V]] = []
        self._anchors: dict[str, tuple[V, int]] = {}
        self._aliased = 0

    @abstractmethod
    def scalar(self, value: Any, place: Position) -> V:
        """A value of a scalar that is resolved; of a key its text."""

    @abstractmethod
    def collection(self, frame: Frame[V]) -> V:
        """A value of a collection that is complete."""

    def alias(self, value: V, _place: Position) -> V:
        """A value that an alias repeats. It is shared, not copied, but who walks the document walks it each time."""
        return value

    @abstractmethod
    def key_text(self, value: V) -> str | None:
        """A scalar as a key; None for a collection."""

    def enter(self, frame: Frame[V], key: str, _place: Position, value: V) -> None:
        """Put a value under a key; the last one of a key stays, as in Kubernetes' own reader."""
        frame.entries[key] = value

    def begins(self, event: Any, place: Position) -> None:
        """A value, not a key, begins here."""

    def take(self, event: Any) -> None:
        """The next event of the document. Raises Misplaced."""
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            return
        place = position(event)
        frames = self.frames
        if isinstance(event, yaml.CollectionEndEvent):
            frame = frames.pop()
            self._anchored(frame.anchor, self.collection(frame), frame.size, frame.place)
            return
        awaits_key = bool(frames) and frames[-1].mapping and frames[-1].key is None
        if not awaits_key:
            self.begins(event, place)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event.value if awaits_key else resolved(event), place)
            self._anchored(event.anchor, value, 1, place)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(frames) >= DEPTH_LIMIT:
                raise Misplaced(f"expected at most {DEPTH_LIMIT} levels of nesting", place)
            frames.append(Frame(event, place))
        else:
            value, size = self._repeated(event.anchor, place)
            self._add(self.alias(value, place), size, place)

    def _anchored(self, anchor: str | None, value: V, size: int, place: Position) -> None:
        if anchor:
            self._anchors[anchor] = value, size
        self._add(value, size, place)

    def _repeated(self, anchor: str | None, place: Position) -> tuple[V, int]:
        if anchor is None or anchor not in self._anchors:
            raise Misplaced(f"expected a complete &{anchor} before *{anchor}", place)
        value, size = self._anchors[anchor]
        self._aliased += size
        if self._aliased > ALIASED_LIMIT:
            problem = f"expected aliases to repeat at most {ALIASED_LIMIT:,} values"
            raise Misplaced(problem, place, "write out what is meant, or split the document")
        return value, size

    def _add(self, value: V, size: int, place: Position) -> None:
        if not self.frames:
            self.top, self.place = value, place
            return
        frame = self.frames[-1]
        frame.size += size
        if not frame.mapping:
            frame.items.append(value)
        elif frame.key is not None:
            self.enter(frame, *frame.key, value)
            frame.key = None
        elif (text := self.key_text(value)) is not None:
            frame.key = text, place
        else:
            raise Misplaced("expected text as the key of a mapping", place)


def merged(entries: dict[str, V], parts: Callable[[V], Sequence[Mapping[str, V]]]) -> dict[str, V]:
    """A mapping with what its ``<<`` key names put under its own keys (https://yaml.org/type/merge.html).

    ``parts``: the mappings that a value is or lists; the first one that has a key wins.
    """
    if "<<" not in entries:
        return entries
    inherited: dict[str, V] = {}
    for part in reversed(parts(entries.pop("<<"))):
        inherited.update(part)
    return inherited | entries


class _Plain(Composer[Any]):
    """Dictionaries, lists, text, numbers, booleans and None."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[Path, Position] = {}

    def scalar(self, value: Any, _place: Position) -> Any:
        return value

    def collection(self, frame: Frame[Any]) -> Any:
        return merged(frame.entries, _mappings) if frame.mapping else frame.items

    def key_text(self, value: Any) -> str | None:
        return value if isinstance(value, str) else None if isinstance(value, dict | list) else str(value)

    def begins(self, event: Any, place: Position) -> None:
        if len(self.frames) <= 2 and isinstance(event, yaml.CollectionStartEvent):
            self.places[tuple(frame.step for frame in self.frames)] = place


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]


class _Finder(_Plain):
    """Looks for the place of one value."""

    def __init__(self, wanted: Path) -> None:
        super().__init__()
        self._wanted = wanted
        self._depth = -1
        self.best: Position | None = None

    def begins(self, _event: Any, place: Position) -> None:
        path = tuple(frame.step for frame in self.frames)
        if len(path) > self._depth and self._wanted[: len(path)] == path:
            self._depth, self.best = len(path), place


CONSTANTS: Final[Mapping[str, bool | None]] = {
    spelling: meaning
    for words, meaning in (("null", None), ("true yes on", True), ("false no off", False))
    for word in words.split()
    for spelling in (word, word.title(), word.upper())
} | {"": None, "~": None}
INTEGER: Final = re.compile(r"[-+]?(?:0x[0-9a-fA-F]{1,32}|0o?[0-7]{1,32}|0|[1-9][0-9]{0,30})")
FRACTION: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,9})?")
RESOLVED_TAGS: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))


def resolved(event: Any) -> Any:
    """A plain scalar's value; quoted ones, and those tagged as text or as something no manifest has, are text."""
    text: str = event.value
    if not (event.implicit[0] or event.tag in RESOLVED_TAGS):
        return text
    return plain_value(text)


def plain_value(text: str) -> Any:
    """What a plain scalar is: null, a boolean, a number, or its text."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        digits = text.lstrip("+-").lower()
        base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
        return int(digits, base) * (-1 if text.startswith("-") else 1)
    return float(text) if FRACTION.fullmatch(text) else text
