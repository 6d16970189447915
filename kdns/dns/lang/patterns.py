"""Regular expressions as Corefiles write them: Go's syntax (RE2), matched in time linear in the text.

Python's ``re`` tries all ways to match one after the other: ``(.*)-(.*)-(.*)x`` and a name made for it would hold the
server for seconds. So google-re2 compiles and matches them: the same syntax as Go's ``regexp`` and the same leftmost
match, by an automaton (https://github.com/google/re2/wiki/Syntax). It accepts a little more than Go does, such as
group names beyond ASCII. Pure.
"""

import re
from typing import Final, NamedTuple

import re2

LONGEST: Final = 10_000
"""Characters of a pattern, as in CoreDNS."""
MAX_DEPTH: Final = 1000
"""Groups within groups, as in Go."""
MAX_GROUPS: Final = 999
"""``{999}`` is the last that a replacement can name."""
MAX_PROGRAM: Final = 20_000
"""Instructions of a compiled pattern; counts such as ``{1000}`` write out what they repeat. The slowest match takes
instructions times characters: with a name of 1,003 (all its octets escaped) some 25 ms."""
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False  # it would write each mistake to stderr, too
_TOKEN: Final = re.compile(
    r"""
    \\Q .*? (?: \\E | \Z )
  | \\ (?: x [0-9A-Fa-f]{2} | x\{[^}]*\} | [0-7]{1,3} | [pP] (?: \{[^}]*\} | . ) | . )
  | \[ \^? \]? (?: \[:\^?\w+:\] | \\. | [^\]\\] )* \]
  | \( \?P?< (?P<name> \w+ ) >  |  \( \? [^:)]* [:)]  |  .
    """,
    re.DOTALL | re.VERBOSE,
)


class Match(NamedTuple):
    """The first match in a text; groups that have no part in it are empty, as in Go."""

    groups: tuple[str, ...]
    """The whole of it is number 0."""


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Raises ValueError that says what is wrong."""
        if len(text) > LONGEST:
            raise ValueError(f"a pattern of {len(text)} characters is too long, {LONGEST} are allowed")
        self.names, self.ending = _outline(text)
        try:
            compiled = re2.compile(text, _OPTIONS)
        except re2.error as error:
            raise ValueError(error.args[0].decode(errors="replace")) from None
        if compiled.programsize > MAX_PROGRAM:
            raise ValueError("expression is too large: it repeats too much")
        self.text = text
        self.groups: int = compiled.groups
        """How many, without number 0."""
        self._search = compiled.search

    def search(self, text: str) -> Match | None:
        """The leftmost match in a text, or None."""
        match = self._search(text)
        return Match((match[0], *match.groups(""))) if match is not None else None


def compile_pattern(text: str) -> Pattern:
    """A pattern in Go's syntax. Raises ValueError that says what is wrong."""
    return Pattern(text)


def _outline(text: str) -> tuple[dict[str, int], str]:
    """Group names to numbers, and the characters that every matching text ends in (empty where that is not known).

    Go accepts a name twice and the last group has it; RE2's own table has the first. Raises ValueError for ``\\C``, one
    octet of a character (RE2 takes it, Go does not), and for too many groups.
    """
    names: dict[str, int] = {}
    groups = depth = 0
    ending, sure = "", True
    token = ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == r"\C":
            raise ValueError(r"invalid or unsupported escape sequence: \C")
        if token[0] == "(":
            depth += not token.endswith(")")
            if depth > MAX_DEPTH:
                raise ValueError(f"over {MAX_DEPTH} groups within groups")
            groups += token == "(" or match["name"] is not None
            if match["name"] is not None:
                names[match["name"]] = groups
            sure = sure and (token in {"(", "(?:"} or match["name"] is not None)  # flags may ignore case
        elif token == ")":
            depth -= 1
        elif token == "|" and not depth:
            sure = False
        if groups > MAX_GROUPS:
            raise ValueError(f"over {MAX_GROUPS} groups")
        if token in {"$", r"\z"} and match.end() == len(text):
            break
        literal = token[1:] if re.fullmatch(r"\\[^\w\s]", token) else token
        ending = ending + literal if re.fullmatch(r"\w|-", token) or literal != token else ""
    return names, ending if sure and token in {"$", r"\z"} else ""
