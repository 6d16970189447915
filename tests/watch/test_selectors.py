"""Label and field selectors pick what the API server would."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.errors import ConfigError
from kdns.watch.selectors import field_selector, label_selector


class Case(NamedTuple):
    selector: str
    picks: tuple[dict[str, str], ...] = ()
    leaves: tuple[dict[str, str], ...] = ()


LABELS = (
    Case("", ({}, {"a": "b"})),
    Case("a", ({"a": ""}, {"a": "b"}), ({}, {"b": "a"})),
    Case("!a", ({}, {"b": "a"}), ({"a": ""}, {"a": "b"})),
    Case("a=b", ({"a": "b", "c": "d"},), ({}, {"a": "c"}, {"a": "B"})),
    Case("a == b", ({"a": "b"},), ({"a": "c"},)),
    Case("a!=b", ({}, {"a": "c"}), ({"a": "b"},)),
    Case("a=", ({"a": ""},), ({}, {"a": "b"})),
    Case("a in (b, c)", ({"a": "b"}, {"a": "c"}), ({}, {"a": "d"})),
    Case("a in (b,)", ({"a": ""}, {"a": "b"}), ({}, {"a": "c"})),
    Case("a notin (b,c)", ({}, {"a": "d"}), ({"a": "b"}, {"a": "c"})),
    Case("in in (in)", ({"in": "in"},), ({"in": "x"}, {})),
    Case("a>1", ({"a": "2"}, {"a": "10"}), ({"a": "1"}, {"a": "x"}, {})),
    Case("a < -1", ({"a": "-2"},), ({"a": "-1"}, {})),
    Case("app.kubernetes.io/name=web,!old", ({"app.kubernetes.io/name": "web"},),
         ({"app.kubernetes.io/name": "web", "old": ""}, {})),
    Case("a=b,c!=d,e in (x,y),f notin (z),g,!h", ({"a": "b", "e": "y", "g": ""},),
         ({"a": "b", "e": "y"}, {"a": "b", "e": "y", "g": "", "h": ""}, {"a": "b", "e": "y", "g": "", "f": "z"})),
)  # fmt: skip


@pytest.mark.parametrize("case", LABELS, ids=lambda case: case.selector or "empty")
def test_a_label_selector_picks(case: Case) -> None:
    """Exactly the label sets that meet every requirement are picked."""
    picks = label_selector(case.selector)
    assert [labels for labels in (*case.picks, *case.leaves) if picks(labels)] == list(case.picks)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (",", "expected the name of a label, got ','"),
        ("a,", "expected the name of a label, got its end"),
        ("a=b c", "expected a comma, got 'c'"),
        ("a b", "expected one of = == != in notin < >, got 'b'"),
        ("a in b", "expected (, got 'b'"),
        ("a in (b", "expected ), got its end"),
        ("a in (b c)", "expected ), got 'c'"),
        ("a=-b", "expected the value of a label, got '-b'"),
        ("A/B/c", "expected the name of a label, got 'A/B/c'"),
        ("/a", "expected the name of a label, got '/a'"),
        ("!", "expected the name of a label, got its end"),
        ("a>b", "expected a whole number, got 'b'"),
        ("a" * 64, "expected the name of a label"),
    ],
)
def test_what_is_no_label_selector(selector: str, expected: str) -> None:
    """The error says what was expected and what stood there."""
    with pytest.raises(ConfigError, match="label selector") as error:
        label_selector(selector)
    assert expected in str(error.value)


FIELDS = (
    Case("", ({}, {"status.phase": "Failed"})),
    Case("status.phase!=Failed,status.phase!=Succeeded", ({}, {"status.phase": "Running"}),
         ({"status.phase": "Failed"}, {"status.phase": "Succeeded"})),
    Case("metadata.name=web", ({"metadata.name": "web"},), ({"metadata.name": "db"}, {})),
    Case("metadata.name==web", ({"metadata.name": "web"},), ({"metadata.name": "db"},)),
    Case("spec.nodeName=", ({}, {"spec.nodeName": ""}), ({"spec.nodeName": "node-1"},)),
    Case(r"metadata.name=a\,b", ({"metadata.name": "a,b"},), ({"metadata.name": "a"},)),
)  # fmt: skip


@pytest.mark.parametrize("case", FIELDS, ids=lambda case: case.selector or "empty")
def test_a_field_selector_picks(case: Case) -> None:
    """Exactly the objects whose fields meet every term are picked; a field that is not there is empty."""
    picks = field_selector(case.selector)
    assert [fields for fields in (*case.picks, *case.leaves) if picks(fields)] == list(case.picks)


@pytest.mark.parametrize("selector", ["status.phase", "status.phase in (a)", "=a", "a=b=c", "spec.color=red"])
def test_what_is_no_field_selector(selector: str) -> None:
    """A term without comparison, or about a field that nobody keeps, is an error that names the selector."""
    with pytest.raises(ConfigError, match="field selector"):
        field_selector(selector, frozenset({"status.phase"}))


@given(st.text(alphabet=st.sampled_from("ab/.-=!<>(), in1")) | st.text())
def test_any_text_is_a_selector_or_a_config_error(text: str) -> None:
    """Nothing but ConfigError is ever raised, and what parses can be asked."""
    for parse in (label_selector, field_selector):
        try:
            picks = parse(text)
        except ConfigError:
            continue
        assert picks({"a": "b"}) in {True, False}
