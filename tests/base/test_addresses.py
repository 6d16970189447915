"""How the text of an address or a range is read."""

import pytest

from kdns.base.addresses import parse_address, parse_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "0a000001"),
        ("010.0.0.1", "0a000001"),
        ("10.244.000.009", "0af40009"),
        ("00000000010.0.0.1", "0a000001"),
        ("0.0.0.0", "00000000"),
        ("000.000.000.000", "00000000"),
        ("08.09.0.255", "080900ff"),
        (" 10.0.0.1\n", "0a000001"),
        ("::ffff:10.0.0.1", "0a000001"),
        ("::FFFF:010.0.0.01", "0a000001"),
        ("::ffff:0a00:0001", "0a000001"),
        ("0:0:0:0:0:ffff:a00:1", "0a000001"),
        ("fd00::1", "fd00" + "0" * 27 + "1"),
        ("fd00::00001", "fd00" + "0" * 27 + "1"),
        ("0fd0::", "0fd0" + "0" * 28),
        ("::", "0" * 32),
        ("64:ff9b::192.000.2.1", "0064ff9b" + "0" * 16 + "c0000201"),
        ("::10.0.0.1", "0" * 24 + "0a000001"),
    ],
)
def test_addresses_are_read_as_kubernetes_reads_them(text: str, expected: str) -> None:
    """Expected values are those of ParseIPSloppy (Go's net.ParseIP before 1.17), 4 octets where To4 gives them."""
    assert parse_address(text).hex() == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "10.0.0", "10.0.0.0.1", "10..0.1", "256.0.0.1", "10.0.0.1/8", "0x0a.0.0.1", "+1.0.0.1", "-1.0.0.1",
        "1_0.0.0.1", "\u0661.0.0.1", "fe80::1%eth0", "fd00::12345", ":::", "[fd00::1]", "10.0.0.1:80", "node1",
        "a.b.c.d", "10.0.0.1\0", "1" * 100_000, "0" * 100_000 + ".0.0.1", "10. 0.0.1", "::ffff:10.0.0.256",
    ],
)  # fmt: skip
def test_what_is_not_an_address_is_an_error(text: str) -> None:
    """ParseIPSloppy gives nil for these (a length of thousands of characters is our own bound)."""
    with pytest.raises(ValueError, match="is not an address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("010.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        (" 10.0.0.0/08 ", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("198.51.100.77/32", "198.51.100.77/32"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
        ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/90", "::ffc0:0:0/90"),
        ("fd00:10:96::1/112", "fd00:10:96::/112"),
        ("::/0", "::/0"),
    ],
)
def test_ranges_are_read_as_kubernetes_reads_them(text: str, expected: str) -> None:
    """Bits beyond the length are cleared; a range of IPv4-mapped addresses is an IPv4 range (ParseCIDRSloppy)."""
    assert str(parse_network(text)) == expected


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/255.0.0.0", "10.0.0.0/-1", "/8", "10.0/8",
             "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0/\u0668", "10.0.0.0/" + "0" * 100_000 + "8"],
)  # fmt: skip
def test_what_is_not_a_range_is_an_error(text: str) -> None:
    """ParseCIDRSloppy returns an error for these (but for the length of the text, which is our own bound)."""
    with pytest.raises(ValueError, match=r"is not an address|has no length|has a length above"):
        parse_network(text)
