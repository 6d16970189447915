"""Which of our addresses was asked, and how to reply from it (ip(7) IP_PKTINFO; RFC 3542 section 6).

A socket bound to every address must ask the kernel for this: a reply that leaves from another address than the one
that was asked is dropped by the client.

::

    control message    header: length (size_t), level (int), type (int); then one of
    in_pktinfo         interface index, address to reply from, destination asked: 4 octets each
    in6_pktinfo        destination asked: 16 octets; interface index: 4

The interface index is set to zero before replying, so that the reply is routed as any packet and not forced back
out of the interface the query came in by. Only a link-local address means nothing without it.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final

from kdns.dns.api.message_handler import Family

Control = tuple[int, int, bytes]
"""Level, type and data of one control message, as `socket.socket.sendmsg` takes them."""

IP_PKTINFO: Final = 8
"""linux/in.h; the socket module has no name for it before Python 3.13."""
HEADER: Final = struct.calcsize("@Nii")
KINDS: Final[dict[Family, tuple[int, int]]] = {
    1: (socket.IPPROTO_IP, IP_PKTINFO),
    2: (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
}
LENGTHS: Final[dict[Family, int]] = {1: 12, 2: 20}
"""Octets of in_pktinfo and in6_pktinfo."""
INDEX_AT: Final[dict[Family, int]] = {1: 0, 2: 16}
"""Where the interface index stands in them."""
LINK_LOCAL: Final = b"\xfe\x80"


def enable(sock: socket.socket, family: Family) -> None:
    """Have the kernel tell for each datagram which address it was sent to."""
    if family == 1:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def find(controls: Sequence[Control], family: Family) -> bytes | None:
    """The packet info among received control messages; None if there is none, or not all of it."""
    level, kind = KINDS[family]
    for its_level, its_kind, data in controls:
        if its_level == level and its_kind == kind and len(data) >= LENGTHS[family]:
            return data[: LENGTHS[family]]
    return None


def reply_controls(info: bytes | None, family: Family) -> list[Control]:
    """What to send a reply with, so that it leaves from the address that was asked; empty if that is not known."""
    if info is None:
        return []
    if family == 1:
        return [(*KINDS[1], b"\0\0\0\0" + info[4:])]
    if info.startswith(LINK_LOCAL):
        return [(*KINDS[2], info)]
    return [(*KINDS[2], info[:16] + b"\0\0\0\0")]


def local_text(info: bytes | None, family: Family) -> str:
    """The address that was asked, as text; empty if it is not known."""
    if info is None:
        return ""
    if family == 1:
        return socket.inet_ntop(socket.AF_INET, info[8:12])
    return socket.inet_ntop(socket.AF_INET6, info[:16])
