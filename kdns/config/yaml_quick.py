"""Lists of objects as kubectl writes them, read nearly three times as quickly as YAML in general. Pure.

::

    apiVersion: v1
    items:
    - apiVersion: v1      an item, cut out by its dash in the first column
      kind: Service
      ...
    kind: List

Dumps of large clusters are 30 MB of that. An item whose lines are keys
with a plain or quoted scalar, a ``|`` literal, ``{}``, ``[]`` or nothing, and dashes, is read here line by line. Any
other item (anchors, tags, comments, flow collections, scalars on several lines) is read by `kdns.config.yaml_values`,
and so is a text that is not such a list, or that has a mistake. So this reader may refuse what is YAML, and must never
read it otherwise than that one does.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import yaml

from kdns.config.yaml_values import Composed, Misplaced, Path, Position, compose, plain_value

ODD: Final = re.compile(r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Control characters, tabs, and line breaks that only YAML knows."""
ITEM: Final = re.compile(r"^- ", re.MULTILINE)
BAD_ITEM: Final = re.compile(r"^-(?! [^ \n])", re.MULTILINE)
ITEMS: Final = re.compile(r"^[\"']?items\b", re.MULTILINE)
AFTER: Final = re.compile(r"^[^ \n]", re.MULTILINE)
MARKER: Final = re.compile(r"^(?:---|\.\.\.|%)", re.MULTILINE)
KEY: Final = re.compile(r"[A-Za-z0-9_.$/][A-Za-z0-9_.$/-]*")
DOUBLE: Final = re.compile(r'"(?:[^"\\]|\\["\\bfnrt]|\\u(?![dD][89a-fA-F])[0-9A-Fa-f]{4})*"')
"""With escapes that JSON has, too."""
SINGLE: Final = re.compile(r"'((?:[^']|'')*)'")
INDICATORS: Final = frozenset("[]{},#&*!|>'\"%@`?:-")
NUMERIC: Final = frozenset("+-.0123456789")


Empty = tuple[dict[str, Any], str]
"""A mapping and a key of it whose value is on the lines below, or null."""
NO_MAPPING: Final = object()
NO_SEQUENCE: Final = object()
"""``{}`` and ``[]`` of a line that comes often."""


MOST_LEVELS: Final = 100
"""Of an item; the general reader has its own limit."""


class Null(NamedTuple):
    """A null that is written as such: nothing follows on the lines below."""

    value: None


class Style(str):
    """``|`` or ``|-``: the lines below are the value."""

    __slots__ = ()


class Unusual(Exception):
    """Not of the form that kubectl writes."""


LEFT_OUT: Final = object()
"""Stands for an item that was not wanted."""


def compose_list(content: str, choose: Callable[[str], bool] | None = None) -> Composed | None:
    """The one document of a text, if it is a list of objects as kubectl writes it; else None.

    ``choose`` gets the text of each item; those that it does not want are `LEFT_OUT`.
    """
    first = content.find("\nitems:\n- ")
    if first < 0 or ODD.search(content) or MARKER.search(content):
        return None
    begin = first + len("\nitems:\n")
    starts = [item.start() for item in ITEM.finditer(content, begin)]
    after = AFTER.search(content, starts[-1] + 1)
    end = after.start() if after else len(content)
    rest = content[:begin] + content[end:]
    if BAD_ITEM.search(content, begin) or len(ITEMS.findall(rest)) != 1:
        return None
    try:
        top = next(compose(rest)).value
        texts = (content[start:stop] for start, stop in zip(starts, [*starts[1:], end], strict=True))
        items = [_item(text) if choose is None or choose(text) else LEFT_OUT for text in texts]
    except (Misplaced, yaml.YAMLError, StopIteration):
        return None  # the general reader knows where the mistake is
    if not isinstance(top, dict) or top.get("items", 0) is not None or "<<" in top:
        return None
    places: dict[Path, Position] = {}
    line, passed = 0, 0
    for number, start in enumerate(starts):
        line += content.count("\n", passed, start)
        passed = start
        if isinstance(items[number], (dict, list)):  # scalars have no place in `Composed.places`
            places["items", number] = line, 2
    return Composed({**top, "items": items}, (0, 0), places)


def _item(text: str) -> Any:
    """One item, with its dash."""
    try:
        return _block(text.rstrip("\n").split("\n"))
    except Unusual:
        values = list(compose(text))
        if len(values) != 1 or not isinstance(values[0].value, list) or len(values[0].value) != 1:
            raise Misplaced("expected one item", (0, 0)) from None
        return values[0].value[0]


def _block(lines: list[str]) -> Any:
    """The item that is the only one of the lines."""
    top: list[Any] = []
    stack: list[tuple[int, Any]] = [(0, top)]  # the column and the collection, the innermost last
    empty: Empty | None = None
    at, count = 0, len(lines)
    while at < count:
        text = lines[at].lstrip(" ")
        column = len(lines[at]) - len(text)
        at += 1
        begun = False  # an entry of a sequence, whose value follows its dash
        while text[:2] == "- ":
            if begun or empty is not None or stack[-1][0] != column or type(stack[-1][1]) is not list:
                _enter(stack, column, empty, list)
                empty = None
            text = text[2:]
            column += 2
            begun = True
        key, value = _split(text)
        if key is None:
            if not begun:
                raise Unusual
            stack[-1][1].append(_fresh(value))
            continue
        if begun:
            stack[-1][1].append({})
            stack.append((column, stack[-1][1][-1]))
        elif empty is not None or stack[-1][0] != column or type(stack[-1][1]) is not dict:
            _enter(stack, column, empty, dict)
        mapping = stack[-1][1]
        empty = (mapping, key) if value is None else None
        if type(value) is not Style:
            mapping[key] = None if value is None else _fresh(value)
        else:
            at, mapping[key] = _literal(lines, at, column, value)
    if len(top) != 1:
        raise Unusual
    return top[0]


def _fresh(value: Any) -> Any:
    """A value of `_split`, which are shared: collections are made new."""
    if value is NO_MAPPING:
        return {}
    if value is NO_SEQUENCE:
        return []
    return value.value if type(value) is Null else value


def _enter(stack: list[tuple[int, Any]], column: int, empty: Empty | None, kind: type) -> None:
    """Make the collection of this kind at a column the innermost one: the value of a key above, or one that is open."""
    if empty is not None:
        above = stack[-1][0]
        if column > above or (column == above and kind is list):
            mapping, key = empty
            mapping[key] = kind()
            stack.append((column, mapping[key]))
            return
    if len(stack) > MOST_LEVELS:
        raise Unusual
    while stack[-1][0] > column or (stack[-1][0] == column and type(stack[-1][1]) is not kind):
        stack.pop()
        if not stack:
            raise Unusual
    if stack[-1][0] != column:
        raise Unusual


@lru_cache(maxsize=1 << 16)
def _split(text: str) -> tuple[str | None, Any]:
    """Key and value of a line; no key where it is a scalar, None where the value is on the lines below.

    The lines of a dump are few, written many times over.
    """
    if not text or text[0] in " ":
        raise Unusual
    if text[0] in "\"'":
        quote = (DOUBLE if text[0] == '"' else SINGLE).match(text)
        if quote is None:
            raise Unusual
        if quote.end() == len(text):
            return None, _scalar(text)
        if text[quote.end()] != ":" or text[quote.end() + 1 : quote.end() + 2] not in {"", " "}:
            raise Unusual
        return str(_scalar(quote[0])), _value(text[quote.end() + 1 :].strip(" "))
    key, colon, value = text.partition(": ")
    if not colon:
        if not text.endswith(":"):
            return None, _scalar(text)
        key, value = text[:-1], ""
    if not KEY.fullmatch(key):
        raise Unusual
    return key, _value(value.strip(" "))


def _value(text: str) -> Any:
    """What stands behind a key."""
    if text in {"|", "|-"}:
        return Style(text)
    return _scalar(text) if text else None


def _scalar(text: str) -> Any:
    """A value on one line."""
    first = text[0]
    if first in INDICATORS:
        if first == '"' and DOUBLE.fullmatch(text):
            return json.loads(text)
        if first == "'" and (quote := SINGLE.fullmatch(text)):
            return quote[1].replace("''", "'")
        if text == "{}":
            return NO_MAPPING
        if text == "[]":
            return NO_SEQUENCE
        if first != "-" or text[1:2] in {"", " ", "-"}:
            raise Unusual
    if ": " in text or " #" in text or text[-1] in ": ":
        raise Unusual
    value = plain_value(text)
    return Null(None) if value is None else value


def _literal(lines: list[str], at: int, column: int, style: str) -> tuple[int, str]:
    """The lines of a ``|`` scalar that belongs to a key at a column, and where it ends."""
    first = lines[at] if at < len(lines) else ""
    indent = len(first) - len(first.lstrip(" "))
    if not first.strip(" ") or indent <= column:
        raise Unusual
    values = []
    while at < len(lines):
        line = lines[at]
        if line.strip(" ") and len(line) - len(line.lstrip(" ")) < indent:
            if len(line) - len(line.lstrip(" ")) > column:
                raise Unusual
            break
        values.append(line[indent:])
        at += 1
    if not values[-1].strip(" "):
        raise Unusual  # blank lines at the end: what is kept of them depends on more than this
    return at, "\n".join(values) + ("\n" if style == "|" else "")
