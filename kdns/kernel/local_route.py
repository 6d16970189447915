"""Addresses made local by a route of type local alone. Every call waits for the kernel and belongs into a thread.

Packets to such an address are delivered on this machine, and sockets bind to it (IPv6 ones with IPV6_FREEBIND), but it
is on no interface: no agent of the node mistakes it for one of the node's addresses. Routes of ours carry a protocol
number of their own, by which they are found again (rtnetlink(7)).
"""

import socket
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from pyroute2.netlink import NETLINK_ROUTE, NLM_F_CREATE, NLM_F_REPLACE
from pyroute2.netlink.rtnl import RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE

from kdns.kernel.netlink import U32, Netlink, attribute, attributes, u32

PROTOCOL: Final = 153
"""Who made a route (rtm_protocol): ours. 0 to 4 are the kernel's, the rest any program's (/etc/iproute2/rt_protos)."""

_ROUTE: Final = Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source in bits, tos, table, protocol, scope, type, flags."""
_TABLE_LOCAL: Final = 255
_SCOPE_HOST: Final = 254
_TYPE_LOCAL: Final = 2
_DST, _OIF, _PREFSRC = 1, 4, 7
_ESRCH: Final = 3


class LocalRoute(NamedTuple):
    """One address, packed, and the address that this machine's own packets to it come from; empty: any."""

    address: bytes
    source: bytes = b""


def local_routes() -> frozenset[bytes]:
    """The addresses that routes of ours make local, of both families. Raises KernelError and OSError."""
    with Netlink(NETLINK_ROUTE, "routes") as link:
        return frozenset(_listed(link, socket.AF_INET)) | frozenset(_listed(link, socket.AF_INET6))


def add_local_routes(routes: Iterable[LocalRoute]) -> None:
    """Make addresses local; one that is so by a route of ours gets the new source. Raises KernelError and OSError."""
    loopback = socket.if_nametoindex("lo")
    with Netlink(NETLINK_ROUTE, "routes") as link:
        for route in routes:
            body = _head(route.address) + attribute(_DST, route.address) + u32(_OIF, loopback)
            if route.source:
                body += attribute(_PREFSRC, route.source)
            link.command(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def remove_local_routes(addresses: Iterable[bytes]) -> None:
    """Remove routes of ours; those that are not there are no error. Raises KernelError and OSError."""
    with Netlink(NETLINK_ROUTE, "routes") as link:
        for address in addresses:
            link.command(RTM_DELROUTE, 0, _head(address) + attribute(_DST, address), accepted=(_ESRCH,))


def source_towards(address: bytes) -> bytes:
    """The address of this machine that packets to another one leave from, packed; empty: it cannot be reached."""
    four = len(address) == 4
    family = socket.AF_INET if four else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((socket.inet_ntop(family, address), 53))
        except OSError:
            return b""
        return socket.inet_pton(family, asking.getsockname()[0])


def _head(address: bytes) -> bytes:
    four = len(address) == 4
    family = socket.AF_INET if four else socket.AF_INET6
    return _ROUTE.pack(
        family, 8 * len(address), 0, 0, _TABLE_LOCAL, PROTOCOL, _SCOPE_HOST if four else 0, _TYPE_LOCAL, 0
    )


def _listed(link: Netlink, family: int) -> Iterator[bytes]:
    for answer in link.dump(RTM_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
        _, _, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(answer)
        parts = attributes(answer, _ROUTE.size)
        if 15 in parts:  # RTA_TABLE
            table = U32.unpack(parts[15])[0]
        if (table, protocol, kind) == (_TABLE_LOCAL, PROTOCOL, _TYPE_LOCAL) and _DST in parts:
            yield parts[_DST]
