"""Two nodes, three pods and an outside client as network namespaces inside User-Mode Linux, with servers and clients.

The guest's own namespace is the node with the proxy. Only for the inside of a guest: it sets up the guest's links.

    client 172.18.0.99 ──┐
    node   172.18.0.2  ──┴ br0 ── node2 172.18.0.3 (far, a pod there, 10.244.1.7)
      10.244.0.1 ── near 10.244.0.5, next 10.244.0.6 (each on a link of its own)
"""

import ctypes
import os
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

T = TypeVar("T")
CLONE_NEWNET: Final = 0x40000000
PORT: Final = 8080
PATIENCE: Final = 1.5
"""Seconds without an answer that count as silence."""
PATIENT: Final = 4.0
"""Seconds to wait for a refusal. All is one kernel here: an ICMP error may arrive while the socket is still busy
sending, and only the next packet's is heard."""

ADDRESSES: Final = {
    "node": ("172.18.0.2", "fd18::2"),
    "client": ("172.18.0.99", "fd18::99"),
    "node2": ("172.18.0.3", "fd18::3"),
    "near": ("10.244.0.5", "fd44::5"),
    "next": ("10.244.0.6", "fd44::6"),
    "far": ("10.244.1.7", "fd44:1::7"),
}
SERVERS: Final = ("near", "next", "far", "node")

SETUP: Final = """
link add br0 type bridge
link set br0 up
address add 172.18.0.2/24 dev br0
address add fd18::2/64 dev br0 nodad
"""


def sh(text: str) -> None:
    """One `ip` command."""
    subprocess.run(("ip", *text.split()), check=True)


def build() -> None:
    """Make all of it."""
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        # Else only one refusal in a second reaches a client.
        Path("/proc/sys/net", name).write_text("0")
    for line in SETUP.split("\n"):
        if line:
            sh(line)
    for name in ("client", "node2"):
        ipv4, ipv6 = ADDRESSES[name]
        _link(name)
        sh(f"link set {name}0 master br0")
        sh(f"-n {name} address add {ipv4}/24 dev eth0")
        sh(f"-n {name} address add {ipv6}/64 dev eth0 nodad")
        sh(f"-n {name} route add default via 172.18.0.2")
        sh(f"-n {name} -6 route add default via fd18::2")
    for name in ("near", "next"):
        ipv4, ipv6 = ADDRESSES[name]
        _link(name)
        for option, address, gateway, bits in (("-4", ipv4, "10.244.0.1", 32), ("-6", ipv6, "fd44::1", 128)):
            nodad = " nodad" if bits == 128 else ""
            sh(f"address add {gateway}/{bits} dev {name}0{nodad}")
            sh(f"{option} route add {address}/{bits} dev {name}0")
            sh(f"-n {name} address add {address}/{bits} dev eth0{nodad}")
            sh(f"-n {name} {option} route add {gateway} dev eth0")
            sh(f"-n {name} {option} route add default via {gateway}")
    sh("-n node2 address add 10.244.1.7/32 dev lo")
    sh("-n node2 address add fd44:1::7/128 dev lo nodad")
    sh("route add 10.244.1.0/24 via 172.18.0.3")
    sh("-6 route add fd44:1::/64 via fd18::3")


def _link(name: str) -> None:
    sh(f"netns add {name}")
    sh(f"link add {name}0 type veth peer name eth0 netns {name}")
    sh(f"link set {name}0 up")
    sh(f"-n {name} link set lo up")
    sh(f"-n {name} link set eth0 up")


def in_namespace(name: str, what: Callable[[], T]) -> T:
    """Call `what` in the namespace of a node, a pod or the client; ``node`` is where we are."""
    if name == "node":
        return what()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        handle = os.open(f"/run/netns/{'node2' if name == 'far' else name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            results.append(what())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
        finally:
            os.close(handle)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


class Servers:
    """Every pod answers on `PORT`, TCP and UDP, both families: its name and whom it sees."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        for name in SERVERS:
            for address in ADDRESSES[name]:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    server = in_namespace(name, lambda family=family, kind=kind: socket.socket(family, kind))  # type: ignore[misc]
                    server.bind((address, PORT))
                    if kind == socket.SOCK_STREAM:
                        server.listen(64)
                    self._selector.register(server, selectors.EVENT_READ, name)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                server = key.fileobj
                assert isinstance(server, socket.socket)
                if key.data == "talk":
                    self._talk(server)
                elif server.type == socket.SOCK_STREAM:
                    talk, peer = server.accept()
                    talk.sendall(f"{key.data} {peer[0]}".encode())
                    self._selector.register(talk, selectors.EVENT_READ, "talk")
                else:
                    _, peer = server.recvfrom(100)
                    server.sendto(f"{key.data} {peer[0]}".encode(), peer)

    def _talk(self, talk: socket.socket) -> None:
        try:
            data = talk.recv(100)
            if data:
                talk.sendall(data)
                return
        except ConnectionError:
            pass
        self._selector.unregister(talk)
        talk.close()


Transport = Literal["TCP", "UDP"]


def connect(
    source: str, transport: Transport, address: str, port: int, from_port: int = 0, patience: float = PATIENCE
) -> socket.socket:
    """A socket of `source` that is connected."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if transport == "TCP" else socket.SOCK_DGRAM
    sock = in_namespace(source, lambda: socket.socket(family, kind))
    sock.settimeout(patience)
    try:
        if from_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("::" if ":" in address else "0.0.0.0", from_port))
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def ask(
    source: str, transport: Transport, address: str, port: int, from_port: int = 0, patience: float = PATIENCE
) -> str:
    """Who answered and whom they saw (``near 10.244.0.1``), or ``refused``, ``silence``, ``not permitted``."""
    try:
        with connect(source, transport, address, port, from_port, patience) as sock:
            if transport == "UDP":
                sock.send(b"?")
            return sock.recv(100).decode()
    except ConnectionRefusedError:
        return "refused"
    except PermissionError:
        # What a rule or IPVS stops on its way out, the kernel tells the sender of a datagram so.
        return "not permitted"
    except TimeoutError:
        return "silence"


def ask_often(
    count: int, source: str, transport: Transport, address: str, port: int, patience: float = PATIENCE
) -> set[str]:
    """The different answers of `count` attempts."""
    return {ask(source, transport, address, port, patience=patience) for _ in range(count)}


def ping(source: str, address: str) -> bool:
    """An ICMP echo (IPv4) is answered."""
    sock = in_namespace(source, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    with sock:
        sock.settimeout(PATIENT)
        sock.sendto(bytes.fromhex("0800f7ff00000000"), (address, 0))
        try:
            while True:
                packet, peer = sock.recvfrom(100)
                if peer[0] == address and packet[20] == 0:
                    return True
        except TimeoutError:
            return False


def until(what: Callable[[], bool], patience: float = 120) -> bool:
    """Wait for it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.1)
    return False
