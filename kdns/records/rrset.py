"""RRsets, and what a lookup finds (RFC 2181 section 5, RFC 2308)."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Final, NamedTuple

from msgspec import Struct

from kdns.base.objects import ObjectKey, RecordSource
from kdns.records.reasons import Missing, Reason
from kdns.wire.numbers import AAAA, NOERROR, A


class RRset(NamedTuple):
    """All records of one owner and type, with the object they came from."""

    owner: bytes
    rtype: int
    ttl: int
    """Seconds."""
    rdatas: tuple[bytes, ...]
    """Uncompressed wire form, in the order of the object; never empty, never twice the same."""
    source: RecordSource | None = None
    """None for what the zone itself brings: its SOA, NS, and the version of the schema."""
    sources: tuple[RecordSource, ...] = ()
    """One for each of the rdatas, where they came from different objects; else empty."""

    def each(self) -> Iterator[tuple[bytes, RecordSource | None]]:
        """Each rdata with the object that it came from."""
        return zip(self.rdatas, self.sources or repeat(self.source), strict=False)


class Node(NamedTuple):
    """Everything at one existing name: its RRsets, and what depends on it."""

    rrsets: tuple[RRset, ...] = ()
    """None: the name exists, and its records are of other types than the one that was asked for."""
    additional: tuple[RRset, ...] = ()
    """Addresses of the targets that the RRsets name (RFC 2782, RFC 1035 section 3.3.11)."""
    tags: tuple[object, ...] = ()
    """What the node was made from (keys of Services, packed addresses): a change of one of them is a change of it."""

    @property
    def source(self) -> RecordSource | None:
        """The object that the node was made from; None for what the zone itself brings."""
        if self.rrsets:
            return self.rrsets[0].source
        return next((tag for tag in self.tags if isinstance(tag, ObjectKey)), None)

    def lacks(self, rtype: int) -> Missing:
        """Why there is no record of a type here."""
        family = rtype in {A, AAAA} and any(rrset.rtype in {A, AAAA} for rrset in self.rrsets)
        return Missing(Reason.FAMILY if family and self.source else Reason.WRONG_TYPE, self.source)


class Result(Struct, frozen=True):
    """What a lookup in one of our zones came to, before it is octets."""

    zone: bytes
    """The apex of the zone that answers."""
    rcode: int = NOERROR
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    chase: bytes | None = None
    """A CNAME target outside of every zone, folded: another server has to look it up."""
    fallthrough: bool = False
    """The name does not exist here, and the next plugin may be asked for it."""
    tags: tuple[object, ...] = ()
    """See `Node.tags`."""
    lasting: bool = False
    """True if only a change of a tag can change this result; False: any change of the zone may."""
    missing: Missing | None = None
    """Why there is nothing at the name, or at the end of the CNAMEs that begin there; None: there is."""


def address_rrsets(
    owner: bytes, addresses: Iterable[bytes], ttl: int, source: RecordSource | None = None
) -> tuple[RRset, ...]:
    """A and AAAA RRsets (RFC 1035 section 3.4.1, RFC 3596) of packed addresses, duplicates dropped."""
    if isinstance(addresses, tuple) and len(addresses) == 1:  # most targets have one
        return (RRset(owner, _RTYPES[len(addresses[0])], ttl, addresses, source),)
    families: dict[int, dict[bytes, None]] = {}
    for address in addresses:
        families.setdefault(len(address), {})[address] = None
    return tuple(
        [RRset(owner, rtype, ttl, tuple(families[width]), source) for width, rtype in _FAMILIES if width in families]
    )


def merged(owner: bytes, rtype: int, ttl: int, sources: Mapping[bytes, RecordSource]) -> RRset:
    """An RRset of rdatas that came from one object each; the first one's stands for all."""
    keys = tuple(sources.values())
    return RRset(owner, rtype, ttl, tuple(sources), keys[0], keys if len(set(keys)) > 1 else ())


_FAMILIES: Final = ((4, A), (16, AAAA))
_RTYPES: Final = dict(_FAMILIES)


def srv_rdata(weight: int, port: int, target: bytes) -> bytes:
    """RFC 2782: priority (always 0 here), weight, port, and the target, uncompressed."""
    return struct.pack("!HHH", 0, weight, port) + target


def soa_rdata(mname: bytes, rname: bytes, serial: int, minimum: int) -> bytes:
    """RFC 1035 section 3.3.13 with the intervals CoreDNS gives (seconds): refresh 7200, retry 1800, expire 86400."""
    return mname + rname + struct.pack("!5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, minimum)


def txt_rdata(*texts: str) -> bytes:
    """RFC 1035 section 3.3.14: character-strings of at most 255 octets."""
    return b"".join(bytes((len(text),)) + text.encode("ascii") for text in texts)


def rrsets_of(node: Node | Missing) -> tuple[RRset, ...]:
    """All that is at a name."""
    return () if isinstance(node, Missing) else node.rrsets


def pick(rrsets: Sequence[RRset], rtype: int) -> tuple[RRset, ...]:
    """The RRsets of one type."""
    return tuple([rrset for rrset in rrsets if rrset.rtype == rtype])
