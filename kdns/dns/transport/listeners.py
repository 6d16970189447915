"""Addresses and ports become sockets: on each address one for datagrams and one for connections, or one for TLS.

An empty address is every address of both families, bound separately so that each family has its own sockets; a
machine without IPv6 is served on IPv4 alone. Two servers cannot share a port: SO_REUSEPORT, which CoreDNS sets, would
give a second one half of the queries without a word, and SO_REUSEADDR does the same to datagrams.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final, Literal, NamedTuple

from kdns.base.errors import ConfigError
from kdns.base.listen_address import parse_ip
from kdns.dns.api.message_handler import Family, MessageHandlers
from kdns.dns.transport.https import HttpsListener
from kdns.dns.transport.tcp import TcpListener
from kdns.dns.transport.tcp_limits import TcpLimits
from kdns.dns.transport.tls_acceptor import TlsAcceptor
from kdns.dns.transport.udp import ReceiveMethod, UdpListener
from kdns.kernel.interfaces import interface_addresses
from kdns.ops.listen import bind_error

PORT_TRIES: Final = 32
"""With port 0 the kernel picks a free UDP port; this many are tried until one is free for all sockets."""
BACKLOG: Final = 512
"""Connections the kernel may hold until they are accepted."""
IP_FREEBIND: Final = 15
"""linux/in.h; the socket module has no name for it. It holds for IPv6 sockets, too."""
_NO_SUCH_FAMILY: Final = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL}

_log = logging.getLogger("kdns.dns")

Kind = Literal["UDP", "TCP"]


class Bound(NamedTuple):
    """One address as it is served: over UDP and TCP, or over TLS."""

    address: str
    """``0.0.0.0`` or ``::`` where it is every address."""
    port: int
    family: Family


class _Wanted(NamedTuple):
    """One address to bind."""

    address: str
    port: int
    family: Family
    label: str
    """What stands in the server's label for the address: empty for every address."""
    optional: bool
    """Without its family the server does without it."""
    scheme: str = "dns"
    freebind: bool = False
    """It need not be an address of an interface."""


class _Pair(NamedTuple):
    """The two sockets of one address, bound, not yet served."""

    wanted: _Wanted
    udp: socket.socket | None
    """None: it is served over TLS."""
    tcp: socket.socket

    def close(self) -> None:
        """Both of them."""
        for sock in (self.udp, self.tcp):
            if sock is not None:
                sock.close()


class Secure(NamedTuple):
    """What a server needs whose connections are TLS."""

    scheme: Literal["tls", "https"]
    context: ssl.SSLContext
    responded: Callable[[str, int], None]
    """Called with the server's label and the status of each response of HTTPS."""


class Server:
    """All sockets of one server, from `start` to `close`."""

    def __init__(
        self,
        sockets: MessageHandlers,
        listen: Sequence[str] = ("",),
        port: int = 53,
        *,
        limits: TcpLimits | None = None,
        way: ReceiveMethod | None = None,
        secure: Secure | None = None,
        freebind: bool = False,
    ) -> None:
        """``listen`` are addresses without a port, the empty text being all of both families; with ``freebind`` no
        interface need have them.

        Port 0 lets the kernel choose: one port for all. Raises ConfigError for an invalid address.
        """
        wanted = parse_listen(listen, port, secure.scheme if secure is not None else "dns")
        self._wanted = tuple(listener._replace(freebind=freebind) for listener in wanted)
        self._secure = secure
        self._sockets, self._limits, self._way = sockets, limits or TcpLimits(), way
        self._udp: list[UdpListener] = []
        self._tcp: list[TcpListener | HttpsListener] = []
        self._acceptors: list[TlsAcceptor] = []
        self._accepting: list[asyncio.Server] = []
        self._served: tuple[_Wanted, ...] = ()
        self.bound: tuple[Bound, ...] = ()
        """What is served, once it has started."""

    async def start(self) -> None:
        """Bind everything and begin to answer. Raises ConfigError, with nothing left open, if an address cannot be."""
        pairs = bind_all(self._wanted)
        self._served = tuple(pair.wanted for pair in pairs)
        self.bound = tuple(Bound(pair.wanted.address, pair.tcp.getsockname()[1], pair.wanted.family) for pair in pairs)
        for pair, bound in zip(pairs, self.bound, strict=True):
            server = label(pair.wanted.label, bound.port, pair.wanted.scheme)
            udp = None
            if pair.udp is not None:
                udp = UdpListener(
                    pair.udp, bound.family, self._sockets.for_socket("udp", bound.family, server), way=self._way
                )
            made = self._connections(server, bound.family)
            self._accepting.append(await asyncio.get_running_loop().create_server(made, sock=pair.tcp, backlog=BACKLOG))
            if udp is not None:
                udp.start()
                self._udp.append(udp)

    def _connections(self, server: str, family: Family) -> Callable[[], asyncio.BaseProtocol]:
        """A listener for connections, and what makes the protocol of each."""
        responder, secure = self._sockets.for_socket("tcp", family, server), self._secure
        listener: TcpListener | HttpsListener
        if secure is not None and secure.scheme == "https":
            listener = HttpsListener(responder, family, self._limits, lambda status: secure.responded(server, status))
        else:
            listener = TcpListener(responder, family, self._limits, secure.scheme if secure is not None else "tcp")
        self._tcp.append(listener)
        if secure is None:
            return listener.connection
        acceptor = TlsAcceptor(secure.context, listener.connection, self._limits.read)
        self._acceptors.append(acceptor)
        return acceptor.connection

    @property
    def port(self) -> int:
        """The port that is served; of several addresses, the first one's."""
        return self.bound[0].port

    @property
    def labels(self) -> tuple[str, ...]:
        """Its names in metrics, each once."""
        several = zip(self._served, self.bound, strict=True)
        return tuple(dict.fromkeys(label(wanted.label, bound.port, wanted.scheme) for wanted, bound in several))

    def limit(self, limits: TcpLimits) -> None:
        """Other limits, for connections from now on."""
        self._limits = limits
        for tcp in self._tcp:
            tcp.limits = limits
        for acceptor in self._acceptors:
            acceptor.seconds = limits.read

    def renew(self, context: ssl.SSLContext) -> None:
        """Another certificate, for handshakes from now on."""
        for acceptor in self._acceptors:
            acceptor.context = context

    @property
    def unsent(self) -> int:
        """Replies over UDP that the kernel did not take, so far."""
        return sum(udp.losses.unsent for udp in self._udp)

    async def stop(self, limit: float = 5.0) -> bool:
        """Take no more queries, wait at most so many seconds for replies that are owed, then close.

        Returns False if some were still owed.
        """
        for accepting in self._accepting:
            accepting.close()
        for udp in self._udp:
            udp.stop()
        for acceptor in self._acceptors:
            acceptor.abort()
        for tcp in self._tcp:
            tcp.stop()
        pending_replies = [udp.pending_replies for udp in self._udp] + [tcp.pending_replies for tcp in self._tcp]
        owed = [asyncio.ensure_future(pending.drained()) for pending in pending_replies]
        late: set[asyncio.Future[None]] = set()
        if owed:
            _, late = await asyncio.wait(owed, timeout=limit)
        for task in late:
            task.cancel()
        self.close()
        await asyncio.sleep(0)  # aborted connections are taken apart in the loop's next turn
        return not late

    def close(self) -> None:
        """Let go of every socket now."""
        for accepting in self._accepting:
            accepting.close()
        for udp in self._udp:
            udp.close()
        for acceptor in self._acceptors:
            acceptor.abort()
        for tcp in self._tcp:
            tcp.abort()


def label(address: str, port: int, scheme: str = "dns") -> str:
    """The name of a server in metrics and logs, as CoreDNS has it: ``dns://:53``, ``dns://[::1]:53``."""
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"


def parse_listen(listen: Sequence[str], port: int, scheme: str = "dns") -> Iterator[_Wanted]:
    """What to bind, each address once. Raises ConfigError for an invalid address or port."""
    if not 0 <= port <= 65_535:
        raise ConfigError(f"invalid port {port}", hint="ports are 0 to 65535")
    seen: set[str] = set()
    for text in listen:
        if not text:
            several = [_Wanted("0.0.0.0", port, 1, "", optional=False), _Wanted("::", port, 2, "", optional=True)]
        else:
            try:
                address = parse_ip(text)
            except ValueError as error:
                raise ConfigError(
                    f"cannot listen on {text!r}: invalid IP address",
                    hint="give an IPv4 or IPv6 address without a port, such as 127.0.0.1; leave it out for all",
                ) from error
            several = [_Wanted(address, port, 2 if ":" in address else 1, address, optional=False)]
        for wanted in several:
            if wanted.address not in seen:
                seen.add(wanted.address)
                yield wanted._replace(scheme=scheme)


def bind_all(wanted: Sequence[_Wanted]) -> list[_Pair]:
    """Bind all addresses, and with port 0 the same port for all. Raises ConfigError, with nothing left open."""
    tries = PORT_TRIES if any(listener.port == 0 for listener in wanted) else 1
    while True:
        tries -= 1
        pairs: list[_Pair] = []
        port = 0
        try:
            for listener in wanted:
                if (pair := _bind_pair(listener._replace(port=listener.port or port))) is not None:
                    pairs.append(pair)
                    port = port or pair.tcp.getsockname()[1]
            if not pairs:
                raise ConfigError("nothing to listen on", hint="give at least one address that this machine has")
        except ConfigError as error:
            for pair in pairs:
                pair.close()
            if tries and isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
                continue
            raise
        return pairs


def _bind_pair(wanted: _Wanted) -> _Pair | None:
    """Bind the sockets of an address; None if it is optional and this machine does not have its family."""
    try:
        if wanted.scheme != "dns":
            return _Pair(wanted, None, _bind("TCP", wanted))
        udp = _bind("UDP", wanted)
    except ConfigError as error:
        if wanted.optional and isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SUCH_FAMILY:
            _log.info("this machine has no IPv6: serving IPv4 only")
            return None
        raise
    try:
        return _Pair(wanted, udp, _bind("TCP", wanted._replace(port=udp.getsockname()[1])))
    except ConfigError:
        udp.close()
        raise


def _bind(kind: Kind, wanted: _Wanted) -> socket.socket:
    """A socket that is bound, and listens if it is TCP's. Raises ConfigError, from the OSError."""
    family = socket.AF_INET if wanted.family == 1 else socket.AF_INET6
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM if kind == "UDP" else socket.SOCK_STREAM)
        if wanted.family == 2:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == "TCP":
            # connections of the server before us that linger in TIME_WAIT do not hold the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if wanted.freebind:  # IPv6 binds to no address that only a route makes local (ip(7) IP_FREEBIND; both families)
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        # resolves nothing but the scope of a link-local address, fe80::1%eth0
        address = socket.getaddrinfo(wanted.address, wanted.port, family, sock.type, flags=socket.AI_NUMERICHOST)[0][4]
        sock.bind(address)
        if kind == "TCP":
            sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise refusal(kind, wanted.address, wanted.port, error) from error
    return sock


def refusal(kind: Kind, address: str, port: int, error: OSError) -> ConfigError:
    """What to tell the operator when an address cannot be bound."""
    have = ""
    if error.errno == errno.EADDRNOTAVAIL:
        have = ", ".join(dict.fromkeys(str(ip_address(interface.address)) for interface in interface_addresses()))
    move = "choose another port, such as --port 1053, or an address of its own with --listen"
    return bind_error(f"{address} port {port} ({kind})", port, error, udp=kind == "UDP", move=move, have=have)
