"""A node in network namespaces of its own: three pods behind it and a client outside, all real, in both families.

::

    pod a 10.244.1.2 ──┐
    pod b 10.244.1.3 ──┤ node 192.0.2.1 ── client 192.0.2.100, 192.0.2.200
    pod c 10.244.2.2 ──┘ (stands for one on another node)

Every pod answers on TCP and UDP port 8080 with its letter and the source address it sees.
"""

import asyncio
import errno
import selectors
import socket
import subprocess
import threading
from collections.abc import Sequence
from functools import partial
from os import getpid
from socket import AddressFamily
from typing import NamedTuple

from pyroute2 import netns

from kdns.kernel.nftables import Nftables
from kdns.kernel.run import PATIENCE, Runner, run
from kdns.proxy.apply.nftables import NftablesApplier
from kdns.proxy.model import Family
from tests.proxy.nftables_plan import POD_A, POD_B, POD_C, V4, V6, client, node_address, pod

SILENCE = 1.6
"""Seconds without an answer that count as none. Over veth a refusal may come while connect() still holds the socket,
and is then lost (LockDroppedIcmps): what is refused for certain is the SYN that comes a second later."""
PORT = 8080


class Answer(NamedTuple):
    """What a client sees."""

    pod: str
    """a, b or c; or what became of the attempt: refused, silence."""
    source: str = ""
    """Whom the pod thinks it talks to."""


REFUSED, SILENT = Answer("refused"), Answer("silence")


def ip(*words: str) -> None:
    """Runs ip(8)."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def sysctl(namespace: str, *settings: str) -> None:
    """Set kernel settings inside a namespace."""
    subprocess.run(
        ["ip", "netns", "exec", namespace, "sysctl", "-qw", *settings], check=True, capture_output=True, text=True
    )


def runner_in(namespace: str) -> Runner:
    """Runs tools inside a namespace."""

    async def inside(argv: Sequence[str], stdin: str | bytes = b"", patience: float = PATIENCE) -> str:
        return await run(["ip", "netns", "exec", namespace, *argv], stdin, patience)

    return inside


def socket_in(namespace: str, family: Family, kind: socket.SocketKind) -> socket.socket:
    """A socket stays in the namespace it was made in; only a thread of its own goes there."""
    made: list[socket.socket] = []

    def make() -> None:
        netns.setns(namespace)
        made.append(socket.socket(socket.AF_INET if family is V4 else socket.AF_INET6, kind))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def tables_in(namespace: str, family: AddressFamily) -> Nftables:
    """Tables of nftables in a namespace; the netlink socket stays there, too."""
    made: list[Nftables] = []

    def make() -> None:
        netns.setns(namespace)
        made.append(Nftables(family))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


class NodeNet:
    """Make it with ``with``; everything is gone afterwards."""

    def __init__(self) -> None:
        self.node, self.outside = f"kdns-{getpid()}-node", f"kdns-{getpid()}-out"
        self.pods = tuple(f"kdns-{getpid()}-pod-{letter}" for letter in "abc")
        self.run = runner_in(self.node)
        self._sockets: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        self._over = False
        self._thread = threading.Thread(target=self._serve)

    def applier(self, family: Family) -> NftablesApplier:
        """Of nftables mode, on the node."""
        return NftablesApplier(family, self.run, connect=partial(tables_in, self.node))

    def __enter__(self) -> "NodeNet":
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        for each in self._sockets:
            each.close()
        self._selector.close()
        self._remove()

    def _remove(self) -> None:
        for namespace in (self.node, self.outside, *self.pods):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def _build(self) -> None:
        for namespace in (self.node, self.outside, *self.pods):
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        sysctl(self.node, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0")
        # By default a host is told once a second that it is refused.
        sysctl(self.node, "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        self._link("out", self.outside)
        for address in (f"{node_address(V4)}/24", f"{node_address(V6)}/64"):
            ip("-n", self.node, "addr", "add", address, "dev", "out", "nodad")
        for number, preferred in ((100, "forever"), (200, "0")):  # 200 only for those who ask for it
            for address in (f"{client(V4, number)}/24", f"{client(V6, number)}/64"):
                ip("-n", self.outside, "addr", "add", address, "dev", "eth0", "nodad", "preferred_lft", preferred)
        ip("-n", self.outside, "route", "add", "default", "via", node_address(V4))
        ip("-n", self.outside, "-6", "route", "add", "default", "via", node_address(V6))
        # Where the node sends what is for no one: what has no route does not reach its rules.
        ip("-n", self.node, "link", "add", "void", "type", "veth", "peer", "name", "void2")
        ip("-n", self.node, "link", "set", "void", "up")
        ip("-n", self.node, "link", "set", "void2", "up")
        ip("-n", self.node, "route", "add", "default", "dev", "void", "src", node_address(V4))
        ip("-n", self.node, "-6", "route", "add", "default", "dev", "void", "src", node_address(V6))
        for which, namespace in enumerate(self.pods):
            self._pod(which, namespace)

    def _link(self, name: str, namespace: str) -> None:
        ip("-n", self.node, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("-n", self.node, "link", "set", name, "up")
        ip("-n", namespace, "link", "set", "eth0", "up")

    def _pod(self, which: int, namespace: str) -> None:
        link = f"pod{which}"
        self._link(link, namespace)
        ip("-n", self.node, "addr", "add", "169.254.1.1/32", "dev", link)
        ip("-n", self.node, "addr", "add", "fe80::1/64", "dev", link, "nodad")
        ip("-n", self.node, "route", "add", pod(V4, which), "dev", link)
        ip("-n", self.node, "-6", "route", "add", pod(V6, which), "dev", link)
        ip("-n", namespace, "addr", "add", f"{pod(V4, which)}/32", "dev", "eth0")
        ip("-n", namespace, "addr", "add", f"{pod(V6, which)}/128", "dev", "eth0", "nodad")
        ip("-n", namespace, "route", "add", "169.254.1.1", "dev", "eth0")
        ip("-n", namespace, "route", "add", "default", "via", "169.254.1.1")
        ip("-n", namespace, "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
        for family in (V4, V6):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                server = socket_in(namespace, family, kind)
                server.bind((pod(family, which), PORT))
                if kind is socket.SOCK_STREAM:
                    server.listen(16)
                server.setblocking(False)
                self._sockets.append(server)
                self._selector.register(server, selectors.EVENT_READ, "abc"[which])

    def _serve(self) -> None:
        """Answer until it is over; every line a TCP client sends is answered, too."""
        while not self._over:
            for key, _ in self._selector.select(0.05):
                ready: socket.socket = key.fileobj  # type: ignore[assignment]
                if ready.type is socket.SOCK_DGRAM:
                    _, source = ready.recvfrom(100)
                    ready.sendto(f"{key.data} {source[0]}".encode(), source)
                elif ready in self._sockets:
                    connection, source = ready.accept()
                    connection.sendall(f"{key.data} {source[0]}".encode())
                    self._selector.register(connection, selectors.EVENT_READ, f"{key.data}+")
                elif not (heard := ready.recv(100)):
                    self._selector.unregister(ready)
                    ready.close()
                else:
                    ready.sendall(heard)
        for key in list(self._selector.get_map().values()):
            if key.fileobj not in self._sockets:
                key.fileobj.close()  # type: ignore[union-attr]

    def connect(self, namespace: str, address: str, port: int, source: str = "") -> socket.socket:
        """A TCP connection. OSError: refused, or no answer."""
        family = V6 if ":" in address else V4
        connection = socket_in(namespace, family, socket.SOCK_STREAM)
        connection.settimeout(SILENCE)
        try:
            if source:
                connection.bind((source, 0))
            connection.connect((address, port))
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, namespace: str, address: str, port: int, *, udp: bool = False, source: str = "") -> Answer:
        """Who answers a client in a namespace."""
        try:
            if udp:
                asking = socket_in(namespace, V6 if ":" in address else V4, socket.SOCK_DGRAM)
                asking.settimeout(SILENCE)
                with asking:
                    asking.connect((address, port))
                    asking.send(b"?")
                    heard = asking.recv(100)
            else:
                with self.connect(namespace, address, port, source) as connection:
                    heard = connection.recv(100)
        except TimeoutError:
            return SILENT
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return REFUSED
            raise
        letter, _, seen = heard.decode().partition(" ")
        return Answer(letter, seen)

    async def ask_all(self, asked: Sequence[tuple[str, str, int] | tuple[str, str, int, str]]) -> list[Answer]:
        """The answers to several who ask at the same time: namespace, address, port and perhaps source of each."""

        def one(namespace: str, address: str, port: int, source: str = "") -> Answer:
            return self.ask(namespace, address, port, source=source)

        return list(await asyncio.gather(*(asyncio.to_thread(one, *each) for each in asked)))

    def many(self, namespace: str, address: str, port: int, times: int = 24, *, udp: bool = False) -> set[str]:
        """Which pods answer if a client asks often."""
        return {self.ask(namespace, address, port, udp=udp).pod for _ in range(times)}


__all__ = ["POD_A", "POD_B", "POD_C", "REFUSED", "SILENT", "Answer", "NodeNet"]
