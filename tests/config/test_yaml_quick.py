"""Dumps read quickly are what the general reader makes of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.config.yaml_quick import compose_list
from kdns.config.yaml_values import Misplaced, compose

ROOT = Path(__file__).parents[2]
ODD = (
    "8080", "0x1f", "1.5", "true", "yes", "null", "~", "", "- a", "a: b", "a #b", "#", "|", "{}", "'", '"', "a:", "-1",
    "@x", "http://x/y", "two words", "line\nline", "end\n", "\n", " x", "x ", "é", "0/2 nodes", "a\n\nb\n",
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(ODD))
EDITS = (
    "", " ", "  x: 1", "- y", "    z", "  - q: 1", "  a: &b 1", "  c: *b", "  # no", "  d: [1, 2]", "  e: {f: 1}",
    "  g: |", "  <<: 1", "  h: 'x", "---", "  ? i", "  j:  k  ", "  l: m: n", '  o: "\\x41"', "  p: !!str 1", "\tq: 1",
    "  kind: x", "items:", "  r: >", "   s: 1",
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(["name", "a/b.c", "x-y"]), TEXTS)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-5, 99999), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)
FIELDS = st.sampled_from(["kind", "metadata", "spec", "data"])
ITEMS = st.lists(st.dictionaries(FIELDS, VALUES, min_size=1), min_size=1, max_size=4)


def listed(items: list[Any], width: float = 80) -> str:
    """A list as kubectl prints it: by the width lines are folded."""
    values = {"apiVersion": "v1", "items": items, "kind": "List"}
    body = yaml.safe_dump(values, default_flow_style=False, width=width, allow_unicode=True)
    return str(body)


def same(text: str) -> bool:
    """Whether the quick reader took a text; if it did, values and places are those of the general reader."""
    quick = compose_list(text)
    if quick is None:
        return False
    [general] = list(compose(text))
    assert quick.value == general.value
    assert repr(quick.value["items"]) == repr(general.value["items"])  # 1, 1.0 and True are equal
    for path, place in quick.places.items():
        assert general.places[path] == place, path
    return True


@given(ITEMS, st.sampled_from([40, 80, 1000]))
@settings(max_examples=150, deadline=None)
def test_any_objects(items: list[Any], width: int) -> None:
    """Whatever objects hold, a list of them is read alike."""
    same(listed(items, width))


@given(ITEMS, st.data())
@settings(max_examples=150, deadline=None)
def test_any_edit(items: list[Any], data: st.DataObject) -> None:
    """A text edited by hand is read alike, or left to the general reader."""
    lines = listed(items).split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    line = data.draw(st.sampled_from(EDITS))
    where = data.draw(st.sampled_from(["insert", "replace", "delete"]))
    lines[at : at + (where != "insert")] = [line] if where != "delete" else []
    text = "\n".join(lines)
    try:
        list(compose(text))
    except (Misplaced, yaml.YAMLError):
        assert compose_list(text) is None
    else:
        same(text)


@pytest.mark.parametrize("path", ["kdns/demo", "tests/explain", "manifests"])
def test_manifests_as_a_dump(path: str) -> None:
    """The repository's own manifests as one list are taken, and read alike."""
    files = sorted((ROOT / path).rglob("*.yaml"))
    values = [value for file in files for value in yaml.safe_load_all(file.read_text())]
    bodies = [value for value in values if isinstance(value, dict) and "kind" in value]
    assert bodies
    assert same(listed(bodies))


def test_what_kubectl_writes() -> None:
    """Sequences at the column of their key, literals, quotes, empty collections, and a message on two lines."""
    text = """apiVersion: v1
items:
- apiVersion: v1
  data:
    Corefile: |
      .:53 {
          errors

          cache 30
      }
    empty: ""
  kind: ConfigMap
  metadata:
    annotations: {}
    finalizers: []
    name: 'it''s'
- apiVersion: v1
  kind: Pod
  spec:
    containers:
    - args:
      - -conf
      - "8080"
      - a:b
      image: coredns/coredns:1.12.1
    tolerations:
    - key: x
      operator: Exists
  status:
    message: one line that is
      folded into two
    podIP: 10.244.0.2
kind: List
metadata:
  resourceVersion: ""
"""
    assert same(text)
    value = compose_list(text)
    assert value is not None
    assert value.value["items"][1]["spec"]["containers"][0]["args"] == ["-conf", "8080", "a:b"]


@pytest.mark.parametrize(
    "text", ["", "a: 1", "items: []", "x:\nitems:\n- a: 1\n---\nb: 2\n", "kind: x\nitems:\n- a: 1\nitems:\n- b: 1\n"]
)
def test_other_texts_are_left_alone(text: str) -> None:
    """What is not one list is for the general reader."""
    assert not same(text)
