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


def listen(address: Address) -> socket.socket:
    """A listening TCP socket; for the empty host one that takes both families where the machine has them.

    Raises ConfigError in one line when the port is taken or forbidden.
    """
    try:
        if address.host:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            return socket.create_server(tuple(address), family=family, backlog=64)
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        return socket.create_server(("", address.port), backlog=64)
    except OSError as error:
        where = f"{spelled(address.host)}:{address.port}"
        raise ConfigError(f"cannot listen on {where}/tcp: {reason(error)}", hint=fix(error)) from error


def reason(error: OSError) -> str:
    """What is wrong with a bind, in plain words."""
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is taken"
        case errno.EACCES:
            return "permission denied"
        case errno.EADDRNOTAVAIL:
            return "this machine does not have that address"
        case _:
            return error.strerror or str(error)


def fix(error: OSError) -> str:
    """What the operator can do about it; empty if nothing comes to mind."""
    match error.errno:
        case errno.EADDRINUSE:
            return "stop what listens there (ss -lntup shows it), or choose another port"
        case errno.EACCES:
            return "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher port"
        case errno.EADDRNOTAVAIL:
            return "ip address shows those it has"
        case _:
            return ""
