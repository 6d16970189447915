"""Tables of nftables, by netlink: elements are added, deleted and listed without the program nft.

A transaction is a batch of nfnetlink messages; the kernel does all of it or nothing, and answers with an error for each
message that it refuses. Every call waits for the kernel: one of some elements for some tens of microseconds, so it may
be made from the event loop; one of thousands belongs into a thread.

linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h; what elements look like is in `kdns.kernel.nft_elements`.
"""

from collections.abc import Iterable, Iterator, Sequence
from errno import ENOBUFS, ENOENT
from functools import cache, lru_cache
from socket import AddressFamily
from struct import Struct
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELCHAIN,
    NFT_MSG_DELRULE,
    NFT_MSG_DELSETELEM,
    NFT_MSG_GETGEN,
    NFT_MSG_GETSET,
    NFT_MSG_GETSETELEM,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWGEN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWSETELEM,
)

from kdns.base.errors import KernelError
from kdns.kernel.netlink import Netlink, attributes, nested, text
from kdns.kernel.nft_elements import compose_key, key_of, split

SYSTEM: Final = int(NFNL_SUBSYS_NFTABLES)
_MOST: Final = 60_000
"""Octets of elements in one message: the length of an attribute has 16 bits."""
_PACKETS: Final = 16
"""Packets of notifications that are read in one go, some hundred notifications: other work has its turn then."""
_EVERY: Final = 1 << 20
"""More packets than the receive buffer holds."""
WHOLE: Final = -1
"""A transaction as a whole, as what was refused."""
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_GEN_ID: Final = 1
_SET_TABLE, _SET_NAME, _SET_COUNT = 1, 2, 20
_HEAD_SIZE: Final = 4
"""Of struct nfgenmsg."""
_BE32: Final = Struct(">I")


_NEW_GENERATION: Final = SYSTEM << 8 | int(NFT_MSG_NEWGEN)
_CHAIN_CHANGES: Final = frozenset(
    SYSTEM << 8 | int(kind) for kind in (NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN, NFT_MSG_NEWRULE, NFT_MSG_DELRULE)
)
_ELEMENT_CHANGES: Final = frozenset(SYSTEM << 8 | int(kind) for kind in (NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM))


class Message(NamedTuple):
    """One message of a transaction."""

    kind: int
    """NFT_MSG_"""
    flags: int
    payload: bytes


class ForeignChange(NamedTuple):
    """What a notification says of a change to a table."""

    what: Literal["elements", "chains", "others"]
    """Elements were added or deleted; chains or rules were; or other things, such as sets and the table itself."""
    container: str = ""
    """The set or map of those elements."""
    keys: tuple[bytes, ...] = ()
    """Of those elements."""


class Nftables:
    """The tables of one family, in the network namespace of the thread that makes this."""

    def __init__(self, family: AddressFamily) -> None:
        """``family`` is AF_INET or AF_INET6 (``ip`` and ``ip6``). Raises OSError."""
        self._head = bytes((family, 0, 0, 0))  # struct nfgenmsg
        self._link = Netlink(NETLINK_NETFILTER, "nftables")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back; may be called twice."""
        self._link.close()

    def add(self, table: str, name: str, elements: Iterable[bytes]) -> list[Message]:
        """Messages that add elements (`nft_elements.compose`) to a set or a map.

        One that is there with the same value is no error, and keeps the rest of its timeout: to renew that, delete and
        add it in one transaction. One that is there with another value is an error (EEXIST).
        """
        return self._elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, name, elements)

    def delete(self, table: str, name: str, elements: Iterable[bytes]) -> list[Message]:
        """Messages that delete elements (`nft_elements.compose_key`); one that is not there is an error (ENOENT)."""
        return self._elements(NFT_MSG_DELSETELEM, 0, table, name, elements)

    def commit(self, messages: Sequence[Message], generation: int | None = None) -> None:
        """Do all of it, or nothing. Raises KernelError; its ``refused`` is the number of the first message that the
        kernel did not take, or -1 if that is the whole.

        ``generation``: only as long as the kernel's rules are of this generation, or all is refused (ERESTART).
        """
        if refused := self.attempt(messages, generation):
            raise self.refusal(messages, refused)

    def attempt(self, messages: Sequence[Message], generation: int | None = None) -> list[tuple[int, int]]:
        """`commit`, but for what is raised: each message that the kernel refuses, by its number, with the errno; if
        there is one, nothing is done. Raises KernelError if the transaction as a whole could not be sent."""
        try:
            return self._link.transact(SYSTEM, messages, generation)
        except OSError as error:  # too many errors for the receive buffer, or no memory
            raise self._link.error(error.errno or 0, "transaction", WHOLE) from error

    def refusal(self, messages: Sequence[Message], refused: Sequence[tuple[int, int]]) -> KernelError:
        """What `commit` raises for messages that were refused."""
        number, code = refused[0]
        return self._link.error(code, f"message {number} of {len(messages)}", number)

    def counts(self, table: str) -> dict[str, int] | None:
        """How many elements each set and map of a table holds. None: the kernel does not say it (before Linux 6.16).

        Raises KernelError.
        """
        counts: dict[str, int] = {}
        for answer in self._link.dump(_command(NFT_MSG_GETSET), self._head + text(_SET_TABLE, table)):
            parts = attributes(answer, _HEAD_SIZE)
            if _SET_COUNT not in parts:
                return None
            counts[parts[_SET_NAME].rstrip(b"\0").decode()] = int(_BE32.unpack(parts[_SET_COUNT])[0])
        return counts

    def present(self, table: str, name: str, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those elements of a set or a map that have these keys, by key; what is not there is left out.

        Raises KernelError.
        """
        elements: dict[bytes, bytes] = {}
        for key in keys:
            if octets := self.look(table, name, (key,)):
                elements[key] = octets[0]
        return elements

    def elements(self, table: str, name: str) -> Iterator[bytes] | None:
        """The elements of a set or a map, as `nft_elements.parse` reads them; None: it is not there.

        Raises KernelError: EINTR if the rules have changed while they were listed.
        """
        request = self._head + text(_LIST_TABLE, table) + text(_LIST_SET, name)
        answers = self._link.dump(_command(NFT_MSG_GETSETELEM), request, consistent=True)
        try:
            first = next(answers, None)
        except KernelError as error:
            if error.code == ENOENT:
                return None
            raise
        return _split(first, answers)

    def look(self, table: str, name: str, keys: Iterable[bytes]) -> list[bytes] | None:
        """The elements of a set or a map with these keys, in their order; None: one is not there, or the set is not.

        Raises KernelError.
        """
        found: list[bytes] = []
        request = _command(NFT_MSG_GETSETELEM)
        try:
            for message in self._elements(NFT_MSG_GETSETELEM, 0, table, name, map(compose_key, keys)):
                for answer in self._link.dump(request, message.payload, flags=NLM_F_ACK):
                    found += split(attributes(answer, 4).get(_LIST_ELEMENTS, b""))
        except KernelError as error:
            if error.code == ENOENT:
                return None
            raise
        return found

    @property
    def port(self) -> int:
        """The number of the socket, by which its own transactions are known in notifications."""
        return self._link.port

    def fileno(self) -> int:
        """For who waits until there are notifications."""
        return self._link.fileno()

    def listen(self) -> None:
        """Have notifications of every transaction, of this family and others, until `ignore`."""
        self._link.join(NFNLGRP_NFTABLES)

    def ignore(self) -> None:
        """Have no more of them, and drop those that wait."""
        self._link.leave(NFNLGRP_NFTABLES)
        self._link.drop()

    def changes_of_others(self, table: str, own: int, *, every: bool = False) -> list[ForeignChange] | None:
        """Read some of the notifications that have come, or all: what other sockets than this port changed in the table
        of this family. None: some notifications were lost, and those that waited are dropped. Never waits."""
        name = text(_LIST_TABLE, table)  # all messages about a table begin with its name
        try:
            notifications = self._link.notifications(_EVERY if every else _PACKETS)
        except OSError as error:
            if error.errno != ENOBUFS:
                raise
            self._link.drop()
            return None
        return [
            _foreign_change(kind, data)
            for kind, port, data in notifications
            if kind != _NEW_GENERATION
            and port != own
            and data[0] == self._head[0]
            and data.startswith(name, _HEAD_SIZE)
        ]

    def generation(self) -> int:
        """A number that is another one after every transaction in this network namespace. Raises KernelError."""
        for answer in self._link.dump(_command(NFT_MSG_GETGEN), self._head, flags=0):
            return int(_BE32.unpack(attributes(answer, 4)[_GEN_ID])[0])
        raise self._link.error(ENOENT, "generation")

    def _elements(self, kind: int, flags: int, table: str, name: str, elements: Iterable[bytes]) -> list[Message]:
        command, head = _command(kind), _elements_head(self._head, table, name)
        some = list(elements)
        octets = b"".join(some)
        if len(octets) <= _MOST:
            return [Message(command, flags, head + nested(_LIST_ELEMENTS, octets))] if some else []
        messages = []
        start = size = 0
        for end, element in enumerate(some):
            size += len(element)
            if size > _MOST:
                messages.append(Message(command, flags, head + nested(_LIST_ELEMENTS, *some[start:end])))
                start, size = end, len(element)
        return [*messages, Message(command, flags, head + nested(_LIST_ELEMENTS, *some[start:]))]


@lru_cache(256)
def _elements_head(head: bytes, table: str, name: str) -> bytes:
    return head + text(_LIST_TABLE, table) + text(_LIST_SET, name)


def _foreign_change(kind: int, data: bytes) -> ForeignChange:
    if kind not in _ELEMENT_CHANGES:
        return ForeignChange("chains" if kind in _CHAIN_CHANGES else "others")
    parts = attributes(data, _HEAD_SIZE)
    name = parts[_LIST_SET].rstrip(b"\0").decode()
    return ForeignChange("elements", name, tuple(map(key_of, split(parts.get(_LIST_ELEMENTS, b"")))))


def _split(first: bytes | None, answers: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield from split(attributes(first, 4).get(_LIST_ELEMENTS, b""))
    for answer in answers:
        yield from split(attributes(answer, 4).get(_LIST_ELEMENTS, b""))


@cache
def _command(number: int) -> int:
    return SYSTEM << 8 | int(number)
