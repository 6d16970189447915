"""The addresses of this machine, and which of them a server has."""

import socket
from ipaddress import ip_address
from typing import Final

import pytest

from kdns.kernel.interfaces import InterfaceAddress, interface_addresses, own_addresses

MACHINE: Final = tuple(
    InterfaceAddress(interface, ip_address(text).packed)
    for interface, text in (
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("eth0", "10.1.2.3"),
        ("eth0", "2001:db8::3"),
        ("eth0", "fe80::3"),
        ("eth1", "169.254.20.10"),
        ("eth1", "10.9.9.9"),
        ("eth1", "10.1.2.3"),
    )
)

OWN: Final[tuple[tuple[tuple[str, ...], list[str]], ...]] = (
    (("",), ["10.1.2.3", "2001:db8::3", "10.9.9.9"]),
    (("0.0.0.0",), ["10.1.2.3", "10.9.9.9"]),
    (("::",), ["2001:db8::3"]),
    (("::", "0.0.0.0"), ["2001:db8::3", "10.1.2.3", "10.9.9.9"]),
    (("10.1.2.3",), ["10.1.2.3"]),
    (("10.9.9.9", "2001:db8::3", "10.9.9.9"), ["10.9.9.9", "2001:db8::3"]),
    (("127.0.0.1", "::1", "fe80::3%eth0", "127.9.9.9"), []),
    ((), []),
)


@pytest.mark.parametrize(("listen", "expected"), OWN)
def test_own_addresses(listen: tuple[str, ...], expected: list[str]) -> None:
    """Those it is bound to, all for every address, but never loopback or link-local; each once."""
    assert own_addresses(listen, MACHINE) == tuple(ip_address(text).packed for text in expected)


def test_this_machine() -> None:
    """The loopback is among the interfaces, and every address found can be bound."""
    found = interface_addresses()
    assert b"\x7f\0\0\1" in [one.address for one in found if one.interface == "lo"]
    for one in found:
        address = ip_address(one.address)
        if address.is_link_local:
            continue  # means nothing without its interface
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((str(address), 0))


def test_own_addresses_of_this_machine() -> None:
    """Without a list of addresses this machine's are taken, and none is a loopback one."""
    own = own_addresses(("",))
    assert set(own) <= {one.address for one in interface_addresses()}
    assert b"\x7f\0\0\1" not in own
