"""Go's regular expressions (https://github.com/google/re2/wiki/Syntax) as a tree. Pure.

Not there: ``\\C``, ``\\p`` and ``\\P`` (classes of Unicode), and the flag ``U``. Names are ASCII, and so are
``\\d``, ``\\s``, ``\\w`` and ``\\b``, as in Go.
"""

import re
import string
from typing import Final, NamedTuple, TypeAlias

MOST_REPEATS: Final = 1000
"""As in Go: larger counts are an error."""
DEEPEST: Final = 100
"""Groups within groups at most; Go allows 1000, and nobody writes more than five."""
MAX_CHAR: Final = 0x10FFFF


class Chars(NamedTuple):
    """One character of a set of ranges."""

    ranges: tuple[tuple[int, int], ...]


class Assert(NamedTuple):
    """Nothing, at a certain place: one of ``A`` ``z`` ``^`` ``$`` ``b`` ``B`` (the third and fourth of a line)."""

    kind: str


class Group(NamedTuple):
    """A numbered group."""

    number: int
    node: "Node"


class Sequence(NamedTuple):
    """One after the other."""

    nodes: tuple["Node", ...]


class Choice(NamedTuple):
    """The first that leads to a match."""

    nodes: tuple["Node", ...]


class Repeat(NamedTuple):
    """As often as possible, or, lazy, as seldom."""

    node: "Node"
    least: int
    most: int | None
    lazy: bool


Node: TypeAlias = Chars | Assert | Group | Sequence | Choice | Repeat


class Tree(NamedTuple):
    """A pattern that was read."""

    node: Node
    groups: int
    names: dict[str, int]


DIGIT: Final = ((0x30, 0x39),)
WORD: Final = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Final = ((9, 10), (12, 13), (32, 32))
PERL: Final = {"d": DIGIT, "w": WORD, "s": SPACE}
POSIX: Final = {
    "alnum": ((48, 57), (65, 90), (97, 122)), "alpha": ((65, 90), (97, 122)), "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)), "cntrl": ((0, 31), (127, 127)), "digit": DIGIT, "graph": ((33, 126),),
    "lower": ((97, 122),), "print": ((32, 126),), "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)), "upper": ((65, 90),), "word": WORD, "xdigit": ((48, 57), (65, 70), (97, 102)),
}  # fmt: skip
ESCAPES: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
COUNT: Final = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
NAME: Final = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
FLAGS: Final = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")


def inverse(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """All characters that are not in the ranges."""
    found = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= MAX_CHAR:
        found.append((start, MAX_CHAR))
    return tuple(found)


def both_cases(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The ranges, and their ASCII letters in the other case."""
    found = list(ranges)
    for low, high in ranges:
        for first, last, shift in ((0x41, 0x5A, 32), (0x61, 0x7A, -32)):
            if max(low, first) <= min(high, last):
                found.append((max(low, first) + shift, min(high, last) + shift))
    return tuple(found)


def _few_repeats(node: Node, left: int) -> bool:
    """True if counts within counts do not multiply to more than what is left, as Go checks it."""
    match node:
        case Repeat(inner, least, most, _):
            count = least if most is None else most
            return count <= left and _few_repeats(inner, left // max(count, 1))
        case Group(_, inner):
            return _few_repeats(inner, left)
        case Sequence(nodes) | Choice(nodes):
            return all(_few_repeats(each, left) for each in nodes)
        case _:
            return True


def parse_pattern(text: str) -> Tree:
    """The tree of a pattern. Raises ValueError that says what is wrong."""
    return _Reader(text).tree()


class _Reader:
    """Reads from left to right; flags hold to the end of their group."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.flags = ""
        self.groups = 0
        self.depth = 0
        self.names: dict[str, int] = {}

    def tree(self) -> Tree:
        node = self._choice()
        if self.at < len(self.text):
            raise ValueError("unexpected )")
        if not _few_repeats(node, MOST_REPEATS):
            raise ValueError(f"invalid repeat count: counts within counts make over {MOST_REPEATS}")
        return Tree(node, self.groups, self.names)

    def _starts(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _choice(self) -> Node:
        branches = [self._sequence()]
        while self._starts("|"):
            self.at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        nodes: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if self._starts(r"\Q"):
                quoted, found, _ = self.text[self.at + 2 :].partition(r"\E")
                self.at += 2 + len(quoted) + (2 if found else 0)
                nodes += [self._chars(((ord(char), ord(char)),)) for char in quoted]
                if quoted:
                    nodes.append(self._repeated(nodes.pop()))
            elif self._starts(r"\E"):
                self.at += 2
            else:
                node = self._atom()
                if node is not None:
                    nodes.append(self._repeated(node))
        return nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))

    def _chars(self, ranges: tuple[tuple[int, int], ...]) -> Chars:
        return Chars(both_cases(ranges) if "i" in self.flags else ranges)

    def _repeated(self, node: Node) -> Node:
        count = self._count()
        if count is None:
            return node
        start = self.at
        lazy = self._starts("?")
        self.at += lazy
        if self._count() is not None:
            raise ValueError(f"invalid nested repetition operator: {self.text[start - 1 : self.at]!r}")
        return Repeat(node, count[0], count[1], lazy)

    def _count(self) -> tuple[int, int | None] | None:
        """What a repetition operator here says, and step over it."""
        char = self.text[self.at : self.at + 1]
        if char and char in "*+?":
            self.at += 1
            return (1 if char == "+" else 0), (1 if char == "?" else None)
        found = COUNT.match(self.text, self.at)
        if found is None:
            return None  # a brace that is no count is a brace
        least = int(found[1]) if len(found[1]) < 6 else MOST_REPEATS + 1
        most = least if found[2] is None else None if not found[3] else int(found[3][:6])
        if least > MOST_REPEATS or (most is not None and (most > MOST_REPEATS or most < least)):
            raise ValueError(f"invalid repeat count: {found[0]}")
        self.at = found.end()
        return least, most

    def _atom(self) -> Node | None:
        char = self.text[self.at]
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?" or COUNT.match(self.text, self.at):
            raise ValueError(f"missing argument to repetition operator: {char!r}")
        self.at += 1
        if char == "^":
            return Assert("^" if "m" in self.flags else "A")
        if char == "$":
            return Assert("$" if "m" in self.flags else "z")
        if char == ".":
            return Chars(((0, MAX_CHAR),) if "s" in self.flags else inverse(((10, 10),)))
        return self._chars(((ord(char), ord(char)),))

    def _group(self) -> Node | None:
        if self._starts("(?"):
            named = NAME.match(self.text, self.at)
            if named is None:
                return self._flags()
            self.names[named[1]] = self.groups + 1  # Go takes a name twice; the last group has it
            self.at = named.end()
        else:
            self.at += 1
        self.groups += 1
        number = self.groups
        return Group(number, self._inside())

    def _inside(self) -> Node:
        """Up to the parenthesis that closes, with the flags of outside behind it."""
        flags = self.flags
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"over {DEEPEST} groups within groups")
        node = self._choice()
        if not self._starts(")"):
            raise ValueError("missing closing )")
        self.at += 1
        self.depth -= 1
        self.flags = flags
        return node

    def _flags(self) -> Node | None:
        found = FLAGS.match(self.text, self.at)
        if found is None or not (found[1] or found[2] or found[3] == ":"):
            raise ValueError(f"invalid or unsupported syntax: {self.text[self.at : self.at + 4]!r}")
        for flag in found[1] + (found[2] or ""):
            if flag not in "ims":
                raise ValueError(f"flag {flag!r} is not supported, only i, m and s")
        outside = self.flags
        self.flags = "".join(flag for flag in {*self.flags, *found[1]} if flag not in (found[2] or ""))
        self.at = found.end()
        if found[3] == ")":
            return None
        node = self._inside()
        self.flags = outside
        return node

    def _escape(self) -> Node:
        char = self.text[self.at + 1 : self.at + 2]
        if char and char in "AzbB":
            self.at += 2
            return Assert(char)
        return self._chars(self._escaped())

    def _escaped(self) -> tuple[tuple[int, int], ...]:
        """The characters that a backslash and what follows stand for, outside of a class or in one."""
        char = self.text[self.at + 1 : self.at + 2]
        if not char:
            raise ValueError("trailing backslash at end of expression")
        if char.lower() in PERL:
            self.at += 2
            return PERL[char] if char in PERL else inverse(PERL[char.lower()])
        if char == "x":
            found = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))").match(self.text, self.at)
            code = int(found[1] or found[2], 16) if found else MAX_CHAR + 1
        elif char in "01234567":
            found = re.compile(r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})").match(self.text, self.at)  # \1 refers back: no
            code = int(found[1], 8) if found else MAX_CHAR + 1
        else:
            found = re.compile(r"\\.", re.DOTALL).match(self.text, self.at)
            plain = char in string.punctuation
            code = ESCAPES.get(char, ord(char) if plain else MAX_CHAR + 1)
        if found is None or code > MAX_CHAR:
            raise ValueError(f"invalid or unsupported escape sequence: \\{char}")
        self.at = found.end()
        return ((code, code),)

    def _class(self) -> Node:
        start = self.at
        self.at += 1
        negative = self._starts("^")
        self.at += negative
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._starts("]"):
            if self.at >= len(self.text):
                raise ValueError(f"missing closing ]: {self.text[start : start + 20]!r}")
            posix = re.compile(r"\[:(\^?)([a-z]+):\]").match(self.text, self.at)
            if posix and posix[2] in POSIX:
                ranges += inverse(POSIX[posix[2]]) if posix[1] else POSIX[posix[2]]
                self.at = posix.end()
            else:
                ranges += self._range()
            first = False
        self.at += 1
        found = both_cases(tuple(ranges)) if "i" in self.flags else tuple(ranges)
        return Chars(inverse(found) if negative else tuple(sorted(set(found))))

    def _range(self) -> tuple[tuple[int, int], ...]:
        start = self.at
        low = self._one()
        if not self._starts("-") or self.text[self.at + 1 : self.at + 2] in {"]", ""} or low[0][0] != low[-1][1]:
            return low
        self.at += 1
        high = self._one()
        if high[0][0] != high[-1][1] or high[0][0] < low[0][0]:
            raise ValueError(f"invalid character class range: {self.text[start : self.at]!r}")
        return ((low[0][0], high[0][0]),)

    def _one(self) -> tuple[tuple[int, int], ...]:
        if self._starts("\\"):
            return self._escaped()
        code = ord(self.text[self.at])
        self.at += 1
        return ((code, code),)
