"""RRsets, and what a lookup finds (RFC 2181 section 5, RFC 2308)."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kdns.base.objects import ObjectKey
from kdns.wire.numbers import AAAA, NOERROR, A


class RRset(NamedTuple):
    """All records of one owner and type, with the object they came from."""

    owner: bytes
    rtype: int
    ttl: int
    """Seconds."""
    rdatas: tuple[bytes, ...]
    """Uncompressed wire form, in the order of the object; never empty, never twice the same."""
    source: ObjectKey | None = None
    """None for what the zone itself brings: its SOA, NS, and the version of the schema."""


class Node(NamedTuple):
    """Everything at one existing name: its RRsets, and what depends on it."""

    rrsets: tuple[RRset, ...] = ()
    """None of them: an empty non-terminal (RFC 8020), or a name whose records are of another kind."""
    additional: tuple[RRset, ...] = ()
    """Addresses of the targets that the RRsets name (RFC 2782, RFC 1035 section 3.3.11)."""
    tags: tuple[object, ...] = ()
    """What the node was made from (keys of Services, packed addresses): a change of one of them is a change of it."""


EMPTY_NODE = Node()


class Result(NamedTuple):
    """What a lookup found, before it is octets."""

    zone: bytes
    """The apex of the zone that answers."""
    rcode: int = NOERROR
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    chase: bytes | None = None
    """A CNAME target outside every zone, which only somebody else can look up."""
    fallthrough: bool = False
    """The name does not exist here, and the next plugin may be asked for it."""
    tags: tuple[object, ...] = ()
    """See `Node.tags`."""
    lasting: bool = False
    """True if only a change of a tag can change this result; False: any change of the zone may."""


def address_rrsets(
    owner: bytes, addresses: Iterable[bytes], ttl: int, source: ObjectKey | None = None
) -> tuple[RRset, ...]:
    """A and AAAA RRsets (RFC 1035 section 3.4.1, RFC 3596) of packed addresses, duplicates dropped."""
    families: dict[int, dict[bytes, None]] = {}
    for address in addresses:
        families.setdefault(len(address), {})[address] = None
    return tuple(
        [RRset(owner, rtype, ttl, tuple(families[width]), source) for width, rtype in _FAMILIES if width in families]
    )


_FAMILIES: Final = ((4, A), (16, AAAA))


def srv_rdata(weight: int, port: int, target: bytes) -> bytes:
    """RFC 2782: priority (always 0 here), weight, port, and the target, uncompressed."""
    return struct.pack("!HHH", 0, weight, port) + target


def soa_rdata(mname: bytes, rname: bytes, serial: int, minimum: int) -> bytes:
    """RFC 1035 section 3.3.13 with the intervals CoreDNS gives (seconds): refresh 7200, retry 1800, expire 86400."""
    return mname + rname + struct.pack("!5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, minimum)


def txt_rdata(*texts: str) -> bytes:
    """RFC 1035 section 3.3.14: character-strings of at most 255 octets."""
    return b"".join(bytes((len(text),)) + text.encode("ascii") for text in texts)


def pick(rrsets: Sequence[RRset], rtype: int) -> tuple[RRset, ...]:
    """The RRsets of one type."""
    return tuple([rrset for rrset in rrsets if rrset.rtype == rtype])
