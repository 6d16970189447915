"""Values as operators write them, read into typed ones. Pure; each raises ValueError saying what was expected.

A message may go on after a line break with a hint.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from kdns.base.listen_address import parse_address_port, parse_ip, spelled
from kdns.config.durations import parse_duration

MAX_TTL: Final = 3600
"""Seconds; more would let clients use the address of a Service for over an hour after it is gone."""
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123, as Kubernetes wants the names of Namespaces."""


def near(word: str, known: Iterable[str]) -> str:
    """``did you mean verified?``, or nothing when no known word is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.72)
    return f"did you mean {close[0]}?" if close else ""


def parse_seconds(text: str) -> float:
    """Seconds from ``5``, ``5s``, ``500ms``, ``1m`` or ``1m30s``."""
    if (seconds := parse_duration(text, bare=True)) < 0:
        raise ValueError(f"{text!r} is negative\nsuch as 5s")
    return seconds


def parse_pause(text: str) -> float:
    """A duration over 0."""
    if (seconds := parse_seconds(text)) <= 0:
        raise ValueError(f"{text!r} is too short\nsuch as 90s")
    return seconds


def parse_ttl(text: str) -> int:
    """Seconds, 0 to 3600."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"invalid number of seconds {text!r}\n0 to {MAX_TTL}, such as 5")
    if int(text) > MAX_TTL:
        raise ValueError(f"must be between 0 and {MAX_TTL} seconds, got {text}\none hour is the most")
    return int(text)


def parse_listen(text: str) -> str:
    """An IP address, in its canonical spelling."""
    return parse_ip(text, "such as 10.96.0.10 or ::1; the port is set by --port")


def parse_namespace(text: str) -> str:
    """The name of a Namespace."""
    if not DNS_LABEL.fullmatch(text):
        raise ValueError(f"invalid Namespace {text!r}\nlower-case letters, digits and -, at most 63")
    return text


def parse_word(text: str, known: tuple[str, ...]) -> str:
    """One of the known words."""
    if text not in known:
        raise ValueError(f"{text!r} is none of {', '.join(known)}\n{near(text, known)}".strip())
    return text


def parse_local_address(text: str) -> str:
    """ADDRESS:PORT as `parse_http_address` has it, but ``:9180`` is loopback, and ``0.0.0.0:9180`` every address.

    The empty text stays empty: off.
    """
    if not text:
        return ""
    address = parse_http_address(text)
    return f"127.0.0.1{address}" if address.startswith(":") else address


def parse_http_address(text: str) -> str:
    """ADDRESS:PORT of a page, ``localhost`` being 127.0.0.1: ``:8080``, ``127.0.0.1:8080``, ``[::1]:8080``."""
    address = parse_address_port(re.sub(r"^localhost:", "127.0.0.1:", text))
    return f"{spelled(address.host)}:{address.port}"
