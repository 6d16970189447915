"""The addresses of this machine, by getifaddrs(3) through ctypes."""

import ctypes
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, NamedTuple

_ADDRESS_AT: Final = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""Where the address stands in sockaddr_in and sockaddr_in6, and how many octets it has."""


class InterfaceAddress(NamedTuple):
    """One address of one interface."""

    interface: str
    address: bytes
    """Packed: 4 or 16 octets."""


class _Sockaddr(ctypes.Structure):
    _fields_ = (("family", ctypes.c_ushort),)


class _Ifaddrs(ctypes.Structure):
    """struct ifaddrs; what follows the address is not read."""

    next: Any
    name: bytes
    addr: Any


_Ifaddrs._fields_ = (
    ("next", ctypes.POINTER(_Ifaddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("addr", ctypes.POINTER(_Sockaddr)),
)


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """Every address of every interface, both families, loopback included. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_Ifaddrs)()
    if libc.getifaddrs(ctypes.byref(first)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        return tuple(_walk(first))
    finally:
        libc.freeifaddrs(first)


def _walk(entry: Any) -> Iterator[InterfaceAddress]:
    while entry:
        one = entry.contents
        # an interface without an address has none here; other families are its hardware address and the like
        if one.addr and (place := _ADDRESS_AT.get(one.addr.contents.family)):
            begin = ctypes.addressof(one.addr.contents) + place[0]
            yield InterfaceAddress(os.fsdecode(one.name), ctypes.string_at(begin, place[1]))
        entry = one.next


def own_addresses(listen: Sequence[str], addresses: Iterable[InterfaceAddress] | None = None) -> tuple[bytes, ...]:
    """The addresses under which clients can reach a server, packed, in order and each once.

    ``listen`` are the addresses it is bound to, the empty text being every address: those of all interfaces then
    (``addresses``, or this machine's). Loopback and link-local addresses are left out, as they mean another machine
    to each client.
    """
    found: dict[bytes, None] = {}
    for text in listen:
        bound = ip_address(text.partition("%")[0]) if text else None
        if bound is not None and not bound.is_unspecified:
            candidates: Iterable[IPv4Address | IPv6Address] = (bound,)
        else:
            if addresses is None:
                addresses = interface_addresses()
            every = (ip_address(one.address) for one in addresses)
            candidates = (one for one in every if bound is None or one.version == bound.version)
        for one in candidates:
            if not (one.is_loopback or one.is_link_local or one.is_unspecified):
                found[one.packed] = None
    return tuple(found)
