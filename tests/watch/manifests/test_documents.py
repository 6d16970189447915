"""Text becomes plain values that know their place, or a ConfigError that says where and what was expected."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.config.yaml_values import ALIASED_LIMIT, DEPTH_LIMIT
from kdns.watch.manifests.documents import read_documents


def values(text: str | bytes, source: str = "demo.yaml") -> list[Any]:
    """The values of all documents."""
    data = text.encode() if isinstance(text, str) else text
    return [document.value for document in read_documents(data, source)]


def error(text: str | bytes, source: str = "demo.yaml") -> ConfigError:
    """The error that reading ends in."""
    with pytest.raises(ConfigError) as caught:
        values(text, source)
    return caught.value


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("'null'", "null"),
        ("true", True), ("Yes", True), ("off", False), ('"true"', "true"), ("y", "y"),
        ("80", 80), ("+80", 80), ("-1", -1), ("0", 0), ("0x1F", 31), ("0o17", 15), ("017", 15), ("08", "08"),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("1_000", "1_000"),
        ("9" * 40, "9" * 40), ("22:22", "22:22"), ("2026-01-01", "2026-01-01"), ("10.96.0.10", "10.96.0.10"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("!!str 80", "80"), ("!!int '80'", 80),
        ("!!timestamp 2026-01-01", "2026-01-01"),
        ("!Ref thing", "thing"), ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_scalars(scalar: str, value: object) -> None:
    """A plain scalar is what Kubernetes takes it for, and never a date or a number of minutes."""
    (document,) = values(f"key: {scalar}")
    assert document == {"key": value}
    assert type(document["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3", {"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}}),
        ("b:\n  <<: [{k: 1}, {k: 2, m: 2}]", {"b": {"k": 1, "m": 2}}),
        ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
        ("on: 1\n2: x\nnull: y", {"on": 1, "2": "x", "null": "y"}),
        ("a: 1\na: 2", {"a": 2}),
        ("\ufeffa: 1", {"a": 1}),
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
    ],
)
def test_collections(text: str, value: object) -> None:
    """Anchors, merge keys, keys that are no text, and JSON or flow style come out as plain values."""
    assert values(text) == [value]


@pytest.mark.parametrize("text", ["", "---\n---\n", "# nothing\n", "\n\n", "null", "---\n...\n"])
def test_nothing(text: str) -> None:
    """Empty documents are no documents."""
    assert values(text) == []


LISTS = (
    ("demo.yaml", "kind: A\n---\n\nkind: B\n", ["A:1:1", "B:4:1"]),
    ("demo.yaml", "kind: List\nitems:\n- kind: A\n  x: 1\n-   kind: B\n", ["A:3:3", "B:5:5"]),
    ("demo.yaml", "kind: List\nitems: []\n---\nkind: C\n", ["C:4:1"]),
    ("demo.yaml", "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {}\n", ["Service:4:3"]),
    ("demo.json", '{"kind": "List", "items": [\n  {"kind": "A"},\n{"kind":\n"B"}, {"kind": "A"}\n]}',
     ["A:2:3", "B:3:1", "A:4:7"]),
    ("demo.json", '\n {"kind": "A"}', ["A:2:2"]),
    ("demo.json", '{"kind": "PodList", "metadata": {}, "items":\n[{}, {}]}', ["Pod:2:2", "Pod:2:6"]),
    ("-", '{"kind": "PodList", "apiVersion": "v1", "items": [{}, {"kind": "B"}]}', ["Pod:1:51", "B:1:55"]),
    ("demo.json", '{"kind": "List", "items": {"kind": "A"}}', ["List:1:1"]),
)  # fmt: skip


@pytest.mark.parametrize(("source", "text", "places"), LISTS)
def test_objects_and_their_places(source: str, text: str, places: list[str]) -> None:
    """Documents of a stream and items of lists come one by one, each with the line and column where it begins."""
    found = [f"{one.value['kind']}:{one.line}:{one.column}" for one in read_documents(text.encode(), source)]
    assert found == places


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        ("a: 1\nb:\n  c: [x, {d: 1}]\n", ("b", "c", 1, "d"), (3, 14)),
        ("a: 1\nb:\n  c: 2\n", ("b", "nothing"), (3, 3)),
        ("kind: List\nitems:\n- kind: A\n- kind: B\n  x:\n    y: 1\n", ("x", "y"), (6, 8)),
        ('{"kind": "List", "items": [\n{"kind": "B", "x":\n  {"y": 1}} ] }', ("x", "y"), (3, 9)),
        ('{"kind": "List", "items": [{"kind":\t"A", "x": 1}]}', ("x",), (1, 47)),
        ('{"kind": "List", "items": [{"kind": "A",\n\t"x": 1}]}', ("x",), (2, 7)),
        ('{"kind": "List", "items": [{"' + "k" * 2000 + '": "A",\n"x": 1}]}', ("x",), (1, 28)),
    ],
)
def test_places_within_a_document(text: str, path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    """A path leads to the line and column of its value, or of the nearest value around it."""
    *_, document = read_documents(text.encode(), "demo.yaml")
    span = document.span(path)
    assert (span.line, span.column) == place


ERRORS = (
    ("demo.yaml", "a: [1\nb: 2", (2, 2), "expected YAML: did not find expected ',' or ']'"),
    ("demo.yaml", "a: b: c", (1, 5), "expected YAML: mapping values are not allowed in this context"),
    ("demo.yaml", "a: 1\n\tb: 2", (2, 1), "expected YAML: found a tab character that violates indentation"),
    ("demo.yaml", "ok: 1\n---\na: 'open\n", (4, 1), "expected YAML: found unexpected end of stream"),
    ("demo.yaml", "a: \x00", (1, 4), "expected YAML: control characters are not allowed"),
    ("demo.yaml", "é: 1\nü: \x07", (2, 4), "expected YAML: control characters are not allowed"),
    ("demo.yaml", "[a, b]: 1", (1, 1), "expected text as the key of a mapping"),
    ("demo.yaml", "a: *nowhere", (1, 4), "expected a complete &nowhere before *nowhere"),
    ("demo.yaml", "a: &a [1, *a]", (1, 11), "expected a complete &a before *a"),
    ("demo.yaml", "just words", (1, 1), "expected a Kubernetes object, got text"),
    ("demo.yaml", "kind: A\n---\n- 1\n", (3, 1), "expected a Kubernetes object, got a list"),
    ("demo.json", '{"a": 1,\n "b": }', (2, 7), "expected JSON: invalid character"),
    ("demo.json", '{"a": "é",\n "b": 1', (2, 8), "expected JSON: the text ends too early"),
    ("demo.json", "a: 1", (1, 1), "expected JSON: invalid character"),
    ("demo.json", '{"a": 1} {"b": 2}', (1, 10), "expected JSON: trailing characters"),
    ("-", '{"a": 1, "b" 2}', (1, 14), "expected JSON: expected ':'"),
    ("demo.yaml", b"a: 1\nb: \xff", (2, 4), "expected UTF-8 text"),
)


@pytest.mark.parametrize(("source", "text", "place", "problem"), ERRORS)
def test_errors(source: str, text: str | bytes, place: tuple[int, int], problem: str) -> None:
    """What cannot be read is an error with file, line, column and what was expected."""
    found = error(text, source)
    assert found.at is not None
    assert (found.at.source, found.at.line, found.at.column, found.problem) == (source, *place, problem)


def test_a_line_of_a_secret_is_not_shown() -> None:
    """The excerpt of an error is left out where the file holds a Secret."""
    assert error("kind: A\nb: 'open").at == ("demo.yaml", 2, 9, "b: 'open")
    assert error("kind: Secret\npassword: 'open").at == ("demo.yaml", 2, 16, "")


@pytest.mark.parametrize(
    ("head", "levels"), [("[", 100_000), ("{a: ", 100_000), ("- ", 100_000), ("? ", 100_000), ('{"a":[', 100_000)]
)
def test_endless_nesting_is_an_error(head: str, levels: int) -> None:
    """However deep a text is, the process lives, and the error says what is taken."""
    assert "nesting" in error(head * levels).problem


def test_the_deepest_nesting_that_is_taken() -> None:
    """As many levels as the limit says, and not one more."""
    (document,) = values("a: " + "[" * (DEPTH_LIMIT - 1) + "]" * (DEPTH_LIMIT - 1))
    assert document
    assert "nesting" in error("a: " + "[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT).problem


@pytest.mark.parametrize("form", ["l{0}: &l{0} [{1}]", "l{0}: &l{0} {{<<: [{1}]}}"])
def test_a_bomb_of_aliases_is_an_error(form: str) -> None:
    """Aliases of aliases of aliases are counted, not walked, and end in an error that says how many are taken."""
    lines = ["l0: &l0 {a: 1}"]
    lines += [form.format(level, ", ".join([f"*l{level - 1}"] * 10)) for level in range(1, 30)]
    assert error("\n".join(lines)).problem == f"expected aliases to repeat at most {ALIASED_LIMIT:,} values"


def test_many_small_aliases_are_taken() -> None:
    """A file that repeats a few values often is no bomb."""
    (document,) = values("a: &a [x, y]\nb: [" + ", ".join(["*a"] * 1000) + "]")
    assert document["b"] == [["x", "y"]] * 1000


PIECES = (
    "kind: List", "items:", "- ", "  ", "\n", "a: ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "? ", "'", '"', "|", ">",
    "!", "!!int ", "%YAML 1.1\n", "---\n", "...\n", "#", ",", ":", "\t", "\ufeff", "é", "\x85", "\u2028", "\\ud800",
    "1", "null", "\x00",
)  # fmt: skip
YAMLISH = st.lists(st.sampled_from(PIECES)).map("".join)


@given(YAMLISH.map(str.encode) | st.text().map(str.encode) | st.binary(), st.sampled_from(["a.yaml", "a.json", "-"]))
def test_any_octets_are_documents_or_a_config_error(data: bytes, source: str) -> None:
    """Nothing but ConfigError is ever raised, and every place can be told."""
    with contextlib.suppress(ConfigError):
        for document in read_documents(data, source):
            assert document.span(("items", 0, "a")).line >= 1
