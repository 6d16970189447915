"""A network namespace of its own for a test, which this thread and the processes that it starts are in."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_serial = count()
_NEWNET = 0x40000000


@contextmanager
def inside_netns() -> Iterator[str]:
    """Go into a new namespace, and out of it again; its name. Needs root."""
    name = f"kdns-{os.getpid()}-ipt{next(_serial)}"
    subprocess.run(("ip", "netns", "add", name), check=True)
    try:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(os.open(Path("/run/netns", name), os.O_RDONLY), close=True)
            try:
                yield name
            finally:
                _enter(home)
        finally:
            os.close(home)
    finally:
        subprocess.run(("ip", "netns", "delete", name), check=True)


def _enter(namespace: int, *, close: bool = False) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.setns(namespace, _NEWNET)
    if close:
        os.close(namespace)
    if failed:
        raise OSError(ctypes.get_errno(), "setns")
