"""Virtual servers of the kernel (IPVS), through generic netlink. Every call waits; for a thread.

linux/ip_vs.h. A virtual server listens to protocol, address and port, or to a mark.
"""

from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6
from struct import Struct
from typing import Final, NamedTuple

from pyroute2.netlink import NETLINK_GENERIC
from pyroute2.netlink.generic.ipvs import (
    IPVS_CMD_DEL_DEST,
    IPVS_CMD_DEL_SERVICE,
    IPVS_CMD_GET_DEST,
    IPVS_CMD_GET_SERVICE,
    IPVS_CMD_NEW_DEST,
    IPVS_CMD_NEW_SERVICE,
    IPVS_CMD_SET_CONFIG,
    IPVS_CMD_SET_DEST,
    IPVS_CMD_SET_SERVICE,
)

from kdns.base.errors import KernelError
from kdns.kernel.netlink import U16, U32, Netlink, attribute, attributes, nested, text, u32
from kdns.proxy.apply.ipset import PROTOCOLS
from kdns.proxy.model import Backend, Family
from kdns.proxy.render.ipvs.virtual_servers import Virtual, VirtualAt

_SERVICE, _DEST = 1, 2
_AF, _PROTOCOL, _ADDRESS, _PORT, _FWMARK, _SCHEDULER, _FLAGS, _TIMEOUT, _NETMASK = range(1, 10)
_DEST_ADDRESS, _DEST_PORT, _METHOD, _WEIGHT, _UPPER, _LOWER, _ACTIVE, _INACTIVE, _PERSISTENT = range(1, 10)
_DEST_AF: Final = 11
_TIMEOUTS: Final = (4, 5, 6)
_FLAG_MASK: Final = Struct("=II")
_HASHED: Final = 0x0002
"""The kernel's own flag."""
_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}
_MASQUERADE: Final = u32(_METHOD, 0) + u32(_UPPER, 0) + u32(_LOWER, 0)

EEXIST: Final = 17
ENOENT: Final = 2
ESRCH: Final = 3


class Real(NamedTuple):
    """A real server as the kernel has it."""

    backend: Backend
    weight: int
    connections: int
    """Active and inactive."""


class VirtualKernel:
    """The virtual servers of one address family."""

    def __init__(self, family: Family, number: int) -> None:
        """`number` is that of the generic netlink family IPVS."""
        self.family, self._number = family, number
        self._af = AF_INET if family is Family.IPV4 else AF_INET6
        self._netmask = b"\xff\xff\xff\xff" if family is Family.IPV4 else U32.pack(128)
        self._link = Netlink(NETLINK_GENERIC, "IPVS")

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()

    def error(self, code: int, doing: str, refused: object = None) -> KernelError:
        """The kernel's answer as our error."""
        return self._link.error(code, doing, refused)

    def virtuals(self) -> dict[VirtualAt, Virtual]:
        """All of this family, without their real servers."""
        virtuals = {}
        for answer in self._link.dump(self._number, _head(IPVS_CMD_GET_SERVICE)):
            service = attributes(attributes(answer, 4)[_SERVICE])
            if U16.unpack(service[_AF])[0] != self._af:
                continue
            flags = U32.unpack_from(service[_FLAGS])[0] & ~_HASHED
            scheduler = service[_SCHEDULER].rstrip(b"\0").decode()
            timeout = U32.unpack(service[_TIMEOUT])[0] if flags & 1 else 0
            virtuals[self._at(service)] = Virtual(scheduler, flags, timeout, ())
        return virtuals

    def reals(self, at: VirtualAt) -> list[Real]:
        """The real servers of one virtual server; none if it is not there."""
        reals = []
        for answer in self._link.dump(self._number, _head(IPVS_CMD_GET_DEST) + self._key(at)):
            real = attributes(attributes(answer, 4)[_DEST])
            backend = Backend(real[_DEST_ADDRESS][: self.family.width], int.from_bytes(real[_DEST_PORT], "big"))
            connections = U32.unpack(real[_ACTIVE])[0] + U32.unpack(real[_INACTIVE])[0]
            reals.append(Real(backend, U32.unpack(real[_WEIGHT])[0], connections))
        return reals

    def add(self, items: Sequence[tuple[VirtualAt, Virtual]]) -> list[int]:
        """Make virtual servers; an errno for each. One that is there is set to what is wanted."""
        codes = self._ask(IPVS_CMD_NEW_SERVICE, [self._service(at, virtual) for at, virtual in items])
        again = [index for index, code in enumerate(codes) if code == EEXIST]
        for index, code in zip(again, self.change([items[index] for index in again]), strict=True):
            codes[index] = code
        return codes

    def change(self, items: Sequence[tuple[VirtualAt, Virtual]]) -> list[int]:
        """Set scheduler and persistence of virtual servers that are there."""
        return self._ask(IPVS_CMD_SET_SERVICE, [self._service(at, virtual) for at, virtual in items])

    def remove(self, items: Iterable[VirtualAt]) -> list[int]:
        """Remove virtual servers with their real servers; what is not there is no error."""
        codes = self._ask(IPVS_CMD_DEL_SERVICE, [self._key(at) for at in items])
        return [0 if code == ESRCH else code for code in codes]

    def add_reals(self, items: Sequence[tuple[VirtualAt, Backend]]) -> list[int]:
        """Make real servers with weight 1; one that is there gets this weight."""
        codes = self._ask(IPVS_CMD_NEW_DEST, [self._real(at, backend, 1) for at, backend in items])
        again = [index for index, code in enumerate(codes) if code == EEXIST]
        for index, code in zip(again, self.weigh([items[index] for index in again], 1), strict=True):
            codes[index] = code
        return codes

    def weigh(self, items: Iterable[tuple[VirtualAt, Backend]], weight: int) -> list[int]:
        """Set the weight of real servers that are there; with 0 one gets no new connection."""
        return self._ask(IPVS_CMD_SET_DEST, [self._real(at, backend, weight) for at, backend in items])

    def remove_reals(self, items: Iterable[tuple[VirtualAt, Backend]]) -> list[int]:
        """Remove real servers; what is not there is no error."""
        codes = self._ask(IPVS_CMD_DEL_DEST, [self._real(at, backend, 0) for at, backend in items])
        return [0 if code in (ENOENT, ESRCH) else code for code in codes]

    def set_timeouts(self, seconds: Sequence[int]) -> None:
        """Of TCP, TCP after FIN, and UDP, in this order; 0 leaves one as it is."""
        parts = b"".join(u32(kind, value) for kind, value in zip(_TIMEOUTS, seconds, strict=True))
        self._link.command(self._number, 0, _head(IPVS_CMD_SET_CONFIG) + parts)

    def _ask(self, command: int, bodies: Iterable[bytes]) -> list[int]:
        head = _head(command)
        return self._link.ask(self._number, 0, [head + body for body in bodies])

    def _at(self, service: dict[int, bytes]) -> VirtualAt:
        if _FWMARK in service:
            # The kernel knows no protocol for a mark; `VirtualAt` has the same stand-in.
            return VirtualAt("TCP", mark=U32.unpack(service[_FWMARK])[0])
        address = service[_ADDRESS][: self.family.width]
        protocol = _NAMES.get(U16.unpack(service[_PROTOCOL])[0], "TCP")
        return VirtualAt(protocol, address, int.from_bytes(service[_PORT], "big"))

    def _key_parts(self, at: VirtualAt) -> bytes:
        parts = attribute(_AF, U16.pack(self._af))
        if at.mark:
            return parts + u32(_FWMARK, at.mark)
        parts += attribute(_PROTOCOL, U16.pack(PROTOCOLS[at.protocol]))
        return parts + attribute(_ADDRESS, at.address) + attribute(_PORT, at.port.to_bytes(2, "big"))

    def _key(self, at: VirtualAt) -> bytes:
        return nested(_SERVICE, self._key_parts(at))

    def _service(self, at: VirtualAt, virtual: Virtual) -> bytes:
        return nested(
            _SERVICE,
            self._key_parts(at),
            text(_SCHEDULER, virtual.scheduler),
            attribute(_FLAGS, _FLAG_MASK.pack(virtual.flags, 0xFFFFFFFF)),
            u32(_TIMEOUT, virtual.timeout),
            attribute(_NETMASK, self._netmask),
        )

    def _real(self, at: VirtualAt, backend: Backend, weight: int) -> bytes:
        real = nested(
            _DEST,
            attribute(_DEST_AF, U16.pack(self._af)),
            attribute(_DEST_ADDRESS, backend.address),
            attribute(_DEST_PORT, backend.port.to_bytes(2, "big")),
            _MASQUERADE,
            u32(_WEIGHT, weight),
        )
        return self._key(at) + real


def _head(command: int) -> bytes:
    return bytes((command, 1, 0, 0))
