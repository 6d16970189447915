"""Values as operators write them, read into typed ones. Pure; each raises ValueError saying what was expected.

A message may go on after a line break with a hint.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Final

UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_TTL: Final = 3600
"""Seconds; more would let clients use the address of a Service for over an hour after it is gone."""
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123, as Kubernetes wants the names of Namespaces."""


def near(word: str, known: Iterable[str]) -> str:
    """``did you mean verified?``, or nothing when no known word is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.72)
    return f"did you mean {close[0]}?" if close else ""


def parse_duration(text: str) -> float:
    """Seconds from ``5``, ``5s``, ``500ms``, ``1m`` or ``1m30s``."""
    if not (parts := re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text)) or "".join(map("".join, parts)) != text:
        raise ValueError(f"{text!r} is no duration\nsuch as 5, 5s, 500ms or 1m30s")
    if len(parts) > 1 and any(not unit for _, unit in parts):
        raise ValueError(f"{text!r} is no duration\neach number needs its unit: 1m30s")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def parse_pause(text: str) -> float:
    """A duration that is not nothing."""
    if (seconds := parse_duration(text)) <= 0:
        raise ValueError(f"{text!r} is too short\nsuch as 90s")
    return seconds


def parse_ttl(text: str) -> int:
    """Seconds, 0 to 3600."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no number of seconds\n0 to {MAX_TTL}, such as 5")
    if int(text) > MAX_TTL:
        raise ValueError(f"must be between 0 and {MAX_TTL} seconds, got {text}\none hour is the most")
    return int(text)


def parse_port(text: str) -> int:
    """0 to 65535; 0 lets the system choose."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError(f"{text!r} is no port\na number up to 65535; 0 lets the system choose one")
    return int(text)


def parse_listen(text: str) -> str:
    """An IP address, in its canonical spelling."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address\nsuch as 10.96.0.10 or ::1; the port is set by --port") from None


def parse_namespace(text: str) -> str:
    """The name of a Namespace."""
    if not DNS_LABEL.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a Namespace\nlower-case letters, digits and -, at most 63")
    return text


def parse_word(text: str, known: tuple[str, ...]) -> str:
    """One of the known words."""
    if text not in known:
        raise ValueError(f"{text!r} is none of {', '.join(known)}\n{near(text, known)}".strip())
    return text


def parse_http_address(text: str) -> str:
    """ADDRESS:PORT of a page, ``localhost`` being 127.0.0.1: ``:8080``, ``127.0.0.1:8080``, ``[::1]:8080``."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r} is no ADDRESS:PORT\nput brackets around an IPv6 address: [::1]:8080")
    if not colon or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r} is no ADDRESS:PORT\nsuch as :8080 or 127.0.0.1:8080")
    if host == "localhost":
        return f"127.0.0.1:{int(port)}"
    try:
        address = ip_address(host) if host else None
    except ValueError:
        raise ValueError(f"{host!r} is no IP address\nsuch as 127.0.0.1 or [::1]") from None
    if address is None:
        return f":{int(port)}"
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"
