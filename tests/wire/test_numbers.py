"""Numbers for people."""

import pytest
from dnslib import QTYPE, RCODE

from kdns.wire.numbers import RCODE_TEXT, RTYPE_TEXT, rcode_text, rtype_text


@pytest.mark.parametrize(("rtype", "text"), [(1, "A"), (28, "AAAA"), (33, "SRV"), (65, "HTTPS"), (1234, "TYPE1234")])
def test_types_have_names(rtype: int, text: str) -> None:
    """A type is its mnemonic, or TYPE with its number (RFC 3597 section 5)."""
    assert rtype_text(rtype) == text


@pytest.mark.parametrize(("rcode", "text"), [(0, "NOERROR"), (3, "NXDOMAIN"), (16, "BADVERS"), (23, "RCODE23")])
def test_rcodes_have_names(rcode: int, text: str) -> None:
    """An rcode is its mnemonic, or RCODE with its number."""
    assert rcode_text(rcode) == text


def test_the_names_are_those_of_others() -> None:
    """Every mnemonic is the one dnslib has for that number (ANY and a few it does not know aside)."""
    theirs = {**QTYPE.forward}
    assert {number: text for number, text in RTYPE_TEXT.items() if theirs.get(number, text) != text} == {}
    assert {number for number in RCODE_TEXT if number in RCODE.forward and number < 16} == set(range(6))
