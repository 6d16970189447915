"""Expressions about a request: what they say, and what is told of those that cannot be understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.dns.lang.expr import ExpressionError, Scope, compile_expression, compile_value
from kdns.wire.query import Edns
from tests.dns.plugins.asking import client, request

HOLDS = (
    ("true", True),
    ("false || true && true", True),
    ("(false or true) and not false", True),
    ("!true || !!true", True),
    ("true && false || false", False),
    ("incidr(client_ip(), '10.0.0.0/8')", True),
    ("incidr(client_ip(), '10.0.0.1/16')", False),
    ("incidr(client_ip(), 'fd00::/8')", False),
    ("incidr(server_ip(), '10.96.0.0/12') and server_port() == '53'", True),
    ("incidr('::ffff:192.0.2.1', '192.0.2.0/24')", True),
    ("incidr(name(), '10.0.0.0/8')", False),
    ("not incidr(name(), '10.0.0.0/8')", False),
    ("incidr(client_ip(), metadata('net'))", True),
    ("name() == 'web.test.' && type() == 'AAAA' && class() == 'IN' && proto() == \"udp\"", True),
    ("name() != 'web.test.'", False),
    ("name() in ['a.test.', 'web.test.']", True),
    ("name() not in ['a.test.', 'web.test.']", False),
    ("not name() in []", True),
    ("name() endsWith '.test.' && name() startsWith 'web' && name() contains 'b.t'", True),
    ("name() matches '^w[a-z]+\\\\.test\\\\.$'", True),
    ("name() matches 'x'", False),
    ("metadata('long') matches '^(a*)*b$'", False),
    ("size() == 37 and id() >= 7 and id() <= 7 and id() < 8 and id() > 6 and id() in [6, 7]", True),
    ("port() == '4053' and opcode() == 0", True),
    ("do() and bufsize() == 1400", True),
    ("do() == false", False),
    ("metadata('kubernetes/client-namespace') == 'default'", True),
    ("metadata('none') == ''", True),
    ("id() + 1 == 8 && id() - 8 == -1 && id() * 2 % 4 == 2 && -7 % 4 == -3", True),
    ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", True),
    ("'a' + name() == 'aweb.test.'", True),
    ("(id() == 7 ? 'x' : 'y') == 'x' && (do() ? 1 : 2) == 1", True),
    ("split(name(), '.')[0] == 'web' && split(name(), '.')[-2] == 'test' && len(split('ab', '')) == 2", True),
    ("split(name(), '.')[7] == 'web'", False),
    ("len(name()) == 9 && len([1, 2]) == 2", True),
    ("upper(lower('aB')) == 'AB' && trim(' a ') == 'a' && trimPrefix('ab', 'a') + trimSuffix('ab', 'b') == 'ba'", True),
    ("hasPrefix(name(), 'web') && hasSuffix(name(), '.test.') && indexOf(name(), 't') == 4", True),
    ("replace('10-0-0-1', '-', '.') == '10.0.0.1' && join(['a', 'b'], '-') == 'a-b'", True),
    ("int('42') == 42 && string(42) == '42' && string(do()) == 'true' && string('a') == 'a'", True),
    ("int('4x') == 42", False),
    ("1 % (id() - 7) == 0", False),
    ("any(['172.16.0.0/12', '10.0.0.0/8'], incidr(client_ip(), #))", True),
    ("all(split(name(), '.'), len(#) < 5) && none([1, 2], # > 2) && one([1, 2], # > 1)", True),
    ("filter([1, 2, 3], # > 1) == [2, 3] && map(['a'], # + 'b') == ['ab'] && count([1, 2], # in [2, 3]) == 1", True),
    ("any([1, 2], any([3, 4], # == 3) && # == 2)", True),
    ("1" + "+1" * 249 + " == 250", True),
    ("9223372036854775807 + 1 > 0", False),
    ("len(replace(metadata('long'), 'a', 'aaa')) > 0", False),
    ("all(split(metadata('long'), ''), all(split(metadata('long'), ''), # == 'a'))", False),
    ("'it\\'s' == \"it's\" and 'a' < 'b'", True),
)


@pytest.mark.parametrize(("text", "holds"), HOLDS)
def test_what_holds(text: str, holds: bool) -> None:
    """For one request, each expression is true or false as it reads; an address that is none makes it false."""
    asked = request("web.test. AAAA", Edns(1400, 0, True), client())
    asked.metadata.update({"kubernetes/client-namespace": "default", "net": "10.1.0.0/16", "long": 5000 * "a"})
    expected = False if "incidr(name()" in text else holds
    assert compile_expression(text)(asked) is expected


WRONG = (
    ("", 0, "expected a value, found 'the end'"),
    ("true &&", 7, "expected a value, found 'the end'"),
    ("name()", 0, "the expression is a string, not true or false"),
    ("id() && true", 5, "'&&' is for true and false, not for a int"),
    ("!name()", 0, "'!' is for true and false, not for a string"),
    ("name() == 1", 7, "'==' does not fit a string and a int"),
    ("id() in ['a']", 5, "'in' does not fit a int and a string[]"),
    ("id() in [1, 'a']", 8, "a list has values of one type"),
    ("nme() == 'a'", 0, "there is no 'nme'"),
    ("name == 'a'", 5, "expected '(', found '=='"),
    ("name('x') == 'a'", 0, "name takes no strings"),
    ("incidr(client_ip())", 0, "incidr takes 2 strings"),
    (
        "incidr(client_ip(), '10.0.0.0/33')",
        0,
        "no network: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network",
    ),
    ("name() matches '('", 7, "invalid regular expression: missing ): ("),
    ("name() matches name()", 7, "'matches' does not fit a string and a string"),
    ("(true", 5, "expected ')', found 'the end'"),
    ("true)", 4, "')' is not supported here"),
    ("true true", 5, "'true' is not supported here"),
    ("id() / 2 == 8", 5, "'/' is not supported here"),
    ("id() ?? 8", 5, "'?' is for true and false, not for a int"),
    ("name() ? true : false", 7, "'?' is for true and false, not for a string"),
    ("true ? 1 : 'a'", 5, "'?' chooses from a int and a string"),
    ("true ? true", 11, "expected ':', found 'the end'"),
    ("id() + 'a' == 8", 5, "'+' does not fit a int and a string"),
    ("name() - 'a' == ''", 7, "'-' does not fit a string and a string"),
    ("name()[0] == 'a'", 6, "a string has no place that is a int"),
    ("# == 'a'", 0, "expected a value, found '#'"),
    ("any(name(), true)", 0, "any takes a list, not a string"),
    ("any(['a'], #)", 0, "any takes a list and true or false for each of its elements"),
    ("len(1) == 1", 0, "len takes 1 string or list"),
    ("replace(name(), 'a') == ''", 0, "replace takes 3 strings"),
    ("join(['a']) == ''", 0, "join takes a string[] and a string"),
    ("len([['a']]) == 1", 4, "a list of lists is not supported here"),
    ("len(map(['a'], split(#, '.'))) == 1", 4, "a list of lists is not supported here"),
    ("group('a') == ''", 0, "there is no 'group'"),
    ("'open", 0, '"\'" is not supported here'),
    ("(" * 60 + "true" + ")" * 60, 50, "too many levels"),
    ("1" + "+1" * 251 + " == 1", 501, "over 250 operators"),
    ("true" + "||true" * 251, 1504, "over 250 operators"),
    ("true" + " " * 10000, 0, "10004 characters, at most 10000"),
)


@pytest.mark.parametrize(("text", "at", "problem"), WRONG, ids=lambda value: str(value)[:30])
def test_what_is_not_understood(text: str, at: int, problem: str) -> None:
    """What is wrong or not supported is an error at its character."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert (caught.value.problem, caught.value.at) == (problem, at)


WORDS = st.lists(
    st.sampled_from(
        ["name()", "id()", "group", "(", ")", "[", "]", "#", ",", "any", "map", "filter", "len", "split", "int",
         "string", "incidr", "matches", "in", "not", "!", "&&", "or", "==", "<", "+", "-", "*", "%", "?", ":", "'a'",
         "'1.2.3.4'",
         "7", "0", "true", "x", "'.'", "metadata('a')", "join", "replace", "'", '"', "\\"]
    ),
    max_size=14,
)  # fmt: skip


@given(st.text(max_size=30) | WORDS.map(" ".join))
def test_any_text(text: str) -> None:
    """Only ExpressionError while it is read, with a place in the text, and ValueError while it runs."""
    scope = Scope(request("web.test."), {"0": "web"})
    scope.variables["x"] = ["a", "b"]
    at = 0
    try:
        compile_value(text, {"x": "string[]"}, groups=True).run(scope)
    except ExpressionError as mistake:
        at = mistake.at
    except ValueError:
        pass
    assert 0 <= at <= len(text)
