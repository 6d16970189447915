"""A template that is read already: its parts, and how they run. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from kdns.dns.lang.template.functions import Fields, Method, TemplateFailure, Value, truth, written

MOST_TURNS: Final = 10_000
"""Turns that all loops of one run take together."""


class Turns:
    """The turns of loops that a run has taken."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> None:
        """One more. Raises TemplateFailure when it is enough."""
        self.taken += 1
        if self.taken > MOST_TURNS:
            raise TemplateFailure(f"over {MOST_TURNS} turns of range")


class Scope(NamedTuple):
    """What a template sees while it runs."""

    root: Fields
    dot: Value
    variables: dict[str, Value]
    """By their names and where they are declared: one within a block may have the name of one outside."""
    turns: Turns


Work: TypeAlias = Callable[[Scope], Value]


class Template(NamedTuple):
    """A template, ready to run."""

    text: str
    parts: tuple["Part", ...]

    @property
    def constant(self) -> bool:
        """It gives the same text always."""
        return all(isinstance(part, str) for part in self.parts)

    def run(self, data: Mapping[str, Value]) -> str:
        """Its text for some data. Raises TemplateFailure."""
        root = Fields(data)
        out: list[str] = []
        _run(self.parts, Scope(root, root, {}, Turns()), out)
        return "".join(out)


class Condition(NamedTuple):
    """``if`` and ``with``."""

    work: Work
    then: tuple["Part", ...]
    otherwise: tuple["Part", ...]
    narrows: bool
    """The dot is the value within: ``with``."""


class Loop(NamedTuple):
    """``range``."""

    work: Work
    key: str
    """The variables that each turn sets; empty for none."""
    value: str
    then: tuple["Part", ...]
    otherwise: tuple["Part", ...]
    """Runs instead when there is nothing to iterate over."""


class LoopControl(NamedTuple):
    """``break`` and ``continue``."""

    word: str


class Assignment(NamedTuple):
    """``$name := ...``: nothing is written."""

    work: Work


Part: TypeAlias = str | Work | Condition | Loop | LoopControl | Assignment


def _run(parts: tuple[Part, ...], scope: Scope, out: list[str]) -> str:
    """Add what the parts write; ``break`` or ``continue`` if that is how they end."""
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Assignment):
            part.work(scope)
        elif isinstance(part, LoopControl):
            return part.word
        elif isinstance(part, Condition):
            value = part.work(scope)
            chosen = part.then if truth(value) else part.otherwise
            if leap := _run(chosen, scope._replace(dot=value) if part.narrows and truth(value) else scope, out):
                return leap
        elif isinstance(part, Loop):
            _turn(part, scope, out)
        else:
            out.append(written(part(scope)))
    return ""


def _turn(loop: Loop, scope: Scope, out: list[str]) -> None:
    turned = False
    for key, value in _elements(loop.work(scope)):
        turned = True
        scope.turns.take()
        for name, item in ((loop.key, key), (loop.value, value)):
            if name:
                scope.variables[name] = item
        if _run(loop.then, scope._replace(dot=value), out) == "break":
            break
    if not turned:
        _run(loop.otherwise, scope, out)


def _elements(value: Value) -> Iterable[tuple[Value, Value]]:
    """What ``range`` goes over, each with its place: a list, a map in the order of its keys, or so many numbers."""
    match value:
        case None:
            return ()
        case bool() | str() | Fields() | Method():
            raise TemplateFailure("range can't iterate over it")
        case int():
            return ((number, number) for number in range(value))
        case list():
            return enumerate(value)
        case dict():
            return ((key, value[key]) for key in sorted(value))
