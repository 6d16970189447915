"""Expressions about a request: what they say, and what is told of those that cannot be understood."""

import pytest

from kdns.dns.expression import ExpressionError, compile_expression
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
    ("name() matches '('", 7, "no pattern: missing closing )"),
    ("name() matches name()", 7, "'matches' does not fit a string and a string"),
    ("(true", 5, "expected ')', found 'the end'"),
    ("true)", 4, "')' is not supported here"),
    ("true true", 5, "'true' is not supported here"),
    ("id() + 1 == 8", 5, "'+' is not supported here"),
    ("true ? true : false", 5, "'?' is not supported here"),
    ("'open", 0, '"\'" is not supported here'),
    ("(" * 60 + "true" + ")" * 60, 50, "too many levels"),
    ("true" + " " * 10000, 0, "10004 characters, at most 10000"),
)


@pytest.mark.parametrize(("text", "at", "problem"), WRONG, ids=lambda value: str(value)[:30])
def test_what_is_not_understood(text: str, at: int, problem: str) -> None:
    """What is wrong or not supported is an error at its character."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert (caught.value.problem, caught.value.at) == (problem, at)
