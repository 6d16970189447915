"""A YAML document as a tree in which every value knows its place: what a configuration file is read from. Pure.

Put together by `kdns.config.yaml_values`, which has the bounds. A key that stands twice keeps its last value, as in
Kubernetes' own reader, and is noted.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml

from kdns.base.errors import ConfigError, Span
from kdns.config.yaml_values import LOADER, Composer, Frame, Misplaced, Position, merged, position

MOST_TEXT: Final = 256 * 1024
"""Characters; the largest configurations have a few thousand."""
LONGEST_LINE: Final = 200
"""Characters; a longer line is not shown with its mistakes."""

Scalar = str | int | float | bool | None
Path = tuple[str, ...]


class Node(NamedTuple):
    """A value."""

    value: "Scalar | tuple[Node, ...] | Mapping[str, Entry]"
    at: Span | None = None
    """None: it was in no file."""


class Entry(NamedTuple):
    """What a key of a mapping leads to."""

    at: Span | None
    """Of the key."""
    node: Node


class Repeated(NamedTuple):
    """A key that stood in its mapping before."""

    path: Path
    """Keys from the top; steps through lists are left out."""
    at: Span
    line: int
    """Where it stood first."""


class Tree(NamedTuple):
    """The first document of a text."""

    top: Node
    repeated: tuple[Repeated, ...] = ()
    more: Span | None = None
    """Where a second document begins, if there is one."""


def read_tree(text: str, source: str) -> Tree:
    """The first document; an empty text is None. Raises ConfigError for text that is not YAML, or more than we take."""
    if len(text) > MOST_TEXT:
        raise ConfigError(f"{source} is larger than {MOST_TEXT // 1024} KiB")
    builder = _Builder(text, source)
    begun = 0
    try:
        for event in yaml.parse(text, LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                begun += 1
                if begun == 2:
                    builder.more = builder.span(*position(event))
                    break
            builder.take(event)
    except yaml.YAMLError as error:
        raise _problem(error, builder) from None
    except Misplaced as error:
        raise ConfigError(error.problem, builder.span(*error.place), error.hint) from None
    return Tree(builder.top or Node(None), tuple(builder.repeated), builder.more)


class _Builder(Composer[Node]):
    def __init__(self, text: str, source: str) -> None:
        super().__init__()
        self._lines, self._source = text.split("\n"), source
        self.repeated: list[Repeated] = []
        self.more: Span | None = None

    def span(self, line: int, column: int) -> Span:
        """A place, both numbers from 0, with the line's text if that can be shown."""
        text = self._lines[line].rstrip("\r") if line < len(self._lines) else ""
        shown = text if len(text) <= LONGEST_LINE and text.isprintable() else ""
        return Span(self._source, line + 1, column + 1, shown)

    def scalar(self, value: Any, place: Position) -> Node:
        return Node(value, self.span(*place))

    def collection(self, frame: Frame[Node]) -> Node:
        return Node(merged(frame.entries, _mappings) if frame.mapping else tuple(frame.items), self.span(*frame.place))

    def alias(self, value: Node, place: Position) -> Node:
        return Node(value.value, self.span(*place))

    def key_text(self, value: Node) -> str | None:
        return None if isinstance(value.value, tuple | Mapping) else str(value.value)

    def enter(self, frame: Frame[Node], key: str, place: Position, value: Node) -> None:
        at = self.span(*place)
        if key in frame.entries:
            path = tuple(outer.key[0] for outer in self.frames if outer.key)
            first: Entry = frame.entries[key]
            self.repeated.append(Repeated(path, at, first.at.line if first.at else 0))
        frame.entries[key] = Entry(at, value)


def _mappings(entry: Entry) -> list[Mapping[str, Entry]]:
    value = entry.node.value
    parts = [part.value for part in value] if isinstance(value, tuple) else [value]
    return [part for part in parts if isinstance(part, Mapping)]


def _problem(error: yaml.YAMLError, builder: _Builder) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a character that YAML forbids
        return ConfigError(f"expected YAML: {getattr(error, 'reason', error)}", builder.span(0, 0))
    context, begun = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
    hint = f"{context} that begins on line {begun.line + 1}" if context and begun else ""
    return ConfigError(
        f"expected YAML: {getattr(error, 'problem', None) or context}", builder.span(mark.line, mark.column), hint
    )
