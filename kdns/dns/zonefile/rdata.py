"""What stands behind a type in a master file becomes rdata in wire form.

Types that zones are full of are read here; those that are rare are read by dnslib; and any by the generic form of
RFC 3597 section 5, ``\\# LENGTH HEX``.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import dnslib

from kdns.base.errors import FormError
from kdns.dns.zonefile.tokens import Token
from kdns.wire.name import MAX_NAME, ROOT, parse_name
from kdns.wire.numbers import AAAA, CNAME, DS, MX, NS, PTR, SOA, SRV, TXT, A
from kdns.wire.rdata import FIRST, Names
from kdns.wire.types import type_number

DNAME: Final = 39
RRSIG: Final = 46
NSEC: Final = 47
DNSKEY: Final = 48
CDS: Final = 59
CDNSKEY: Final = 60
SPF: Final = 99
CAA: Final = 257
MAX_SECONDS: Final = 0x7FFFFFFF
"""RFC 2181 section 8."""
MAX_RDATA: Final = 65_000
"""Octets; with its owner a record must fit into a message."""
UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Read = Callable[[Sequence[Token], bytes], bytes]


def absolute(text: str, origin: bytes) -> bytes:
    """A name in a file, folded: relative to the origin without a last dot. Raises ValueError."""
    if text == "@":
        return origin
    name = parse_name(text)
    if text.endswith(".") and not re.search(r"(?<!\\)(?:\\\\)*\\\.$", text):
        return name
    name = name[:-1] + origin
    if len(name) > MAX_NAME:
        raise ValueError(f"name of {len(name)} octets, at most {MAX_NAME}: {text[:80]!r}")
    return name


def seconds(text: str) -> int:
    """A TTL or interval, also as ``1h30m``. Raises ValueError."""
    parts = re.findall(r"([0-9]+)([smhdw]?)", text.lower())
    if not parts or "".join(map("".join, parts)) != text.lower():
        raise ValueError(f"{text!r} is no time in seconds")
    total = sum(int(number) * UNITS[unit] for number, unit in parts)
    if total > MAX_SECONDS:
        raise ValueError(f"{text} is too long: {MAX_SECONDS} seconds at most")
    return total


def read_rdata(rtype: int, tokens: Sequence[Token], origin: bytes) -> bytes:
    """The rdata. Raises ValueError."""
    if tokens and tokens[0].text == "\\#" and not tokens[0].quoted:
        octets = _generic(tokens)
        try:
            whole = Names(bytes(FIRST) + octets).rdata(rtype, FIRST, FIRST + len(octets))
        except (FormError, IndexError):
            whole = b""
        if whole.lower() != octets.lower():
            raise ValueError("these octets are no data of that type")
    else:
        reader = READERS.get(rtype)
        whole = reader(tokens, origin) if reader is not None else _by_dnslib(rtype, tokens, origin)
    if len(whole) > MAX_RDATA:
        raise ValueError(f"data of {len(whole)} octets, at most {MAX_RDATA}")
    return whole


def _count(tokens: Sequence[Token], wanted: str) -> Sequence[Token]:
    if len(tokens) != len(wanted.split()):
        raise ValueError(f"expected {wanted}, got {len(tokens)} word{'s' * (len(tokens) != 1)}")
    return tokens


def _number(token: Token, octets: int) -> bytes:
    if not re.fullmatch(r"[0-9]{1,10}", token.text) or int(token.text) >= 1 << 8 * octets:
        raise ValueError(f"{token.text!r} is no number of {8 * octets} bits")
    return int(token.text).to_bytes(octets, "big")


def _generic(tokens: Sequence[Token]) -> bytes:
    digits = "".join(token.text for token in tokens[2:])
    if len(tokens) < 2 or not re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", digits) or tokens[1].text != str(len(digits) // 2):
        raise ValueError("expected \\# LENGTH HEX")
    return bytes.fromhex(digits)


def _ipv4(tokens: Sequence[Token], _origin: bytes) -> bytes:
    return IPv4Address(_count(tokens, "ADDRESS")[0].text).packed


def _ipv6(tokens: Sequence[Token], _origin: bytes) -> bytes:
    address = IPv6Address(_count(tokens, "ADDRESS")[0].text)
    if address.scope_id:
        raise ValueError(f"{tokens[0].text!r} has a scope")
    return address.packed


def _name(tokens: Sequence[Token], origin: bytes) -> bytes:
    return absolute(_count(tokens, "NAME")[0].text, origin)


def _mx(tokens: Sequence[Token], origin: bytes) -> bytes:
    preference, name = _count(tokens, "PREFERENCE NAME")
    return _number(preference, 2) + absolute(name.text, origin)


def _srv(tokens: Sequence[Token], origin: bytes) -> bytes:
    *numbers, name = _count(tokens, "PRIORITY WEIGHT PORT NAME")
    return b"".join(_number(each, 2) for each in numbers) + absolute(name.text, origin)


def _soa(tokens: Sequence[Token], origin: bytes) -> bytes:
    mname, rname, serial, *times = _count(tokens, "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM")
    names = absolute(mname.text, origin) + absolute(rname.text, origin)
    return names + _number(serial, 4) + b"".join(seconds(each.text).to_bytes(4, "big") for each in times)


def _txt(tokens: Sequence[Token], _origin: bytes) -> bytes:
    if not tokens:
        raise ValueError("expected TEXT...")
    texts = [unescaped(token.text) for token in tokens]
    if max(map(len, texts)) > 255:
        raise ValueError("a text of over 255 octets: split it into several")
    return b"".join(bytes((len(text),)) + text for text in texts)


def _caa(tokens: Sequence[Token], _origin: bytes) -> bytes:
    flags, tag, text = _count(tokens, "FLAGS TAG VALUE")
    if not re.fullmatch(r"[0-9A-Za-z]{1,255}", tag.text):
        raise ValueError(f"{tag.text!r} is no tag")
    return _number(flags, 1) + bytes((len(tag.text),)) + tag.text.encode() + unescaped(text.text)


def _ds(tokens: Sequence[Token], _origin: bytes) -> bytes:
    """DS and CDS (RFC 4034 section 5.3)."""
    numbers, digest = _leading(tokens, "TAG ALGORITHM DIGEST-TYPE DIGEST")
    octets = "".join(token.text for token in digest)
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", octets):
        raise ValueError("the digest is no hexadecimal text")
    return b"".join(map(_number, numbers, (2, 1, 1))) + bytes.fromhex(octets)


def _dnskey(tokens: Sequence[Token], _origin: bytes) -> bytes:
    """DNSKEY and CDNSKEY (RFC 4034 section 2.2)."""
    numbers, key = _leading(tokens, "FLAGS PROTOCOL ALGORITHM KEY")
    return b"".join(map(_number, numbers, (2, 1, 1))) + _base64(key)


def _rrsig(tokens: Sequence[Token], origin: bytes) -> bytes:
    """RFC 4034 section 3.2."""
    fields, signature = _leading(tokens, "TYPE ALGORITHM LABELS TTL EXPIRATION INCEPTION TAG SIGNER SIGNATURE")
    covered, algorithm, depth, ttl, *times, tag, signer = fields
    octets = _type(covered).to_bytes(2, "big") + _number(algorithm, 1) + _number(depth, 1) + _number(ttl, 4)
    octets += b"".join(map(_moment, times)) + _number(tag, 2) + absolute(signer.text, origin)
    return octets + _base64(signature)


def _nsec(tokens: Sequence[Token], origin: bytes) -> bytes:
    """RFC 4034 section 4: the next name, and the types of this one as bits, in windows of 256."""
    if not tokens:
        raise ValueError("expected NAME TYPE...")
    windows: dict[int, int] = {}
    for token in tokens[1:]:
        window, bit = divmod(_type(token), 256)
        windows[window] = windows.get(window, 0) | 1 << (255 - bit)
    octets = absolute(tokens[0].text, origin)
    for window, bits in sorted(windows.items()):
        bitmap = bits.to_bytes(32, "big").rstrip(b"\0")
        octets += bytes((window, len(bitmap))) + bitmap
    return octets


def _leading(tokens: Sequence[Token], wanted: str) -> tuple[Sequence[Token], Sequence[Token]]:
    """All fields but the last, and the words of the last one, which may be several."""
    count = len(wanted.split()) - 1
    if len(tokens) <= count:
        raise ValueError(f"expected {wanted}, got {len(tokens)} word{'s' * (len(tokens) != 1)}")
    return tokens[:count], tokens[count:]


def _type(token: Token) -> int:
    number = type_number(token.text.upper())
    if number is None:
        raise ValueError(f"{token.text!r} is no type of record")
    return number


def _moment(token: Token) -> bytes:
    """``YYYYMMDDHHmmSS`` in UTC, or seconds since 1970; 32 bits of it (RFC 4034 section 3.1.5)."""
    if not re.fullmatch(r"[0-9]{14}", token.text):
        return _number(token, 4)
    moment = datetime.strptime(token.text + "+0000", "%Y%m%d%H%M%S%z")
    return (int(moment.timestamp()) & 0xFFFFFFFF).to_bytes(4, "big")


def _base64(tokens: Sequence[Token]) -> bytes:
    try:
        return b64decode("".join(token.text for token in tokens), validate=True)
    except ValueError as error:
        raise ValueError(f"no base64: {error}") from None


def unescaped(text: str) -> bytes:
    """A character-string (RFC 1035 section 5.1); what is not ASCII is UTF-8. Raises ValueError."""

    def octet(escape: re.Match[bytes]) -> bytes:
        found = escape[1]
        if len(found) < 3:
            return found
        if int(found) > 255:
            raise ValueError(f"no octet: \\{found.decode()}")
        return bytes((int(found),))

    return re.sub(rb"\\([0-9]{3}|.|$)", octet, text.encode(), flags=re.DOTALL)


def _by_dnslib(rtype: int, tokens: Sequence[Token], origin: bytes) -> bytes:
    """The rdata of a type that is rare."""
    name: str = dnslib.QTYPE.forward.get(rtype, "")
    kind: Any = dnslib.RDMAP.get(name)
    if kind is None or rtype in _NO_DATA:
        raise ValueError("only the generic form \\# LENGTH HEX of this type is understood")
    if not tokens:
        raise ValueError("the data are missing")
    buffer = dnslib.DNSBuffer(bytes(FIRST))
    buffer.offset = FIRST
    try:
        label = dnslib.DNSLabel(list(_labels(origin)))
        kind.fromZone([token.text for token in tokens], label).pack(buffer)
        octets = bytes(buffer.data)
        return Names(octets).rdata(rtype, FIRST, len(octets))
    except Exception as error:
        raise ValueError(f"no data of type {name}: {error or type(error).__name__}") from error


def _labels(name: bytes) -> Sequence[bytes]:
    found = []
    at = 0
    while name != ROOT and name[at]:
        found.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return found


_NO_DATA: Final = {41, 249, 250, 251, 252, 253, 254, 255}
"""OPT, and types that are questions or belong to a message (RFC 6895 section 3.1)."""
READERS: Final[dict[int, Read]] = {
    A: _ipv4, AAAA: _ipv6, NS: _name, CNAME: _name, PTR: _name, DNAME: _name, MX: _mx, SRV: _srv, SOA: _soa, TXT: _txt,
    SPF: _txt, CAA: _caa, DS: _ds, CDS: _ds, DNSKEY: _dnskey, CDNSKEY: _dnskey, RRSIG: _rrsig, NSEC: _nsec,
}  # fmt: skip
