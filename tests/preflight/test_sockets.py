"""Which ports are taken, and by whom, as /proc says it."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from kdns.preflight.sockets import Sockets, Taken, Transport
from tests.preflight.proc import Bound, machine

PROGRAMS = {12: "coredns", 40: "systemd-resolve", 77: "nginx"}
BOUND = (
    Bound(12, "udp6", "::", 53, "07"),
    Bound(40, "tcp", "127.0.0.53", 54),
    Bound(77, "tcp", "192.0.2.1", 8080),
    Bound(77, "tcp", "192.0.2.1", 9999, "01"),  # a connection, which takes no port
)
CASES: tuple[tuple[Transport, str, int, str], ...] = (
    ("udp", "", 53, "coredns (pid 12)"),
    ("udp", "192.0.2.1", 53, "coredns (pid 12)"),  # :: takes both families
    ("tcp", "", 53, ""),
    ("tcp", "", 54, "systemd-resolve (pid 40)"),
    ("tcp", "127.0.0.53", 54, "systemd-resolve (pid 40)"),
    ("tcp", "192.0.2.1", 54, ""),
    ("tcp", "0.0.0.0", 8080, "nginx (pid 77)"),
    ("tcp", "::1", 8080, ""),
    ("tcp", "::", 8080, "nginx (pid 77)"),
    ("tcp", "192.0.2.1", 9999, ""),
)


@pytest.mark.parametrize(("transport", "address", "port", "program"), CASES)
def test_who_has_a_port(tmp_path: Path, transport: Transport, address: str, port: int, program: str) -> None:
    """A socket is in the way if it has the same address, or one of both has every address."""
    taken = Sockets(machine(tmp_path, PROGRAMS, BOUND)).taken(transport, address, port)
    assert (taken.program if taken else "") == program


def test_a_program_that_is_not_ours_to_see(tmp_path: Path) -> None:
    """The port is taken all the same."""
    root = machine(tmp_path, PROGRAMS, BOUND)
    for link in (root / "proc/40/fd").iterdir():
        link.unlink()
    assert Sockets(root).taken("tcp", "", 54) == Taken("tcp", ip_address("127.0.0.53"), 54, "")


def test_programs(tmp_path: Path) -> None:
    """By name."""
    assert Sockets(machine(tmp_path, {1: "init", 5: "coredns", 6: "coredns"})).programs() == {
        "init": [1],
        "coredns": [5, 6],
    }


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_this_machine(family: socket.AddressFamily, address: str) -> None:
    """A socket of this very process is found in the kernel's own /proc, with its address in the right order."""
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        taken = Sockets().taken("tcp", address, port)
    assert taken is not None
    assert (taken.address, taken.port) == (ip_address(address), port)
    assert "(pid " in taken.program
