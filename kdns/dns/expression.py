"""Expressions about a request, a part of the language that CoreDNS takes from expr-lang.

::

    incidr(client_ip(), '10.0.0.0/8') && !(name() in ['a.test.', 'b.test.'] or type() == 'ANY')

    or     ::= and (("||" | "or") and)*
    and    ::= not (("&&" | "and") not)*
    not    ::= ("!" | "not") not | test
    test   ::= value ((== | != | < | <= | > | >= | ["not"] in | matches | contains | startsWith | endsWith) value)?
    value  ::= number | string | true | false | "[" or, ... "]" | function "(" or, ... ")" | "(" or ")"

Types are checked when it is compiled, so that what runs cannot fail but for an address that is none.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple

from kdns.dns.handler import Request
from kdns.dns.patterns import compile_pattern
from kdns.dns.request_values import bufsize, do, proto
from kdns.dns.types import class_text, type_text
from kdns.wire.name import name_text

LONGEST: Final = 10000
"""Characters; CoreDNS's limit for patterns."""
DEEPEST: Final = 50
TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>[0-9]+)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>\|\||&&|==|!=|<=|>=|[<>!()\[\],]))"""
)
ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}

Run = Callable[[Request], Any]


class ExpressionError(ValueError):
    """It cannot be compiled; ``at`` counts characters from 0."""

    def __init__(self, problem: str, at: int, hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.at, self.hint = problem, at, hint


class Value(NamedTuple):
    """A compiled part."""

    type: str
    """``string``, ``int``, ``bool``, or one of them with ``[]``."""
    run: Run
    constant: bool = False


class Token(NamedTuple):
    """A word of the expression."""

    kind: str
    text: str
    at: int


FUNCTIONS: Final[dict[str, tuple[str, Run]]] = {
    "type": ("string", lambda request: type_text(request.query.rtype)),
    "name": ("string", lambda request: name_text(request.query.name)),
    "class": ("string", lambda request: class_text(request.query.rclass)),
    "proto": ("string", proto),
    "size": ("int", lambda request: request.size),
    "client_ip": ("string", lambda request: request.client.address),
    "port": ("string", lambda request: str(request.client.port)),
    "id": ("int", lambda request: request.query.id),
    "opcode": ("int", lambda _: 0),
    "do": ("bool", do),
    "bufsize": ("int", bufsize),
    "server_ip": ("string", lambda request: request.client.local),
    "server_port": ("string", lambda request: request.server.rpartition(":")[2]),
}
"""Those without arguments; ``incidr(IP, CIDR)`` and ``metadata(KEY)`` are there, too."""
NAMES: Final = (*FUNCTIONS, "incidr", "metadata")
ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: bool(a < b), "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b), ">=": lambda a, b: bool(a >= b),
}  # fmt: skip
TEXTUAL: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda a, b: b in a, "startsWith": str.startswith, "endsWith": str.endswith,
}  # fmt: skip


def compile_expression(text: str) -> Callable[[Request], bool]:
    """What tells whether a request is meant. Raises ExpressionError for what is wrong, or not supported."""
    if len(text) > LONGEST:
        raise ExpressionError(f"{len(text)} characters, at most {LONGEST}", 0)
    parser = _Parser(_tokens(text), len(text))
    value = parser.either()
    parser.end()
    if value.type != "bool":
        raise ExpressionError(f"the expression is a {value.type}, not true or false", 0)
    run = value.run

    def holds(request: Request) -> bool:
        try:
            return bool(run(request))
        except ValueError:  # an address that is none: the only thing that types do not tell
            return False

    return holds


def _tokens(text: str) -> list[Token]:
    found = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"{text[start]!r} is not supported here", start)
        kind = match.lastgroup or ""
        found.append(Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return found


class _Parser:
    """Recursive descent, a function for each line of the grammar."""

    def __init__(self, tokens: list[Token], length: int) -> None:
        self._tokens, self._at, self._deep = tokens, 0, 0
        self._last = Token("end", "", length)

    def _next(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else self._last

    def _take(self, *texts: str) -> Token | None:
        token = self._next()
        if token.kind in {"string", "number"} or token.text not in texts:
            return None
        self._at += 1
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

    def either(self) -> Value:
        """``or``."""
        self._deep += 1
        if self._deep > DEEPEST:
            raise ExpressionError("too many levels", self._next().at)
        value = self._both()
        while token := self._take("||", "or"):
            first, second = _boolean(value, token).run, _boolean(self._both(), token).run
            value = Value("bool", _or(first, second))
        self._deep -= 1
        return value

    def _both(self) -> Value:
        value = self._not()
        while token := self._take("&&", "and"):
            first, second = _boolean(value, token).run, _boolean(self._not(), token).run
            value = Value("bool", _and(first, second))
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
        return Value("bool", run if negations % 2 == 0 else lambda request: not run(request))

    def _test(self) -> Value:
        left = self._value()
        token = self._take("==", "!=", *ORDERED, "in", "not", "matches", *TEXTUAL)
        if token is None:
            return left
        negated = token.text == "not"
        if negated:
            self._need("in")
        test = _compare("in" if negated else token.text, left, self._value(), token.at)
        return Value("bool", (lambda request: not test(request)) if negated else test)

    def _value(self) -> Value:
        token = self._next()
        self._at += 1
        if token.kind == "number":
            number = int(token.text[:20])
            return Value("int", lambda _: number, constant=True)
        if token.kind == "string":
            return _text(re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), token.text[1:-1]))
        if token.kind == "word" and token.text in {"true", "false"}:
            return Value("bool", lambda _: token.text == "true", constant=True)
        if token.kind == "word":
            return self._call(token)
        if token.text == "(":
            value = self.either()
            self._need(")")
            return value
        if token.text == "[":
            return self._list(token)
        raise ExpressionError(f"expected a value, found {token.text or 'the end'!r}", token.at)

    def _several(self, closing: str) -> list[Value]:
        found: list[Value] = []
        while self._take(closing) is None:
            if found:
                self._need(",")
            found.append(self.either())
        return found

    def _list(self, token: Token) -> Value:
        values = self._several("]")
        types = {value.type for value in values}
        if len(types) > 1:
            raise ExpressionError("a list has values of one type", token.at)
        runs = [value.run for value in values]
        return Value(f"{types.pop() if types else 'string'}[]", lambda request: [run(request) for run in runs])

    def _call(self, token: Token) -> Value:
        if token.text not in NAMES:
            raise ExpressionError(f"there is no {token.text!r}", token.at, f"there are {', '.join(NAMES)}")
        self._need("(")
        given = self._several(")")
        wanted = {"incidr": 2, "metadata": 1}.get(token.text, 0)
        if len(given) != wanted or any(value.type != "string" for value in given):
            raise ExpressionError(f"{token.text} takes {wanted or 'no'} string{'s' * (wanted != 1)}", token.at)
        if token.text == "incidr":
            return _incidr(given[0], given[1], token.at)
        if token.text == "metadata":
            key = given[0].run
            return Value("string", lambda request: request.metadata.get(key(request), ""))
        kind, run = FUNCTIONS[token.text]
        return Value(kind, run)


def _text(text: str) -> Value:
    return Value("string", lambda _: text, constant=True)


def _or(first: Run, second: Run) -> Run:
    return lambda request: first(request) or second(request)


def _and(first: Run, second: Run) -> Run:
    return lambda request: first(request) and second(request)


def _boolean(value: Value, token: Token) -> Value:
    if value.type != "bool":
        raise ExpressionError(f"{token.text!r} is for true and false, not for a {value.type}", token.at)
    return value


def _compare(sign: str, left: Value, right: Value, at: int) -> Run:
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
        return lambda request: first(request) == second(request)
    if sign == "!=":
        return lambda request: first(request) != second(request)
    if sign == "in":
        return lambda request: first(request) in second(request)
    if sign == "matches":
        try:
            search = compile_pattern(second(None)).search  # type: ignore[arg-type]
        except ValueError as error:
            raise ExpressionError(f"no pattern: {error}", at) from error
        return lambda request: search(first(request)) is not None
    test = ORDERED.get(sign) or TEXTUAL[sign]
    return lambda request: test(first(request), second(request))


def _incidr(address: Value, network: Value, at: int) -> Value:
    ip, cidr = address.run, network.run
    if not network.constant:
        return Value("bool", lambda request: _within(ip(request), ip_network(cidr(request), strict=False)))
    try:
        fixed = ip_network(cidr(None), strict=False)  # type: ignore[arg-type]
    except ValueError as error:
        raise ExpressionError(f"no network: {error}", at) from error
    return Value("bool", lambda request: _within(ip(request), fixed))


def _within(text: str, network: IPv4Network | IPv6Network) -> bool:
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address) in network
