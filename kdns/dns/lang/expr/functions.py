"""What an expression can call."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple

from kdns.dns.api.handler import Request
from kdns.dns.api.request_values import bufsize, do, proto
from kdns.dns.lang.expr.values import NO_SCOPE, ExpressionError, Run, Value, short
from kdns.wire.name import name_text
from kdns.wire.types import class_text, type_text

REQUEST: Final[dict[str, tuple[str, Callable[[Request], Any]]]] = {
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
"""Type and value of what is known of a request; they take no arguments."""


class Function(NamedTuple):
    """Something to call with values of these types."""

    takes: tuple[str, ...]
    type: str
    call: Callable[..., Any]


def _split(text: str, by: str) -> list[str]:
    return text.split(by) if by else list(text)


def _whole(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 20:
        raise ValueError(f"{text[:20]!r} is not a whole number")
    return int(text)


FUNCTIONS: Final = {
    "lower": Function(("string",), "string", str.lower),
    "upper": Function(("string",), "string", str.upper),
    "trim": Function(("string",), "string", str.strip),
    "trimPrefix": Function(("string", "string"), "string", str.removeprefix),
    "trimSuffix": Function(("string", "string"), "string", str.removesuffix),
    "hasPrefix": Function(("string", "string"), "bool", str.startswith),
    "hasSuffix": Function(("string", "string"), "bool", str.endswith),
    "indexOf": Function(("string", "string"), "int", str.find),
    "replace": Function(("string", "string", "string"), "string", lambda *texts: short(str.replace(*texts))),
    "split": Function(("string", "string"), "string[]", _split),
    "join": Function(("string[]", "string"), "string", lambda texts, by: short(by.join(texts))),
    "int": Function(("string",), "int", _whole),
    "string": Function(("int",), "string", str),
}
"""Those of expr-lang, for texts mostly; the lengths of what they make are bounded."""
OVER_LISTS: Final = ("any", "all", "none", "one", "filter", "map", "count")
"""They take a list and an expression in which ``#`` is an element of it."""
OTHERS: Final = ("incidr", "metadata", "len", *OVER_LISTS)
NAMES: Final = (*REQUEST, *OTHERS, *FUNCTIONS)
GROUP: Final = "group"
"""``group(NAME)`` or ``group(NUMBER)``: what a part of the pattern matched; only where there is a pattern."""


def called(name: str, given: Sequence[Value], at: int) -> Value:
    """A call of anything but those in `OVER_LISTS`. Raises ExpressionError for arguments that do not fit."""
    if name in REQUEST:
        _check(name, given, (), at)
        kind, of_request = REQUEST[name]
        return Value(kind, lambda scope: of_request(scope.request))
    if name == "incidr":
        _check(name, given, ("string", "string"), at)
        return _incidr(given[0], given[1], at)
    if name == "metadata":
        _check(name, given, ("string",), at)
        key = given[0].run
        return Value("string", lambda scope: scope.request.metadata.get(key(scope), ""))
    if name == GROUP:
        if len(given) != 1 or given[0].type not in {"string", "int"}:
            raise ExpressionError("group takes 1 string or int", at)
        part = given[0].run
        return Value("string", lambda scope: scope.groups.get(str(part(scope)), ""))
    if name == "len":
        if len(given) != 1 or not (given[0].type == "string" or given[0].type.endswith("[]")):
            raise ExpressionError("len takes 1 string or list", at)
        of = given[0].run
        return Value("int", lambda scope: len(of(scope)))
    if name == "string" and len(given) == 1 and given[0].type != "int":
        return _written(given[0], at)
    function = FUNCTIONS[name]
    _check(name, given, function.takes, at)
    runs, call = [value.run for value in given], function.call
    return Value(function.type, lambda scope: call(*[run(scope) for run in runs]))


def _check(name: str, given: Sequence[Value], wanted: Sequence[str], at: int) -> None:
    if [value.type for value in given] == list(wanted):
        return
    if not wanted:
        raise ExpressionError(f"{name} takes no strings", at)
    if len(set(wanted)) == 1:
        raise ExpressionError(f"{name} takes {len(wanted)} {wanted[0]}{'s' * (len(wanted) != 1)}", at)
    raise ExpressionError(f"{name} takes {' and '.join(f'a {kind}' for kind in wanted)}", at)


def _written(value: Value, at: int) -> Value:
    run = value.run
    if value.type == "string":
        return value
    if value.type == "bool":
        return Value("string", lambda scope: "true" if run(scope) else "false")
    raise ExpressionError(f"string takes 1 int, bool or string, not a {value.type}", at)


def over_list(name: str, several: Value, test: Value, at: int) -> Value:
    """``any(LIST, EXPRESSION)`` and its kind. Raises ExpressionError for an expression that does not fit."""
    if name != "map" and test.type != "bool":
        raise ExpressionError(f"{name} takes a list and true or false for each of its elements", at)
    elements, run = several.run, test.run

    def each(scope: Any) -> Any:
        for element in elements(scope):
            scope.step()
            scope.items.append(element)
            try:
                value = run(scope)
            finally:
                scope.items.pop()
            yield element, value

    counted: Run = lambda scope: sum(bool(value) for _, value in each(scope))  # noqa: E731
    match name:
        case "any":
            return Value("bool", lambda scope: any(value for _, value in each(scope)))
        case "all":
            return Value("bool", lambda scope: all(value for _, value in each(scope)))
        case "none":
            return Value("bool", lambda scope: not any(value for _, value in each(scope)))
        case "one":
            return Value("bool", lambda scope: counted(scope) == 1)
        case "count":
            return Value("int", counted)
        case "filter":
            return Value(several.type, lambda scope: [element for element, value in each(scope) if value])
    if test.type.endswith("[]"):
        raise ExpressionError("a list of lists is not supported here", at)
    return Value(f"{test.type}[]", lambda scope: [value for _, value in each(scope)])


def _incidr(address: Value, network: Value, at: int) -> Value:
    ip, cidr = address.run, network.run
    if not network.constant:
        return Value("bool", lambda scope: _within(ip(scope), ip_network(cidr(scope), strict=False)))
    try:
        fixed = ip_network(cidr(NO_SCOPE), strict=False)
    except ValueError as error:
        raise ExpressionError(f"no network: {error}", at) from error
    return Value("bool", lambda scope: _within(ip(scope), fixed))


def _within(text: str, network: IPv4Network | IPv6Network) -> bool:
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address) in network
