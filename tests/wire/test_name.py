"""Names between text and wire form."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.wire.name import MAX_NAME, ROOT, child, label, labels, name_text, parse_name, under


class Case(NamedTuple):
    title: str
    text: str
    wire: bytes


CASES = (
    Case("the root", ".", b"\0"),
    Case("one label", "arpa.", b"\4arpa\0"),
    Case("a missing last dot makes no difference", "cluster.local", b"\7cluster\5local\0"),
    Case("letters are folded", "Cluster.LOCAL.", b"\7cluster\5local\0"),
    Case("an underscore is a letter like any other", "_http._tcp.web.", b"\5_http\4_tcp\3web\0"),
    Case("an escaped dot stays in its label", "a\\.b.c.", b"\3a.b\1c\0"),
    Case("an escaped dot at the end closes nothing", "a\\.", b"\2a.\0"),
    Case("an escaped backslash before the last dot", "a\\\\.", b"\2a\\\0"),
    Case("three digits are an octet", "a\\000b\\255.", b"\4a\0b\xff\0"),
    Case("an octet given as digits is folded too", "\\065.", b"\1a\0"),
    Case("63 octets fit into a label", "x" * 63 + ".", b"\x3f" + b"x" * 63 + b"\0"),
    Case(
        "255 octets fit into a name",
        ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 61)),
        b"".join((b"\x3f" + b"a" * 63, b"\x3f" + b"b" * 63, b"\x3f" + b"c" * 63, b"\x3d" + b"d" * 61, b"\0")),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_text_becomes_wire(case: Case) -> None:
    """A name in text has exactly this wire form (RFC 1035 sections 3.1 and 5.1)."""
    assert parse_name(case.text) == case.wire


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_wire_becomes_text_and_the_same_wire_again(case: Case) -> None:
    """What we present can be parsed back, and ends in a dot."""
    text = name_text(case.wire)
    assert text.endswith(".")
    assert parse_name(text) == case.wire


WRONG = (
    ("an empty label", "a..b."),
    ("an empty first label", ".a."),
    ("two dots alone", ".."),
    ("a label of 64 octets", "x" * 64 + ".a."),
    ("a last label of 64 octets", "a." + "x" * 64),
    ("a name of 256 octets", ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 62))),
    ("an octet over 255", "\\256."),
    ("a backslash at the end", "a\\"),
    ("letters outside ASCII", "münchen."),
)


@pytest.mark.parametrize(("title", "text"), WRONG, ids=[title for title, _ in WRONG])
def test_what_is_no_name_is_an_error(title: str, text: str) -> None:
    """It raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match=r"\S"):
        parse_name(text)


@pytest.mark.parametrize("text", ["WWW.Example.com", "\\087WW.Example.com.", "a.B"])
def test_a_name_may_keep_its_spelling(text: str) -> None:
    """Folded, it is the name that is parsed without; length octets are never taken for letters."""
    assert parse_name(text, fold=False) != parse_name(text)
    assert parse_name(text, fold=False).lower() == parse_name(text)
    assert name_text(parse_name(text, fold=False)).removesuffix(".") == text.replace("\\087", "W").removesuffix(".")


NAMES = st.lists(st.binary(min_size=1, max_size=63).map(bytes.lower), max_size=8).map(
    lambda parts: b"".join(bytes((len(part),)) + part for part in parts) + b"\0"
)


@given(NAMES.filter(lambda name: len(name) <= MAX_NAME))
def test_every_name_survives_its_text(name: bytes) -> None:
    """Whatever octets are in its labels, a name presented and parsed is the same name."""
    assert parse_name(name_text(name)) == name


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_a_value_error(text: str) -> None:
    """No text raises anything but ValueError, and what is a name keeps to the limits."""
    try:
        name = parse_name(text)
    except ValueError:
        return
    assert len(name) <= MAX_NAME
    assert name[-1:] == ROOT
    assert all(0 < len(part) <= 63 for part in labels(name))
    assert name == name.lower()


UNDER = (
    ("itself", "cluster.local.", "cluster.local.", True),
    ("a child", "web.cluster.local.", "cluster.local.", True),
    ("a grandchild", "a.b.cluster.local.", "cluster.local.", True),
    ("everything is under the root", "a.", ".", True),
    ("the parent", "local.", "cluster.local.", False),
    ("a sister", "other.local.", "cluster.local.", False),
    ("the same octets across a label boundary", "xcluster.local.", "cluster.local.", False),
    ("an ancestor hidden inside a label", "a\\007cluster\\005local.", "cluster.local.", False),
)


@pytest.mark.parametrize(("title", "name", "ancestor", "expected"), UNDER, ids=[row[0] for row in UNDER])
def test_under_counts_whole_labels(title: str, name: str, ancestor: str, expected: bool) -> None:
    """A name is under another only at a label boundary."""
    assert under(parse_name(name), parse_name(ancestor)) is expected


def test_labels_come_from_left_to_right() -> None:
    """The root is not among them."""
    assert list(labels(parse_name("a.bc.def."))) == [b"a", b"bc", b"def"]
    assert list(labels(ROOT)) == []


def test_a_child_is_made_of_text_and_an_owner() -> None:
    """Labels are folded and put to the left, in order."""
    assert child(parse_name("svc.cluster.local."), "_HTTP", "_tcp") == parse_name("_http._tcp.svc.cluster.local.")


@pytest.mark.parametrize("text", ["", "x" * 64, "é"], ids=["empty", "64 octets", "not ASCII"])
def test_what_is_no_label_is_an_error(text: str) -> None:
    """`label` and `child` refuse it with ValueError."""
    with pytest.raises(ValueError, match=r"\S"):
        label(text)
    with pytest.raises(ValueError, match=r"\S"):
        child(ROOT, "fine", text)


def test_a_child_may_not_pass_255_octets() -> None:
    """The limit counts the whole name, not the labels put to it."""
    owner = parse_name(".".join(["x" * 49] * 5))
    assert len(owner) == 251
    assert len(child(owner, "abc")) == 255
    with pytest.raises(ValueError, match="256"):
        child(owner, "abcd")
