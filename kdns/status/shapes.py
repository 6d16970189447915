"""What a drawing is made of. Lengths are in the SVG's own units, which are CSS pixels where there is room. Pure."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kdns.status.graph import Node, State

CHARACTERS: Final = (7.6, 6.7)
"""Width of a character of a box's first line, and of its second, smaller one."""
PADDING: Final = 13
"""From the left edge of a box to its text; a little less on the right."""


class Box(Struct, frozen=True):
    """A box with one or two lines of text; what does not fit is cut, and whole in its title."""

    x: int
    y: int
    width: int
    height: int
    state: State
    lines: tuple[str, ...]
    title: str

    @property
    def middle(self) -> int:
        """Where lines begin and end on its sides."""
        return self.y + self.height // 2

    @property
    def right(self) -> int:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """Its lower edge."""
        return self.y + self.height


class Line(Struct, frozen=True):
    """From one box to another."""

    path: str
    """As the attribute d of an SVG path."""
    state: State


class Head(Struct, frozen=True):
    """What a column or a group of boxes is."""

    x: int
    y: int
    """Of the baseline."""
    text: str


class Drawing(Struct, frozen=True):
    """All of it."""

    width: int
    height: int
    heads: tuple[Head, ...]
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    """Those on which something is wrong come last, and so on top."""


def make_box(node: Node, x: int, y: int, width: int, height: int) -> Box:
    """A box of a size, with as much of the text as fits."""
    texts = [line for line in node.lines if line]
    lines = tuple(_cut(line, int((width - PADDING - 7) / size)) for line, size in zip(texts, CHARACTERS, strict=False))
    return Box(x, y, width, height, node.state, lines, node.title)


def in_order(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Those on which something is wrong last."""
    order = ("idle", "ok", "warn", "fault")
    return tuple(sorted(lines, key=lambda line: order.index(line.state)))


def _cut(line: str, fits: int) -> str:
    return line if len(line) <= fits else f"{line[: fits - 1]}…"
