"""Packet counters of the kernel that rules refer to by name (nfacct), by netlink.

Layout: linux/netfilter/nfnetlink_acct.h. A counter belongs to a network namespace and stays until it is deleted, which
the kernel refuses while a rule refers to it.
"""

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL

from kdns.base.errors import KernelError
from kdns.kernel.netlink import Netlink, attributes, text

_SUBSYSTEM: Final = 7 << 8  # NFNL_SUBSYS_ACCT
_NEW, _GET, _DELETE = _SUBSYSTEM | 0, _SUBSYSTEM | 1, _SUBSYSTEM | 3
_NAME, _PACKETS = 1, 2
_HEADER: Final = bytes(4)
"""struct nfgenmsg: no address family."""
_COUNT: Final = Struct(">Q")
_ENOENT, _EBUSY, _EEXIST = 2, 16, 17


def create_counters(names: Iterable[str]) -> None:
    """Have these counters; those that exist keep what they count. KernelError or OSError: the kernel has none."""
    with Netlink(NETLINK_NETFILTER, "nfacct") as link:
        for name in names:
            link.command(_NEW, NLM_F_CREATE | NLM_F_EXCL, _HEADER + text(_NAME, name), (_EEXIST,))


def delete_counters(names: Iterable[str]) -> None:
    """Delete these counters, but those that rules refer to. KernelError or OSError: the kernel has none."""
    with Netlink(NETLINK_NETFILTER, "nfacct") as link:
        for name in names:
            link.command(_DELETE, 0, _HEADER + text(_NAME, name), (_ENOENT, _EBUSY))


def packets(names: Iterable[str]) -> Mapping[str, int]:
    """What the counters have counted; those that do not exist are left out. Never raises."""
    counts: dict[str, int] = {}
    try:
        with Netlink(NETLINK_NETFILTER, "nfacct") as link:
            for name in names:
                try:
                    for answer in link.dump(_GET, _HEADER + text(_NAME, name), flags=NLM_F_ACK):
                        parts = attributes(answer, len(_HEADER))
                        counts[name] = _COUNT.unpack(parts[_PACKETS])[0]
                except KernelError:
                    continue  # it does not exist
    except OSError:
        return {}
    return counts
