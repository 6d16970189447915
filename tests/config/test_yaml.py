"""The two shapes that YAML is put together in: plain values and a tree with places. One composer makes both."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.config.yaml_tree import Entry, Node, read_tree
from kdns.config.yaml_values import ALIASED_LIMIT, DEPTH_LIMIT, Misplaced, compose, find


def plain(node: Node) -> Any:
    """A tree's values."""
    value = node.value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return {key: plain(entry.node) for key, entry in value.items()} if isinstance(value, Mapping) else value


@given(
    st.lists(
        st.sampled_from(["a: ", "b:\n", " ", "- ", "1", "&x ", "*x", "{", "}", "[", "]", ", ", "<<: ", "\n", "'q'"])
    )
)
def test_both_have_the_same_values(parts: list[str]) -> None:
    """What one takes the other takes, and makes the same of it."""
    text = "".join(parts)
    try:
        documents = [document.value for document in compose(text)]
    except (Misplaced, yaml.YAMLError):
        with pytest.raises(ConfigError):
            read_tree(text, "c")
        return
    assert [plain(read_tree(text, "c").top)] == (documents or [None])


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("[" * (DEPTH_LIMIT + 1), 1, DEPTH_LIMIT + 1),
        ("a: &a [" + "x, " * 999 + "x]\nb: [" + "*a, " * (ALIASED_LIMIT // 1000) + "*a]\n", 2, None),
        ("a: *nowhere", 1, 4),
        ("a: 1\n? [a]\n: 1", 2, 3),
    ],
)
def test_bounds(text: str, line: int, column: int | None) -> None:
    """Depth, repeated values, aliases of nothing and keys that are collections are refused, at their place, in both."""
    with pytest.raises(Misplaced) as plainly:
        list(compose(text))
    with pytest.raises(ConfigError) as in_tree:
        read_tree(text, "c")
    at = in_tree.value.at
    assert at is not None
    assert (at.line, at.column) == (plainly.value.place[0] + 1, plainly.value.place[1] + 1)
    assert at.line == line
    assert column in {None, at.column}


def test_a_tree_knows_keys_values_and_what_stands_twice() -> None:
    """Places of keys and of values; an alias is where it is used, its contents where they were written."""
    tree = read_tree("a: &x {k: 1}\nb: *x\na: 2\n", "c")
    assert isinstance(tree.top.value, Mapping)
    places = {key: (entry.at, entry.node.at) for key, entry in tree.top.value.items()}
    assert {key: [(at.line, at.column) for at in both if at] for key, both in places.items()} == {
        "a": [(3, 1), (3, 4)],
        "b": [(2, 1), (2, 4)],
    }
    inner = tree.top.value["b"].node.value
    assert isinstance(inner, Mapping)
    entry: Entry = inner["k"]
    assert entry.node.at is not None
    assert (entry.node.at.line, entry.node.at.column) == (1, 11)
    assert [(repeated.at.line, repeated.line) for repeated in tree.repeated] == [(3, 1)]


@pytest.mark.parametrize(
    ("path", "place"),
    [(("a", 1, "k"), (2, 5)), (("a", 1), (2, 2)), (("a", 7), (1, 0)), (("z",), (0, 0)), ((), (0, 0))],
)
def test_the_place_of_a_value(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    """Line and column from 0 of the value at a path, or of the nearest one around it."""
    assert find("a:\n- x\n- k: 1\n", 0, path) == place


def test_no_such_document() -> None:
    """Nothing is found in a document that is not there."""
    assert find("a: 1\n", 1, ("a",)) is None
