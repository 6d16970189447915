"""The numbers of DNS that kdns uses (RFC 1035, 2782, 3596, 6891; IANA's DNS parameters)."""

from typing import Final

HEADER: Final = 12
"""Octets of a message's header (RFC 1035 section 4.1.1)."""

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
HINFO: Final = 13
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
DS: Final = 43
SVCB: Final = 64
HTTPS: Final = 65
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

IN: Final = 1
CH: Final = 3
CLASS_ANY: Final = 255

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16

QR: Final = 0x8000
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
AD: Final = 0x0020
CD: Final = 0x0010
OPCODE: Final = 0x7800

RTYPE_TEXT: Final = {
    A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", HINFO: "HINFO", MX: "MX", TXT: "TXT", AAAA: "AAAA",
    SRV: "SRV", 35: "NAPTR", OPT: "OPT", DS: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3",
    SVCB: "SVCB", HTTPS: "HTTPS", IXFR: "IXFR", AXFR: "AXFR", ANY: "ANY",
}  # fmt: skip
RCODE_TEXT: Final = {
    NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", NOTIMP: "NOTIMP",
    REFUSED: "REFUSED", BADVERS: "BADVERS",
}  # fmt: skip


def rtype_text(rtype: int) -> str:
    """``A``, ``SRV``..., or ``TYPE1234`` (RFC 3597 section 5) for a type without a name here."""
    return RTYPE_TEXT.get(rtype) or f"TYPE{rtype}"


def rcode_text(rcode: int) -> str:
    """``NXDOMAIN``..., or ``RCODE17`` for one without a name here."""
    return RCODE_TEXT.get(rcode) or f"RCODE{rcode}"
