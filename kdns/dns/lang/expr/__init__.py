"""Expressions about a request, a part of the language that CoreDNS takes from expr-lang.

::

    incidr(client_ip(), '10.0.0.0/8') && !(name() in ['a.test.', 'b.test.'] or type() == 'ANY')
    any(['10.0.0.0/8', '192.168.0.0/16'], incidr(replace(group('ip'), '-', '.'), #))

Types are checked when an expression is compiled (`parser`), so that a run fails only where a value is not what it
should be: an address, a number, a place in a list, or a text that has grown too long (`values`, `functions`).
"""

from kdns.dns.lang.expr.parser import Compiled, MetadataKey, compile_expression, compile_value, reserved, test_of
from kdns.dns.lang.expr.values import ExpressionError, Scope

__all__ = [
    "Compiled",
    "ExpressionError",
    "MetadataKey",
    "Scope",
    "compile_expression",
    "compile_value",
    "reserved",
    "test_of",
]
