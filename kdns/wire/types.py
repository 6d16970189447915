"""Types and classes by name: the whole of IANA's tables, for every part of kdns (iana.org/assignments/dns-parameters).

A table of our own, since every command imports it and dnspython's takes 6 ms; a test compares the two. The numbers
that code names are in `kdns.wire.numbers`.
"""

import re
from typing import Final

TYPE_TEXT: Final[dict[int, str]] = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
    12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT",
    22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT",
    31: "EID", 32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME",
    40: "SINK", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY",
    49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO", 57: "RKEY",
    58: "TALINK", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS",
    66: "DSYNC", 67: "HHIT", 68: "BRID", 99: "SPF", 100: "UINFO", 101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID",
    105: "L32", 106: "L64", 107: "LP", 108: "EUI48", 109: "EUI64", 128: "NXNAME", 249: "TKEY", 250: "TSIG",
    251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA", 258: "AVC", 259: "DOA",
    260: "AMTRELAY", 261: "RESINFO", 262: "WALLET", 263: "CLA", 264: "IPN", 32768: "TA", 32769: "DLV",
}  # fmt: skip
TYPES: Final[dict[str, int]] = {text: number for number, text in TYPE_TEXT.items()}
CLASS_TEXT: Final = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
CLASSES: Final = {text: number for number, text in CLASS_TEXT.items()}


def type_text(rtype: int) -> str:
    """``A``, ``CAA``..., or ``TYPE1234`` (RFC 3597 section 5)."""
    return TYPE_TEXT.get(rtype) or f"TYPE{rtype}"


def type_number(text: str) -> int | None:
    """The number of a type in capitals, or of ``TYPE1234``; None for anything else."""
    known = TYPES.get(text)
    if known is None and re.fullmatch(r"TYPE[0-9]{1,5}", text) and int(text[4:]) < 65536:
        return int(text[4:])
    return known


def is_data(rtype: int) -> bool:
    """True for a type of records that a zone can have; others are questions, or belong to a message (RFC 6895 3.1)."""
    return rtype not in {0, 41, 65535} and not 128 <= rtype <= 255


def class_text(rclass: int) -> str:
    """``IN``, ``CH``..., or ``CLASS1234`` (RFC 3597 section 5)."""
    return CLASS_TEXT.get(rclass) or f"CLASS{rclass}"
