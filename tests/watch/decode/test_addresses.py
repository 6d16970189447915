"""Addresses packed by the C library: what comes out is what Python's `ipaddress` makes of them, or nothing."""

from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_ntop

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns.base.addresses import MAPPED
from kdns.watch.decode.addresses import canonical, quick_ipv4, quick_ipv6

ODD = (
    "", ".", "...", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "+1.2.3.4", " 1.2.3.4", "1.2.3.4\n", "1_0.2.3.4",
    "\u0661.2.3.4", ":", "::", ":::", "::1", "1::", "1:::2", "1::2::3", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7",
    "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "12345::", "g::",
    "-1::", "0 0::1", "::ffff:10.0.0.1", "2001:DB8::1", "2001:db8:0:0:1:0:0:1", "2001:0db8::1", "1::0:1", "::1 ", "a:",
    "1:2:3:4:5:6:1.2.3.4",
)  # fmt: skip
GROUPS = st.lists(
    st.sampled_from(["0", "1", "00", "db8", "FF", "ffff", "", "1.2.3.4", "12345"]), min_size=1, max_size=9
)


def by_python(family: int, text: str) -> bytes | None:
    """What Python's own reader says; None for what it refuses."""
    try:
        return (IPv4Address if family == AF_INET else IPv6Address)(text).packed
    except ValueError:
        return None


@pytest.mark.parametrize("text", ODD)
def test_odd_addresses(text: str) -> None:
    """Addresses that are nearly right are left for a second look, or packed as ipaddress does."""
    for _ in range(2):  # the second time it is remembered
        assert quick_ipv4(text) in {None, by_python(AF_INET, text)}
        assert quick_ipv6(text) in {None, by_python(AF_INET6, text)}


@given(GROUPS.map(":".join) | st.text("0123456789abcdefF:.% ", max_size=40) | st.text(max_size=40))
def test_any_text(text: str) -> None:
    """Any text at all is left for a second look, or packed as ipaddress does."""
    for _ in range(2):  # the second time it is remembered
        assert quick_ipv4(text) in {None, by_python(AF_INET, text)}
        assert quick_ipv6(text) in {None, by_python(AF_INET6, text)}


@given(
    st.sampled_from(["1::", "fd00:1:2:3:4:5:6:", "::", "1:2:", "10.1.2."]), st.text("0123456789aAfF+- _:", max_size=6)
)
def test_what_follows_a_remembered_beginning(head: str, last: str) -> None:
    """A beginning that is remembered makes nothing of an odd end."""
    for text in (f"{head}1", f"{head}{last}", f"{head}{last}"):
        assert quick_ipv4(text) in {None, by_python(AF_INET, text)}
        assert quick_ipv6(text) in {None, by_python(AF_INET6, text)}
        packed = by_python(AF_INET6, text)
        if packed is not None:
            expected = any(packed[:10]) and inet_ntop(AF_INET6, packed) == text
            assert [canonical(packed, text), canonical(packed, text)] == [expected] * 2


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
def test_the_usual_spelling_is_quick(four: bytes, sixteen: bytes) -> None:
    """What inet_ntop writes needs no second look, unless it is IPv4-mapped."""
    assert quick_ipv4(inet_ntop(AF_INET, four)) == four
    text = inet_ntop(AF_INET6, sixteen)
    assert quick_ipv6(text) == (None if sixteen.startswith(MAPPED) else sixteen)


@given(st.lists(st.sampled_from([0, 0, 1, 0xDB8, 0xFFFF]), min_size=8, max_size=8))
def test_canonical_text(groups: list[int]) -> None:
    """The text of RFC 5952 is canonical, any other spelling of the address is not; below ::/80 none is."""
    octets = b"".join(group.to_bytes(2, "big") for group in groups)
    text = inet_ntop(AF_INET6, octets)
    assert canonical(octets, text) == any(octets[:10])
    for spelling in (text.upper(), IPv6Address(octets).exploded, text.replace("::", ":0:"), "0" + text):
        assert canonical(octets, spelling) == (spelling == text and any(octets[:10]))
