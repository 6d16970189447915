"""A YAML document as a tree in which every value knows its place: what a configuration file is read from. Pure.

Scalars, depth and aliases are those of `kdns.config.yaml_values`. A key that stands twice keeps its last value, as in
Kubernetes' own reader, and is noted.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import yaml

from kdns.base.errors import ConfigError, Span
from kdns.config.yaml_values import ALIASED_LIMIT, DEPTH_LIMIT, LOADER, resolved

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
    """The first document; an empty text is None. Raises ConfigError for what is no YAML, or more than we take."""
    if len(text) > MOST_TEXT:
        raise ConfigError(f"{source} is larger than {MOST_TEXT // 1024} KiB")
    builder = _Builder(text, source)
    begun = 0
    try:
        for event in yaml.parse(text, LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                begun += 1
                if begun == 2:
                    builder.more = builder.place(event)
                    break
            builder.take(event)
    except yaml.YAMLError as error:
        raise _problem(error, builder) from None
    return Tree(builder.top, tuple(builder.repeated), builder.more)


class _Frame:
    """A collection that is being put together."""

    def __init__(self, event: Any, at: Span) -> None:
        self.mapping = isinstance(event, yaml.MappingStartEvent)
        self.anchor: str | None = event.anchor
        self.at = at
        self.entries: dict[str, Entry] = {}
        self.inherited: dict[str, Entry] = {}
        self.items: list[Node] = []
        self.key: tuple[str, Span] | None = None
        self.size = 1

    @property
    def awaits_key(self) -> bool:
        return self.mapping and self.key is None

    def node(self) -> Node:
        return Node(self.inherited | self.entries if self.mapping else tuple(self.items), self.at)


class _Builder:
    def __init__(self, text: str, source: str) -> None:
        self._lines, self._source = text.split("\n"), source
        self.top = Node(None)
        self.repeated: list[Repeated] = []
        self.more: Span | None = None
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._aliased = 0

    def span(self, line: int, column: int) -> Span:
        """A place, both numbers from 0, with the line's text if that can be shown."""
        text = self._lines[line].rstrip("\r") if line < len(self._lines) else ""
        shown = text if len(text) <= LONGEST_LINE and text.isprintable() else ""
        return Span(self._source, line + 1, column + 1, shown)

    def place(self, event: Any) -> Span:
        """Where an event begins."""
        return self.span(event.start_mark.line, event.start_mark.column)

    def take(self, event: Any) -> None:
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            return
        at = self.place(event)
        match event:
            case yaml.ScalarEvent():
                awaits_key = bool(self._frames) and self._frames[-1].awaits_key
                self._anchored(event.anchor, Node(event.value if awaits_key else resolved(event), at), 1)
            case yaml.CollectionStartEvent():
                if len(self._frames) >= DEPTH_LIMIT:
                    raise ConfigError(f"expected at most {DEPTH_LIMIT} levels of nesting", at)
                self._frames.append(_Frame(event, at))
            case yaml.CollectionEndEvent():
                frame = self._frames.pop()
                self._anchored(frame.anchor, frame.node(), frame.size)
            case yaml.AliasEvent():
                self._add(*self._alias(event.anchor, at))

    def _anchored(self, anchor: str | None, node: Node, size: int) -> None:
        if anchor:
            self._anchors[anchor] = node, size
        self._add(node, size)

    def _alias(self, anchor: str | None, at: Span) -> tuple[Node, int]:
        """What an alias stands for; values are shared, but whoever walks them walks each again."""
        if anchor is None or anchor not in self._anchors:
            raise ConfigError(f"expected a complete &{anchor} before *{anchor}", at)
        node, size = self._anchors[anchor]
        self._aliased += size
        if self._aliased > ALIASED_LIMIT:
            raise ConfigError(f"expected aliases to repeat at most {ALIASED_LIMIT:,} values", at)
        return Node(node.value, at), size

    def _add(self, node: Node, size: int) -> None:
        if not self._frames:
            self.top = node
            return
        frame = self._frames[-1]
        frame.size += size
        if not frame.mapping:
            frame.items.append(node)
        elif frame.key is None:
            if isinstance(node.value, tuple | Mapping):
                raise ConfigError("expected text as the key of a mapping", node.at)
            frame.key = str(node.value), cast(Span, node.at)
        else:
            self._enter(frame, *frame.key, node)
            frame.key = None

    def _enter(self, frame: _Frame, key: str, at: Span, node: Node) -> None:
        if key == "<<":  # https://yaml.org/type/merge.html: the first one that has a key wins
            for part in node.value if isinstance(node.value, tuple) else (node,):
                for word, entry in part.value.items() if isinstance(part.value, Mapping) else ():
                    frame.inherited.setdefault(word, entry)
            return
        if key in frame.entries:
            path = tuple(outer.key[0] for outer in self._frames if outer.key)
            first = frame.entries[key].at
            self.repeated.append(Repeated(path, at, first.line if first else 0))
        frame.entries[key] = Entry(at, node)


def _problem(error: yaml.YAMLError, builder: _Builder) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a character that YAML forbids
        return ConfigError(f"expected YAML: {getattr(error, 'reason', error)}", builder.span(0, 0))
    context, begun = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
    hint = f"{context} that begins on line {begun.line + 1}" if context and begun else ""
    return ConfigError(
        f"expected YAML: {getattr(error, 'problem', None) or context}", builder.span(mark.line, mark.column), hint
    )
