"""A master file as entries: words with their lines, comments and parentheses gone (RFC 1035 section 5.1)."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError, Span

_WORD: Final = re.compile(r"""(?:[^ \t\r\n\f\v;()"\\]|\\.|\\\Z)*""", re.DOTALL)
_QUOTED: Final = re.compile(r"""(?:[^"\\]|\\.)*""", re.DOTALL)


class Token(NamedTuple):
    """One word; escapes in it are as they were written."""

    text: str
    line: int
    column: int
    quoted: bool = False
    joined: bool = False
    """No white space before it: ``alpn="h2"`` is two words, the second joined to the first."""


class Entry(NamedTuple):
    """One record or directive, over as many lines as its parentheses take."""

    tokens: tuple[Token, ...]
    indented: bool
    """It begins with a blank: the owner is that of the record before."""


def entries(lines: Iterable[str], source: str) -> Iterator[Entry]:
    """The entries of a file. Raises ConfigError for unbalanced quotation marks or parentheses."""
    tokens: list[Token] = []
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
                tokens.append(token)
        if opened is None and tokens:
            yield Entry(tuple(tokens), indented)
            tokens = []
    if opened is not None:
        raise wrong(source, opened, "this parenthesis is never closed")


def wrong(source: str, token: Token, problem: str, hint: str = "") -> ConfigError:
    """A mistake, at its token."""
    return ConfigError(problem, Span(source, token.line, token.column), hint)


def _words(line: str, number: int, source: str) -> Iterator[Token]:
    at, size, ended = 0, len(line), -1
    while at < size:
        start, char = at, line[at]
        if char == ";":  # a comment ends with its line; a text of several lines is one line here
            at = line.find("\n", at)
            if at < 0:
                return
        elif char.isspace():
            at += 1
        elif char in "()":
            at += 1
            yield Token(char, number, start + 1)
        elif char == '"':
            at = _QUOTED.match(line, at + 1).end()  # type: ignore[union-attr] # it matches nothing, too
            if at >= size or line[at] != '"':
                raise wrong(source, Token('"', number, start + 1), "this quotation mark is never closed in its line")
            yield Token(line[start + 1 : at], number, start + 1, quoted=True, joined=start == ended)
            ended = at = at + 1
        else:
            ended = at = _WORD.match(line, at).end()  # type: ignore[union-attr]
            yield Token(line[start:at], number, start + 1)
