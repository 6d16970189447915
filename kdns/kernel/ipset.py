"""Sets of the kernel (ipset), by netlink. Every call waits for the kernel and belongs into a thread.

linux/netfilter/ipset/ip_set.h; numbers in network order carry a flag that says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from socket import AF_INET, AddressFamily
from struct import Struct
from typing import Final, NamedTuple

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

MOST: Final = 1 << 20
"""Members a set may have."""
BITMAP: Final = "bitmap:port"
"""The type of a set of ports, which is of no family."""

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


class Entry(NamedTuple):
    """A member of a set; what its type does not have is left empty."""

    address: bytes = b""
    port: int = 0
    protocol: int | None = None
    """IPPROTO_TCP and so on."""
    other: bytes = b""
    """The second address."""
    length: int = 0
    """Of the second address, if that is a range."""
    mark: int = 0
    """Packets that match may be given it; not part of what makes two members the same."""


class IpSets:
    """The sets of one family, by their names in the kernel."""

    def __init__(self, family: AddressFamily) -> None:
        self._family = family
        self._head = bytes((family, 0, 0, 0)) + _VERSION
        self._ip_kind = (1 if family == AF_INET else 2) | _NETWORK
        self._link = Netlink(NETLINK_NETFILTER, "ipset")

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()

    def create(self, name: str, kind: str, *, marks: bool = False) -> None:
        """Make a set such as ``hash:ip,port`` unless it is there; one of another type is an error (EEXIST).

        ``marks``: members have marks. Raises KernelError.
        """
        if kind == BITMAP:
            data = attribute(_PORT_FROM | _NETWORK, bytes(2)) + attribute(_PORT_TO | _NETWORK, b"\xff\xff")
        else:
            data = attribute(_MAXELEM | _NETWORK, _BE32.pack(MOST))
            if marks:
                data += attribute(_CADT_FLAGS | _NETWORK, _BE32.pack(IPSET_FLAG_WITH_SKBINFO))
        revision = attribute(_REVISION, bytes((self._revision(kind),)))
        family = attribute(_FAMILY, bytes((0 if kind == BITMAP else self._family,)))
        payload = self._named(name) + text(_TYPENAME, kind) + revision + family + nested(_DATA, data)
        code = self._link.ask(_command(IPSET_CMD_CREATE), NLM_F_CREATE, [payload])[0]
        if code == IPSET_ERR_FIND_TYPE:
            raise KernelError(("ipset", "create", name), code, f"the kernel has no set type {kind}")
        if code:
            raise self._link.error(code, f"create {name}")

    def add(self, entries: Iterable[tuple[str, Entry]]) -> list[int]:
        """Put members (by set) in; an errno for each. What is there gets the mark."""
        payloads = [self._named(name) + self._data(entry) for name, entry in entries]
        return self._link.ask(_command(IPSET_CMD_ADD), 0, payloads)

    def remove(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Take members out; that they or their set are not there is no error. Raises KernelError."""
        payloads = [self._named(name) + self._data(entry) for name, entry in entries]
        for code in self._link.ask(_command(IPSET_CMD_DEL), 0, payloads):
            if code not in (0, _ENOENT):
                raise self._link.error(code, "remove a member")

    def members(self, name: str) -> list[Entry] | None:
        """What a set holds; None: there is no such set. Raises KernelError."""
        try:
            return list(self._list(name))
        except KernelError as error:
            if error.code == _ENOENT:
                return None
            raise

    def sizes(self) -> dict[str, int]:
        """How many members each set of the kernel has."""
        sizes = {}
        payload = self._head + attribute(_FLAGS, _BE32.pack(IPSET_FLAG_LIST_HEADER))
        for answer in self._link.dump(_command(IPSET_CMD_LIST), payload):
            listed = attributes(answer, 4)
            data = attributes(listed.get(_DATA, b""))
            if _ELEMENTS in data:
                sizes[listed[_SETNAME].rstrip(b"\0").decode()] = int(_BE32.unpack(data[_ELEMENTS])[0])
        return sizes

    def destroy(self, names: Sequence[str]) -> None:
        """Remove sets that no rule uses any more; those that are not there are no error. Raises KernelError."""
        for code in self._link.ask(_command(IPSET_CMD_DESTROY), NLM_F_EXCL, [self._named(name) for name in names]):
            if code not in (0, _ENOENT):
                raise self._link.error(code, "destroy a set")

    def _list(self, name: str) -> Iterator[Entry]:
        for answer in self._link.dump(_command(IPSET_CMD_LIST), self._named(name)):
            for _, data in elements(attributes(answer, 4).get(_ADT, b"")):
                yield _entry(attributes(data))

    def _revision(self, kind: str) -> int:
        """The newest revision of a type that the kernel knows; asking loads its module."""
        payload = self._head + text(_TYPENAME, kind) + attribute(_FAMILY, bytes((self._family,)))
        try:
            for answer in self._link.dump(_command(IPSET_CMD_TYPE), payload, flags=0):
                return int(attributes(answer, 4)[_REVISION][0])
        except KernelError as error:
            raise KernelError(("ipset", "create"), error.code, f"the kernel has no set type {kind}") from error
        return 0

    def _named(self, name: str) -> bytes:
        return self._head + text(_SETNAME, name)

    def _data(self, entry: Entry) -> bytes:
        parts = []
        if entry.address:
            parts.append(nested(_IP, attribute(self._ip_kind, entry.address)))
        if entry.port:
            parts.append(attribute(_PORT | _NETWORK, _BE16.pack(entry.port)))
        if entry.protocol is not None:
            parts.append(attribute(_PROTO, bytes((entry.protocol,))))
        if entry.other:
            parts.append(nested(_IP2, attribute(self._ip_kind, entry.other)))
        if entry.length:
            parts.append(attribute(_CIDR2, bytes((entry.length,))))
        if entry.mark:
            parts.append(attribute(_SKBMARK | _NETWORK, _MARK.pack(entry.mark, 0xFFFFFFFF)))
        return nested(_DATA, *parts)


def _entry(parts: dict[int, bytes]) -> Entry:
    return Entry(
        _address(parts.get(_IP)),
        _BE16.unpack(parts[_PORT])[0] if _PORT in parts else 0,
        parts[_PROTO][0] if _PROTO in parts else None,
        _address(parts.get(_IP2)),
        parts[_CIDR2][0] if _CIDR2 in parts else 0,
        _MARK.unpack(parts[_SKBMARK])[0] if _SKBMARK in parts else 0,
    )


def _command(number: int) -> int:
    return int(NFNL_SUBSYS_IPSET) << 8 | number


def _address(data: bytes | None) -> bytes:
    return next(iter(attributes(data).values())) if data else b""
