"""JSON that is nested deeper than a decoder written in C goes, or larger than memory. Pure.

API servers accept 10,000 levels of JSON (Go's encoding/json has that limit); msgspec raises RecursionError after about
a thousand, even where it only skips a field. The functions here read such text without recursion: `cut_items` takes a
list apart, so that each item can be decoded alone, and `shallow` takes out what is too deep, so that the rest tells
whose object it is.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import DecodeError

UNREADABLE: Final = (DecodeError, UnicodeDecodeError, RecursionError, MemoryError)
"""All that msgspec raises for text from outside. ValidationError, for values of the wrong type, is a DecodeError."""
LEVELS: Final = 32
"""What `shallow` leaves: no field that kdns reads is deeper than about ten levels."""

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
"""A string, or a bracket: a bracket within a string counts for nothing."""
_ITEMS: Final = re.compile(rb"\s*:\s*\[")


def shallow(text: bytes, levels: int = LEVELS) -> bytes:
    """The same JSON with ``null`` for each object and array below so many levels; any other text as it is, nearly."""
    pieces: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        bracket = token[0]
        if bracket in {b"{", b"["}:
            depth += 1
            if depth == levels + 1:
                pieces += text[start : token.start()], b"null"
        elif bracket in {b"}", b"]"}:
            if depth == levels + 1:
                start = token.end()
            depth -= 1
    if depth <= levels:
        pieces.append(text[start:])
    return b"".join(pieces)


def cut_items(page: bytes) -> tuple[bytes, list[bytes]]:
    """A list object with its ``items`` emptied, and each of the items. DecodeError: it has none that could be cut."""
    depth = 0
    for token in _TOKEN.finditer(page):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
            case b'"items"' if depth == 1 and (opening := _ITEMS.match(page, token.end())) is not None:
                items = list(_elements(page, opening.end()))
                end = items.pop()[1]
                return page[: opening.end()] + page[end:], [page[begin:stop] for begin, stop in items]
    raise DecodeError("a list without items")


def _elements(text: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where each element of an array begins and ends; last the place of the array's own closing bracket, twice."""
    depth = begin = 0
    for token in _TOKEN.finditer(text, at):
        if token[0] in {b"{", b"["}:
            if depth == 0:
                begin = token.start()
            depth += 1
        elif token[0] in {b"}", b"]"}:
            if depth == 0:
                yield token.start(), token.start()
                return
            depth -= 1
            if depth == 0:
                yield begin, token.end()
    raise DecodeError("a list whose items do not end")
