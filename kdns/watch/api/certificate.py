"""When a certificate ends: as much of DER as that takes (RFC 5280 section 4.1). Pure."""

import base64
import binascii
import re
from datetime import UTC, datetime

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)

SEQUENCE, UTC_TIME, GENERALIZED_TIME, EXPLICIT_0 = 0x30, 0x17, 0x18, 0xA0


def not_after(pem: bytes) -> float | None:
    """The end of the first certificate's validity in Unix seconds; None for what cannot be read."""
    match = _PEM.search(pem)
    if match is None:
        return None
    try:
        certificate = _inside(base64.b64decode(match[1]), SEQUENCE)
        fields = _elements(_inside(certificate, SEQUENCE))
        if fields[0][0] == EXPLICIT_0:  # version: absent in version 1 certificates
            fields = fields[1:]
        validity = _elements(fields[3][1])  # after serial number, signature algorithm and issuer
        return _moment(*validity[1])
    except (binascii.Error, IndexError, ValueError):
        return None


def _moment(tag: int, text: bytes) -> float:
    """Both forms must be in UTC and to the second (sections 4.1.2.5.1 and 4.1.2.5.2)."""
    if tag == GENERALIZED_TIME:
        form = "%Y%m%d%H%M%SZ"
    elif tag == UTC_TIME:
        form = "%y%m%d%H%M%SZ"
    else:
        raise ValueError("no time")
    moment = datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    # "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY"; strptime's border is 69.
    if tag == UTC_TIME and moment.year >= 2050:
        moment = moment.replace(year=moment.year - 100)
    return moment.timestamp()


def _inside(der: bytes, tag: int) -> bytes:
    outer, content, _ = _element(der, 0)
    if outer != tag:
        raise ValueError("not what was expected")
    return content


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    elements, at = [], 0
    while at < len(der):
        tag, content, at = _element(der, at)
        elements.append((tag, content))
    return elements


def _element(der: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content, and where the next one begins."""
    tag, length, at = der[at], der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
    if at + length > len(der):
        raise ValueError("cut short")
    return tag, der[at : at + length], at + length
