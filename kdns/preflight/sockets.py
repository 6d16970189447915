"""Which ports of this network namespace are taken, and by which programs: /proc/net and /proc/PID/fd (proc(5))."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple

Transport = Literal["udp", "tcp"]
LISTEN: Final = "0A"
"""A listening TCP socket, in /proc/net/tcp."""
CONTAINED: Final = re.compile(r"socket:\[(\d+)\]")


class Taken(NamedTuple):
    """One socket that takes a port."""

    transport: Transport
    address: IPv4Address | IPv6Address
    port: int
    program: str
    """``coredns (pid 812)``; empty if it is not ours to see, as without root or in a Pod."""


class Sockets:
    """What /proc says at one moment."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._taken: list[Taken] | None = None

    def taken(self, transport: Transport, address: str, port: int) -> Taken | None:
        """The socket in the way of one on this address and port; the empty address stands for all."""
        if self._taken is None:
            self._taken = list(self._read())
        for socket_ in self._taken:
            if (socket_.transport, socket_.port) == (transport, port) and _meet(address, socket_.address):
                return socket_
        return None

    def programs(self) -> dict[str, list[int]]:
        """The names of what runs, each with its process ids."""
        holders: dict[str, list[int]] = {}
        for folder in self._processes():
            try:
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue  # it has ended meanwhile
            holders.setdefault(name, []).append(int(folder.name))
        return holders

    def _processes(self) -> Iterator[Path]:
        return (path for path in self._proc.iterdir() if path.name.isdecimal())

    def _read(self) -> Iterator[Taken]:
        owners = self._owners()
        transports: tuple[Transport, ...] = ("udp", "tcp")
        for transport in transports:
            for file in (transport, f"{transport}6"):
                try:
                    lines = (self._proc / "net" / file).read_text().splitlines()[1:]
                except OSError:
                    continue  # a kernel without IPv6
                for line in lines:
                    _, local, _, state, *rest = line.split()
                    if transport == "udp" or state == LISTEN:
                        address, _, port = local.partition(":")
                        yield Taken(transport, _address(address), int(port, 16), owners.get(rest[5], ""))

    def _owners(self) -> dict[str, str]:
        """Inode of a socket -> its program."""
        owners: dict[str, str] = {}
        for folder in self._processes():
            try:
                name = (folder / "comm").read_text().strip()
                for fd in (folder / "fd").iterdir():
                    if match := CONTAINED.fullmatch(str(fd.readlink())):
                        owners[match[1]] = f"{name} (pid {folder.name})"
            except OSError:
                continue  # not ours to see, or it has ended meanwhile
        return owners


def _address(text: str) -> IPv4Address | IPv6Address:
    """As /proc/net has addresses: words of four octets, each in the order of this machine (little-endian)."""
    words = (bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return ip_address(b"".join(words))


def _meet(wanted: str, taken: IPv4Address | IPv6Address) -> bool:
    """Both cannot be bound: the same address, or one of them is every address."""
    if not wanted or (taken.is_unspecified and (taken.version == 6 or ip_address(wanted).version == 4)):
        return True
    asked = ip_address(wanted.partition("%")[0])
    return asked == taken or (asked.is_unspecified and (asked.version == 6 or taken.version == 4))
