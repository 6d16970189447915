"""One rule of ``nft list ruleset`` -> statements. Pure.

The language is nft(8)'s, as far as the tool prints it. What is not understood makes an `Unknown` match or a `Strange`
action, never a guess.
"""

import re
from collections.abc import Iterator
from typing import Final

from kdns.explain.kernel.iptables_rule import FULL, network, single
from kdns.explain.kernel.model import (
    Chain,
    Choose,
    Dnat,
    Element,
    Elements,
    Jump,
    Line,
    MarkMatch,
    Match,
    NoTrack,
    Pattern,
    Position,
    Random,
    Rule,
    SetMark,
    Snat,
    Statement,
    Strange,
    Unknown,
    Verdict,
)
from kdns.explain.kernel.nft_fields import PLAIN, SHORT, Fields, parse_fields

TOKEN: Final = re.compile(r'"[^"]*"|[{},]|[^\s{},]+')
VERDICTS: Final = ("accept", "drop", "return")
ACTIONS: Final = frozenset({
    *VERDICTS, "reject", "jump", "goto", "continue", "dnat", "snat", "masquerade", "redirect", "counter", "log",
    "notrack", "queue", "tproxy", "dup", "fwd", "update", "add", "delete", "flow", "synproxy", "comment",
})  # fmt: skip
"""Words that begin a statement other than a match."""


def tokens(text: str) -> list[str]:
    """Words, braces and commas; a comment behind ``#`` is left out."""
    return TOKEN.findall(text)


def parse_rule(line: Line, chain: Chain) -> Rule:
    """A line of a chain."""
    position = Position(chain.table.file, line.number, line.text.strip())
    words = tokens(line.text)
    if "#" in words:
        words = words[: words.index("#")]
    statements = list(_Parser(words).statements())
    if _hides_matches(line.text, chain):
        statements.insert(0, Unknown("a match of iptables, which nft does not show"))
    return Rule(tuple(statements), position)


def _hides_matches(text: str, chain: Chain) -> bool:
    """In a table of iptables-nft, nft prints nothing for a match that it does not know, but the space stays."""
    return chain.table.name in ("filter", "nat", "mangle", "raw", "security") and (
        text.startswith(" ") or "  " in text or "xt " in text or "xt_" in text
    )


def parse_elements(words: list[str], line: int = 0, *, mapped: bool = False) -> list[Element]:
    """``{ 10.0.0.1 . tcp . 80 comment "x" : goto y, ... }``."""
    elements: list[Element] = []
    part: list[str] = []
    for word in words[1:]:
        if word in (",", "}"):
            if part:
                elements.append(_element(part, line, mapped))
            part = []
        else:
            part.append(word)
    return elements


def _element(words: list[str], line: int, mapped: bool) -> Element:
    key, _, value = _split(words, ":") if mapped or ":" in words else (words, "", [])
    parts: list[list[str]] = [[]]
    for word in key:
        if word in ("comment", "timeout", "expires", "counter"):
            break
        if word == ".":
            parts.append([])
        else:
            parts[-1].append(word)
    patterns = tuple(pattern(" ".join(part)) for part in parts)
    return Element(patterns, " ".join(value), line, " ".join(words))


def _split(words: list[str], at: str) -> tuple[list[str], str, list[str]]:
    place = words.index(at) if at in words else len(words)
    return words[:place], at, words[place + 1 :]


def pattern(text: str) -> Pattern:
    """A value as nft writes it: an address, a network, a range, a number, a name."""
    if text.startswith('"'):
        name = text.strip('"')
        return Pattern(name[:-1], "*") if name.endswith("*") else Pattern(name)
    if re.fullmatch(r"\d+", text):
        return Pattern(int(text))
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return Pattern(int(text, 16))
    if ranged := re.fullmatch(r"(\d+)-(\d+)", text):
        return Pattern(int(ranged[1]), int(ranged[2]))
    if "." in text or ":" in text:
        try:
            return network(text)
        except ValueError:
            pass
    return Pattern(text)


TAKEN_HERE: Final = ["socket", "transparent", "0"]
"""A match: a socket of the node takes the packet. Counts as true: sockets are not in the evidence, and the node's own
DNS, whose rule has it, is asked only while it answers."""


class _Parser:
    """Words of a rule, taken one after the other."""

    def __init__(self, words: list[str]) -> None:
        self._words, self._at = words, 0

    def statements(self) -> Iterator[Statement]:
        """Statements in their order."""
        while self._at < len(self._words):
            start = self._at
            if self._words[start : start + 3] == TAKEN_HERE:
                self._at += 3
                continue
            try:
                yield from self._action() if self._peek() in ACTIONS or self._sets_mark() else self._match()
            except (IndexError, ValueError, KeyError):
                yield self._lost(start)

    def _peek(self, ahead: int = 0) -> str:
        place = self._at + ahead
        return self._words[place] if place < len(self._words) else ""

    def _next(self) -> str:
        self._at += 1
        return self._words[self._at - 1]

    def _lost(self, start: int) -> Statement:
        """Words up to the next action or field are a match that is not understood; without one, they are an action."""
        self._at = max(self._at, start + 1)
        while self._at < len(self._words) and self._peek() not in ACTIONS and not self._begins_field():
            self._at += 1
        text = " ".join(self._words[start : self._at])
        return Unknown(text) if self._at < len(self._words) else Strange(text)

    def _begins_field(self) -> bool:
        return (self._peek(), self._peek(1)) in PLAIN or self._peek() in SHORT

    def _sets_mark(self) -> bool:
        return "set" in (self._peek(1), self._peek(2)) and self._peek() in (
            "meta",
            "mark",
            "ct",
            "ip",
            "ip6",
            "tcp",
            "th",
            "udp",
        )

    def _action(self) -> Iterator[Statement]:
        start, word = self._at, self._next()
        match word:
            case "accept" | "drop" | "return":
                yield Verdict(word)
            case "continue" | "comment" | "counter" | "log" | "update" | "add" | "delete":
                self._inert(word)
            case "reject":
                if self._peek() == "with":
                    self._at = len(self._words)
                yield Verdict("reject")
            case "jump" | "goto":
                yield Jump(self._next().strip('"'), word == "goto")
            case "masquerade":
                self._at = len(self._words)
                yield Snat()
            case "snat":
                self._at = len(self._words)
                yield Snat(masquerade=False)
            case "dnat":
                yield self._dnat()
            case "redirect":
                rest, self._at = self._words[self._at :], len(self._words)
                port = rest[1].lstrip(":") if rest[:1] == ["to"] else ""
                yield Dnat(b"", int(port) if port else None)
            case "notrack":
                yield NoTrack()
            case "meta" | "mark" | "ct" | "ip" | "ip6" | "tcp" | "th" | "udp":
                yield from self._set(word)
            case _:
                self._at = len(self._words)
                yield Strange(" ".join(self._words[start:]))

    def _inert(self, word: str) -> None:
        """Statements that change nothing for the packet."""
        if word == "comment":
            self._next()
        elif word == "counter":
            self._at += 4 if self._peek() == "packets" else 2 if self._peek() == "name" else 0
        elif word == "log":
            while self._peek() in ("prefix", "level", "group", "snaplen", "queue-threshold", "flags"):
                self._at += 2
                while self._peek() == ",":
                    self._at += 2
        elif word in ("update", "add", "delete"):
            while self._next() != "}":
                pass

    def _set(self, word: str) -> Iterator[Statement]:
        """``meta mark set meta mark | 0x4000``; what else is set changes nothing for the way."""
        field = self._next() if self._peek() != "set" else word
        if self._peek() != "set":
            raise ValueError(field)
        self._next()
        if (word, field) not in (("meta", "mark"), ("mark", "mark")):
            self._at += 1
            while self._at < len(self._words) and self._peek() not in ACTIONS:
                self._at += 1
            return
        if self._peek() not in ("meta", "mark"):
            value = self._next()
            yield (
                SetMark(0, int(value, 0))
                if re.fullmatch(r"0x[0-9a-f]+|\d+", value)
                else Strange(f"meta mark set {value}")
            )
            return
        self._at += 2 if self._peek() == "meta" else 1
        keep, flip = FULL, 0
        while self._peek() in ("&", "|", "^", "and", "or", "xor"):
            operator, bits = self._next(), int(self._next(), 0)
            if operator in ("&", "and"):
                keep, flip = keep & bits, flip & bits
            elif operator in ("|", "or"):
                keep, flip = keep & ~bits & FULL, flip | bits
            else:
                flip ^= bits
        yield SetMark(keep, flip)

    def _dnat(self) -> Statement:
        """``dnat to 10.0.0.1:80``, ``dnat ip to ip daddr . tcp dport . numgen ... map @backends``."""
        start = self._at
        self._at += self._peek() in ("ip", "ip6")
        self._at += 3 if self._peek() == "addr" and self._peek(1) == "." else 0
        if self._next() != "to":
            raise ValueError("dnat")
        to = self._peek()
        if match := re.fullmatch(
            r"\[([0-9a-fA-F:.]+)\](?::(\d+))?|(\d+\.\d+\.\d+\.\d+)(?::(\d+))?|([0-9a-fA-F]*:[0-9a-fA-F:.]*)", to
        ):
            self._at = len(self._words)
            address = network(match[1] or match[3] or match[5]).low
            port = match[2] or match[4]
            assert isinstance(address, bytes)
            return Dnat(address, int(port) if port else None)
        fields, self._at = parse_fields(self._words, self._at)
        if self._next() == "map" and not fields.mask:
            elements = self._values(mapped=True)
            self._at = len(self._words)
            return Dnat(None, None, fields.names, elements)
        self._at = len(self._words)
        return Strange(f"dnat {' '.join(self._words[start:])}")

    def _match(self) -> Iterator[Statement]:
        """Fields, perhaps an operator, and values or a map of verdicts."""
        fields, self._at = parse_fields(self._words, self._at)
        word = self._peek()
        if word == "vmap":
            self._next()
            yield from _implied(fields)
            yield Choose(fields.names, self._values(mapped=True))
            return
        negated = word == "!="
        ordering = word in ("<", ">", "<=", ">=")
        self._at += negated or ordering or word == "=="
        if not self._peek() or (self._peek() in ACTIONS and fields.names != ("ct status",)):
            raise ValueError("no value")
        yield from _implied(fields)
        if ordering:
            yield self._ordered(fields, word)
        elif fields.names in {("mark",), ("ct mark",)}:
            yield from self._mark(fields, negated)
        elif fields.names[0] in ("fib missing", "tcp flags"):
            yield from self._special(fields.names[0], negated)
        else:
            yield Match(fields.names, self._values(), negated)

    def _ordered(self, fields: Fields, word: str) -> Statement:
        value = int(self._next(), 0)
        ranges = {
            "<": Pattern(0, value - 1), "<=": Pattern(0, value), ">": Pattern(value + 1, 1 << 40),
            ">=": Pattern(value, 1 << 40),
        }  # fmt: skip
        return Match(fields.names, single(ranges[word]))

    def _mark(self, fields: Fields, negated: bool) -> Iterator[Statement]:
        """``meta mark & 0x4000 == 0x4000``, also through a set of values."""
        connection = fields.names == ("ct mark",)
        if self._peek() == "{" or self._peek().startswith("@"):
            if fields.mask:
                raise ValueError("mark under a mask")
            yield Match(fields.names, self._values(), negated)
            return
        text = self._next()
        value, slash, mask = text.partition("/")
        under = int(mask, 0) if slash else fields.mask or FULL
        yield MarkMatch(int(value, 0), under, negated, connection)

    def _special(self, field: str, negated: bool) -> Iterator[Statement]:
        """``fib saddr . iif oif missing``: the source has no way back, which is not so; flags of a first packet."""
        value = self._values()
        if field == "fib missing":
            names = {str(element.key[0].low) for element in value.all} if isinstance(value, Elements) else set()
            missing = names <= {"missing", "0", "false"}
            yield from (Random(0.0),) if missing != negated else ()
        else:
            raise ValueError(field)

    def _values(self, *, mapped: bool = False) -> Elements | str:
        """One value, several with commas (bits of a field), a set in braces, or the name of one."""
        word = self._next()
        if word.startswith("@"):
            return word[1:]
        if word == "{":
            start = self._at - 1
            while self._next() != "}":
                pass
            return Elements(parse_elements(self._words[start : self._at], mapped=mapped))
        key = [pattern(word)]
        while self._peek() == ".":  # a concatenation
            self._next()
            key.append(pattern(self._next()))
        alternatives = [Element(tuple(key))]
        while self._peek() in (",", "|") and len(key) == 1:
            self._next()
            alternatives.append(Element((pattern(self._next()),)))
        return Elements(alternatives)


def _implied(fields: Fields) -> Iterator[Statement]:
    """What fields ask of the packet beside their values: its protocol, its family."""
    yield from fields.implied
