"""RRsets for people and programs: the lines of a master file (RFC 1035 section 5), or values for JSON.

dnslib would do for the data, but for names with dots or octets beyond ASCII inside a label.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any, Final

from kdns.records.rrset import RRset
from kdns.wire.name import name_text, under
from kdns.wire.numbers import AAAA, CNAME, NS, PTR, SOA, SRV, TXT, A
from kdns.wire.types import type_text

COLUMN: Final = 48
"""Where the TTL begins, unless the owner is longer."""


def rdata_text(rtype: int, rdata: bytes) -> str:
    """One record's data in presentation form; that of a type which has none here as RFC 3597 section 5 says."""
    if rtype in {A, AAAA}:
        return str(ip_address(rdata))
    if rtype in {NS, CNAME, PTR}:
        return name_text(rdata)
    if rtype == SRV:
        priority, weight, port = struct.unpack("!HHH", rdata[:6])
        return f"{priority} {weight} {port} {name_text(rdata[6:])}"
    if rtype == SOA:
        mname = rdata[: len(rdata) - 20]
        end = _name_end(mname)
        numbers = struct.unpack("!5I", rdata[-20:])
        return " ".join((name_text(mname[:end]), name_text(mname[end:]), *map(str, numbers)))
    if rtype == TXT:
        return " ".join(_character_strings(rdata))
    return f"\\# {len(rdata)} {rdata.hex()}"


def _name_end(octets: bytes) -> int:
    """Where the first name ends."""
    at = 0
    while octets[at]:
        at += 1 + octets[at]
    return at + 1


def _character_strings(rdata: bytes) -> Iterator[str]:
    """RFC 1035 section 5.1: quoted, with what would end the quotes escaped."""
    at = 0
    while at < len(rdata):
        text = rdata[at + 1 : at + 1 + rdata[at]]
        escaped = (
            "\\" + chr(octet) if octet in b'"\\' else chr(octet) if 0x20 <= octet <= 0x7E else f"\\{octet:03d}"
            for octet in text
        )
        yield '"' + "".join(escaped) + '"'
        at += 1 + rdata[at]


def master_file(rrsets: Iterable[RRset], column: int = COLUMN) -> Iterator[str]:
    """A line per record, with the object it came from as comment: any DNS tool reads it. TTLs begin at a column."""
    for rrset in rrsets:
        owner = name_text(rrset.owner)
        for rdata, source in rrset.each():
            data, comment = rdata_text(rrset.rtype, rdata), f" ; {source}" if source else ""
            yield f"{owner:<{column}} {rrset.ttl:>5} IN {type_text(rrset.rtype):<5} {data}{comment}"


def values(rrsets: Iterable[RRset]) -> Iterator[dict[str, Any]]:
    """An object per record: name, ttl, type, data, and source (kind, namespace, name) or null."""
    for rrset in rrsets:
        for rdata, source in rrset.each():
            yield {
                "name": name_text(rrset.owner),
                "ttl": rrset.ttl,
                "type": type_text(rrset.rtype),
                "data": rdata_text(rrset.rtype, rdata),
                "source": source._asdict() if source else None,
            }


def by_zone(rrsets: Iterable[RRset], apexes: Sequence[bytes]) -> list[RRset]:
    """The RRsets zone by zone in the order of the apexes, each RRset once; zones within zones are their own."""
    places = sorted(((apex, place) for place, apex in enumerate(apexes)), key=lambda pair: len(pair[0]), reverse=True)

    def place_of(rrset: RRset) -> int:
        return next((place for apex, place in places if under(rrset.owner, apex)), len(apexes))

    return sorted(dict.fromkeys(rrsets), key=place_of)


def below(rrsets: Iterable[RRset], name: bytes) -> Iterator[RRset]:
    """The RRsets of a folded name and of those below it."""
    return (rrset for rrset in rrsets if under(rrset.owner, name))
