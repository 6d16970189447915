"""A process as the kubelet starts it: a root that is read-only, a user, its capabilities, a network of its own."""

import ctypes
import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

NET_ADMIN, NET_BIND_SERVICE, NET_RAW = 12, 10, 13
EVERY: Final = tuple(range(41))
"""Capability numbers, as in linux/capability.h."""
_CLONE_NEWNS, _CLONE_NEWNET = 0x0002_0000, 0x4000_0000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 8, 24, 38
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_LIBC = ctypes.CDLL(None, use_errno=True)


class Security(NamedTuple):
    """A Pod's securityContext, as the container runtime carries it out."""

    user: int = 0
    capabilities: tuple[int, ...] = EVERY
    """The bounding and the permitted set."""
    no_new_privs: bool = False
    """allowPrivilegeEscalation: false"""
    read_only: bool = False
    privileged: bool = False
    """Nothing is taken away, and /proc/sys may be written."""


def start(
    root: Path,
    argv: Sequence[str],
    environ: Mapping[str, str],
    security: Security,
    mounts: Mapping[str, Path],
    *,
    own_network: bool = True,
) -> subprocess.Popen[str]:
    """Begin a process in a root of its own; ``mounts``: path inside -> folder or file of ours.

    Mount points must be there already. What it prints comes through one pipe. Without a network of its own it is in
    that of the calling thread.
    """

    def confine() -> None:
        _check(_LIBC.unshare(_CLONE_NEWNS | (_CLONE_NEWNET if own_network else 0)), "unshare")
        _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        if own_network:
            _lo_up()
        for inside, ours in mounts.items():
            _mount(str(ours), f"{root}{inside}", None, _MS_BIND)
        if not security.privileged:
            _mount(f"{root}/proc/sys", f"{root}/proc/sys", None, _MS_BIND)
            _mount(None, f"{root}/proc/sys", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
        if security.read_only:  # this mount alone: the file system is that of other containers, too
            _mount(None, str(root), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
        os.chroot(root)
        os.chdir("/")
        _become(security)

    return subprocess.Popen(
        argv,
        preexec_fn=confine,  # noqa: PLW1509 - no thread of the tests holds a lock that this needs
        env=dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _become(security: Security) -> None:
    """As runc does it: the bounding set, then the user with its permitted set kept, then no_new_privs."""
    if security.privileged:
        return
    for number in range(64):
        if number not in security.capabilities:
            _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # EINVAL: beyond the last one there is
    _check(_LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "keepcaps")
    os.setgroups([])
    os.setresgid(security.user, security.user, security.user)
    os.setresuid(security.user, security.user, security.user)
    bits = sum(1 << number for number in security.capabilities)
    halves = (bits & 0xFFFF_FFFF, bits >> 32)
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))
    sets = ctypes.create_string_buffer(struct.pack("<6I", halves[0], halves[0], 0, halves[1], halves[1], 0))
    _check(_LIBC.capset(header, sets), "capset")
    if security.no_new_privs:
        _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _lo_up() -> None:
    fd = _LIBC.socket(2, 2, 0)
    request = ctypes.create_string_buffer(struct.pack("16sH22x", b"lo", 0))
    _check(_LIBC.ioctl(fd, _SIOCGIFFLAGS, request), "lo")
    (flags,) = struct.unpack_from("H", request, 16)
    struct.pack_into("H", request, 16, flags | 1)
    _check(_LIBC.ioctl(fd, _SIOCSIFFLAGS, request), "lo up")
    os.close(fd)


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    _check(_LIBC.mount(*encoded, ctypes.c_ulong(flags), None), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
