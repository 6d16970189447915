"""What a look comes to: a verdict, one line, and what to do. Pure."""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple


class Verdict(Enum):
    """How a line begins; only FAIL makes the exit status 1."""

    OK = "ok"
    NOTE = "note"
    """What there is, or what would change."""
    WARN = "warn"
    FAIL = "FAIL"


class Line(NamedTuple):
    """One line, about one thing."""

    verdict: Verdict
    about: str
    """``kernel``, ``Corefile``, ``rights``; an operator may search for it."""
    text: str
    todo: str = ""
    """What to do; required for FAIL."""

    def __str__(self) -> str:
        head = f"{self.verdict.value:<4} {self.about}: {self.text}"
        return f"{head}\n     {self.todo}" if self.todo else head


def ok(about: str, text: str) -> Line:
    """All is well."""
    return Line(Verdict.OK, about, text)


def note(about: str, text: str, todo: str = "") -> Line:
    """To be known."""
    return Line(Verdict.NOTE, about, text, todo)


def warn(about: str, text: str, todo: str = "") -> Line:
    """It works, but not as one might expect."""
    return Line(Verdict.WARN, about, text, todo)


def fail(about: str, text: str, todo: str) -> Line:
    """It would not work."""
    return Line(Verdict.FAIL, about, text, todo)


def failed(lines: Iterable[Line]) -> bool:
    """Something would not work."""
    return any(line.verdict is Verdict.FAIL for line in lines)


def summary(lines: Iterable[Line]) -> str:
    """The last line."""
    counts = dict.fromkeys(Verdict, 0)
    for line in lines:
        counts[line.verdict] += 1
    failures, warnings = counts[Verdict.FAIL], counts[Verdict.WARN]
    parts = list(_counted((failures, "failure"), (warnings, "warning")))
    return f"{', '.join(parts)}: not ready" if failures else f"ready{': ' if parts else ''}{', '.join(parts)}"


def _counted(*counted: tuple[int, str]) -> Iterator[str]:
    return (f"{number} {word}{'s' * (number != 1)}" for number, word in counted if number)
