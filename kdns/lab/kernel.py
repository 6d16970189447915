"""The system calls of a lab: make, enter and keep namespaces. Python has them from 3.12 on.

A namespace here is an open file, and lives as long as that, or as a process or socket in it.
"""

import ctypes
import os
import socket
from collections.abc import Iterator, Mapping
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


def write_sysctls(values: Mapping[str, str]) -> None:
    """Write sysctls of the calling thread's network namespace; names are paths below /proc/sys."""
    for name, value in values.items():
        Path("/proc/sys", name).write_text(value)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
