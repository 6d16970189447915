"""From the text of an expression to what runs.

::

    whole   ::= or ("?" whole ":" whole)?
    or      ::= and (("||" | "or") and)*
    and     ::= not (("&&" | "and") not)*
    not     ::= ("!" | "not") not | test
    test    ::= sum ((== | != | < | <= | > | >= | ["not"] in | matches | contains | startsWith | endsWith) sum)?
    sum     ::= product (("+" | "-") product)*
    product ::= place (("*" | "%") place)*
    place   ::= value ("[" whole "]")*
    value   ::= ["-"] number | string | true | false | "[" whole, ... "]" | function "(" whole, ... ")" | "(" whole ")"
                | variable | "#"
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kdns.dns.api.handler import Request
from kdns.dns.lang.expr.functions import GROUP, NAMES, OVER_LISTS, called, over_list
from kdns.dns.lang.expr.values import (
    LONGEST,
    NO_SCOPE,
    ORDERED,
    TEXTUAL,
    ExpressionError,
    Run,
    Scope,
    Value,
    arithmetic,
    both,
    compared,
    either,
    text_value,
)

DEEPEST: Final = 50
"""Parentheses, calls and lists within each other."""
MOST_SIGNS: Final = 250
"""Operators in an expression: each is a call within a call while it runs."""
TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>[0-9]+)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>\|\||&&|==|!=|<=|>=|[<>!()\[\],?:+*%#-]))"""
)
ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
KEYWORDS: Final = frozenset(
    {"true", "false", "nil", "and", "or", "not", "in", "matches", "let", "if", "else", *TEXTUAL}
)


class MetadataKey(NamedTuple):
    """A call of ``metadata`` in an expression."""

    key: str | None
    """None: it is made while the expression runs."""
    at: int
    """Characters from 0."""


class Compiled(NamedTuple):
    """An expression and the type of its value."""

    type: str
    run: Callable[[Scope], Any]
    """Raises ValueError where a value is not what it should be, such as an address."""
    metadata: tuple[MetadataKey, ...] = ()
    """What it reads of the metadata."""


class Token(NamedTuple):
    """A word of the expression."""

    kind: str
    text: str
    at: int


def compile_expression(text: str) -> Callable[[Request], bool]:
    """What tells whether a request is meant. Raises ExpressionError for what is wrong, or not supported."""
    return test_of(compile_value(text, wanted="bool"))


def test_of(compiled: Compiled) -> Callable[[Request], bool]:
    """A compiled expression of type bool as a test; false where a value is not what it should be."""
    run = compiled.run

    def holds(request: Request) -> bool:
        try:
            return bool(run(Scope(request)))
        except ValueError:  # such as an invalid address: types cannot exclude it
            return False

    return holds


def compile_value(
    text: str, variables: Mapping[str, str] | None = None, *, groups: bool = False, wanted: str = ""
) -> Compiled:
    """An expression of any type, or of a wanted one.

    It may use these variables, whose types are given by name, and with `groups` what parts of a pattern matched.
    Raises ExpressionError for what is wrong, or not supported.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"{len(text)} characters, at most {LONGEST}", 0)
    parser = _Parser(_tokens(text), len(text), variables or {}, groups=groups)
    value = parser.whole()
    parser.end()
    if wanted and value.type != wanted:
        raise ExpressionError(f"the expression is a {value.type}, not true or false", 0)
    return Compiled(value.type, value.run, tuple(parser.metadata))


def reserved(name: str) -> bool:
    """True for words that mean something already, so that no variable can have them as its name."""
    return name in KEYWORDS or name in NAMES or name == GROUP


def _tokens(text: str) -> list[Token]:
    tokens = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"{text[start]!r} is not supported here", start)
        kind = match.lastgroup or ""
        tokens.append(Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent, a function for each line of the grammar."""

    def __init__(self, tokens: list[Token], length: int, variables: Mapping[str, str], *, groups: bool) -> None:
        self._tokens, self._at, self._deep, self._signs = tokens, 0, 0, 0
        self._last = Token("end", "", length)
        self._variables, self._groups = variables, groups
        self._items: list[str] = []
        """The types that ``#`` has, the innermost last."""
        self.metadata: list[MetadataKey] = []

    def _next(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else self._last

    def _take(self, *texts: str) -> Token | None:
        token = self._next()
        if token.kind in {"string", "number"} or token.text not in texts:
            return None
        self._at += 1
        return token

    def _sign(self, *texts: str) -> Token | None:
        token = self._take(*texts)
        self._signs += token is not None
        if token is not None and self._signs > MOST_SIGNS:
            raise ExpressionError(f"over {MOST_SIGNS} operators", token.at)
        return token

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            token = self._next()
            raise ExpressionError(f"expected {text!r}, found {token.text or 'the end'!r}", token.at)

    def end(self) -> None:
        """Nothing may be left."""
        token = self._next()
        if token.kind != "end":
            raise ExpressionError(f"{token.text!r} is not supported here", token.at)

    def whole(self) -> Value:
        """All of an expression, or of one within another."""
        self._deep += 1
        if self._deep > DEEPEST:
            raise ExpressionError("too many levels", self._next().at)
        value = self._either()
        if token := self._sign("?"):
            test = _boolean(value, token).run
            first = self.whole()
            self._need(":")
            second = self.whole()
            if first.type != second.type:
                raise ExpressionError(f"'?' chooses from a {first.type} and a {second.type}", token.at)
            value = Value(first.type, _chosen(test, first.run, second.run))
        self._deep -= 1
        return value

    def _either(self) -> Value:
        value = self._both()
        while token := self._sign("||", "or"):
            value = Value("bool", either(_boolean(value, token).run, _boolean(self._both(), token).run))
        return value

    def _both(self) -> Value:
        value = self._not()
        while token := self._sign("&&", "and"):
            value = Value("bool", both(_boolean(value, token).run, _boolean(self._not(), token).run))
        return value

    def _not(self) -> Value:
        negations = 0
        last = None
        while token := self._take("!", "not"):
            negations, last = negations + 1, token
        value = self._test()
        if last is None:
            return value
        run = _boolean(value, last).run
        return Value("bool", run if negations % 2 == 0 else lambda scope: not run(scope))

    def _test(self) -> Value:
        left = self._sum()
        token = self._sign("==", "!=", *ORDERED, "in", "not", "matches", *TEXTUAL)
        if token is None:
            return left
        negated = token.text == "not"
        if negated:
            self._need("in")
        test = compared("in" if negated else token.text, left, self._sum(), token.at)
        return Value("bool", (lambda scope: not test(scope)) if negated else test)

    def _sum(self) -> Value:
        value = self._product()
        while token := self._sign("+", "-"):
            value = arithmetic(token.text, value, self._product(), token.at)
        return value

    def _product(self) -> Value:
        value = self._place()
        while token := self._sign("*", "%"):
            value = arithmetic(token.text, value, self._place(), token.at)
        return value

    def _place(self) -> Value:
        value = self._value()
        while token := self._sign("["):
            at = self.whole()
            self._need("]")
            if not value.type.endswith("[]") or at.type != "int":
                raise ExpressionError(f"a {value.type} has no place that is a {at.type}", token.at)
            value = Value(value.type.removesuffix("[]"), _placed(value.run, at.run))
        return value

    def _value(self) -> Value:
        token = self._next()
        self._at += 1
        if token.text == "-" and token.kind == "sign" and self._next().kind == "number":
            number = -int(self._next().text[:20])
            self._at += 1
            return Value("int", lambda _: number, constant=True)
        if token.kind == "number":
            number = int(token.text[:20])
            return Value("int", lambda _: number, constant=True)
        if token.kind == "string":
            return text_value(re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), token.text[1:-1]))
        if token.kind == "word" and token.text in {"true", "false"}:
            return Value("bool", lambda _: token.text == "true", constant=True)
        if token.kind == "word":
            return self._word(token)
        if token.text == "(":
            value = self.whole()
            self._need(")")
            return value
        if token.text == "[":
            return self._list(token)
        if token.text == "#" and self._items:
            deep = len(self._items)
            return Value(self._items[-1], lambda scope: scope.items[deep - 1])
        raise ExpressionError(f"expected a value, found {token.text or 'the end'!r}", token.at)

    def _several(self, closing: str) -> list[Value]:
        values: list[Value] = []
        while self._take(closing) is None:
            if values:
                self._need(",")
            values.append(self.whole())
        return values

    def _list(self, token: Token) -> Value:
        values = self._several("]")
        types = {value.type for value in values}
        if len(types) > 1:
            raise ExpressionError("a list has values of one type", token.at)
        if types and next(iter(types)).endswith("[]"):
            raise ExpressionError("a list of lists is not supported here", token.at)
        runs = [value.run for value in values]
        return Value(f"{types.pop() if types else 'string'}[]", lambda scope: [run(scope) for run in runs])

    def _word(self, token: Token) -> Value:
        name = token.text
        if name in self._variables:
            return Value(self._variables[name], lambda scope: scope.variables[name])
        names = (*NAMES, GROUP) if self._groups else NAMES
        if name not in names:
            known = (*self._variables, *names)
            raise ExpressionError(f"there is no {name!r}", token.at, f"there are {', '.join(known)}")
        self._need("(")
        if name not in OVER_LISTS:
            given = self._several(")")
            value = called(name, given, token.at)
            if name == "metadata":
                self.metadata.append(MetadataKey(given[0].run(NO_SCOPE) if given[0].constant else None, token.at))
            return value
        several = self.whole()
        if not several.type.endswith("[]"):
            raise ExpressionError(f"{name} takes a list, not a {several.type}", token.at)
        self._need(",")
        self._items.append(several.type.removesuffix("[]"))
        test = self.whole()
        self._items.pop()
        self._need(")")
        return over_list(name, several, test, token.at)


def _boolean(value: Value, token: Token) -> Value:
    if value.type != "bool":
        raise ExpressionError(f"{token.text!r} is for true and false, not for a {value.type}", token.at)
    return value


def _chosen(test: Run, first: Run, second: Run) -> Run:
    return lambda scope: first(scope) if test(scope) else second(scope)


def _placed(several: Run, at: Run) -> Run:
    def get(scope: Scope) -> Any:
        elements, number = several(scope), at(scope)
        if not -len(elements) <= number < len(elements):
            raise ValueError(f"there is no element {number}")
        return elements[number]

    return get
