"""What expressions are made of: typed values that run in a scope, and how two of them are compared."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kdns.dns.api.handler import Request
from kdns.dns.lang.patterns import compile_pattern

LONGEST: Final = 10000
"""Characters of an expression, and of each text that one makes; CoreDNS's limit for patterns."""
MOST_STEPS: Final = 10000
"""Elements of lists that one run of an expression looks at."""


class ExpressionError(ValueError):
    """It cannot be compiled; ``at`` counts characters from 0."""

    def __init__(self, problem: str, at: int, hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.at, self.hint = problem, at, hint


class Scope:
    """What an expression sees while it runs."""

    __slots__ = ("groups", "items", "request", "steps", "variables")

    def __init__(self, request: Request, groups: Mapping[str, str] | None = None) -> None:
        self.request = request
        self.groups = groups or {}
        """What the parts of a pattern matched, by number and by name."""
        self.variables: dict[str, Any] = {}
        self.items: list[Any] = []
        """What ``#`` is, the innermost last."""
        self.steps = 0

    def step(self) -> None:
        """Another element of a list. Raises ValueError when it is enough."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise ValueError(f"over {MOST_STEPS} elements")


Run = Callable[[Scope], Any]


class Value(NamedTuple):
    """A compiled part."""

    type: str
    """``string``, ``int``, ``bool``, or one of them with ``[]``."""
    run: Run
    constant: bool = False


NO_SCOPE: Final[Any] = None
"""The scope in which constants run."""

ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: bool(a < b), "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b), ">=": lambda a, b: bool(a >= b),
}  # fmt: skip
TEXTUAL: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda a, b: b in a, "startsWith": str.startswith, "endsWith": str.endswith,
}  # fmt: skip


def text_value(text: str) -> Value:
    """A string as it stands."""
    return Value("string", lambda _: text, constant=True)


def short(text: str) -> str:
    """A text that an expression has made. Raises ValueError for one that is too long."""
    if len(text) > LONGEST:
        raise ValueError(f"a text of over {LONGEST} characters")
    return text


def either(first: Run, second: Run) -> Run:
    """``or``."""
    return lambda scope: first(scope) or second(scope)


def both(first: Run, second: Run) -> Run:
    """``and``."""
    return lambda scope: first(scope) and second(scope)


def compared(sign: str, left: Value, right: Value, at: int) -> Run:
    """The test for two values; their types must fit the sign."""
    first, second = left.run, right.run
    fits = {
        "in": right.type == f"{left.type}[]",
        "==": left.type == right.type,
        "!=": left.type == right.type,
        "matches": left.type == right.type == "string" and right.constant,
    }.get(sign, left.type == right.type == "string" or (sign in ORDERED and left.type == right.type == "int"))
    if not fits:
        raise ExpressionError(f"{sign!r} does not fit a {left.type} and a {right.type}", at)
    if sign == "==":
        return lambda scope: first(scope) == second(scope)
    if sign == "!=":
        return lambda scope: first(scope) != second(scope)
    if sign == "in":
        return lambda scope: first(scope) in second(scope)
    if sign == "matches":
        try:
            search = compile_pattern(second(NO_SCOPE)).search
        except ValueError as error:
            raise ExpressionError(f"invalid regular expression: {error}", at) from error
        return lambda scope: search(first(scope)) is not None
    test = ORDERED.get(sign) or TEXTUAL[sign]
    return lambda scope: test(first(scope), second(scope))


def arithmetic(sign: str, left: Value, right: Value, at: int) -> Value:
    """``+`` of two numbers or texts, and ``-``, ``*`` and ``%`` of two numbers."""
    first, second = left.run, right.run
    if sign == "+" and left.type == right.type == "string":
        return Value("string", lambda scope: short(first(scope) + second(scope)))
    if left.type != "int" or right.type != "int":
        raise ExpressionError(f"{sign!r} does not fit a {left.type} and a {right.type}", at)
    if sign == "%":
        return Value("int", lambda scope: _rest(first(scope), second(scope)))
    reckon: Callable[[int, int], int] = {
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b
    }[sign]  # fmt: skip
    return Value("int", lambda scope: _number(reckon(first(scope), second(scope))))


def _rest(number: int, by: int) -> int:
    """With the sign of the number, as in Go."""
    if by == 0:
        raise ValueError("division by zero")
    rest = abs(number) % abs(by)
    return -rest if number < 0 else rest


def _number(number: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("a number of over 64 bits")
    return number
