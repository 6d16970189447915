"""The system calls of a lab: make, enter and keep namespaces. Python has them from 3.12 on.

A namespace here is an open file, and lives as long as that, or as a process or socket in it.
"""

import ctypes
import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NEW_MOUNTS: Final = 0x0002_0000
NEW_NAMES: Final = 0x0400_0000
"""Host name (CLONE_NEWUTS)."""
NEW_PROCESSES: Final = 0x2000_0000
NEW_NETWORK: Final = 0x4000_0000
OWN_FOLDERS: Final = 0x0000_0200
"""CLONE_FS: a thread with folders (root, current) of its own; without them it may not enter another mount namespace."""
_PRIVATE: Final = 1 << 18 | 1 << 14  # MS_PRIVATE | MS_REC
_BIND: Final = 1 << 12
_ETHTOOL: Final = 0x8946  # SIOCETHTOOL
_GET_LINK: Final = 0x0A  # ETHTOOL_GLINK
_LOCAL: Final = 0x8000_0000  # RTF_LOCAL
_PATIENCE: Final = 5.0

_libc: Final = ctypes.CDLL(None, use_errno=True)


def unshare(kinds: int) -> None:
    """Move the calling thread into new namespaces; its children alone for `NEW_PROCESSES`."""
    _check(_libc.unshare(kinds))


def enter(namespace: int, kind: int) -> None:
    """Move the calling thread into a namespace; its children alone for `NEW_PROCESSES`."""
    _check(_libc.setns(namespace, kind))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount; see mount(2)."""
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()))


def keep_mounts_to_ourselves() -> None:
    """What this mount namespace mounts is not seen by the one it came from."""
    mount("none", "/", flags=_PRIVATE)


def bind(source: str, target: str) -> None:
    """Show a file or folder at another place, too."""
    mount(source, target, flags=_BIND)


def own(kind: str) -> int:
    """A namespace of the calling thread: an open file of ``net``, ``mnt``, ``uts`` or ``pid``."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(network: int) -> Iterator[None]:
    """The calling thread, alone, in a network namespace; a socket made there stays there. Never await meanwhile."""
    home = own("net")
    try:
        enter(network, NEW_NETWORK)
        try:
            yield
        finally:
            enter(home, NEW_NETWORK)
    finally:
        os.close(home)


def socket_in(network: int, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket of a network namespace that does not block."""
    with inside(network):
        made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def bound(network: int, address: str, port: int) -> socket.socket:
    """A TCP socket of a network namespace, bound and ready to listen."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket_in(network, family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made


def settle(network: int, links: Iterable[str] = ()) -> None:
    """Wait for what the kernel does later of its own accord, in a network whose links' far ends are up.

    It tells a link that its far end is up as much as a second late (linkwatch), and until then the link drops what it
    should send. Asking for its state as `ethtool` does makes it look. And it takes up an IPv6 address in a work queue:
    until then, packets to it leave the network. TimeoutError if that takes more than some seconds.
    """
    with inside(network), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for link in links:
            state = (ctypes.c_uint32 * 2)(_GET_LINK, 0)
            fcntl.ioctl(asking, _ETHTOOL, struct.pack("16sP", link.encode(), ctypes.addressof(state)))
        until = time.monotonic() + _PATIENCE
        while not _addresses().issubset(_local_routes()):
            if time.monotonic() > until:
                raise TimeoutError(f"IPv6 addresses that the kernel did not take up: {_addresses() - _local_routes()}")
            time.sleep(0.001)


def _addresses() -> set[str]:
    lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    return {line.split()[0] for line in lines}


def _local_routes() -> set[str]:
    """Addresses that packets are taken in for; the flag (RTF_LOCAL) is in the last field but one."""
    routes = (line.split() for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines())
    return {route[0] for route in routes if int(route[-2], 16) & _LOCAL}


def write_sysctls(values: Mapping[str, str]) -> None:
    """Write sysctls of the calling thread's network namespace; names are paths below /proc/sys."""
    for name, value in values.items():
        Path("/proc/sys", name).write_text(value)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
