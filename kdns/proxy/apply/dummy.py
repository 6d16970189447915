"""The link that holds service addresses, and which addresses this node has. Every call waits; for a thread."""

from collections.abc import Iterable
from socket import AF_INET, AF_INET6, if_nametoindex
from struct import Struct
from typing import Final

from pyroute2.netlink import NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_DELLINK, RTM_GETADDR, RTM_NEWADDR, RTM_NEWLINK

from kdns.kernel.netlink import Netlink, attribute, attributes, nested, text
from kdns.proxy.model import Family

_LINK: Final = Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change."""
_ADDRESS: Final = Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_IFLA_NAME, _IFLA_LINKINFO, _INFO_KIND = 3, 18, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NO_DUPLICATE_CHECK: Final = 0x02
_ENODEV, _EEXIST, _EADDRNOTAVAIL = 19, 17, 99


class AddressKernel:
    """Addresses of one family."""

    def __init__(self, family: Family, dummy: str) -> None:
        self.family, self.dummy = family, dummy
        self._af = AF_INET if family is Family.IPV4 else AF_INET6
        self._link = Netlink(NETLINK_ROUTE, "addresses")

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()

    def create(self) -> bool:
        """Make the dummy link unless it is there; False: the kernel has no such kind of link."""
        body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_NAME, self.dummy)
        kind = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"dummy"))
        code = self._link.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, [body + kind])[0]
        if code in (0, _EEXIST):
            return True
        if code == 95:  # EOPNOTSUPP
            return False
        raise self._link.error(code, f"create {self.dummy}")

    def remove_link(self) -> None:
        """Remove the dummy link with all its addresses, of both families; none is no error."""
        if index := self._index():
            self._link.command(RTM_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0), accepted=(_ENODEV,))

    def there(self) -> bool:
        """The dummy link exists."""
        return self._index() != 0

    def addresses(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """Those of this family on the dummy link, and those on all others."""
        index = self._index()
        ours, others = set(), set()
        for answer in self._link.dump(RTM_GETADDR, bytes((self._af,)) + bytes(7)):
            family, _, _, scope, on = _ADDRESS.unpack_from(answer)
            found = attributes(answer, _ADDRESS.size)
            address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
            if family != self._af or address is None:
                continue
            if on != index:
                others.add(address)
            elif scope != 253:  # the link's own fe80:: address is nobody's business
                ours.add(address)
        return frozenset(ours), frozenset(others)

    def add(self, addresses: Iterable[bytes]) -> list[int]:
        """Put addresses on the dummy link; an errno for each. What is there is no error."""
        codes = self._link.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, self._payloads(addresses))
        return [0 if code == _EEXIST else code for code in codes]

    def remove(self, addresses: Iterable[bytes]) -> None:
        """Take them away; what is not there is no error."""
        for code in self._link.ask(RTM_DELADDR, 0, self._payloads(addresses)):
            if code not in (0, _EADDRNOTAVAIL):
                raise self._link.error(code, "remove an address")

    def _payloads(self, addresses: Iterable[bytes]) -> list[bytes]:
        head = _ADDRESS.pack(self._af, self.family.width * 8, _NO_DUPLICATE_CHECK, 0, self._index())
        if self.family is Family.IPV4:
            head = head[:2] + b"\0" + head[3:]
        return [head + attribute(_IFA_LOCAL, a) + attribute(_IFA_ADDRESS, a) for a in addresses]

    def _index(self) -> int:
        try:
            return if_nametoindex(self.dummy)
        except OSError:
            return 0
