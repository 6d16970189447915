"""A question to the cluster DNS, asked once: who asks again would hide what was lost."""

import select
import socket
import struct
from typing import Final

from kdns.lab import namespaces as kernel

KUBE_DNS: Final = ("10.96.0.10", 53)
_HEAD: Final = struct.Struct("!6H")
_RECURSION: Final = 0x0100
_A_IN: Final = struct.pack("!2H", 1, 1)


def query(name: str, number: int = 0) -> bytes:
    """A query for the address (A) of a name; ``number`` is its id."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.rstrip(".").split("."))
    return _HEAD.pack(number & 0xFFFF, _RECURSION, 1, 0, 0, 0) + labels + b"\0" + _A_IN


def answered(response: bytes) -> bool:
    """Whether a response says NOERROR."""
    return len(response) >= _HEAD.size and response[3] & 0x0F == 0


def is_answered(network: int, name: str, patience: float) -> bool:
    """Whether the cluster DNS answers a name with NOERROR, asked from a network namespace. This waits."""
    with kernel.socket_in(network, socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(KUBE_DNS)
            asking.send(query(name))
            readable, _, _ = select.select((asking,), (), (), patience)
            return bool(readable) and answered(asking.recv(4096))
        except OSError:
            return False  # refused or unreachable, for now
