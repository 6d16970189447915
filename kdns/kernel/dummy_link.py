"""A link without a wire, which holds addresses that this node answers for. Every call waits; for a thread."""

from collections.abc import Iterable
from socket import AF_INET, if_nametoindex
from struct import Struct
from typing import Final

from pyroute2.netlink import NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK

from kdns.kernel.interfaces import ADDRESS, IFA_ADDRESS, IFA_LOCAL, list_addresses
from kdns.kernel.netlink import Netlink, attribute, nested, text

_LINK: Final = Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change."""
_IFLA_NAME, _IFLA_LINKINFO, _INFO_KIND = 3, 18, 1
_LINK_SCOPE: Final = 253
_NO_DUPLICATE_CHECK: Final = 0x02
_ENODEV, _EEXIST, _EADDRNOTAVAIL = 19, 17, 99


class DummyLink:
    """The addresses of one family on a link of this name; the link itself is of both."""

    def __init__(self, family: int, name: str) -> None:
        """``family`` is AF_INET or AF_INET6."""
        self.name, self._family = name, family
        self._link = Netlink(NETLINK_ROUTE, "addresses")

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()

    def create(self) -> bool:
        """Make the dummy link unless it is there; False: the kernel has no such kind of link."""
        body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_NAME, self.name)
        kind = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"dummy"))
        code = self._link.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, [body + kind])[0]
        if code in (0, _EEXIST):
            return True
        if code == 95:  # EOPNOTSUPP
            return False
        raise self._link.error(code, f"create {self.name}")

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
        for on, address, scope in list_addresses(self._link, self._family):
            if on != index:
                others.add(address)
            elif scope != _LINK_SCOPE:  # the link's own fe80:: address is not one of ours
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
        four = self._family == AF_INET
        flags = 0 if four else _NO_DUPLICATE_CHECK
        head = ADDRESS.pack(self._family, 32 if four else 128, flags, 0, self._index())
        return [head + attribute(IFA_LOCAL, a) + attribute(IFA_ADDRESS, a) for a in addresses]

    def _index(self) -> int:
        try:
            return if_nametoindex(self.name)
        except OSError:
            return 0
