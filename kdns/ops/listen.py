"""Addresses of HTTP ports: read from settings, opened as sockets, and what to say when that fails."""

import errno
import socket
from ipaddress import ip_address
from typing import NamedTuple

from kdns.base.errors import ConfigError


class Address(NamedTuple):
    """Where to listen."""

    host: str
    """An IP address; empty for every address of both families."""
    port: int
    """0 lets the system choose."""


def parse_address(text: str, flag: str) -> Address:
    """Read ``:8080``, ``127.0.0.1:8080`` or ``[::1]:8080``. Raises ConfigError naming the flag."""
    host, colon, port_text = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(
            f"{flag}: {text!r} is no ADDRESS:PORT", hint="put brackets around an IPv6 address: [::1]:8080"
        )
    if not colon or not (port_text.isascii() and port_text.isdigit() and int(port_text) <= 65535):
        raise ConfigError(f"{flag}: {text!r} is no ADDRESS:PORT", hint="such as :8080 or 127.0.0.1:8080; '' for off")
    try:
        return Address(str(ip_address(host)) if host else "", int(port_text))
    except ValueError as error:
        raise ConfigError(f"{flag}: {host!r} is no IP address", hint="such as 127.0.0.1 or [::1]") from error


def spelled(host: str) -> str:
    """The address as URLs have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def listen(address: Address, move: str = "") -> socket.socket:
    """A listening TCP socket; for the empty host one that takes both families where the machine has them.

    Raises ConfigError in one line when the port is taken or forbidden, see `bind_error` for ``move``.
    """
    try:
        if address.host:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            return socket.create_server(tuple(address), family=family, backlog=64)
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        return socket.create_server(("", address.port), backlog=64)
    except OSError as error:
        raise bind_error(f"{spelled(address.host)}:{address.port}/tcp", address.port, error, move=move) from error


def bind_error(
    where: str, port: int, error: OSError, *, udp: bool = False, move: str = "", have: str = ""
) -> ConfigError:
    """Why an address cannot be bound, in one line, with a hint.

    ``move`` says how to choose another port or address, ``have`` which addresses this machine has.
    """
    move = move or "choose another port"
    match error.errno:
        case errno.EADDRINUSE:
            option = "-lunp" if udp else "-ltnp"
            reason = "the port is taken"
            hint = f"see what has it with: ss {option} 'sport = :{port}'; stop that, or {move}"
        case errno.EACCES | errno.EPERM:
            reason = "no permission for ports below 1024"
            hint = (
                f"{move}, or allow this one (in Kubernetes: kdns-nonroot with NET_BIND_SERVICE, as in manifests/dns, "
                "or the Pod's sysctl net.ipv4.ip_unprivileged_port_start=0; with systemd: "
                "AmbientCapabilities=CAP_NET_BIND_SERVICE; else: run as root)"
            )
        case errno.EADDRNOTAVAIL:
            reason = "this machine has no such address"
            hint = f"it has {have}" if have else "ip address shows those it has"
        case _:
            reason, hint = error.strerror or str(error), move
    return ConfigError(f"cannot listen on {where}: {reason}", hint=hint)
