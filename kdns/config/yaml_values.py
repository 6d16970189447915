"""YAML text as plain values with places, put together from the events of libyaml's parser. Pure.

PyYAML's own composer calls itself for each level, without a limit, so that a file of brackets ends the process; it
turns unquoted dates and 22:22 into things that are no text; and it takes three times as long. Values are resolved as
Kubernetes' own reader does for the types that a manifest has (YAML 1.1 booleans, null, numbers; all else is text);
keys are always text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

DEPTH_LIMIT = 200
"""Levels of nesting. CustomResourceDefinitions, the deepest manifests about, have some 50."""
ALIASED_LIMIT = 100_000
"""Values of one document that exist only because an alias repeats them: ten levels of ten aliases make 10^10."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]
"""Keys and indexes from the top of a document."""
Position = tuple[int, int]
"""Line and column, both from 0."""


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
    """The documents of a stream; `Misplaced` or yaml.YAMLError when the text gets to where it is none."""
    composer = _Composer()
    for event in yaml.parse(content, LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            composer = _Composer()
        elif isinstance(event, yaml.DocumentEndEvent):
            yield Composed(composer.top, composer.place, composer.places)
        else:
            composer.take(event)


def find(content: str, number: int, wanted: Path) -> Position | None:
    """Where the value at `wanted` stands in one document, or the nearest value around it; None: no such document."""
    frames: list[_Frame] = []
    best: tuple[int, Position] | None = None
    documents = -1
    for event in yaml.parse(content, LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if documents > number:
            break
        if documents != number or not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            frames.pop()
        else:
            path = tuple(frame.step for frame in frames)
            awaits_key = bool(frames) and frames[-1].awaits_key
            if not awaits_key and wanted[: len(path)] == path and (best is None or len(path) > best[0]):
                best = len(path), _place(event)
            if isinstance(event, yaml.CollectionStartEvent):
                frames.append(_Frame(event))
                continue
        if frames:
            frames[-1].add(getattr(event, "value", ""), 1, _place(event))
    return best[1] if best else None


class _Frame:
    """A collection that is being put together."""

    def __init__(self, event: Any) -> None:
        self.value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.anchor: str | None = event.anchor
        self.key: str | None = None
        self.size = 1

    @property
    def awaits_key(self) -> bool:
        return self.key is None and isinstance(self.value, dict)

    @property
    def step(self) -> str | int:
        """The key or index of what comes next."""
        return len(self.value) if isinstance(self.value, list) else self.key or ""

    def add(self, value: Any, size: int, place: Position) -> None:
        """Take the next key or value, which stands for `size` values."""
        self.size += size
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is not None:
            self.value[self.key], self.key = value, None
        elif isinstance(value, str):
            self.key = value
        elif isinstance(value, dict | list):
            raise Misplaced("expected text as the key of a mapping", place)
        else:
            self.key = str(value)  # an alias to a number


class _Composer:
    """Puts one document together."""

    def __init__(self) -> None:
        self.top: Any = None
        self.place: Position = (0, 0)
        self.places: dict[Path, Position] = {}
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(self._scalar(event), 1, event)
            case yaml.CollectionStartEvent():
                self._begin(event)
            case yaml.CollectionEndEvent():
                frame = self._frames.pop()
                value = merged(frame.value)
                if frame.anchor:
                    self._anchors[frame.anchor] = value, frame.size
                self._add(value, frame.size, event)
            case yaml.AliasEvent():
                self._add(*self._repeated(event), event)

    def _add(self, value: Any, size: int, event: Any) -> None:
        if self._frames:
            self._frames[-1].add(value, size, _place(event))
        else:
            self.top, self.place = value, self.places.get((), _place(event))

    def _scalar(self, event: Any) -> Any:
        is_key = bool(self._frames) and self._frames[-1].awaits_key
        value = event.value if is_key else resolved(event)
        if event.anchor:
            self._anchors[event.anchor] = value, 1
        return value

    def _begin(self, event: Any) -> None:
        if len(self._frames) >= DEPTH_LIMIT:
            raise Misplaced(f"expected at most {DEPTH_LIMIT} levels of nesting", _place(event))
        if len(self._frames) <= 2:
            self.places[tuple(frame.step for frame in self._frames)] = _place(event)
        self._frames.append(_Frame(event))

    def _repeated(self, event: Any) -> tuple[Any, int]:
        """What an alias stands for. Values are shared, not copied, but whoever walks them walks each again."""
        if event.anchor not in self._anchors:
            raise Misplaced(f"expected a complete &{event.anchor} before *{event.anchor}", _place(event))
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > ALIASED_LIMIT:
            problem = f"expected aliases to repeat at most {ALIASED_LIMIT:,} values"
            raise Misplaced(problem, _place(event), "write out what is meant, or split the document")
        return value, size


def _place(event: Any) -> Position:
    return event.start_mark.line, event.start_mark.column


def merged(value: Any) -> Any:
    """A mapping with what its ``<<`` key names put under its own keys (https://yaml.org/type/merge.html)."""
    if not isinstance(value, dict) or "<<" not in value:
        return value
    merge = value.pop("<<")
    merged: dict[str, Any] = {}
    for part in reversed(merge if isinstance(merge, list) else [merge]):
        if isinstance(part, dict):
            merged.update(part)
    return merged | value


CONSTANTS: Mapping[str, bool | None] = {
    spelling: meaning
    for words, meaning in (("null", None), ("true yes on", True), ("false no off", False))
    for word in words.split()
    for spelling in (word, word.title(), word.upper())
} | {"": None, "~": None}
INTEGER = re.compile(r"[-+]?(?:0x[0-9a-fA-F]{1,32}|0o?[0-7]{1,32}|0|[1-9][0-9]{0,30})")
FRACTION = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,9})?")
RESOLVED_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))


def resolved(event: Any) -> Any:
    """A plain scalar's value; quoted ones, and those tagged as text or as something no manifest has, are text."""
    text: str = event.value
    if not (event.implicit[0] or event.tag in RESOLVED_TAGS):
        return text
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        digits = text.lstrip("+-").lower()
        base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
        return int(digits, base) * (-1 if text.startswith("-") else 1)
    return float(text) if FRACTION.fullmatch(text) else text
