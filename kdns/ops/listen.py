"""Addresses of HTTP ports: read from settings, opened as sockets, and what to say when that fails."""

import errno
import socket

from kdns.base.errors import ConfigError
from kdns.base.listen_address import Address, parse_address_port, spelled


def parse_address(text: str, flag: str) -> Address:
    """ADDRESS:PORT of a flag. Raises ConfigError naming the flag."""
    try:
        return parse_address_port(text)
    except ValueError as error:
        problem, _, hint = str(error).partition("\n")
        raise ConfigError(f"{flag}: {problem}", hint=f"{hint}; '' for off") from None


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
