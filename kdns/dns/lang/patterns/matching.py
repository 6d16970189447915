"""Matching a pattern, always within size of the pattern times length of the text. Pure.

A program of small steps runs backwards and forwards as Go's would, but no step is tried twice at one place: what
failed there once fails again. ``re`` finds the same for a pattern with one unbounded repetition at most, faster.
"""

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from kdns.dns.lang.patterns.syntax import (
    WORD,
    Assert,
    Chars,
    Choice,
    Group,
    Node,
    Repeat,
    Sequence,
    Tree,
    parse_pattern,
)

LONGEST: Final = 10_000
"""Characters of a pattern, as in CoreDNS."""
SHORT: Final = 100
"""Characters of a text up to which ``re``, which tries every beginning anew, is faster than a `Program`. Names that
clients ask for have about 30; the longest, 1,003 when all is escaped, would take half a second with it."""
MOST_STEPS: Final = 20_000
"""Steps of a program; counts such as ``{1000}`` write what they repeat so often."""

_MANY: Final = 1_000_000
_SET, _SPLIT, _JUMP, _SAVE, _ASSERT, _DONE = range(6)
_WORD: Final = frozenset(chr(code) for low, high in WORD for code in range(low, high + 1))


class Match(NamedTuple):
    """The first match in a text; groups that have no part in it are empty, as in Go."""

    groups: tuple[str, ...]
    """The whole of it is number 0."""


class Pattern:
    """A compiled pattern; ``search`` is all there is to it."""

    def __init__(self, text: str, tree: Tree, search: Callable[[str], Match | None]) -> None:
        self.text = text
        self.groups = tree.groups
        """How many, without number 0."""
        self.names = tree.names
        """Name -> number."""
        self.ending = _ending(tree.node)
        """What every text ends in that matches; empty where that is not known."""
        self.search = search
        """The leftmost match in a text, or None."""


def compile_pattern(text: str) -> Pattern:
    """A pattern in Go's syntax. Raises ValueError that says what is wrong."""
    if len(text) > LONGEST:
        raise ValueError(f"a pattern of {len(text)} characters is too long, {LONGEST} are allowed")
    tree = parse_pattern(text)
    if not _quick(tree.node):
        return Pattern(text, tree, Program(tree).search)
    return Pattern(text, tree, _PythonSearch(tree).search)


class Program:
    """Steps: (what, argument, next step, other next step)."""

    def __init__(self, tree: Tree) -> None:
        self._steps: list[tuple[int, frozenset[str] | Chars | str | int, int, int]] = []
        self._groups = tree.groups
        done = self._add(_DONE, 0, 0)
        self._start = self._emit(Group(0, tree.node), done)
        self._anchored = _anchored(tree.node)

    def _add(self, what: int, argument: frozenset[str] | Chars | str | int, after: int, other: int = 0) -> int:
        if len(self._steps) >= MOST_STEPS:
            raise ValueError("expression is too large: it repeats too much")
        self._steps.append((what, argument, after, other))
        return len(self._steps) - 1

    def _emit(self, node: Node, after: int) -> int:
        """Add the steps for a node, to go on with another step; where they begin."""
        match node:
            case Chars(ranges):
                small = sum(high - low + 1 for low, high in ranges) < 512
                chars = frozenset(chr(code) for low, high in ranges for code in range(low, high + 1)) if small else node
                return self._add(_SET, chars, after)
            case Assert(kind):
                return self._add(_ASSERT, kind, after)
            case Group(number, inner):
                return self._add(_SAVE, 2 * number, self._emit(inner, self._add(_SAVE, 2 * number + 1, after)))
            case Sequence(nodes):
                for each in reversed(nodes):
                    after = self._emit(each, after)
                return after
            case Choice(nodes):
                starts = [self._emit(each, after) for each in nodes]
                here = starts[-1]
                for start in reversed(starts[:-1]):
                    here = self._add(_SPLIT, 0, start, here)
                return here
            case Repeat(inner, least, most, lazy):
                return self._repeat(inner, least, most, lazy, after)

    def _repeat(self, inner: Node, least: int, most: int | None, lazy: bool, after: int) -> int:
        if most is None:
            loop = self._add(_SPLIT, 0, 0)
            here = body = self._emit(inner, loop)
            self._steps[loop] = self._split(body, after, lazy)
            if not least:  # as in Go: what may be empty is tried once, and that again and again
                here = self._add(*self._split(body, after, lazy)) if _empty(inner) else loop
            least -= 1
        else:
            here = after
            for _ in range(most - least):
                here = self._add(*self._split(self._emit(inner, here), after, lazy))
        for _ in range(least):
            here = self._emit(inner, here)
        return here

    @staticmethod
    def _split(body: int, after: int, lazy: bool) -> tuple[int, int, int, int]:
        return (_SPLIT, 0, after, body) if lazy else (_SPLIT, 0, body, after)

    def search(self, text: str) -> Match | None:
        """The leftmost match."""
        tried: set[int] = set()
        for start in range(1 if self._anchored else len(text) + 1):
            saved = self._run(text, start, tried)
            if saved is not None:
                ends = zip(saved[::2], saved[1::2], strict=True)
                return Match(tuple(text[low:high] if low >= 0 <= high else "" for low, high in ends))
        return None

    def _run(self, text: str, start: int, tried: set[int]) -> list[int] | None:
        steps, width = self._steps, len(text) + 1
        saved = [-1] * (2 * self._groups + 2)
        todo: list[tuple[int, int]] = [(self._start, start)]
        while todo:
            step, at = todo.pop()
            if step < 0:  # on the way back: a group's end is what it was before
                saved[-step - 1] = at
                continue
            while True:
                key = step * width + at
                if key in tried:
                    break
                tried.add(key)
                what, argument, after, other = steps[step]
                if what == _SET:
                    if at + 1 == width or not _among(text[at], argument):
                        break
                    at += 1
                elif what == _SPLIT:
                    todo.append((other, at))
                elif what == _SAVE:
                    assert isinstance(argument, int)
                    todo.append((-argument - 1, saved[argument]))
                    saved[argument] = at
                elif what == _ASSERT:
                    assert isinstance(argument, str)
                    if not _holds(argument, text, at):
                        break
                else:
                    return saved
                step = after
        return None


def _among(char: str, chars: frozenset[str] | Chars | str | int) -> bool:
    if isinstance(chars, frozenset):
        return char in chars
    assert isinstance(chars, Chars)
    return any(low <= ord(char) <= high for low, high in chars.ranges)


def _holds(kind: str, text: str, at: int) -> bool:
    if kind in "A^":
        return at == 0 or (kind == "^" and text[at - 1] == "\n")
    if kind in "z$":
        return at == len(text) or (kind == "$" and text[at] == "\n")
    before = at > 0 and text[at - 1] in _WORD
    behind = at < len(text) and text[at] in _WORD
    return (before != behind) == (kind == "b")


def _empty(node: Node) -> bool:
    """True if nothing at all may match."""
    match node:
        case Chars():
            return False
        case Group(_, inner):
            return _empty(inner)
        case Sequence(nodes):
            return all(map(_empty, nodes))
        case Choice(nodes):
            return any(map(_empty, nodes))
        case Repeat(inner, least, _, _):
            return not least or _empty(inner)
        case _:
            return True


def _ending(node: Node) -> str:
    """The characters in front of the end of the text that a pattern ends with."""
    if not isinstance(node, Sequence) or not node.nodes or node.nodes[-1] != Assert("z"):
        return ""
    found = ""
    for each in reversed(node.nodes[:-1]):
        if not isinstance(each, Chars) or len(each.ranges) != 1 or each.ranges[0][0] != each.ranges[0][1]:
            break
        found = chr(each.ranges[0][0]) + found
    return found


def _anchored(node: Node) -> bool:
    """True if a match can only begin where the text does."""
    if isinstance(node, Group):
        return _anchored(node.node)
    if isinstance(node, Sequence) and node.nodes:
        return _anchored(node.nodes[0])
    return node == Assert("A")


def _quick(node: Node) -> bool:
    """True if ``re`` cannot take long: at most one repetition without bound, of single characters, and few others."""
    unbounded, ways = _repeats(node)
    return ways <= 500 if not unbounded else unbounded == 1 and ways <= 8


def _repeats(node: Node) -> tuple[int, int]:
    """Repetitions without bound, and in how many ways bounded ones can be combined; both are capped."""
    match node:
        case Group(_, inner):
            return _repeats(inner)
        case Sequence(nodes):
            found = [_repeats(each) for each in nodes]
            return sum(each for each, _ in found), min(math.prod(each for _, each in found), _MANY)
        case Choice(nodes):
            found = [_repeats(each) for each in nodes]
            return sum(each for each, _ in found), min(sum(each for _, each in found), _MANY)
        case Repeat(inner, least, most, _):
            unbounded, ways = _repeats(inner)
            if most is None:
                return (1, 1) if isinstance(inner, Chars) else (2, 1)
            if _empty(inner):
                return 2, 1  # re and Go differ in how often nothing is repeated
            return unbounded * most, min(ways ** min(most, 20) * (most - least + 1), _MANY)
        case Assert("B"):
            return 2, 1  # before Python 3.14 it does not hold in an empty text
        case _:
            return 0, 1


class _PythonSearch:
    """The same tree, written for ``re``; what is long is left to a `Program`."""

    def __init__(self, tree: Tree) -> None:
        self._search = re.compile(_python(tree.node), re.DOTALL | re.MULTILINE | re.ASCII).search
        self._long = Program(tree).search if _repeats(tree.node)[0] and not _anchored(tree.node) else None

    def search(self, text: str) -> Match | None:
        """The leftmost match."""
        if self._long is not None and len(text) > SHORT:
            return self._long(text)
        found = self._search(text)
        return Match((found[0], *found.groups(""))) if found is not None else None


def _python(node: Node) -> str:
    match node:
        case Chars(ranges):
            return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]" if ranges else "(?!)"
        case Assert(kind):
            return {"A": r"\A", "z": r"\Z"}.get(kind) or (kind if kind in "^$" else f"\\{kind}")
        case Group(_, inner):
            return f"({_python(inner)})"
        case Sequence(nodes):
            return "".join(f"(?:{_python(each)})" if isinstance(each, Choice) else _python(each) for each in nodes)
        case Choice(nodes):
            return "|".join(map(_python, nodes))
        case Repeat(inner, least, most, lazy):
            text = _python(inner)
            count = f"{{{least},{'' if most is None else most}}}"
            return f"(?:{text}){count}{'?' if lazy else ''}"
