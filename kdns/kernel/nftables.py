"""Tables of nftables, by netlink: elements are added, deleted and listed without the program nft.

A transaction is a batch of nfnetlink messages; the kernel does all of it or nothing, and answers with an error for each
message that it refuses. Every call waits for the kernel: one of some elements for some tens of microseconds, so it may
be made from the event loop; one of thousands belongs into a thread.

linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h; what elements look like is in `kdns.kernel.nft_elements`.
"""

from collections.abc import Iterable, Iterator, Sequence
from errno import ENOBUFS, ENOENT
from socket import AddressFamily
from struct import Struct
from types import TracebackType
from typing import Final, NamedTuple, Self

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELSETELEM,
    NFT_MSG_GETGEN,
    NFT_MSG_GETSETELEM,
    NFT_MSG_NEWGEN,
    NFT_MSG_NEWSETELEM,
)

from kdns.base.errors import KernelError
from kdns.kernel.netlink import Netlink, attributes, nested, text
from kdns.kernel.nft_elements import compose_key, split

SYSTEM: Final = int(NFNL_SUBSYS_NFTABLES)
_MOST: Final = 60_000
"""Octets of elements in one message: the length of an attribute has 16 bits."""
WHOLE: Final = -1
"""A transaction as a whole, as what was refused."""
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_GEN_ID: Final = 1
_HEAD_SIZE: Final = 4
"""Of struct nfgenmsg."""
_BE32: Final = Struct(">I")


_NEW_GENERATION: Final = SYSTEM << 8 | int(NFT_MSG_NEWGEN)


class Message(NamedTuple):
    """One message of a transaction."""

    kind: int
    """NFT_MSG_"""
    flags: int
    payload: bytes


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

    def add(self, table: str, name: str, elements: Iterable[bytes]) -> Iterator[Message]:
        """Messages that add elements (`nft_elements.compose`) to a set or a map.

        One that is there with the same value is no error, and keeps the rest of its timeout: to renew that, delete and
        add it in one transaction. One that is there with another value is an error (EEXIST).
        """
        return self._elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, name, elements)

    def delete(self, table: str, name: str, elements: Iterable[bytes]) -> Iterator[Message]:
        """Messages that delete elements (`nft_elements.compose_key`); one that is not there is an error (ENOENT)."""
        return self._elements(NFT_MSG_DELSETELEM, 0, table, name, elements)

    def commit(self, messages: Sequence[Message], generation: int | None = None) -> None:
        """Do all of it, or nothing. Raises KernelError; its ``refused`` is the number of the first message that the
        kernel did not take, or -1 if that is the whole.

        ``generation``: only as long as the kernel's rules are of this generation, or all is refused (ERESTART).
        """
        try:
            refused = self._link.transact(SYSTEM, messages, generation)
        except OSError as error:  # too many errors for the receive buffer, or no memory
            raise self._link.error(error.errno or 0, "transaction", WHOLE) from error
        if refused:
            number, code = refused[0]
            raise self._link.error(code, f"message {number} of {len(messages)}", number)

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
        try:
            for _ in self._link.heard():
                pass
        except OSError as error:
            if error.errno != ENOBUFS:
                raise

    def others_changed(self, table: str, own: int) -> bool:
        """Read the notifications that have come: True if one says that another socket than this port changed the
        table of this family, or if some were lost. Never waits."""
        name = text(_LIST_TABLE, table)  # all messages about a table begin with its name
        try:
            # The list is read to its end, whatever is in it.
            changes = [data for kind, port, data in self._link.heard() if kind != _NEW_GENERATION and port != own]
        except OSError as error:
            if error.errno != ENOBUFS:
                raise
            return True
        return any(data[0] == self._head[0] and data.startswith(name, _HEAD_SIZE) for data in changes)

    def generation(self) -> int:
        """A number that is another one after every transaction in this network namespace. Raises KernelError."""
        for answer in self._link.dump(_command(NFT_MSG_GETGEN), self._head, flags=0):
            return int(_BE32.unpack(attributes(answer, 4)[_GEN_ID])[0])
        raise self._link.error(ENOENT, "generation")

    def _elements(self, kind: int, flags: int, table: str, name: str, elements: Iterable[bytes]) -> Iterator[Message]:
        head = self._head + text(_LIST_TABLE, table) + text(_LIST_SET, name)
        some: list[bytes] = []
        size = 0
        for element in elements:
            size += len(element)
            if size > _MOST:
                yield Message(_command(kind), flags, head + nested(_LIST_ELEMENTS, *some))
                some, size = [], len(element)
            some.append(element)
        if some:
            yield Message(_command(kind), flags, head + nested(_LIST_ELEMENTS, *some))


def _split(first: bytes | None, answers: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield from split(attributes(first, 4).get(_LIST_ELEMENTS, b""))
    for answer in answers:
        yield from split(attributes(answer, 4).get(_LIST_ELEMENTS, b""))


def _command(number: int) -> int:
    return SYSTEM << 8 | int(number)
