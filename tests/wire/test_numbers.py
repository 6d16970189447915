"""Numbers for people."""

import pytest
from dnslib import QTYPE

from kdns.wire.numbers import RTYPE_TEXT, rtype_text


@pytest.mark.parametrize(("rtype", "text"), [(1, "A"), (28, "AAAA"), (33, "SRV"), (65, "HTTPS"), (1234, "TYPE1234")])
def test_types_have_names(rtype: int, text: str) -> None:
    """A type is its mnemonic, or TYPE with its number (RFC 3597 section 5)."""
    assert rtype_text(rtype) == text


def test_the_names_are_those_of_others() -> None:
    """Every mnemonic is the one dnslib has for that number (ANY and a few it does not know aside)."""
    theirs = {**QTYPE.forward}
    assert {number: text for number, text in RTYPE_TEXT.items() if theirs.get(number, text) != text} == {}
