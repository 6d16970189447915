"""Datagrams in whole batches: recvmmsg(2) and sendmmsg(2) through ctypes.

In C the batch saves next to nothing. In Python it avoids what the socket module does for every datagram: a bytes
object of the full buffer size, the address made into text and parsed back. All that is left is one slice out of an
anonymous mmap (bytes in one step) and one slice into it.

::

    one mmap   messages  BATCH x SLOT     a query comes in here and its reply takes its place
               heads     BATCH x mmsghdr  point to the three others; filled once
               iovs      BATCH x iovec    address and length of a message
               names     BATCH x 32       sockaddr of the client: received, then used to send
               controls  BATCH x cmsg     packet info: received, then used to send (sockets on every address only)
               outgoing  BATCH x mmsghdr  heads of a batch in which not every query was answered at once

The kernel reports lengths in heads and controls, replies have other lengths than queries; so before each batch
heads and iovs are put back as they were made, by copying the part that was used.
"""

import ctypes
import errno
import mmap
import socket
import struct
from collections.abc import Callable
from typing import Final

from kdns.dns.api.message_handler import Family, MessageHandler
from kdns.dns.transport.datagram import BATCH, MAX_LOCALS, SLOT, Address, Hand, Losses, RawOrigin, answering
from kdns.dns.transport.packet_info import HEADER as CONTROL_HEADER
from kdns.dns.transport.packet_info import INDEX_AT, LENGTHS, LINK_LOCAL, find
from kdns.wire.numbers import HEADER

_MSGHDR: Final = "@PIPNPNi0P"
"""name, its length, iov, how many, control, its length, flags: as the kernel has it, on 32 and 64 bits."""
_HEAD: Final = struct.calcsize(_MSGHDR + "I0P")
_LENGTH_AT: Final = struct.calcsize(_MSGHDR)
"""msg_len: octets received."""
_CONTROL_LENGTH_AT: Final = struct.calcsize("@PIPNPN") - struct.calcsize("@N")
_IOV: Final = struct.calcsize("@PN")
_NAME: Final = 32
"""Room for sockaddr_in (16 octets) or sockaddr_in6 (28)."""
_SOCKADDR: Final[dict[Family, int]] = {1: 16, 2: 28}
_POINTER: Final = struct.calcsize("@P")
_WORD: Final = 4
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_TRUNC
"""MSG_TRUNC asks for the true length of a datagram that does not fit."""

_libc: Final = ctypes.PyDLL(None, use_errno=True)
"""Keeps the interpreter's lock: both calls return at once, and to get it back from a busy thread takes milliseconds."""


def available() -> bool:
    """True if this machine's libc has both calls (glibc and musl do)."""
    return hasattr(_libc, "recvmmsg") and hasattr(_libc, "sendmmsg")


class MmsgExchange:
    """An `Exchange` by recvmmsg and sendmmsg."""

    def __init__(
        self,
        sock: socket.socket,
        family: Family,
        handler: MessageHandler,
        hand: Hand,
        losses: Losses,
        *,
        packet_info: bool,
    ) -> None:
        self._fd = sock.fileno()
        self._family, self._losses = family, losses
        self._answer = answering(handler, hand, self._origin, self._packed)
        self._recvmmsg, self._sendmmsg = _libc.recvmmsg, _libc.sendmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._control = socket.CMSG_SPACE(LENGTHS[family]) if packet_info else 0
        self._lay_out()
        self._used = 0
        self._infos: dict[bytes, bytes | None] = {}

    def _lay_out(self) -> None:
        heads = BATCH * SLOT
        iovs = heads + BATCH * _HEAD
        names = iovs + BATCH * _IOV
        controls = names + BATCH * _NAME
        outgoing = controls + BATCH * self._control
        self._area = area = mmap.mmap(-1, outgoing + BATCH * _HEAD)
        base = ctypes.addressof(ctypes.c_char.from_buffer(area))
        for slot in range(BATCH):
            control = base + controls + slot * self._control if self._control else 0
            struct.pack_into(
                _MSGHDR, area, heads + slot * _HEAD,
                base + names + slot * _NAME, _NAME, base + iovs + slot * _IOV, 1, control, self._control, 0,
            )  # fmt: skip
            struct.pack_into("@PN", area, iovs + slot * _IOV, base + slot * SLOT, SLOT)
        view = memoryview(area)
        self._heads, self._iovs, self._outgoing = view[heads:iovs], view[iovs:names], view[outgoing:]
        self._made_heads, self._made_iovs = bytes(self._heads), bytes(self._iovs)
        self._heads_address, self._outgoing_address = base + heads, base + outgoing
        self._names_at, self._controls_at = names, controls
        # 32-bit words for what the kernel writes, words as wide as a pointer for what we write: an index into a cast
        # memoryview costs a fraction of a ctypes field.
        self._words, self._sizes = self._heads.cast("I"), self._iovs.cast("P")
        self._places = tuple((slot * SLOT, (slot * _HEAD + _LENGTH_AT) // _WORD, 2 * slot + 1) for slot in range(BATCH))
        if self._control:
            self._lay_out_indexes(view[controls:outgoing].cast("I"))

    def _lay_out_indexes(self, words: memoryview) -> None:
        """Views that step over the controls: all interface indexes, and all first words of addresses."""
        step = self._control // _WORD
        self._indexes = words[(CONTROL_HEADER + INDEX_AT[self._family]) // _WORD :: step]
        self._prefixes = words[CONTROL_HEADER // _WORD :: step]
        self._zeros = memoryview(bytes(BATCH * _WORD)).cast("I")

    def exchange(self) -> tuple[int, int]:
        """See `kdns.dns.transport.datagram.Exchange.exchange`."""
        used = self._used
        self._heads[: used * _HEAD] = self._made_heads[: used * _HEAD]
        self._iovs[: used * _IOV] = self._made_iovs[: used * _IOV]
        count: int = self._recvmmsg(self._fd, self._heads_address, BATCH, _FLAGS, None)
        if count < 0:
            self._used = 0
            if (code := ctypes.get_errno()) != errno.EAGAIN:
                self._losses.receiving(code)
            return 0, 0
        self._used = count
        if self._control:
            self._unpin(count)
        answer, area, words, sizes = self._answer, self._area, self._words, self._sizes
        unanswered: list[int] = []
        for at, length_at, size_at in self._places[:count]:
            length = words[length_at]
            reply = answer(area[at : at + length] if length <= SLOT else area[at : at + HEADER], at)
            if reply is None:
                unanswered.append(at // SLOT)
                continue
            size = len(reply)
            if size > SLOT:
                self._losses.sending(errno.EMSGSIZE)
                unanswered.append(at // SLOT)
                continue
            area[at : at + size] = reply
            sizes[size_at] = size
        if unanswered:
            self._send(self._outgoing_address, self._compact(count, set(unanswered)))
        else:
            self._send(self._heads_address, count)
        return count, count - len(unanswered)

    def _origin(self, at: int) -> tuple[Address, bytes | None, RawOrigin]:
        slot = at // SLOT
        name_at = self._names_at + slot * _NAME
        name, control = self._area[name_at : name_at + _NAME], b""
        if self._control and (filled := self._filled(slot)):
            control_at = self._controls_at + slot * self._control
            control = self._area[control_at : control_at + filled]
        return self._peer(name), self._info(control), (name, control)

    def _unpin(self, count: int) -> None:
        """Let replies be routed freely; see `kdns.dns.transport.packet_info`."""
        if self._family == 1 or _LINK_LOCAL_WORD not in self._prefixes[:count].tolist():
            self._indexes[:count] = self._zeros[:count]
            return
        for slot in range(count):
            if self._prefixes[slot] != _LINK_LOCAL_WORD:
                self._indexes[slot] = 0

    def _compact(self, count: int, unanswered: set[int]) -> int:
        """Copy the heads of the answered slots side by side; returns how many they are."""
        heads, outgoing = self._heads, self._outgoing
        to = 0
        for slot in range(count):
            if slot not in unanswered:
                outgoing[to : to + _HEAD] = heads[slot * _HEAD : (slot + 1) * _HEAD]
                to += _HEAD
        return to // _HEAD

    def _send(self, heads: int, count: int) -> None:
        send_all(self._sendmmsg, self._fd, heads, count, self._losses)

    def _filled(self, slot: int) -> int:
        """Octets of control messages."""
        filled: int = struct.unpack_from("@N", self._heads, slot * _HEAD + _CONTROL_LENGTH_AT)[0]
        return filled

    def _packed(self, at: int) -> bytes:
        name = self._names_at + at // SLOT * _NAME
        return self._area[name + 4 : name + 8] if self._family == 1 else self._area[name + 8 : name + 24]

    def _peer(self, name: bytes) -> Address:
        port = name[2] << 8 | name[3]
        if self._family == 1:
            return socket.inet_ntop(socket.AF_INET, name[4:8]), port
        (flow,) = struct.unpack_from("!I", name, 4)
        (scope,) = struct.unpack_from("=I", name, 24)
        return socket.inet_ntop(socket.AF_INET6, name[8:24]), port, flow, scope

    def _info(self, control: bytes) -> bytes | None:
        """The packet info in control messages, of which there are as many as addresses that can be asked."""
        infos = self._infos
        if control in infos:
            return infos[control]
        info = None
        if len(control) >= CONTROL_HEADER:
            length, level, kind = struct.unpack_from("@Nii", control)
            info = find([(level, kind, control[CONTROL_HEADER:length])], self._family)
        if len(infos) >= MAX_LOCALS:
            infos.clear()
        infos[control] = info
        return info


class LateReplies:
    """Replies that were made one by one, sent in batches by sendmmsg: to each the octets of the datagram it answers.

    ::

        one mmap   replies   BATCH x SLOT
                   heads     BATCH x mmsghdr  point to the three others; filled once
                   iovs      BATCH x iovec    address and length of a reply
                   names     BATCH x 32       sockaddr of the client
                   controls  BATCH x cmsg     packet info (sockets on every address only)
    """

    def __init__(self, sock: socket.socket, family: Family, losses: Losses, *, packet_info: bool) -> None:
        self._fd, self._losses = sock.fileno(), losses
        self._sendmmsg = _libc.sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._control = control = socket.CMSG_SPACE(LENGTHS[family]) if packet_info else 0
        heads = BATCH * SLOT
        iovs = heads + BATCH * _HEAD
        self._names_at = iovs + BATCH * _IOV
        self._controls_at = self._names_at + BATCH * _NAME
        self._area = area = mmap.mmap(-1, self._controls_at + BATCH * max(control, 1))
        base = ctypes.addressof(ctypes.c_char.from_buffer(area))
        for slot in range(BATCH):
            control_at = base + self._controls_at + slot * control if control else 0
            struct.pack_into(
                _MSGHDR, area, heads + slot * _HEAD, base + self._names_at + slot * _NAME, _SOCKADDR[family],
                base + iovs + slot * _IOV, 1, control_at, control, 0,
            )  # fmt: skip
            struct.pack_into("@PN", area, iovs + slot * _IOV, base + slot * SLOT, SLOT)
        view = memoryview(area)
        self._heads_address = base + heads
        self._sizes = view[iovs : self._names_at].cast("P")
        self._control_sizes = view[heads:iovs].cast("P")[_CONTROL_LENGTH_AT // _POINTER :: _HEAD // _POINTER]
        self.count = 0
        """Replies that wait for `flush`."""

    @property
    def full(self) -> bool:
        """There is no room for another one."""
        return self.count >= BATCH

    def add(self, reply: bytes, origin: RawOrigin) -> None:
        """One more, at most `SLOT` octets long."""
        slot, area = self.count, self._area
        name, control = origin
        size = len(reply)
        at = slot * SLOT
        area[at : at + size] = reply
        self._sizes[2 * slot + 1] = size
        at = self._names_at + slot * _NAME
        area[at : at + _NAME] = name
        if self._control:
            at = self._controls_at + slot * self._control
            area[at : at + len(control)] = control
            self._control_sizes[slot] = len(control)
        self.count = slot + 1

    def flush(self) -> None:
        """Send all of them; what the kernel does not take is dropped and counted."""
        count, self.count = self.count, 0
        send_all(self._sendmmsg, self._fd, self._heads_address, count, self._losses)


def send_all(sendmmsg: Callable[[int, int, int, int], int], fd: int, heads: int, count: int, losses: Losses) -> None:
    """Send so many replies whose heads stand at an address; what the kernel does not take is dropped and counted.

    A full send buffer drops the rest of the batch: waiting for it would let one client that cannot be
    reached hold up all others, and a client asks again.
    """
    sent = 0
    while sent < count:
        taken = sendmmsg(fd, heads + sent * _HEAD, count - sent, 0)
        if taken > 0:
            sent += taken
            continue
        code = ctypes.get_errno()
        lost = count - sent if code == errno.EAGAIN else 1
        losses.sending(code, lost)
        sent += lost


_LINK_LOCAL_WORD: Final = int.from_bytes(LINK_LOCAL + b"\0\0", "little" if struct.pack("=H", 1)[0] else "big")
"""How a link-local address begins (RFC 4291 section 2.5.6: fe80::/64), read as a native 32-bit word."""
