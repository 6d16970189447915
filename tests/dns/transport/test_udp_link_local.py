"""Link-local IPv6 addresses: they mean nothing without an interface, so replies must name it."""

import asyncio
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Final

import pytest

from kdns.dns.transport.udp import ReceiveMethod, UdpListener
from tests.dns.socket_responders import FakeResponder, answer, at_once, fast, has_ipv6

CLONE_NEWNET: Final = 0x4000_0000
ADDRESSES: Final = ("fe80::1", "::1", "2001:db8::1", "fe80::2")
ASKED: Final = (*((address, "") for address in ADDRESSES), ("fe80::1", "2001:db8::1"), ("2001:db8::1", "fe80::2"))
"""Each address asked, and from where; a reply from a link-local address to a global one needs the interface."""


def in_a_namespace(work: Callable[[], None]) -> None:
    """Run something in a network namespace of its own, in a thread that takes the namespace with it."""
    failures: list[BaseException] = []

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.unshare(CLONE_NEWNET):
                pytest.skip(f"no network namespace to be had: {os.strerror(ctypes.get_errno())}")
            subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
            for address in ADDRESSES:
                if address != "::1":
                    subprocess.run(("ip", "address", "add", f"{address}/64", "dev", "lo", "nodad"), check=True)
            for address in ADDRESSES:
                await_address(address)
            work()
        except BaseException as failure:  # noqa: BLE001 - handed to the test
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def await_address(address: str) -> None:
    """Wait until the kernel delivers to an address that was added: it finishes that in the background."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0, 0, socket.if_nametoindex("lo")))
        sock.settimeout(0.02)
        for _ in range(500):
            sock.sendto(b"", sock.getsockname())
            try:
                sock.recv(1)
            except TimeoutError:
                continue
            return
    pytest.fail(f"{address} does not come up")


async def ask_all(way: ReceiveMethod) -> None:
    """Ask each address at once, so that link-local and other addresses stand in one batch."""
    responder = FakeResponder("udp", 2)
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::", 0))
    listener = UdpListener(sock, 2, responder, way=way)
    clients = []
    for address, source in ASKED:
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.setblocking(False)
        if source:
            client.bind((source, 0, 0, socket.if_nametoindex("lo") if source.startswith("fe80") else 0))
        # connected, so that a reply from another address would not arrive
        client.connect((address, sock.getsockname()[1], 0, socket.if_nametoindex("lo")))
        client.send(fast(address))
        client.send(at_once(address))
        clients.append(client)
    listener.start()
    try:
        for (address, source), client in zip(ASKED, clients, strict=True):
            loop = asyncio.get_running_loop()
            got = {await asyncio.wait_for(loop.sock_recv(client, 1000), 120) for _ in range(2)}
            assert got == {answer(fast(address)), answer(at_once(address))}, (address, source)
        assert {one.local for one in responder.clients} == set(ADDRESSES)
        assert listener.losses.unsent == 0
    finally:
        listener.close()
        for client in clients:
            client.close()


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
@pytest.mark.needs_tool("ip")
@pytest.mark.needs_kernel(has_ipv6(), "IPv6: no ::1")
@pytest.mark.parametrize("way", ["mmsg", "msg"])
def test_link_local_addresses_reply_for_themselves(way: ReceiveMethod) -> None:
    """In one batch with others, at once and late."""
    in_a_namespace(lambda: asyncio.run(ask_all(way)))
