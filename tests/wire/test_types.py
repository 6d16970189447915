"""Types, classes and response codes by name."""

import dns.rcode
import dns.rdatatype
import pytest

from kdns.metrics.dns import RCODE_LABELS, TYPE_LABELS
from kdns.wire.rcodes import RCODE_TEXT, RCODES, rcode_text
from kdns.wire.types import TYPE_TEXT, is_data, type_number, type_text


@pytest.mark.parametrize(("rtype", "text"), [(1, "A"), (28, "AAAA"), (33, "SRV"), (65, "HTTPS"), (1234, "TYPE1234")])
def test_types_have_names(rtype: int, text: str) -> None:
    """A type is its mnemonic, or TYPE with its number (RFC 3597 section 5), both ways."""
    assert type_text(rtype) == text
    assert type_number(text) == rtype


@pytest.mark.parametrize("text", ["", "a", "TYPE", "TYPE65536", "TYPE-1", "NOPE"])
def test_other_texts_are_no_types(text: str) -> None:
    """What is neither a mnemonic in capitals nor TYPE with a number of 16 bits is refused."""
    assert type_number(text) is None


def test_the_types_are_those_of_dnspython() -> None:
    """Every type that dnspython knows is in the table, under the same name."""
    theirs = {int(rtype): dns.rdatatype.to_text(rtype) for rtype in dns.rdatatype.RdataType if rtype}
    assert {
        number: (text, TYPE_TEXT.get(number)) for number, text in theirs.items() if TYPE_TEXT.get(number) != text
    } == {}


def test_what_a_zone_can_have() -> None:
    """dnspython, too, takes the types from 128 to 255 and OPT for no records (RFC 6895 section 3.1)."""
    assert {rtype for rtype in TYPE_TEXT if not is_data(rtype)} == {
        rtype for rtype in TYPE_TEXT if dns.rdatatype.is_metatype(dns.rdatatype.RdataType.make(rtype)) or rtype == 128
    }


def test_rcodes_have_names() -> None:
    """A code is its mnemonic, or RCODE with its number; all that dnspython knows are in the table."""
    assert (rcode_text(3), rcode_text(12), rcode_text(4095)) == ("NXDOMAIN", "RCODE12", "RCODE4095")
    theirs = {int(rcode): dns.rcode.to_text(rcode) for rcode in dns.rcode.Rcode}
    assert theirs == RCODE_TEXT
    assert all(RCODES[text] == number for number, text in RCODE_TEXT.items())


def test_labels_of_metrics_are_these_names() -> None:
    """Metrics are below `wire` and repeat the names that CoreDNS counts by; they are the same."""
    assert {number: type_text(number) for number in TYPE_LABELS} == TYPE_LABELS
    assert tuple(rcode_text(number) for number in (*range(16), *range(16, 24))) == RCODE_LABELS
