"""What plugins use to read their directives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from kdns.base.errors import ConfigError, ConfigErrors, Span
from kdns.config import reading
from kdns.config.directive import Directive, Word
from tests.config.text import directives


class Block(NamedTuple):
    """A server block's zones."""

    zones: tuple[str, ...] = ("example.org.",)


def word(text: str) -> Word:
    """A word at some place."""
    return Word(text, Span("Corefile", 3, 5, f"    {text} more"))


VALUES = [
    (reading.duration, "0", 0.0),
    (reading.duration, "300ms", 0.3),
    (reading.duration, "1.5h", 5400.0),
    (reading.duration, "2h45m", 9900.0),
    (reading.duration, "+.5s", 0.5),
    (reading.duration, "1us1\u00b5s1ns", 2.001e-6),
    (reading.duration, "0s", 0.0),
    (reading.boolean, "on", True),
    (reading.boolean, "no", False),
    (reading.zone, "Example.ORG", ("example.org.",)),
    (reading.zone, ".", (".",)),
    (reading.zone, "10.0.0.0/15", ("0.10.in-addr.arpa.", "1.10.in-addr.arpa.")),
    (reading.zone, "2001:db8::/32", ("8.b.d.0.1.0.0.2.ip6.arpa.",)),
    (reading.zone, "128/25.2.0.192.in-addr.arpa.", ("128/25.2.0.192.in-addr.arpa.",)),
    (lambda one: str(reading.network(one)), "10.1.2.3/8", "10.0.0.0/8"),
    (lambda one: str(reading.network(one)), "10.1.2.3", "10.1.2.3/32"),
    (lambda one: str(reading.network(one)), "fd00::/8", "fd00::/8"),
    (lambda one: str(reading.address(one)), "FD00:0::1", "fd00::1"),
    (lambda one: reading.integer(one, -1), "-1", -1),
    (lambda one: reading.integer(one, 0, 5), "+5", 5),
    (lambda one: reading.choice(one, ("allow", "block")), "block", "block"),
]


@pytest.mark.parametrize(("read", "text", "expected"), VALUES, ids=[case[1] for case in VALUES])
def test_values(read: Callable[[Word], Any], text: str, expected: Any) -> None:
    """A word becomes this value."""
    assert read(word(text)) == (pytest.approx(expected) if isinstance(expected, float) else expected)


WRONG = [
    (reading.duration, "5", "invalid duration '5'", "it needs a unit, such as s"),
    (reading.duration, "-5s", "-5s is out of range", "at least 0s"),
    (reading.duration, "s", "invalid duration 's'", "300ms"),
    (reading.duration, "", "invalid duration ''", "300ms"),
    (reading.duration, "5s5", "invalid duration '5s5'", "300ms"),
    (reading.duration, "99999999h", "out of range", "at most"),
    (lambda one: reading.duration(one, 2.0), "1s", "1s is out of range", "at least 2s"),
    (lambda one: reading.duration(one, 0, 300), "6m", "6m is out of range", "at most 300s"),
    (reading.boolean, "maybe", "'maybe' is none of true, on", ""),
    (reading.zone, "a..b", "no zone: empty label in 'a..b'", ""),
    (reading.zone, "b\u00fccher", "'b\u00fccher' is not a zone", "xn--"),
    (reading.zone, "", "an empty text is not a zone", "the root is a dot"),
    (reading.zone, "10.0.0.0/33", "no zone: '10.0.0.0/33'", ""),
    (reading.network, "10.0.0.0/33", "'10.0.0.0/33' is not a network", "10.0.0.0/8"),
    (reading.address, "10.0.0.256", "invalid IP address '10.0.0.256'", "10.96.0.10"),
    (lambda one: reading.integer(one, 0, 5), "6", "6 is out of range", "0 to 5"),
    (lambda one: reading.integer(one, 1), "0", "0 is out of range", "at least 1"),
    (lambda one: reading.integer(one, 0), "1e3", "invalid whole number '1e3'", "at least 0"),
    (lambda one: reading.integer(one, 0), "\u0663", "invalid whole number", "at least 0"),
    (lambda one: reading.integer(one, 0), "9" * 5000, "invalid whole number", "at least 0"),
    (
        lambda one: reading.choice(one, ("allow", "block")),
        "blok",
        "'blok' is none of allow, block",
        "did you mean block?",
    ),
]


@pytest.mark.parametrize(("read", "text", "problem", "hint"), WRONG, ids=[case[1][:20] for case in WRONG])
def test_wrong_values(read: Callable[[Word], Any], text: str, problem: str, hint: str) -> None:
    """What cannot be read is told at its place, with what would be right."""
    with pytest.raises(ConfigError) as raised:
        read(word(text))
    assert problem in raised.value.problem
    assert hint in raised.value.hint
    assert raised.value.at == word(text).at


def line(text: str) -> Directive:
    """The only directive of a text."""
    (found,) = directives(text)
    return found


def test_arguments() -> None:
    """As many as are wanted, told at the first that is too much, or at the name."""
    assert [one.text for one in reading.arguments(line("a 1 2"), 1, None)] == ["1", "2"]
    for text, least, most, problem, column in (
        ("a 1 2 3", 0, 2, "'a' takes 0 to 2 arguments, got 3", 7),
        ("a 1", 0, 0, "'a' takes no argument", 3),
        ("a", 1, None, "'a' needs at least 1 argument, got 0", 1),
        ("a", 2, 2, "'a' needs 2 arguments, got 0", 1),
    ):
        with pytest.raises(ConfigError) as raised:
            reading.arguments(line(text), least, most)
        assert raised.value.problem == problem
        assert raised.value.at is not None
        assert raised.value.at.column == column


def test_once() -> None:
    """A directive that may stand once is told at its second line."""
    assert reading.once(directives("a 1")).args[0].text == "1"
    with pytest.raises(ConfigError, match="'a' stands twice in this server block") as raised:
        reading.once(directives("a\na\na"))
    assert str(raised.value).endswith("\n   2 | a\n       ^ it stands in line 1 already")


def test_blocks() -> None:
    """A directive without a block may have empty braces."""
    reading.no_block(line("a"))
    reading.no_block(line("a {\n}"))
    with pytest.raises(ConfigError, match="'a' has no block"):
        reading.no_block(line("a {\n b\n}"))


def test_properties() -> None:
    """Each line goes to its reader, and every mistake is told."""
    seen: list[str] = []

    def ttl(found: Directive) -> None:
        seen.append(str(reading.integer(reading.arguments(found, 1, 1)[0], 0, 60)))

    reading.properties(line("a {\n ttl 5\n ttl 6\n}"), {"ttl": ttl})
    assert seen == ["5", "6"]
    with pytest.raises(ConfigErrors) as raised:
        reading.properties(line("a {\n tll 5\n ttl 7\n ttl x\n other\n}"), {"ttl": ttl})
    assert [(one.problem, one.hint) for one in raised.value.errors] == [
        ("'a' has no property 'tll'", "there are ttl"),
        ("invalid whole number 'x'", "0 to 60"),
        ("'a' has no property 'other'", "there are ttl"),
    ]
    assert seen == ["5", "6", "7"]


def test_zones() -> None:
    """Zones without doubles; the block's own where there is no word; all mistakes told."""
    assert reading.zones((), Block()) == ("example.org.",)
    assert reading.zones(line("a B b. 10.0.0.0/8").args, Block()) == ("b.", "10.in-addr.arpa.")
    with pytest.raises(ConfigErrors) as raised:
        reading.zones(line("a x..y b z..").args, Block())
    assert len(raised.value.errors) == 2
