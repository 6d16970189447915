"""Durations, as Go's time.ParseDuration reads them (its documentation), and as flags have them."""

import pytest

from kdns.config.durations import parse_duration

DURATIONS = (
    ("0", 0.0), ("5s", 5.0), ("300ms", 0.3), ("-1.5h", -5400.0), ("+2h45m", 9900.0), ("1us", 1e-6), ("1\u00b5s", 1e-6),
    ("1\u03bcs", 1e-6), ("3ns", 3e-9), (".5m", 30.0), ("1.s", 1.0), ("1h1h", 7200.0),
)  # fmt: skip
MISTAKES = (
    ("5", "it needs a unit, such as s"), ("", "such as 300ms"), ("s", "such as 300ms"), ("5s5", "such as 300ms"),
    ("1d", "such as 300ms"), (" 5s", "such as 300ms"), ("--5s", "such as 300ms"), ("\u0663s", "such as 300ms"),
    ("1" * 101 + "s", "such as 300ms"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_durations(text: str, seconds: float) -> None:
    """Seconds, exact to the nanosecond."""
    assert parse_duration(text) == seconds
    assert parse_duration(text, bare=True) == seconds


@pytest.mark.parametrize(("text", "hint"), MISTAKES)
def test_mistakes(text: str, hint: str) -> None:
    """The message has the text, and its second line the hint."""
    with pytest.raises(ValueError, match="invalid duration") as caught:
        parse_duration(text)
    assert str(caught.value).splitlines()[-1].startswith(hint)


def test_bare_seconds() -> None:
    """Flags take seconds without a unit, but not behind one."""
    assert (parse_duration("5", bare=True), parse_duration("2.5", bare=True)) == (5.0, 2.5)
    with pytest.raises(ValueError, match="each number needs its unit"):
        parse_duration("1m30", bare=True)
