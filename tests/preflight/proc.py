"""A /proc of a machine that there is not: its processes, sockets and sysctls."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
ALL = (1 << 41) - 1
"""Every capability that there is."""


class Bound(NamedTuple):
    """A socket of a process."""

    pid: int
    table: str
    """``udp``, ``tcp6``: a file of /proc/net."""
    address: str
    port: int
    state: str = "0A"


def machine(
    root: Path,
    programs: Mapping[int, str] = {},
    bound: tuple[Bound, ...] = (),
    sysctls: Mapping[str, str] = {},
    capabilities: int = ALL,
) -> Path:
    """Write it below a folder, which is then the root of that machine."""
    net = root / "proc/net"
    net.mkdir(parents=True)
    for pid, name in programs.items():
        (root / f"proc/{pid}/fd").mkdir(parents=True)
        (root / f"proc/{pid}/comm").write_text(f"{name}\n")
    for table in ("udp", "udp6", "tcp", "tcp6"):
        lines = [HEAD]
        for inode, one in enumerate(bound, 1000):
            if one.table == table:
                lines.append(_line(one, inode))
                (root / f"proc/{one.pid}/fd/{inode}").symlink_to(f"socket:[{inode}]")
        (net / table).write_text("\n".join(lines) + "\n")
    for name, value in sysctls.items():
        path = root / "proc/sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (root / "proc/self").mkdir()
    (root / "proc/self/status").write_text(f"Name:\tpython3\nCapEff:\t{capabilities:016x}\n")
    cpus = root / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    (cpus / "online").write_text("0-1\n")
    return root


def _line(one: Bound, inode: int) -> str:
    """As in proc_net(5): addresses are words of four octets, each little-endian."""
    packed = ip_address(one.address).packed
    address = "".join(packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))
    rest = f"{'0' * len(address)}:0000 {one.state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 2"
    return f"   0: {address}:{one.port:04X} {rest} 0000000000000000 0"
