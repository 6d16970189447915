"""Flows that the kernel tracks (conntrack), by netlink: UDP flows to a frontend are listed, and deleted by a handle.

CTA_FILTER (Linux 5.8 and later) lets the kernel compare, so that a table of a million flows is walked in some tenths of
a second without a message for each. An older kernel ignores the filter and lists all; the answer is the same, only
slower. Every call waits for the kernel and belongs into a thread.

A handle is a flow's tuple and its id, so a new flow that happens to have the same tuple is not hit.
"""

from collections.abc import Iterable, Iterator
from socket import AF_INET, AF_INET6, IPPROTO_UDP, AddressFamily
from struct import Struct
from typing import Final, NamedTuple

from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_CTNETLINK
from pyroute2.netlink.nfnetlink.nfctsocket import (
    FILTER_FLAG_CTA_IP_DST,
    FILTER_FLAG_CTA_PROTO_DST_PORT,
    FILTER_FLAG_CTA_PROTO_NUM,
    IPCTNL_MSG_CT_DELETE,
    IPCTNL_MSG_CT_GET,
)

from kdns.kernel.netlink import ATTRIBUTE, NESTED, TYPE_MASK, Netlink, attribute, attributes, nested, u32

_GET: Final = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
_DELETE: Final = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
# linux/netfilter/nfnetlink_conntrack.h
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_SOURCE: Final = {AF_INET: 1, AF_INET6: 3}
_DESTINATION: Final = {AF_INET: 2, AF_INET6: 4}
# A tuple as the kernel writes it: IP {source, destination}, PROTO {number, source port, destination port}. Almost every
# flow looks so, and to read it as a whole takes a fifth of the time.
_LAYOUT: Final = {
    AF_INET: Struct("=8x 4x4s 4x4s 4x 4xB3x 4x2s2x 4x2s2x"),
    AF_INET6: Struct("=8x 4x16s 4x16s 4x 4xB3x 4x2s2x 4x2s2x"),
}
_ORIGINAL: Final = {family: ATTRIBUTE.pack(layout.size, _TUPLE_ORIG | NESTED) for family, layout in _LAYOUT.items()}
_REPLY: Final = {family: ATTRIBUTE.pack(layout.size, _TUPLE_REPLY | NESTED) for family, layout in _LAYOUT.items()}
_ENOENT: Final = 2


class Flow(NamedTuple):
    """A UDP flow as the kernel lists it."""

    destination: bytes
    """Where its first packet was sent to."""
    port: int
    replies_from: bytes
    answer: bytes
    """The kernel's message, of which the handle is made if it is to be deleted."""


def list_flows(
    link: Netlink, family: AddressFamily, address: bytes | None = None, port: int | None = None
) -> Iterator[Flow]:
    """The UDP flows whose first packet went to this address and port (None: any).

    ``link`` is a NETLINK_NETFILTER one, ``family`` AF_INET or AF_INET6. Raises KernelError.
    """
    flags = FILTER_FLAG_CTA_PROTO_NUM
    protocol = [attribute(_PROTO_NUM, bytes((IPPROTO_UDP,)))]
    parts = []
    if port is not None:
        flags |= FILTER_FLAG_CTA_PROTO_DST_PORT
        protocol.append(attribute(_PROTO_DST_PORT, port.to_bytes(2, "big")))
    if address is not None and family == AF_INET:
        # For IPv6 the kernel (6.18 too) compares the wrong way round and lists all but the address asked for.
        flags |= FILTER_FLAG_CTA_IP_DST
        parts.append(nested(_TUPLE_IP, attribute(_DESTINATION[family], address)))
    parts.append(nested(_TUPLE_PROTO, *protocol))
    request = _head(family) + nested(_TUPLE_ORIG, *parts) + nested(_FILTER, u32(1, flags))
    for answer in link.dump(_GET, request):
        flow = _flow(answer, family)
        if flow is not None and (address is None or flow.destination == address) and port in (None, flow.port):
            yield flow


def delete_flows(link: Netlink, family: AddressFamily, handles: Iterable[bytes]) -> int:
    """Delete the flows with these handles; how many there still were. Raises KernelError."""
    deleted = 0
    for code in link.ask(_DELETE, 0, [_head(family) + handle for handle in handles]):
        if not code:
            deleted += 1
        elif code != _ENOENT:  # it has ended by itself
            raise link.error(code)
    return deleted


def _flow(answer: bytes, family: AddressFamily) -> Flow | None:
    layout = _LAYOUT[family]
    reply = 4 + layout.size
    if answer[4:8] == _ORIGINAL[family] and answer[reply : reply + 4] == _REPLY[family]:
        _, destination, protocol, _, port = layout.unpack_from(answer, 4)
        if protocol != IPPROTO_UDP:
            return None
        return Flow(destination, int.from_bytes(port, "big"), layout.unpack_from(answer, reply)[0], answer)
    return _unusual(answer, family)


def _unusual(answer: bytes, family: AddressFamily) -> Flow | None:
    """What is not laid out as usual: with a zone for one direction."""
    parts = attributes(answer, 4)
    original = attributes(parts[_TUPLE_ORIG])
    protocol = attributes(original[_TUPLE_PROTO])
    if protocol[_PROTO_NUM][0] != IPPROTO_UDP:
        return None
    return Flow(
        destination=attributes(original[_TUPLE_IP])[_DESTINATION[family]],
        port=int.from_bytes(protocol[_PROTO_DST_PORT], "big"),
        replies_from=attributes(attributes(parts[_TUPLE_REPLY])[_TUPLE_IP])[_SOURCE[family]],
        answer=answer,
    )


def handle_of(flow: Flow) -> bytes:
    """The attributes that name a flow: tuple, id and zone; each as the kernel listed it."""
    answer, start, handle = flow.answer, 4, b""
    while start + 4 <= len(answer):
        length, kind = ATTRIBUTE.unpack_from(answer, start)
        kind &= TYPE_MASK
        end = start + length + (-length & 3)
        if kind in (_TUPLE_ORIG, _ZONE, _ID):
            handle += answer[start:end]
        if kind == _ID or length < 4:  # the zone comes before it
            break
        start = end
    return handle


def _head(family: AddressFamily) -> bytes:
    return bytes((family, 0, 0, 0))  # struct nfgenmsg
