"""Speaks netlink by the thousand messages: many requests in one packet, each answered; dumps as they come.

pyroute2 has the numbers and makes links; its messages take 0.4 to 0.6 ms each to compose and as much to read, which is
a minute for the hundred thousand real servers of a large cluster. Here it is a few microseconds. All calls wait for the
kernel and belong into a thread.

Subsystems of netfilter that have transactions (nfnetlink's batches) do all the messages of one packet, or nothing.

Layout (linux/netlink.h), in the machine's byte order, attributes padded to 4 octets::

    message    u32 length  u16 type  u16 flags  u32 sequence  u32 port   payload
    attribute  u16 length  u16 type                                      payload
"""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from errno import EINTR, ENOBUFS
from struct import Struct
from types import TracebackType
from typing import Final, Self

from pyroute2.netlink import (
    NETLINK_GENERIC,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
)

from kdns.base.errors import KernelError

HEADER: Final = Struct("=IHHII")
ATTRIBUTE: Final = Struct("=HH")
CODE: Final = Struct("=i")
NESTED: Final = 0x8000
"""Says that an attribute holds attributes."""
TYPE_MASK: Final = 0x3FFF
U32: Final = Struct("=I")
U16: Final = Struct("=H")

BATCH: Final = 200
"""Requests in one packet; their answers must fit into the receive buffer."""
BUFFER: Final = 4 << 20
"""Octets of the receive buffer; the kernel drops what does not fit (ENOBUFS)."""
PATIENCE: Final = 60.0
"""Seconds to wait for an answer. The kernel answers before send returns, or is busy with its own lock."""

_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_DROP_MEMBERSHIP: Final = 2
_NETLINK_CAP_ACK: Final = 10
_GENERIC_CONTROL: Final = 16
_DUMP_INTERRUPTED: Final = 0x10
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
_BATCH_GENERATION: Final = 1
_BE32: Final = Struct(">I")
_SPARE: Final = 4096
"""Octets of the send buffer that the kernel needs beside a packet."""
_GET_FAMILY: Final = b"\x03\x01\x00\x00"


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    payload = b"".join(parts)
    return ATTRIBUTE.pack(4 + len(payload), kind | NESTED) + payload


def u32(kind: int, value: int) -> bytes:
    """An attribute of four octets in the machine's order."""
    return ATTRIBUTE.pack(8, kind) + U32.pack(value)


def text(kind: int, value: str) -> bytes:
    """An attribute of text that ends in a zero octet."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """The attributes from `start` to the end, by type; of repeated ones the last."""
    by_kind = {}
    end = len(data)
    while start + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        by_kind[kind & TYPE_MASK] = data[start + 4 : start + length]
        start += length + (-length % 4)
    return by_kind


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """The attributes in their order, repeated ones too."""
    in_order = []
    start = 0
    while start + 4 <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        in_order.append((kind & TYPE_MASK, data[start + 4 : start + length]))
        start += length + (-length % 4)
    return in_order


class Netlink:
    """A netlink socket in the network namespace of the thread that makes it."""

    def __init__(self, protocol: int, what: str) -> None:
        """`protocol` is a NETLINK_ number; `what` names the subsystem in errors."""
        self.what = what
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)  # errors need not carry the request
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
            except PermissionError:  # without NET_ADMIN: as much as net.core.rmem_max allows; addresses need little
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            self._socket.settimeout(PATIENCE)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back; may be called twice."""
        self._socket.close()

    def fileno(self) -> int:
        """For who waits until there is something to read."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The number of this socket; what it changes has it in the notifications that others get."""
        return int(self._socket.getsockname()[0])

    def join(self, group: int) -> None:
        """Get the notifications of a group."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        """Get them no longer; those that wait to be read stay."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_DROP_MEMBERSHIP, group)

    def notifications(self, most: int) -> list[tuple[int, int, bytes]]:
        """The notifications that have come, of at most so many packets: type, port of the socket that made the change,
        payload. Never waits.

        Raises OSError: ENOBUFS if some were lost.
        """
        waiting: list[tuple[int, int, bytes]] = []
        self._socket.setblocking(False)
        try:
            for _ in range(most):
                packet = self._socket.recv(1 << 18)
                waiting += [(kind, port, data) for kind, _, _, port, data in self._messages(packet)]
        except BlockingIOError:
            pass
        finally:
            self._socket.settimeout(PATIENCE)
        return waiting

    def drop(self) -> None:
        """Drop the notifications that wait to be read."""
        self._socket.setblocking(False)
        try:
            while True:
                try:
                    self._socket.recv(1)
                except BlockingIOError:
                    return
                except OSError as error:
                    if error.errno != ENOBUFS:
                        raise
        finally:
            self._socket.settimeout(PATIENCE)

    def ask(self, kind: int, flags: int, payloads: Sequence[bytes]) -> list[int]:
        """Send requests of one kind, each to be acknowledged; an errno for each, 0 for success, in their order."""
        codes: list[int] = []
        for start in range(0, len(payloads), BATCH):
            codes += self._batch(kind, flags, payloads[start : start + BATCH])
        return codes

    def command(self, kind: int, flags: int, payload: bytes, accepted: Sequence[int] = ()) -> int:
        """One request; KernelError unless it is taken or its errno is among the `accepted`, which is returned."""
        code = self.ask(kind, flags, (payload,))[0]
        if code and code not in accepted:
            raise self.error(code)
        return code

    def error(self, code: int, doing: str = "", refused: object = None) -> KernelError:
        """The kernel's answer as our error."""
        problem = f"{doing}: {os.strerror(code)}" if doing else os.strerror(code)
        return KernelError(("netlink", self.what), code, problem, refused)

    def transact(
        self, subsystem: int, messages: Sequence[tuple[int, int, bytes]], generation: int | None = None
    ) -> list[tuple[int, int]]:
        """Send messages (type, flags, payload) as one transaction of a subsystem of netfilter.

        Returns what the kernel refuses, as the number of a message, from 0, and an errno; -1 stands for the transaction
        as a whole. Unless there is nothing of that, all is done. ``generation``: the transaction is refused
        (ERESTART) if the subsystem's rules are of another generation. Raises OSError where the packet cannot be sent.
        """
        if not messages:
            return []
        begin = self._sequence + 1
        last = begin + len(messages)
        self._sequence = last + 1
        head = b"\0\0" + subsystem.to_bytes(2, "big")  # struct nfgenmsg
        first = head if generation is None else head + attribute(_BATCH_GENERATION, _BE32.pack(generation))
        parts = [HEADER.pack(HEADER.size + len(first), _BATCH_BEGIN, NLM_F_REQUEST, begin, 0), first]
        for number, (kind, flags, payload) in enumerate(messages, begin + 1):
            # The answer to the last message comes once all is done, or after all errors; kernels before 6.10 give none
            # to the end of a batch.
            asked = flags | NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
            length = HEADER.size + len(payload)
            parts += (HEADER.pack(length, kind, asked, number, 0), payload, bytes(-length % 4))
        parts += (HEADER.pack(HEADER.size + len(head), _BATCH_END, NLM_F_REQUEST, last + 1, 0), head)
        self._send(b"".join(parts))
        refused: list[tuple[int, int]] = []
        while True:
            for answer, sequence, data in self._read():
                if answer != NLMSG_ERROR or not begin <= sequence <= last:
                    continue
                if code := -CODE.unpack_from(data)[0]:
                    refused.append((sequence - begin - 1, code))
                if sequence in (begin, last):
                    return refused

    def _send(self, packet: bytes) -> None:
        """Send a packet of any size; the kernel takes none that is larger than the send buffer."""
        if len(packet) + _SPARE > self._room:
            self._room = len(packet) + _SPARE
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, self._room)
            except PermissionError:  # in a user namespace: as much as twice net.core.wmem_max
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._room)
        self._socket.send(packet)

    def dump(self, kind: int, payload: bytes, flags: int = NLM_F_DUMP, *, consistent: bool = False) -> Iterator[bytes]:
        """The payloads of a dump, or of any answer in several parts, as the kernel hands them out.

        ``consistent``: raise KernelError (EINTR) if the kernel says that what it lists has changed meanwhile.
        """
        self._sequence += 1
        length = HEADER.size + len(payload)
        self._socket.send(HEADER.pack(length, kind, NLM_F_REQUEST | flags, self._sequence, 0) + payload)
        expected = self._sequence
        while True:
            for answer, marks, sequence, data in self._parts():
                if sequence != expected:
                    continue  # what is left of a dump that was not read to its end
                if consistent and marks & _DUMP_INTERRUPTED:
                    raise self.error(EINTR, "list")
                if answer in (NLMSG_DONE, NLMSG_ERROR):
                    code = -CODE.unpack_from(data)[0] if len(data) >= CODE.size else 0
                    if code > 0:
                        raise self.error(code)
                    return
                yield data

    def _batch(self, kind: int, flags: int, payloads: Sequence[bytes]) -> list[int]:
        """The kernel does one request after the other and answers each that it refuses; only the last is to be
        answered in any case, since every answer is a packet of its own."""
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(payloads)
        packet = bytearray()
        for number, payload in enumerate(payloads, first):
            asked = flags | NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
            length = HEADER.size + len(payload)
            packet += HEADER.pack(length, kind, asked, number, 0) + payload + bytes(-length % 4)
        self._socket.send(packet)
        codes = [0] * len(payloads)
        while True:
            for answer, sequence, data in self._read():
                if answer != NLMSG_ERROR or not first <= sequence <= last:
                    continue
                codes[sequence - first] = -CODE.unpack_from(data)[0]
                if sequence == last:
                    return codes

    def _read(self) -> Iterator[tuple[int, int, bytes]]:
        for kind, _, sequence, data in self._parts():
            yield kind, sequence, data

    def _parts(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The messages of the next packet: type, flags, sequence, payload."""
        for kind, flags, sequence, _, data in self._messages(self._socket.recv(1 << 18)):
            yield kind, flags, sequence, data

    @staticmethod
    def _messages(packet: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
        start = 0
        while start + HEADER.size <= len(packet):
            length, kind, flags, sequence, port = HEADER.unpack_from(packet, start)
            if length < HEADER.size:
                return
            yield kind, flags, sequence, port, packet[start + HEADER.size : start + length]
            start += length + (-length % 4)


def generic_family(name: str) -> int | None:
    """The number of a generic netlink family, which its module gets when it is loaded; None: it is not there."""
    with Netlink(NETLINK_GENERIC, "generic") as link:
        request = _GET_FAMILY + text(2, name)
        try:
            for answer in link.dump(_GENERIC_CONTROL, request, flags=0):
                parts: Mapping[int, bytes] = attributes(answer, 4)
                return int(U16.unpack(parts[1])[0])
        except KernelError as error:
            if error.code != 2:  # ENOENT
                raise
    return None
