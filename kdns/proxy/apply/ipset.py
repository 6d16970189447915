"""Sets of the kernel (ipset), through netlink. Every call waits; for a thread.

linux/netfilter/ipset/ip_set.h; numbers in network order carry a flag that says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from socket import AF_INET, AF_INET6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP
from struct import Struct
from typing import Final

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_IPSET
from pyroute2.netlink.nfnetlink.ipset import (
    IPSET_CMD_ADD,
    IPSET_CMD_CREATE,
    IPSET_CMD_DEL,
    IPSET_CMD_DESTROY,
    IPSET_CMD_LIST,
    IPSET_CMD_TYPE,
    IPSET_ERR_FIND_TYPE,
    IPSET_FLAG_LIST_HEADER,
    IPSET_FLAG_WITH_SKBINFO,
)

from kdns.base.errors import KernelError
from kdns.kernel.netlink import Netlink, attribute, attributes, elements, nested, text
from kdns.proxy.model import Family, Protocol
from kdns.proxy.render.ipvs.virtual_servers import Member, SetType, set_name

MOST: Final = 1 << 20
"""Members a set may have."""

PROTOCOLS: Final[Mapping[Protocol, int]] = {"TCP": IPPROTO_TCP, "UDP": IPPROTO_UDP, "SCTP": IPPROTO_SCTP}
_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}
_NETWORK: Final = 0x4000
_ENOENT: Final = 2
# Attributes of a message, of a creation, and of a member.
_PROTOCOL, _SETNAME, _TYPENAME, _REVISION, _FAMILY, _FLAGS, _DATA, _ADT = 1, 2, 3, 4, 5, 6, 7, 8
_PORT_FROM, _PORT_TO, _CADT_FLAGS, _MAXELEM, _ELEMENTS = 4, 5, 8, 19, 24
_IP, _PORT, _PROTO, _IP2, _CIDR2, _SKBMARK = 1, 4, 7, 20, 21, 27
_BE32: Final = Struct(">I")
_BE16: Final = Struct(">H")
_MARK: Final = Struct(">II")
_VERSION: Final = attribute(_PROTOCOL, b"\x06")


class SetKernel:
    """The sets of one family."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._af = AF_INET if family is Family.IPV4 else AF_INET6
        self._head = bytes((self._af, 0, 0, 0)) + _VERSION
        self._ip_kind = (1 if family is Family.IPV4 else 2) | _NETWORK
        self._link = Netlink(NETLINK_NETFILTER, "ipset")

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()

    def create(self, name: str, kind: SetType) -> None:
        """Make a set unless it is there; one of another type is an error (EEXIST)."""
        if kind.kind == "bitmap:port":
            data = attribute(_PORT_FROM | _NETWORK, bytes(2)) + attribute(_PORT_TO | _NETWORK, b"\xff\xff")
        else:
            data = attribute(_MAXELEM | _NETWORK, _BE32.pack(MOST))
            if kind.marks:
                data += attribute(_CADT_FLAGS | _NETWORK, _BE32.pack(IPSET_FLAG_WITH_SKBINFO))
        revision = attribute(_REVISION, bytes((self._revision(kind.kind),)))
        # A bitmap of ports is of no family.
        af = attribute(_FAMILY, bytes((0 if kind.kind == "bitmap:port" else self._af,)))
        payload = self._named(name) + text(_TYPENAME, kind.kind) + revision + af + nested(_DATA, data)
        code = self._link.ask(_command(IPSET_CMD_CREATE), NLM_F_CREATE, [payload])[0]
        if code == IPSET_ERR_FIND_TYPE:
            raise KernelError(("ipset", "create", name), code, f"the kernel has no set type {kind.kind}")
        if code:
            raise self._link.error(code, f"create {set_name(name, self.family)}")

    def add(self, items: Iterable[tuple[tuple[str, Member], int]]) -> list[int]:
        """Put members (by set, with marks) in; an errno for each. What is there gets the mark."""
        payloads = [self._named(name) + self._data(member, mark) for (name, member), mark in items]
        return self._link.ask(_command(IPSET_CMD_ADD), 0, payloads)

    def remove(self, items: Iterable[tuple[str, Member]]) -> None:
        """Take members out; that they or their set are not there is no error."""
        payloads = [self._named(name) + self._data(member, 0) for name, member in items]
        for code in self._link.ask(_command(IPSET_CMD_DEL), 0, payloads):
            if code not in (0, _ENOENT):
                raise self._link.error(code, "remove a member")

    def members(self, name: str, kind: SetType) -> dict[Member, int] | None:
        """What a set holds, with marks; None: there is no such set."""
        found: dict[Member, int] = {}
        try:
            for answer in self._link.dump(_command(IPSET_CMD_LIST), self._named(name)):
                listed = attributes(answer, 4).get(_ADT, b"")
                for _, data in elements(listed):
                    member, mark = self._member(data, kind)
                    found[member] = mark
        except KernelError as error:
            if error.code == _ENOENT:
                return None
            raise
        return found

    def sizes(self) -> dict[str, int]:
        """How many members each set of the kernel has, by its name there."""
        found = {}
        payload = self._head + attribute(_FLAGS, _BE32.pack(IPSET_FLAG_LIST_HEADER))
        for answer in self._link.dump(_command(IPSET_CMD_LIST), payload):
            listed = attributes(answer, 4)
            data = attributes(listed.get(_DATA, b""))
            if _ELEMENTS in data:
                found[listed[_SETNAME].rstrip(b"\0").decode()] = int(_BE32.unpack(data[_ELEMENTS])[0])
        return found

    def destroy(self, names: Sequence[str]) -> None:
        """Remove sets that no rule uses any more; those that are not there are no error."""
        for code in self._link.ask(_command(IPSET_CMD_DESTROY), NLM_F_EXCL, [self._named(name) for name in names]):
            if code not in (0, _ENOENT):
                raise self._link.error(code, "destroy a set")

    def _revision(self, kind: str) -> int:
        """The newest revision of a type that the kernel knows; asking loads its module."""
        payload = self._head + text(_TYPENAME, kind) + attribute(_FAMILY, bytes((self._af,)))
        try:
            for answer in self._link.dump(_command(IPSET_CMD_TYPE), payload, flags=0):
                return int(attributes(answer, 4)[_REVISION][0])
        except KernelError as error:
            raise KernelError(("ipset", "create"), error.code, f"the kernel has no set type {kind}") from error
        return 0

    def _named(self, name: str) -> bytes:
        return self._head + text(_SETNAME, set_name(name, self.family))

    def _data(self, member: Member, mark: int) -> bytes:
        parts = []
        if member.address:
            parts.append(nested(_IP, attribute(self._ip_kind, member.address)))
        if member.port:
            parts.append(attribute(_PORT | _NETWORK, _BE16.pack(member.port)))
        if member.protocol is not None:
            parts.append(attribute(_PROTO, bytes((PROTOCOLS[member.protocol],))))
        if member.other:
            parts.append(nested(_IP2, attribute(self._ip_kind, member.other)))
        if member.length:
            parts.append(attribute(_CIDR2, bytes((member.length,))))
        if mark:
            parts.append(attribute(_SKBMARK | _NETWORK, _MARK.pack(mark, 0xFFFFFFFF)))
        return nested(_DATA, *parts)

    def _member(self, data: bytes, kind: SetType) -> tuple[Member, int]:
        found = attributes(data)
        length = found[_CIDR2][0] if _CIDR2 in found else 0
        if kind.kind == "hash:ip,port,net" and not length:
            length = self.family.width * 8
        member = Member(
            _BE16.unpack(found[_PORT])[0] if _PORT in found else 0,
            _NAMES.get(found[_PROTO][0]) if _PROTO in found else None,
            _address(found.get(_IP)),
            _address(found.get(_IP2)),
            length,
        )
        mark: int = _MARK.unpack(found[_SKBMARK])[0] if _SKBMARK in found else 0
        return member, mark


def _command(number: int) -> int:
    return int(NFNL_SUBSYS_IPSET) << 8 | number


def _address(data: bytes | None) -> bytes:
    return next(iter(attributes(data).values())) if data else b""
