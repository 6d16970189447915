"""ADDRESS:PORT as operators write it, for every part of kdns. Pure.

It is in `base` because `ops` opens such addresses and may not import `config`, which reads them from files and flags.
Each function raises ValueError; a message may go on after a line break with a hint.
"""

from ipaddress import ip_address
from typing import NamedTuple


class Address(NamedTuple):
    """Where to listen."""

    host: str
    """An IP address in its canonical spelling; empty for every address of both families."""
    port: int
    """0 lets the system choose."""


def parse_ip(text: str, hint: str = "such as 127.0.0.1 or [::1]") -> str:
    """An IP address in its canonical spelling; brackets around it are allowed."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise ValueError(f"invalid IP address {text!r}\n{hint}") from None


def parse_port(text: str, low: int = 0) -> int:
    """A number from `low` to 65535."""
    if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= 65535):
        zero = "" if low else "; 0 lets the system choose one"
        raise ValueError(f"invalid port {text!r}\na number from {low} to 65535{zero}")
    return int(text)


def split_port(text: str) -> tuple[str, str]:
    """Host and port of ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or ``IPV6``; the port is empty where there is none."""
    if text.startswith("["):
        host, bracket, tail = text[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(f"invalid address {text!r}\nan IPv6 address with a port is written [2001:db8::1]:53")
        return host, tail[1:]
    if text.count(":") != 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def parse_address_port(text: str) -> Address:
    """``:8080``, ``127.0.0.1:8080`` or ``[::1]:8080``."""
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError(f"invalid ADDRESS:PORT {text!r}\nput brackets around an IPv6 address: [::1]:8080")
    try:
        host, port_text = split_port(text)
        port = parse_port(port_text)
    except ValueError:
        raise ValueError(f"invalid ADDRESS:PORT {text!r}\nsuch as :8080 or 127.0.0.1:8080") from None
    return Address(parse_ip(host) if host else "", port)


def spelled(host: str) -> str:
    """The address as URLs have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
