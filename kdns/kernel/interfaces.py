"""The addresses of this machine's interfaces, by netlink; listing them takes no privileges."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final, NamedTuple

from pyroute2.netlink import NETLINK_ROUTE
from pyroute2.netlink.rtnl import RTM_GETADDR

from kdns.base.errors import KernelError
from kdns.kernel.netlink import Netlink, attributes

ADDRESS: Final = Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index of the interface."""
IFA_ADDRESS, IFA_LOCAL = 1, 2


class ListedAddress(NamedTuple):
    """An address as the kernel lists it."""

    interface: int
    """Its index."""
    address: bytes
    """Packed: 4 or 16 octets."""
    scope: int
    """0 for the whole world, 253 for the link, 254 for the machine (rtnetlink(7))."""


class InterfaceAddress(NamedTuple):
    """One address of one interface."""

    interface: str
    address: bytes
    """Packed: 4 or 16 octets."""


def list_addresses(link: Netlink, family: int = socket.AF_UNSPEC) -> Iterator[ListedAddress]:
    """Every address of a family (AF_UNSPEC: of both) in the network namespace of ``link``, a NETLINK_ROUTE one.

    Of a point-to-point link it is the own end. Raises KernelError.
    """
    for answer in link.dump(RTM_GETADDR, bytes((family,)) + bytes(7)):
        kind, _, _, scope, index = ADDRESS.unpack_from(answer)
        parts = attributes(answer, ADDRESS.size)
        address = parts.get(IFA_LOCAL) or parts.get(IFA_ADDRESS)  # IPv6 knows IFA_ADDRESS only
        if address is not None and (family == kind or (family == socket.AF_UNSPEC and len(address) in (4, 16))):
            yield ListedAddress(index, address, scope)


def local_addresses(family: int) -> frozenset[bytes]:
    """The addresses of a family that this machine has, packed. Raises KernelError and OSError."""
    with Netlink(NETLINK_ROUTE, "addresses") as link:
        return frozenset(listed.address for listed in list_addresses(link, family))


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """Every address of every interface, both families, loopback included. Raises OSError."""
    try:
        with Netlink(NETLINK_ROUTE, "addresses") as link:
            listed = list(list_addresses(link))
    except KernelError as error:
        raise OSError(error.code, str(error)) from error
    names = dict(socket.if_nameindex())
    return tuple(InterfaceAddress(names[index], address) for index, address, _ in listed if index in names)


def own_addresses(listen: Sequence[str], addresses: Iterable[InterfaceAddress] | None = None) -> tuple[bytes, ...]:
    """The addresses under which clients can reach a server, packed, in order and each once.

    ``listen`` are the addresses it is bound to, the empty text being every address: those of all interfaces then
    (``addresses``, or this machine's). Loopback and link-local addresses are left out, as they mean another machine
    to each client.
    """
    reachable: dict[bytes, None] = {}
    for text in listen:
        bound = ip_address(text.partition("%")[0]) if text else None
        if bound is not None and not bound.is_unspecified:
            candidates: Iterable[IPv4Address | IPv6Address] = (bound,)
        else:
            if addresses is None:
                addresses = interface_addresses()
            known = (ip_address(interface.address) for interface in addresses)
            candidates = (address for address in known if bound is None or address.version == bound.version)
        for address in candidates:
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                reachable[address.packed] = None
    return tuple(reachable)
