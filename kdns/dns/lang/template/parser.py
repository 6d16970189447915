"""A template's text becomes one function from data to text. Pure."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from kdns.dns.lang.template.functions import FUNCTIONS, MISSING, Fields, Method, TemplateFailure, Value, truth
from kdns.dns.lang.template.running import Assignment, Condition, Loop, LoopControl, Part, Scope, Template, Work
from kdns.dns.lang.template.tokens import Action, Copied, TemplateMistake, Token, pieces

OCTAL: Final = re.compile(r"[-+]?0[0-7]+")
ESCAPED: Final = re.compile(
    r"""(?:[^\\]|\\(?:[abfnrtv\\'"]|x[0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|[0-3][0-7]{2}))*"""
)
DEEPEST: Final = 50
"""Parentheses, conditions and loops within each other."""


def parse_template(text: str, fields: frozenset[str]) -> Template:
    """A template over data with such fields. Raises TemplateMistake."""
    parser = _Parser(text, fields)
    parts, end = parser.parts(0)
    if end is not None:
        raise TemplateMistake(f"unexpected {{{{{end[0].text}}}}}", end[0].at)
    return Template(text, parts)


class _Parser:
    """Actions one after the other; each one's tokens by `_Line`."""

    def __init__(self, text: str, fields: frozenset[str]) -> None:
        self._pieces: Iterator[Copied | Action] = pieces(text)
        self._fields: frozenset[str] | None = fields
        self._known: dict[str, str] = {"$": "$"}
        self._looping = False
        self._text = text

    def parts(self, depth: int) -> tuple[tuple[Part, ...], tuple[Token, ...] | None]:
        """Up to ``end`` or ``else``, and its tokens; None at the end of the text."""
        parts: list[Part] = []
        if depth > DEEPEST:
            raise TemplateMistake(f"over {DEEPEST} conditions within conditions", len(self._text))
        for piece in self._pieces:
            if isinstance(piece, Copied):
                parts.append(piece.text)
                continue
            tokens = piece.tokens
            if not tokens:
                raise TemplateMistake("missing value for command", piece.at)
            first = tokens[0].text
            if first in {"end", "else"}:
                return tuple(parts), tokens
            if first in {"if", "with"}:
                parts.append(self._condition(tokens, depth))
            elif first == "range":
                parts.append(self._loop(tokens, depth))
            elif first in {"break", "continue"}:
                parts.append(self._leap(tokens))
            else:
                parts.append(self._line(tokens))
        return tuple(parts), None

    def _line(self, tokens: tuple[Token, ...]) -> Work | Assignment:
        line = _Line(tokens, self._fields, self._known)
        work, silent = line.whole()
        return Assignment(work) if silent else work

    def _condition(self, tokens: tuple[Token, ...], depth: int) -> Condition:
        start, narrows = tokens[0], tokens[0].text == "with"
        if len(tokens) < 2:
            raise TemplateMistake(f"missing value for {start.text}", start.at)
        known, fields = self._known, self._fields
        self._known = dict(known)
        work, _ = _Line(tokens[1:], self._fields, self._known).whole()
        within = self._known
        if narrows:
            self._fields = None
        self._known = dict(within)
        then, end = self.parts(depth + 1)
        self._fields, self._known = fields, dict(within)
        otherwise: tuple[Part, ...] = ()
        if end is not None and end[0].text == "else":
            if len(end) > 1:
                if end[1].text not in {"if", "with"}:
                    raise TemplateMistake(f"unexpected {end[1].text!r} behind else", end[1].at)
                otherwise = (self._condition(end[1:], depth + 1),)
                self._known = known
                return Condition(work, then, otherwise, narrows)
            otherwise, end = self.parts(depth + 1)
        if end is None or end[0].text != "end":
            raise TemplateMistake(f"{start.text!r} has no {{{{end}}}}", start.at)
        self._known = known
        return Condition(work, then, otherwise, narrows)

    def _loop(self, tokens: tuple[Token, ...], depth: int) -> Loop:
        start, line = tokens[0], tokens[1:]
        if not line:
            raise TemplateMistake("missing value for range", start.at)
        known, fields, looping = self._known, self._fields, self._looping
        names, line, declares = _targets(line)
        if not line:
            raise TemplateMistake("missing value for range", start.at)
        work, _ = _Line(line, self._fields, self._known).whole()
        self._known = dict(known)
        slots = [_slot(self._known, token, declares=declares) for token in names]
        key, value = ["", *slots] if len(slots) == 1 else slots or ["", ""]
        self._fields, self._looping = None, True
        then, end = self.parts(depth + 1)
        self._known, self._fields, self._looping = dict(known), fields, looping
        otherwise: tuple[Part, ...] = ()
        if end is not None and end[0].text == "else":
            if len(end) > 1:
                raise TemplateMistake(f"unexpected {end[1].text!r} behind else", end[1].at)
            otherwise, end = self.parts(depth + 1)
        if end is None or end[0].text != "end":
            raise TemplateMistake("'range' has no {{end}}", start.at)
        self._known = known
        return Loop(work, key, value, then, otherwise)

    def _leap(self, tokens: tuple[Token, ...]) -> LoopControl:
        word = tokens[0]
        if not self._looping:
            raise TemplateMistake(f"{{{{{word.text}}}}} outside of range", word.at)
        if len(tokens) > 1:
            raise TemplateMistake(f"unexpected {tokens[1].text!r} in a template", tokens[1].at)
        return LoopControl(word.text)


def _targets(line: tuple[Token, ...]) -> tuple[tuple[Token, ...], tuple[Token, ...], bool]:
    """The variables that a ``range`` sets, none to two; what stands behind them; and whether it declares them."""
    signs = [token.text if token.kind == "mark" else token.kind for token in line[:4]]
    if signs[:1] == ["variable"] and signs[1:2] in ([":="], ["="]):
        return line[:1], line[2:], signs[1] == ":="
    if signs[:3] == ["variable", ",", "variable"] and signs[3:] in ([":="], ["="]):
        return (line[0], line[2]), line[4:], signs[3] == ":="
    return (), line, False


def _slot(known: dict[str, str], token: Token, *, declares: bool) -> str:
    """Where a variable is kept; one that is declared gets a place of its own, until the block ends."""
    if declares:
        known[token.text] = f"{token.text}:{token.at}"
    elif token.text not in known:
        raise TemplateMistake(f"undefined variable {token.text!r}", token.at)
    return known[token.text]


class _Line:
    """The tokens of one action."""

    def __init__(self, tokens: tuple[Token, ...], fields: frozenset[str] | None, known: dict[str, str]) -> None:
        self._tokens, self._at, self._fields, self._known = tokens, 0, fields, known

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def whole(self) -> tuple[Work, bool]:
        """All of it, and whether it only sets a variable."""
        tokens = self._tokens
        sets = len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].text in {":=", "="}
        if sets:
            if tokens[1].text == "=":
                _slot(self._known, tokens[0], declares=False)
            self._at = 2
        work = self._pipeline(0)
        left = self._peek()
        if left is not None:
            raise TemplateMistake(f"unexpected {left.text!r} in a template", left.at)
        if not sets:
            return work, False
        target = _slot(self._known, tokens[0], declares=tokens[1].text == ":=")

        def put(scope: Scope) -> Value:
            value = scope.variables[target] = work(scope)
            return value

        return put, True

    def _pipeline(self, depth: int) -> Work:
        if depth > DEEPEST:
            raise TemplateMistake(f"over {DEEPEST} parentheses within each other", self._tokens[0].at)
        work = self._command(None, depth)
        while (token := self._peek()) is not None and token.text == "|" and token.kind == "mark":
            self._next()
            work = self._command(work, depth)
        return work

    def _command(self, piped: Work | None, depth: int) -> Work:
        first = self._peek()
        if first is None or (first.kind == "mark" and first.text not in {"(", "."}):
            raise TemplateMistake("missing value for command", first.at if first else self._tokens[-1].at)
        name = first.text if first.kind == "word" and first.text not in {"true", "false", "nil"} else ""
        if name:
            self._next()
        operands: list[Work] = [] if name else [self._operand(depth)]
        while (token := self._peek()) is not None and not (token.kind == "mark" and token.text in "|),"):
            operands.append(self._operand(depth))
        if name:
            return _called(first, operands + ([piped] if piped else []))
        work, *arguments = operands + ([piped] if piped else [])
        if not arguments and first.text != ".Meta":
            return work
        if first.kind != "field" or (self._fields is not None and first.text != ".Meta"):
            raise TemplateMistake(f"can't give argument to non-function {first.text}", first.at)

        def call(scope: Scope) -> Value:
            method = work(scope)
            if not isinstance(method, Method):
                raise TemplateFailure(f"can't give argument to non-function {first.text}")
            if len(arguments) != 1:
                raise TemplateFailure(f"wrong number of args for {first.text}: want 1 got {len(arguments)}")
            return method.call(arguments[0](scope))

        return call

    def _operand(self, depth: int) -> Work:
        token = self._next()
        match token.kind:
            case "string" | "char" | "number":
                constant = _constant(token)
                work: Work = lambda _scope: constant  # noqa: E731
            case "field":
                self._check(token)
                work = _field(lambda scope: scope.dot, token.text[1:])
            case "variable":
                if token.text not in self._known:
                    raise TemplateMistake(f"undefined variable {token.text!r}", token.at)
                slot = self._known[token.text]
                work = lambda scope: scope.root if slot == "$" else scope.variables.get(slot)  # noqa: E731
            case "word" if token.text in {"true", "false", "nil"}:
                known = {"true": True, "false": False}.get(token.text)
                work = lambda _scope: known  # noqa: E731
            case "word":
                work = _called(token, [])
            case "mark" if token.text == "(":
                work = self._pipeline(depth + 1)
                closing = self._peek()
                if closing is None or closing.text != ")":
                    raise TemplateMistake("unclosed left paren", token.at)
                self._next()
            case "mark" if token.text == ".":
                work = lambda scope: scope.dot  # noqa: E731
            case _:
                raise TemplateMistake(f"unexpected {token.text!r} in a template", token.at)
        while (following := self._peek()) is not None and following.kind == "field" and following.glued:
            self._next()
            if token.text == "$":
                self._check(following)
            work = _field(work, following.text[1:])
            token = following
        return work

    def _check(self, token: Token) -> None:
        """A field of the data itself must be one."""
        if self._fields is not None and token.text[1:] not in self._fields:
            known = ", ".join(sorted(f".{field}" for field in self._fields))
            raise TemplateMistake(f"there is no field {token.text}; there are {known}", token.at)


def _field(of: Work, name: str) -> Work:
    def get(scope: Scope) -> Value:
        value = of(scope)
        if isinstance(value, Fields):
            if name not in value.fields:
                raise TemplateFailure(f"can't evaluate field {name}")
            return value.fields[name]
        if isinstance(value, dict):
            return value.get(name)
        raise TemplateFailure(f"can't evaluate field {name}" if value is not None else f"nil data; no entry for {name}")

    return get


def _called(token: Token, arguments: list[Work]) -> Work:
    name = token.text
    if name in {"and", "or"}:
        if not arguments:
            raise TemplateMistake(f"wrong number of args for {name}: want at least 1 got 0", token.at)
        wanted = name == "or"

        def either(scope: Scope) -> Value:
            value: Value = None
            for argument in arguments:
                value = argument(scope)
                if truth(value) is wanted:
                    break
            return value

        return either
    function = FUNCTIONS.get(name)
    if function is None:
        what = f"{name!r} is not supported in templates" if name in MISSING else f"function {name!r} is not defined"
        raise TemplateMistake(what, token.at)
    count, least, most = len(arguments), function.least, function.most
    if count < least or (most is not None and count > most):
        raise TemplateMistake(f"wrong number of args for {name}: got {count}", token.at)
    return lambda scope: function.call(*[argument(scope) for argument in arguments])


def _constant(token: Token) -> Value:
    text = token.text
    if text[0] == "`":
        return text[1:-1]
    if token.kind == "number":
        return int(text, 8 if OCTAL.fullmatch(text) else 0)
    if not ESCAPED.fullmatch(text):
        raise TemplateMistake(f"unknown escape sequence in {text}", token.at)
    value = ast.literal_eval(text)
    assert isinstance(value, str)
    if token.kind == "char":
        if len(value) != 1:
            raise TemplateMistake(f"{text} is not one character", token.at)
        return ord(value)
    return value
