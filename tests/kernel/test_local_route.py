"""Addresses made local by a route, in a network namespace of their own."""

import socket
import subprocess

import pytest

from kdns.kernel.local_route import LocalRoute, add_local_routes, local_routes, remove_local_routes, source_towards
from tests.build import packed
from tests.proxy.apply.namespaces import in_a_namespace, needs_root

pytestmark = [pytest.mark.kernel, needs_root]
V4, V6 = packed("10.96.0.10"), packed("fd00:10:96::a")
NET = """
link set lo up
addr add 172.18.0.2/32 dev lo
addr add fc00::2/128 dev lo nodad
route add default dev lo
-6 route add default dev lo
"""


def net() -> None:
    """Addresses of a node, and a way everywhere."""
    for line in NET.strip().splitlines():
        subprocess.run(["ip", *line.split()], check=True)


@pytest.mark.parametrize("address", [V4, V6], ids=["v4", "v6"])
def test_an_address_becomes_local_and_no_longer(address: bytes) -> None:
    """It is listed, may be added again, and what is removed, or was not there, is no error."""

    def case() -> None:
        net()
        source = source_towards(address)
        assert source == packed("172.18.0.2" if len(address) == 4 else "fc00::2")
        for _ in range(2):
            add_local_routes([LocalRoute(address, source)])
            assert local_routes() == {address}
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        text = socket.inet_ntop(family, address)
        with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
            server.setsockopt(socket.IPPROTO_IP, 15, 1)
            server.bind((text, 5300))
            client.connect((text, 5300))
            client.send(b"question")
            message, peer = server.recvfrom(100)
            assert (message, socket.inet_pton(family, peer[0])) == (b"question", source)
        remove_local_routes([address, address])
        assert local_routes() == frozenset()

    in_a_namespace(case)


def test_routes_of_others_are_not_ours() -> None:
    """The kernel's own local routes, and those of another protocol number, are neither listed nor removed."""

    def case() -> None:
        net()
        subprocess.run(
            ["ip", "route", "add", "local", "10.96.0.11", "dev", "lo", "table", "local", "proto", "42"], check=True
        )
        add_local_routes([LocalRoute(V4)])
        assert local_routes() == {V4}
        remove_local_routes([packed("10.96.0.11")])
        listed = subprocess.run(
            ["ip", "route", "show", "table", "local", "proto", "42"], capture_output=True, check=True
        ).stdout
        assert b"10.96.0.11" in listed

    in_a_namespace(case)


def test_no_way_there() -> None:
    """An address that nothing leads to has no source."""

    def case() -> None:
        assert source_towards(V4) == b""

    in_a_namespace(case)
