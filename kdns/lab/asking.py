"""Probes with real sockets from any part of a lab: who answers, and as whom it sees us.

Hundreds can wait at once on the caller's event loop; none needs a process or a thread.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Coroutine
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, TypeVar

from kdns.lab import namespaces as kernel
from kdns.lab.serving import PROTOCOLS

QUESTION: Final = b"who\n"
PATIENCE: Final = 0.5
"""Seconds until silence is an outcome."""
_LEAVE_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset, so that the same source port can be used again at once."""


_UNREACHABLE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EACCES, errno.ETIMEDOUT}
T = TypeVar("T")


class Arrived(NamedTuple):
    """A server answered: its name, and the client that it saw."""

    name: str
    client: str
    port: int


class Refused(NamedTuple):
    """A TCP reset, or an ICMP "port unreachable"."""


class Silence(NamedTuple):
    """Nothing came back in time, or the own kernel dropped what we sent."""


class Unreachable(NamedTuple):
    """No route, or another ICMP error than that of `Refused`: the errno's name, such as EHOSTUNREACH."""

    why: str


Outcome = Arrived | Refused | Silence | Unreachable


class Flow:
    """A connection, or a UDP socket that keeps its port: ask as often as you like. Close it."""

    def __init__(self, asking: socket.socket) -> None:
        self._socket = asking

    @property
    def port(self) -> int:
        """Our port."""
        port = self._socket.getsockname()[1]
        assert isinstance(port, int)
        return port

    async def ask(self, timeout: float = PATIENCE) -> Outcome:  # noqa: ASYNC109 - silence is an outcome, no error
        """Ask on this flow."""
        return await _within(timeout, _ask(self._socket))

    def close(self) -> None:
        """Close it at once: a connection with a reset."""
        self._socket.close()


async def probe(
    network: int,
    protocol: str,
    address: str,
    port: int,
    *,
    source: str = "",
    source_port: int = 0,
    timeout: float = PATIENCE,  # noqa: ASYNC109
) -> Outcome:
    """Ask once from a network namespace and hang up. ``source`` is an address to ask from; the kernel's choice if not
    given, and so with the port. OSError for mistakes of the caller, such as an address that is not there.
    """
    made = await open_flow(network, protocol, address, port, source=source, source_port=source_port, timeout=timeout)
    if not isinstance(made, Flow):
        return made
    try:
        return await made.ask(timeout)
    finally:
        made.close()


async def open_flow(
    network: int,
    protocol: str,
    address: str,
    port: int,
    *,
    source: str = "",
    source_port: int = 0,
    timeout: float = PATIENCE,  # noqa: ASYNC109
) -> Flow | Refused | Silence | Unreachable:
    """Connect from a network namespace and keep it; or how connecting ended. For UDP nothing is sent yet."""
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    made = kernel.socket_in(network, family, *PROTOCOLS[protocol])
    try:
        if protocol == "TCP":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LEAVE_AT_ONCE)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if source or source_port:
            made.bind((source or ("0.0.0.0" if family == socket.AF_INET else "::"), source_port))
        ended = await _within(timeout, _connect(made, address, port))
    except BaseException:
        made.close()
        raise
    if ended is None:
        return Flow(made)
    made.close()
    assert not isinstance(ended, Arrived)
    return ended


async def _connect(made: socket.socket, address: str, port: int) -> None:
    await asyncio.get_running_loop().sock_connect(made, (address, port))


async def _ask(made: socket.socket) -> Outcome:
    loop = asyncio.get_running_loop()
    # A rule of our own kernel's OUTPUT may drop the datagram; if it also refuses, we hear of that next.
    with contextlib.suppress(PermissionError):
        await loop.sock_sendall(made, QUESTION)
    answer = b""
    while not answer.endswith(b"\n"):
        more = await loop.sock_recv(made, 4096)
        if not more:
            return Refused()  # the server has closed the connection
        answer += more
    name, client, port = answer.decode().split()
    return Arrived(name, client, int(port))


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> "T | Refused | Silence | Unreachable":
    """What the work says, or what an error of the network means."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return Silence()
    except (ConnectionRefusedError, ConnectionResetError):
        return Refused()
    except PermissionError:  # a rule of our own kernel's OUTPUT dropped it
        return Silence()
    except OSError as problem:
        if problem.errno not in _UNREACHABLE:
            raise
        return Unreachable(errno.errorcode[problem.errno])
