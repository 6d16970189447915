"""What a file like /etc/hosts says, pure: owners and their addresses, and the names of addresses."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

from kdns.dns.api.zones import Zones
from kdns.wire.name import ROOT, parse_name
from kdns.wire.reverse import reverse_name

STAR: Final = b"\1*"
"""The first label of a name that stands for every name with another first label."""


class Table:
    """Names to packed addresses, and reverse names to names. Each record is there once, in the order of the file."""

    def __init__(self) -> None:
        self.addresses: dict[bytes, dict[bytes, None]] = {}
        self.wild: dict[bytes, dict[bytes, None]] = {}
        """By the name behind the asterisk."""
        self.names: dict[bytes, dict[bytes, None]] = {}
        """By reverse name."""
        self.above: set[bytes] = set()
        """Every name of the table, and all names above one."""

    @property
    def entries(self) -> int:
        """Addresses of names, and names of addresses."""
        return sum(len(values) for kept in (self.addresses, self.wild, self.names) for values in kept.values())

    def add(self, name: bytes, packed: bytes, *, reverse: bool) -> None:
        """Put in one name of one address."""
        if name.startswith(STAR):
            behind = name[len(STAR) :]
            self.wild.setdefault(behind, {})[packed] = None
            self._note(behind)
            return
        self.addresses.setdefault(name, {})[packed] = None
        self._note(name)
        if reverse:
            back = reverse_name(packed)
            self.names.setdefault(back, {})[name] = None
            self._note(back)

    def _note(self, name: bytes) -> None:
        while name not in self.above:
            self.above.add(name)
            if name == ROOT:
                return
            name = name[1 + name[0] :]

    def find(self, name: bytes, size: int) -> list[bytes]:
        """The addresses of a folded name with that many octets; those of the name itself hide the asterisk's."""
        addresses = [address for address in self.addresses.get(name, ()) if len(address) == size]
        if not addresses and name != ROOT:
            addresses = [address for address in self.wild.get(name[1 + name[0] :], ()) if len(address) == size]
        return addresses

    def holds(self, name: bytes) -> bool:
        """True if a folded name has an address or a name here."""
        return name in self.addresses or name in self.names or (name != ROOT and name[1 + name[0] :] in self.wild)


EMPTY: Final = Table()
"""The table of a file that does not exist."""


def parse_hosts(lines: Iterable[str], zones: Zones, *, reverse: bool) -> Table:
    """The table of a hosts file, as far as its names are in the zones.

    Comments, and lines or names that are not valid, are skipped, as every reader of such files does it.
    """
    table = Table()
    for line in lines:
        first, *names = line.partition("#")[0].split() or ("",)
        packed = parse_address(first)
        if packed is None:
            continue
        for text in names:
            try:
                name = parse_name(text)
            except ValueError:
                continue
            if zones.of(name) is not None:
                table.add(name, packed, reverse=reverse)
    return table


def parse_address(text: str) -> bytes | None:
    """A packed address; None for any other text. The zone of a link-local one (fe80::1%eth0) is left out.

    An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed
