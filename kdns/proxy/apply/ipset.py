"""The sets of IPVS mode in the kernel: kube-proxy's names and members. Every call waits; for a thread."""

from collections.abc import Iterable, Mapping, Sequence
from socket import IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP
from typing import Final

from kdns.kernel.ipset import Entry, IpSets
from kdns.proxy.apply.applier import AF
from kdns.proxy.model import Family, Protocol
from kdns.proxy.render.ipvs.virtual_servers import Member, SetType, set_name

PROTOCOLS: Final[Mapping[Protocol, int]] = {"TCP": IPPROTO_TCP, "UDP": IPPROTO_UDP, "SCTP": IPPROTO_SCTP}
_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}


class SetKernel:
    """The sets of one family, by their names without the family's prefix."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._sets = IpSets(AF[family])

    def close(self) -> None:
        """Give the socket back."""
        self._sets.close()

    def create(self, name: str, kind: SetType) -> None:
        """Make a set unless it is there; one of another type is an error (EEXIST)."""
        self._sets.create(set_name(name, self.family), kind.kind, marks=kind.marks)

    def add(self, items: Iterable[tuple[tuple[str, Member], int]]) -> list[int]:
        """Put members (by set, with marks) in; an errno for each. What is there gets the mark."""
        return self._sets.add((set_name(name, self.family), _entry(member, mark)) for (name, member), mark in items)

    def remove(self, items: Iterable[tuple[str, Member]]) -> None:
        """Take members out; that they or their set are not there is no error."""
        self._sets.remove((set_name(name, self.family), _entry(member)) for name, member in items)

    def members(self, name: str, kind: SetType) -> dict[Member, int] | None:
        """What a set holds, with marks; None: there is no such set."""
        entries = self._sets.members(set_name(name, self.family))
        return None if entries is None else {self._member(entry, kind): entry.mark for entry in entries}

    def sizes(self) -> dict[str, int]:
        """How many members each set of the kernel has, by its name there."""
        return self._sets.sizes()

    def destroy(self, names: Sequence[str]) -> None:
        """Remove sets that no rule uses any more; those that are not there are no error."""
        self._sets.destroy([set_name(name, self.family) for name in names])

    def _member(self, entry: Entry, kind: SetType) -> Member:
        length = entry.length
        if kind.kind == "hash:ip,port,net" and not length:
            length = self.family.width * 8
        protocol = None if entry.protocol is None else _NAMES.get(entry.protocol)
        return Member(entry.port, protocol, entry.address, entry.other, length)


def _entry(member: Member, mark: int = 0) -> Entry:
    protocol = None if member.protocol is None else PROTOCOLS[member.protocol]
    return Entry(member.address, member.port, protocol, member.other, member.length, mark)
