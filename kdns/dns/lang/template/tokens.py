"""A template's text as tokens. Pure."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

LEFT: Final = "{{"
RIGHT: Final = "}}"
TOKEN: Final = re.compile(
    r"""(?P<blank>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[0-9]+)(?![\w.]))
    |(?P<field>\.[A-Za-z_]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>:=|=|\||\(|\)|,|\.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class TemplateMistake(ValueError):
    """What is wrong with the text of a template, and where in it."""

    def __init__(self, problem: str, at: int) -> None:
        super().__init__(problem)
        self.at = at
        """Characters in front of it."""


class Token(NamedTuple):
    """One word inside of ``{{ }}``."""

    kind: str
    text: str
    at: int
    glued: bool
    """Nothing stands between it and the one before."""


class Copied(NamedTuple):
    """Text outside of ``{{ }}``."""

    text: str


class Action(NamedTuple):
    """What stands between ``{{`` and ``}}``."""

    tokens: tuple[Token, ...]
    at: int


def pieces(text: str) -> Iterator[Copied | Action]:
    """The text, cut up; blanks next to ``{{-`` and ``-}}`` are gone."""
    at = 0
    trim = False
    while True:
        start = text.find(LEFT, at)
        copied = text[at:] if start < 0 else text[at:start]
        if trim:
            copied = copied.lstrip(" \t\r\n")
        left = start >= 0 and re.compile(r"-\s").match(text, start + 2) is not None
        if left:
            copied = copied.rstrip(" \t\r\n")
        if copied:
            yield Copied(copied)
        if start < 0:
            return
        inside = start + (3 if left else 2)
        comment = re.compile(r"\s*/\*.*?\*/(\s+-)?\s*\}\}", re.DOTALL).match(text, inside)
        if comment:
            at, trim = comment.end(), comment[1] is not None
            continue
        tokens, at, trim = _inside(text, inside, start)
        yield Action(tokens, start)


def _inside(text: str, at: int, start: int) -> tuple[tuple[Token, ...], int, bool]:
    tokens: list[Token] = []
    glued = False
    while not text.startswith(RIGHT, at):
        if glued is False and re.compile(r"-\}\}").match(text, at):
            return tuple(tokens), at + 3, True
        token = TOKEN.match(text, at)
        if token is None:
            if at >= len(text):
                raise TemplateMistake("unclosed action: there is no }}", start)
            raise TemplateMistake(f"unexpected {text[at]!r} in a template", at)
        kind = token.lastgroup or ""
        if kind == "blank":
            glued = False
        else:
            tokens.append(Token(kind, token[0], at, glued))
            glued = True
        at = token.end()
    return tuple(tokens), at + 2, False
