"""What the local DNS is made of and is handed: the server, routes, heartbeats; and the routes of this machine."""

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from kdns.kernel.local_route import LocalRoute, add_local_routes, local_routes, remove_local_routes, source_towards


class LocalDnsOptions(NamedTuple):
    """What the operator asks for."""

    namespace: str = "kube-system"
    service: str = "kube-dns"
    addresses: tuple[bytes, ...] = ()
    """Packed; empty: the Service's cluster IPs."""
    rules: str = "auto"
    """``nftables``, ``iptables``, or ``auto``: the first that the kernel takes."""


class LocalServer(Protocol):
    """What is asked of the DNS server."""

    def ready(self) -> bool:
        """Clients may be sent here."""
        ...

    def listen(self, addresses: tuple[bytes, ...]) -> None:
        """Answer on these addresses, packed, and on no others that were given before."""
        ...


class LocalRoutes(Protocol):
    """What makes addresses local; see `KernelRoutes`. All of it waits, and raises KernelError or OSError."""

    def listed(self) -> frozenset[bytes]:
        """The addresses that are local by us."""
        ...

    def add(self, addresses: Collection[bytes]) -> None:
        """Make these local."""
        ...

    def remove(self, addresses: Collection[bytes]) -> None:
        """No longer."""
        ...


class KernelRoutes:
    """`LocalRoutes` of this machine."""

    def listed(self) -> frozenset[bytes]:
        """See `LocalRoutes`."""
        return local_routes()

    def add(self, addresses: Collection[bytes]) -> None:
        """See `LocalRoutes`. Our own packets to an address keep their source, which other nodes can answer to."""
        add_local_routes([LocalRoute(address, source_towards(address)) for address in addresses])

    def remove(self, addresses: Collection[bytes]) -> None:
        """See `LocalRoutes`."""
        remove_local_routes(addresses)


class Heartbeat(Protocol):
    """See `kdns.nodelocal.heartbeat.UdpHeartbeat`."""

    def ask(self) -> None:
        """Send a question."""
        ...

    def close(self) -> None:
        """Give the socket back."""
        ...


MakeHeartbeat = Callable[[bytes, Callable[[bytes, float], None]], Heartbeat]
"""Of an address; what is called at each answer is given the address and when that question was asked."""
