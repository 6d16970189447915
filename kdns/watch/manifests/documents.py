"""Manifest text as plain values that know their place: bytes in, documents and ConfigErrors out. Pure.

YAML is `kdns.config.yaml_values`, JSON is msgspec's; both may hold several objects, as documents of a stream or as
items of a list, and each comes out as one `Document`. A mistake costs the document that it is in: the next one begins
at a line with ``---``, which nothing in YAML may contain but the boundary of two documents (YAML 1.2.2, 9.1.2).
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import yaml

from kdns.base.errors import ConfigError, Span
from kdns.config.yaml_quick import LEFT_OUT, compose_list
from kdns.config.yaml_values import Misplaced, Path, Position, compose, find
from kdns.watch.manifests.headers import Choose, json_header, yaml_header

EXCERPT_LIMIT = 160
"""Characters of a line that are shown with an error."""


class Text:
    """A whole file, and what to call it."""

    def __init__(self, source: str, data: bytes) -> None:
        """``data`` is UTF-8."""
        self.source, self.data = source, data

    @cached_property
    def content(self) -> str:
        """The file, decoded; of large files of JSON it is only needed where there is a mistake."""
        return self.data.decode("utf-8-sig")

    def span(self, line: int, column: int) -> Span:
        """A place, both numbers from 1; without the line's text if it may be a secret's."""
        if b"Secret" in self.data:
            return Span(self.source, line, column)
        lines = self.content.split("\n", line)
        text = lines[line - 1].rstrip("\r") if line <= len(lines) else ""
        return Span(self.source, line, column, text if text.isprintable() and len(text) <= EXCERPT_LIMIT else "")

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of a character offset."""
        before = self.content[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


class Document(NamedTuple):
    """One document, or one item of a list, as plain dictionaries, lists, text, numbers and None."""

    value: Any
    text: Text
    line: int
    column: int
    number: int = 0
    """Which document of the YAML stream this is (part of)."""
    path: Path = ()
    """Where in that document it stands."""
    offset: int = 0
    """Where the stream that `number` counts begins, in characters: JSON items are streams of their own."""
    end: int | None = None
    """Where it ends; None is the end of the text."""

    def span(self, path: Path = ()) -> Span:
        """Where the value at `path` stands; where the nearest one around it stands if it is not there."""
        if not path:
            return self.text.span(self.line, self.column)
        try:
            place = find(self.text.content[self.offset : self.end], self.number, self.path + path)
        except (yaml.YAMLError, Misplaced):  # JSON may be indented with tabs, which YAML forbids
            place = None
        if place is None:
            return self.text.span(self.line, self.column)
        line, column = place
        first_line, first_column = self.text.place(self.offset)
        return self.text.span(first_line + line, column + (first_column if line == 0 else 1))


Tell = Callable[[ConfigError], None]


def _raise(problem: ConfigError) -> None:
    raise problem from None


def read_documents(data: bytes, source: str, tell: Tell = _raise, choose: Choose | None = None) -> Iterator[Document]:
    """The documents of a file, items of lists (``kind: List``, ``ServiceList``...) one by one; empty ones left out.

    ``choose`` may leave out items of lists as kubectl writes them, before they are decoded.

    `source` is what errors call the file; text whose first character is ``{`` or ``[`` is taken as JSON if it can be,
    and always if the name ends in ``.json``. ``tell`` gets each mistake, and reading goes on with the next document;
    without it the first mistake is raised.
    """
    try:
        text = _decode(data, source)
    except ConfigError as problem:
        tell(problem)
        return
    start = text.data.lstrip()[:1]
    if not start:
        return  # an empty file says nothing, whatever its name
    if source.endswith(".json") or start in {b"{", b"["}:
        try:
            yield from _json_documents(text, tell, choose)
        except _NotJson as error:
            if not (source.endswith((".yaml", ".yml")) or (not source.endswith(".json") and _is_yaml(text))):
                tell(error.problem)
                return
        else:
            return
    yield from _yaml_documents(text, tell, choose)


def _decode(data: bytes, source: str) -> Text:
    try:
        if not data.isascii():
            data.decode()
        return Text(source, data.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError("expected UTF-8 text", Span(source, line, column)) from error


# JSON


class _NotJson(Exception):
    """Carries the ConfigError to raise if it is no YAML either."""

    def __init__(self, problem: ConfigError) -> None:
        super().__init__()
        self.problem = problem


class _JsonList(msgspec.Struct):
    items: list[msgspec.Raw]
    kind: str = ""
    api_version: str = msgspec.field(name="apiVersion", default="")


def _json_documents(text: Text, tell: Tell, choose: Choose | None) -> Iterator[Document]:
    data = text.data
    try:
        whole = _json(data, text, _JsonList)
        if whole is not None and is_list_kind(whole.kind):
            yield from _json_items(text, whole, tell, choose)
            return
        value = _json(data, text, Any)
    except ConfigError as problem:
        tell(problem)
        return
    line, column = text.place(len(text.content) - len(text.content.lstrip()))
    yield from _split(Document(value, text, line, column), tell)


def _json_items(text: Text, whole: _JsonList, tell: Tell, choose: Choose | None) -> Iterator[Document]:
    """Each item is decoded only when its turn comes; its place is found by its own octets, which come in order."""
    data, ascii_only = text.data, text.data.isascii()
    octet = character = line_start = 0
    lines_before = 1
    first_raw = bytes(whole.items[0]) if whole.items else b""
    starts = (match.end() for match in re.finditer(rb'"items"\s*:\s*\[\s*', data))
    first = next((start for start in starts if first_raw and data.startswith(first_raw, start)), 0)
    for item in whole.items:
        raw = bytes(item)
        begin = data.index(raw, max(octet, first))
        between = data[octet:begin]
        character += begin - octet if ascii_only else len(between.decode())
        lines_before, line_start = _advance(between.decode(), lines_before, line_start, character)
        line, column = lines_before, character - line_start + 1
        length = len(raw) if ascii_only else len(raw.decode())
        if choose is None or choose(json_header(raw, whole.kind), raw):
            try:
                value = _typed(_json(raw, text, Any), whole.kind, whole.api_version)
            except ConfigError as problem:
                tell(ConfigError(problem.problem, text.span(line, column)))
            else:
                yield Document(value, text, line, column, offset=character, end=character + length)
        octet, character = begin + len(raw), character + length
        if b"\n" in raw:
            lines_before, line_start = _advance(raw.decode(), lines_before, line_start, character)


def _advance(passed: str, line: int, line_start: int, end: int) -> tuple[int, int]:
    """The line number, and the offset at which that line begins, after `passed`, which ends at offset `end`."""
    newlines = passed.count("\n")
    return (line + newlines, end - (len(passed) - passed.rfind("\n") - 1)) if newlines else (line, line_start)


def _json(data: bytes, text: Text, wanted: Any) -> Any:
    """Decode; None where the text is JSON of another type."""
    try:
        return msgspec.json.decode(data, type=wanted)
    except msgspec.ValidationError:
        return None
    except RecursionError:
        raise ConfigError("expected less nesting", text.span(1, 1)) from None
    except msgspec.DecodeError as error:
        match = re.search(r"\(byte (\d+)\)", str(error))
        offset = int(match[1]) if match else len(data)
        offset -= "trailing characters" in str(error)  # msgspec has read the first of them
        line, column = text.place(len(data[:offset].decode("utf-8", "ignore")))
        problem = re.sub(r"^JSON is malformed: | \(byte \d+\)", "", str(error))
        problem = problem if match else "the text ends too early"
        raise _NotJson(ConfigError(f"expected JSON: {problem}", text.span(line, column))) from None


# YAML


MISTAKES_LIMIT = 100
"""Documents of one file that cannot be parsed, at most: each one costs another look at the rest of the text."""
BOUNDARY = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def _yaml_documents(text: Text, tell: Tell, choose: Choose | None) -> Iterator[Document]:
    """After a mistake reading begins again at the next boundary of documents."""
    start = 0
    for _ in range(MISTAKES_LIMIT):
        further = yield from _yaml_stream(text, start, tell, choose)
        if further is None:
            return
        start = further
    tell(ConfigError("the rest is not read: too many mistakes", text.span(*text.place(start))))


def _yaml_stream(text: Text, start: int, tell: Tell, choose: Choose | None) -> Generator[Document, None, int | None]:
    """The documents from an offset on, up to a mistake; the offset to begin at again, None at the end of the text."""
    first = text.content.count("\n", 0, start)
    rest = text.content[start:] if start else text.content
    try:
        pick = None if choose is None else lambda item: choose(yaml_header(item), item.encode())
        quick = compose_list(rest, pick) if not start else None
        for number, (value, (line, column), places) in enumerate(compose(rest) if quick is None else (quick,)):
            shifted = {path: (first + line, column) for path, (line, column) in places.items()} if first else places
            document = Document(value, text, first + line + 1, column + 1, number, offset=start)
            yield from _split(document, tell, shifted)
    except Misplaced as error:
        line, column = error.place
        problem = ConfigError(error.problem, text.span(first + line + 1, column + 1), error.hint)
    except yaml.YAMLError as error:
        problem = _yaml_problem(error, text, start)
    else:
        return None
    tell(problem)
    assert problem.at is not None
    # An unclosed bracket or quote is noticed at the boundary, which is on the line of the mistake itself then.
    line_start = _line_offset(text.content, problem.at.line)
    boundary = BOUNDARY.search(text.content, max(line_start, start + 1))
    return boundary.start() if boundary else None


def _line_offset(content: str, line: int) -> int:
    """Where a line begins, both counted in the text; lines from 1."""
    offset = 0
    for _ in range(line - 1):
        offset = content.find("\n", offset) + 1
        if not offset:
            return len(content)
    return offset


def _is_yaml(text: Text) -> bool:
    try:
        return any(isinstance(document.value, dict) for document in compose(text.content))
    except (Misplaced, yaml.YAMLError):
        return False


def _yaml_problem(error: yaml.YAMLError, text: Text, start: int) -> ConfigError:
    """A mistake in the stream that begins at an offset."""
    first = text.content.count("\n", 0, start)
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a character that YAML forbids; only its octet is known
        octets = text.content[start:].encode()[: getattr(error, "position", 0)]
        line, column = text.place(start + len(octets.decode("utf-8", "ignore")))
        return ConfigError(f"expected YAML: {getattr(error, 'reason', error)}", text.span(line, column))
    context = getattr(error, "context", None) or ""
    begun = getattr(error, "context_mark", None)
    hint = f"{context} that begins on line {first + begun.line + 1}" if context and begun else ""
    problem = getattr(error, "problem", None) or context
    return ConfigError(f"expected YAML: {problem}", text.span(first + mark.line + 1, mark.column + 1), hint)


# Lists of objects


def is_list_kind(kind: object) -> bool:
    """``List``, as kubectl prints it, or a typed list as the API server does: ``ServiceList``."""
    return isinstance(kind, str) and kind.endswith("List")


def _split(document: Document, tell: Tell, places: Mapping[Path, Position] | None = None) -> Iterator[Document]:
    value = document.value
    if value is None:
        return
    if not isinstance(value, dict):
        tell(ConfigError(f"expected a Kubernetes object, got {type_name(value)}", document.span()))
        return
    items = value.get("items")
    if not is_list_kind(value.get("kind")) or not isinstance(items, list):
        yield document
        return
    for index, item in enumerate(items):
        if item is LEFT_OUT:
            continue
        line, column = (places or {}).get(("items", index), (document.line - 1, document.column - 1))
        typed = _typed(item, str(value["kind"]), value.get("apiVersion"))
        yield document._replace(value=typed, line=line + 1, column=column + 1, path=("items", index))


def _typed(item: Any, kind: str, version: object) -> Any:
    """Items of a typed list do not repeat what they are."""
    if isinstance(item, dict) and kind != "List" and "kind" not in item:
        return {"kind": kind.removesuffix("List"), "apiVersion": version, **item}
    return item


def type_name(value: object) -> str:
    """What people call a value's type."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")
