"""ADDRESS:PORT, as flags and Corefiles have it."""

import pytest

from kdns.base.listen_address import Address, parse_address_port, parse_ip, parse_port, split_port

ADDRESSES = (
    (":8080", Address("", 8080)),
    ("127.0.0.1:0", Address("127.0.0.1", 0)),
    ("[::1]:8080", Address("::1", 8080)),
    ("[2001:DB8:0::1]:65535", Address("2001:db8::1", 65535)),
)
MISTAKES = (
    ("8080", "invalid ADDRESS:PORT '8080'\nsuch as :8080"),
    ("::1:8080", "invalid ADDRESS:PORT '::1:8080'\nput brackets"),
    ("[::1]", "invalid ADDRESS:PORT '[::1]'"),
    ("[::1]8080", "invalid ADDRESS:PORT"),
    ("[::1:8080", "invalid ADDRESS:PORT"),
    (":65536", "invalid ADDRESS:PORT ':65536'"),
    (":\u0663", "invalid ADDRESS:PORT"),
    (":" + "9" * 5000, "invalid ADDRESS:PORT"),
    ("example:80", "invalid IP address 'example'"),
    ("", "invalid ADDRESS:PORT ''"),
)
SPLIT = (
    ("10.0.0.1", ("10.0.0.1", "")),
    ("10.0.0.1:53", ("10.0.0.1", "53")),
    ("dns.example:dns", ("dns.example", "dns")),
    ("2001:db8::1", ("2001:db8::1", "")),
    ("[2001:db8::1]", ("2001:db8::1", "")),
    ("[2001:db8::1]:53", ("2001:db8::1", "53")),
)


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_addresses(text: str, address: Address) -> None:
    """The host is spelled canonically (RFC 5952), and empty for all addresses."""
    assert parse_address_port(text) == address


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes(text: str, problem: str) -> None:
    """The message has the text, and a hint in its second line."""
    with pytest.raises(ValueError, match="invalid") as caught:
        parse_address_port(text)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(("text", "parts"), SPLIT)
def test_hosts_with_and_without_a_port(text: str, parts: tuple[str, str]) -> None:
    """Colons of an IPv6 address without brackets are its own."""
    assert split_port(text) == parts


def test_ports_have_a_lower_bound() -> None:
    """0 means any port where one is listened on, and nothing where one is asked."""
    assert (parse_port("0"), parse_port("1", 1)) == (0, 1)
    with pytest.raises(ValueError, match="invalid port '0'\na number from 1 to 65535"):
        parse_port("0", 1)


def test_brackets_are_no_part_of_an_address() -> None:
    """Both spellings are one address."""
    assert parse_ip("[::1]") == parse_ip("::1") == "::1"
