"""One resource record from a line of text (RFC 1035 section 5.1), as templates make them. Pure.

The types of the table are read here, all others as ``\\# LENGTH HEX`` (RFC 3597 section 5) or by dnslib. Names are
absolute whether they end in a dot or not; without a TTL it is an hour.
"""

import re
import struct
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

import dnslib

from kdns.wire.name import ROOT, parse_name
from kdns.wire.numbers import IN
from kdns.wire.rr import RR
from kdns.wire.types import CLASSES, type_number, type_text

TTL: Final = 3600
"""Seconds."""
MOST_RDATA: Final = 65535
WORD: Final = re.compile(r"""\s+|;[^\n]*|[()]|"((?:[^"\\]|\\.)*)"|((?:[^\s"();\\]|\\.)+)""", re.DOTALL)
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SECONDS: Final = re.compile(r"(?:[0-9]{1,10}[smhdwSMHDW])*(?:[0-9]{1,10})?")
ESCAPE: Final = re.compile(rb"\\(?:([0-9]{3})|(.))", re.DOTALL)


def parse_record(text: str) -> RR:
    """``OWNER [TTL] [CLASS] TYPE RDATA``. Raises ValueError that says what is wrong."""
    words = _words(text)
    if not words:
        raise ValueError("there is no record")
    owner, *words = words
    ttl, rclass = TTL, IN
    for _ in range(2):
        if words and words[0].upper() in CLASSES:
            rclass = CLASSES[words.pop(0).upper()]
        elif words and words[0][0:1].isdigit():
            ttl = seconds(words.pop(0))
    if not words:
        raise ValueError("it has no type")
    rtype = type_number(words[0].upper())
    if rtype is None:
        raise ValueError(f"bad type {words[0]!r}")
    rdata = _rdata(rtype, words[1:], text)
    if len(rdata) > MOST_RDATA:
        raise ValueError(f"rdata of {len(rdata)} octets")
    return RR(name(owner), rtype, ttl, rdata, rclass)


def _words(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(text):
        word = WORD.match(text, at)
        if word is None:
            raise ValueError(f"unexpected {text[at]!r} in a record")
        if word[1] is not None or word[2] is not None:
            found.append(word[1] if word[1] is not None else word[2])
        at = word.end()
    return found


def name(text: str) -> bytes:
    """A name, absolute in any case; ``@`` is the root."""
    if text == "@":
        return ROOT
    if not text:
        raise ValueError("an empty text is no name")
    return parse_name(text)


def seconds(text: str) -> int:
    """Seconds, or a number with a unit as zone files have it: ``1h30m``."""
    if not text or not SECONDS.fullmatch(text):
        raise ValueError(f"bad number of seconds {text!r}")
    parts = re.findall(r"([0-9]+)([a-z]?)", text.lower())
    return _fits(sum(int(number) * UNITS[unit or "s"] for number, unit in parts), 4, text)


def number(octets: int, text: str) -> int:
    """A whole number that fits into so many octets."""
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise ValueError(f"bad number {text!r}")
    return _fits(int(text), octets, text)


def _fits(found: int, octets: int, text: str) -> int:
    if found >= 1 << 8 * octets:
        raise ValueError(f"number out of range {text!r}")
    return found


def string(text: str) -> bytes:
    """The octets of a character-string, its escapes undone."""

    def octet(escape: re.Match[bytes]) -> bytes:
        if escape[1] is None:
            return escape[2]
        if int(escape[1]) > 255:
            raise ValueError(f"no octet: \\{escape[1].decode()}")
        return bytes((int(escape[1]),))

    return ESCAPE.sub(octet, text.encode())


def _short(text: str) -> bytes:
    octets = string(text)
    if len(octets) > 255:
        raise ValueError(f"a text of {len(octets)} octets, at most 255")
    return bytes((len(octets),)) + octets


def _texts(words: list[str]) -> bytes:
    """TXT: what is too long for one character-string becomes several."""
    if not words:
        raise ValueError("it has no text")
    parts: list[bytes] = []
    for word in words:
        octets = string(word)
        parts += [octets[at : at + 255] for at in range(0, len(octets) or 1, 255)]
    return b"".join(bytes((len(part),)) + part for part in parts)


def _ipv4(text: str) -> bytes:
    try:
        return IPv4Address(text).packed
    except AddressValueError:
        raise ValueError(f"bad IPv4 address {text!r}") from None


def _ipv6(text: str) -> bytes:
    try:
        return IPv6Address(text.partition("%")[0]).packed
    except AddressValueError:
        raise ValueError(f"bad IPv6 address {text!r}") from None


def _number(octets: int) -> Callable[[str], bytes]:
    return lambda text: number(octets, text).to_bytes(octets, "big")


def _seconds(text: str) -> bytes:
    return struct.pack("!I", seconds(text))


_LAYOUT: Final[dict[str, tuple[Callable[[str], bytes], ...]]] = {
    "A": (_ipv4,),
    "AAAA": (_ipv6,),
    "CNAME": (name,),
    "DNAME": (name,),
    "NS": (name,),
    "PTR": (name,),
    "MX": (_number(2), name),
    "SRV": (_number(2), _number(2), _number(2), name),
    "SOA": (name, name, _number(4), _seconds, _seconds, _seconds, _seconds),
    "HINFO": (_short, _short),
    "NAPTR": (_number(2), _number(2), _short, _short, _short, name),
    "CAA": (_number(1), _short, string),
}


def _rdata(rtype: int, words: list[str], text: str) -> bytes:
    kind = type_text(rtype)
    if words[:1] == [r"\#"]:
        if len(words) < 2:
            raise ValueError(r"\# needs a length and hexadecimal octets")
        octets = bytes.fromhex("".join(words[2:]))
        if len(octets) != number(2, words[1]):
            raise ValueError(f"{len(octets)} octets of rdata, not {words[1]}")
        return octets
    if kind in {"TXT", "SPF"}:
        return _texts(words)
    layout = _LAYOUT.get(kind)
    if layout is None:
        return _of_dnslib(text, kind)
    if len(words) != len(layout):
        raise ValueError(f"{kind} has {len(layout)} fields, got {len(words)}")
    return b"".join(read(word) for read, word in zip(layout, words, strict=True))


def _of_dnslib(text: str, kind: str) -> bytes:
    try:
        (record,) = dnslib.RR.fromZone(text)
        buffer = dnslib.DNSBuffer()
        record.rdata.pack(buffer)
    except Exception as error:  # noqa: BLE001 - it raises what it meets: ValueError, IndexError, DNSError, KeyError...
        raise ValueError(f"bad {kind} record: {error}") from None
    return bytes(buffer.data)
