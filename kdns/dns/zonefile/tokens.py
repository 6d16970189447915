"""A master file as entries: words with their lines, comments and parentheses gone (RFC 1035 section 5.1)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kdns.base.errors import ConfigError, Span


class Token(NamedTuple):
    """One word; escapes in it are as they were written."""

    text: str
    line: int
    column: int
    quoted: bool = False


class Entry(NamedTuple):
    """One record or directive, over as many lines as its parentheses take."""

    tokens: tuple[Token, ...]
    indented: bool
    """It begins with a blank: the owner is that of the record before."""


def entries(lines: Iterable[str], source: str) -> Iterator[Entry]:
    """The entries of a file. Raises ConfigError for a quotation mark or a parenthesis without its other."""
    found: list[Token] = []
    opened: Token | None = None
    indented = False
    for number, line in enumerate(lines, 1):
        if opened is None:
            indented = line[:1] in {" ", "\t"}
        for token in _words(line.rstrip("\r\n"), number, source):
            if token.text == "(" and not token.quoted:
                if opened is not None:
                    raise wrong(source, token, "a parenthesis within parentheses")
                opened = token
            elif token.text == ")" and not token.quoted:
                if opened is None:
                    raise wrong(source, token, "this parenthesis closes nothing")
                opened = None
            else:
                found.append(token)
        if opened is None and found:
            yield Entry(tuple(found), indented)
            found = []
    if opened is not None:
        raise wrong(source, opened, "this parenthesis is never closed")


def wrong(source: str, token: Token, problem: str, hint: str = "") -> ConfigError:
    """A mistake to be told at a token."""
    return ConfigError(problem, Span(source, token.line, token.column), hint)


def _words(line: str, number: int, source: str) -> Iterator[Token]:
    at, size = 0, len(line)
    while at < size:
        start, char = at, line[at]
        if char == ";":
            return
        if char.isspace():
            at += 1
        elif char in "()":
            at += 1
            yield Token(char, number, start + 1)
        elif char == '"':
            at = _end(line, at + 1, '"')
            if at >= size:
                raise wrong(source, Token('"', number, start + 1), "this quotation mark has no other in its line")
            yield Token(line[start + 1 : at], number, start + 1, quoted=True)
            at += 1
        else:
            at = _end(line, at, ' \t\f\v;()"')
            yield Token(line[start:at], number, start + 1)


def _end(line: str, at: int, stops: str) -> int:
    """Where one of some characters stands, unless behind a backslash."""
    while at < len(line) and line[at] not in stops:
        at += 2 if line[at] == "\\" else 1
    return at
