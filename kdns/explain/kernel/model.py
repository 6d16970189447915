"""Tables, chains, rules and sets of a kernel, whichever tool printed them. Pure values; rules are parsed on demand."""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, overload

from msgspec import Struct

Hook = Literal["prerouting", "input", "forward", "output", "postrouting"]
ChainType = Literal["filter", "nat", "route"]
Origin = Literal["iptables", "iptables-legacy", "nft"]

HOOKS_OF_IPTABLES: Final[Mapping[str, Hook]] = {
    "PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}  # fmt: skip
"""The chains of iptables that have one."""

PRIORITIES: Final[Mapping[str, int]] = {
    "raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100, "out": 100,
}  # fmt: skip
"""nft(8), "Standard priority names"; iptables hooks its tables with the same (linux/netfilter_ipv4.h)."""


class Position(NamedTuple):
    """Where a rule is: its file, the line counted from 1, and the line itself."""

    file: str
    line: int
    text: str


class Pattern(NamedTuple):
    """One value that a field is compared with: exact, a range or network, or the beginning of a name."""

    low: object
    """bytes for addresses, int for ports and marks, str for names."""
    high: object = None
    """The end of a range, included; None: exactly `low`. For names, ``"*"``: they begin with `low`."""

    def fits(self, value: object) -> bool:
        """Whether a value of the field is meant."""
        if self.high is None:
            return value == self.low
        if isinstance(value, str):
            return isinstance(self.low, str) and self.high == "*" and value.startswith(self.low)
        if type(value) is not type(self.low) or (isinstance(value, bytes) and len(value) != len(self.low)):  # type: ignore[arg-type]
            return False
        return bool(self.low <= value <= self.high)  # type: ignore[operator]


Key = tuple[Pattern, ...]


class Element(NamedTuple):
    """An element of a set or map."""

    key: Key
    value: str = ""
    """Of a map: its text, such as ``goto service-...`` or ``10.244.1.3 . 80``; of an ipset: its mark."""
    line: int = 0
    text: str = ""


class Elements:
    """Elements of a set or map, found by the values of a packet."""

    def __init__(self, elements: Sequence[Element]) -> None:
        self.all = elements
        self._exact: dict[tuple[object, ...], Element] = {}
        self._ranges: list[Element] = []
        for element in elements:
            if all(pattern.high is None for pattern in element.key):
                self._exact.setdefault(tuple(pattern.low for pattern in element.key), element)
            else:
                self._ranges.append(element)

    def lookup(self, values: tuple[object, ...]) -> Element | None:
        """The element for these values, or None."""
        exact = self._exact.get(values)
        if exact is not None:
            return exact
        for element in self._ranges:
            if len(element.key) == len(values) and all(
                pattern.fits(value) for pattern, value in zip(element.key, values, strict=True)
            ):
                return element
        return None


class KernelSet(Struct, eq=False):
    """A named set or map of a table, or an ipset. Its elements are parsed when they are first asked for."""

    name: str
    position: Position
    parse: Callable[[], Sequence[Element]]
    dynamic: bool = False
    """Rules add elements (affinity): it holds clients, not configuration."""
    kind: str = ""
    """Of an ipset: its type, such as ``hash:ip,port``."""
    made: Elements | None = None

    @property
    def elements(self) -> Elements:
        """All of them."""
        if self.made is None:
            self.made = Elements(self.parse())
        return self.made


# What a rule consists of. Matches narrow; everything else acts on a packet that got there.


class Match(NamedTuple):
    """Fields of the packet compared with values, or with a set."""

    fields: tuple[str, ...]
    """See `kdns.explain.kernel.packet.value_of`."""
    values: Elements | str
    """Elements, or the name of a set."""
    negated: bool = False


class MarkMatch(NamedTuple):
    """The packet's mark under a mask."""

    value: int
    mask: int
    negated: bool = False
    connection: bool = False
    """The mark of the connection instead (0 for a new one that no rule marked)."""


class Random(NamedTuple):
    """Matches this share of packets."""

    share: float


class Recent(NamedTuple):
    """The client came before, says a list of xt_recent: not so for a client without history."""

    name: str


class Unknown(NamedTuple):
    """A match that is not understood."""

    text: str


class Strange(NamedTuple):
    """A target or an action that is not understood."""

    text: str


class Jump(NamedTuple):
    """To another chain of the table; goto does not come back."""

    chain: str
    goto: bool = False


class Verdict(NamedTuple):
    """An end."""

    word: Literal["accept", "drop", "reject", "return"]


class SetMark(NamedTuple):
    """``mark = (mark & keep) ^ flip``."""

    keep: int
    flip: int


class Choose(NamedTuple):
    """A verdict map: the element decides what comes next."""

    fields: tuple[str, ...]
    elements: Elements | str


class Dnat(NamedTuple):
    """To an address and port (None: it stays); or to what a map says."""

    address: bytes | None = None
    port: int | None = None
    fields: tuple[str, ...] = ()
    elements: Elements | str = ""


class Snat(NamedTuple):
    """The source becomes an address of the node."""

    masquerade: bool = True


class NoTrack(NamedTuple):
    """The packet is not tracked, so no nat chain sees it."""


class MapMark(NamedTuple):
    """The mark that an ipset's member carries."""

    fields: tuple[str, ...]
    name: str


Statement = (
    Match
    | MarkMatch
    | Random
    | Recent
    | Unknown
    | Strange
    | Jump
    | Verdict
    | SetMark
    | Choose
    | Dnat
    | Snat
    | NoTrack
    | MapMark
)


class Rule(NamedTuple):
    """Statements in their order, and where they are written. Those that change nothing for a packet are left out."""

    statements: tuple[Statement, ...]
    position: Position


class Line(NamedTuple):
    """A rule that is not parsed yet."""

    number: int
    text: str


class Source:
    """A file of rules, kept as one text: its lines are cut out when they are asked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = array("I", [0])
        """Where each line begins."""
        self.starts.extend(match.end() for match in re.finditer("\n", text))

    def __len__(self) -> int:
        return len(self.starts)

    def line(self, number: int) -> str:
        """A line by its number, counted from 1; the counters that iptables-save -c puts first are left out."""
        end = self.starts[number] - 1 if number < len(self.starts) else len(self.text)
        text = self.text[self.starts[number - 1] : end]
        return text.partition("] ")[2] if text[:1] == "[" else text


class Lines(Sequence[Line]):
    """Lines of a file that belong to a chain, by their numbers: a file of 300,000 rules is kept once."""

    __slots__ = ("_numbers", "_source")

    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        self._source, self._numbers = source, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Line]: ...
    def __getitem__(self, place: int | slice) -> Line | Sequence[Line]:
        if isinstance(place, slice):
            return [self._line(number) for number in self._numbers[place]]
        return self._line(self._numbers[place])

    def _line(self, number: int) -> Line:
        return Line(number, self._source.line(number))


class Chain(Struct, eq=False):
    """A chain; base chains have a hook."""

    name: str
    table: "Table"
    position: Position
    parse: Callable[[Line, "Chain"], Rule]
    hook: Hook | None = None
    type: ChainType = "filter"
    priority: int = 0
    policy: str = "accept"
    lines: Sequence[Line] = ()
    parsed: dict[int, Rule] = {}
    index: dict[str, list[int]] | None = None

    def rules(self) -> Iterator[Rule]:
        """Every rule."""
        for place in range(len(self.lines)):
            yield self.rule(place)

    def rule(self, place: int) -> Rule:
        """One rule, parsed once."""
        rule = self.parsed.get(place)
        if rule is None:
            rule = self.parsed[place] = self.parse(self.lines[place], self)
        return rule


class Table(Struct, eq=False):
    """A table of one tool in one family."""

    family: Literal["ip", "ip6", "inet"]
    name: str
    origin: Origin
    file: str
    chains: Mapping[str, Chain] = {}
    sets: dict[str, KernelSet] = {}
    line: int = 1

    def bases(self) -> Iterator[Chain]:
        """The chains that have a hook."""
        names = (name for name in self.chains if self.origin == "nft" or name in HOOKS_OF_IPTABLES)
        return (chain for name in names if (chain := self.chains[name]).hook is not None)

    def __str__(self) -> str:
        return f"table {self.family} {self.name}" if self.origin == "nft" else f"{self.origin} table {self.name}"


class Tables(NamedTuple):
    """What one file holds."""

    tables: tuple[Table, ...] = ()
    problem: str = ""
    """Why the file cannot be relied on: truncated, an error message, not what it should be. Empty: it can."""
    variant: str = ""
    """Of iptables-save: ``nf_tables`` or ``legacy``, as its first line says."""
    other_variant: bool = False
    """The tool warned that the tables of iptables-legacy hold something, too."""
