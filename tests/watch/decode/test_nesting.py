"""JSON nested deeper than msgspec goes, read without recursion."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.watch.decode.nesting import cut_items, shallow

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\[]{}\n\u00e9', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('items"\\[{', max_size=5), inner, max_size=3),
    max_leaves=12,
)


def cut(value: Any, levels: int) -> Any:
    """What `shallow` is to leave of a value."""
    if isinstance(value, list | dict) and levels == 0:
        return None
    if isinstance(value, list):
        return [cut(element, levels - 1) for element in value]
    if isinstance(value, dict):
        return {key: cut(element, levels - 1) for key, element in value.items()}
    return value


@given(JSON, st.integers(0, 4), st.sampled_from([None, 2]))
def test_shallow(value: Any, levels: int, indent: int | None) -> None:
    """Each object and array below the levels becomes null, and nothing else changes, whatever strings hold."""
    assert json.loads(shallow(json.dumps(value, indent=indent).encode(), levels)) == cut(value, levels)


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=4), st.dictionaries(st.text(), JSON))
def test_cut_items(items: list[Any], rest: dict[str, Any]) -> None:
    """A list comes apart into its items and what is around them."""
    rest.pop("items", None)
    page = json.dumps({**rest, "items": items, "kind": "List"}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    around, pieces = cut_items(page)
    assert [json.loads(piece) for piece in pieces] == items
    assert json.loads(around) == {**rest, "items": [], "kind": "List"}


@pytest.mark.parametrize(
    "page", [b"", b"[]", b'{"items":', b'{"items":[', b'{"items":[{]', b'{"a":{"items":[]}}', b'"items":[']
)
def test_what_is_not_a_list(page: bytes) -> None:
    """Text that is not a list, or ends too early, is a DecodeError like other text that cannot be read."""
    with pytest.raises(msgspec.DecodeError):
        cut_items(page)
