"""What was known of a cluster at one moment, as octets and back. Pure.

::

    MAGIC (with the number of the format), SHA-256 of the rest, MessagePack of a `Snapshot`

Only what `kdns.base.objects` keeps is in it: no Secret, no token, nothing that the DNS or the rules do not show.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Raw, Struct

from kdns.base.objects import EndpointSlice, Kind, Namespace, Node, Object, Pod, Service, ServiceCIDR
from kdns.watch.source import Want

MAGIC: Final = b"kdns snapshot 1\n"
"""The number changes with the objects that are kept: another one is not read."""
LIMIT: Final = 256 << 20
"""Octets: what is larger is neither written nor read. 10,000 Services with 100,000 endpoints have about 15 MB."""
_HEAD: Final = len(MAGIC) + sha256().digest_size

_TYPES: Final[dict[Kind, type]] = {
    "Service": Service,
    "EndpointSlice": EndpointSlice,
    "Namespace": Namespace,
    "Pod": Pod,
    "Node": Node,
    "ServiceCIDR": ServiceCIDR,
    "ServiceImport": Service,
}


class Snapshot(Struct, frozen=True):
    """All objects that were wanted, and of which cluster they are."""

    cluster: str
    """Names the API server, by its address and its certificate authorities."""
    taken: float
    """Unix seconds."""
    wants: tuple[Want, ...]
    """What was followed: with other selectors or columns it is not the same data."""
    objects: tuple[tuple[Kind, tuple[Raw, ...]], ...] = ()

    def decoded(self) -> Iterable[Object]:
        """Each object. Raises `Unusable` for one that is not what its kind says."""
        for kind, items in self.objects:
            decoder: msgspec.msgpack.Decoder[Object] = msgspec.msgpack.Decoder(_TYPES[kind])
            for item in items:
                try:
                    yield decoder.decode(item)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise Unusable(f"an object of kind {kind} is damaged") from error


class Unusable(Exception):
    """Octets that are not a snapshot that can be served; ``str()`` says why."""


def encode_object(kept: Object) -> bytes:
    """One object; a thread that encodes many gives the interpreter back between two of them."""
    return _ENCODER.encode(kept)


def encode(cluster: str, taken: float, wants: Sequence[Want], objects: Iterable[tuple[Kind, Sequence[bytes]]]) -> bytes:
    """The file's octets; `objects` as `encode_object` has made them."""
    raw = tuple((kind, tuple(Raw(item) for item in items)) for kind, items in objects)
    body = _ENCODER.encode(Snapshot(cluster, taken, tuple(wants), raw))
    return MAGIC + sha256(body).digest() + body


def decode(data: bytes, cluster: str, wants: Sequence[Want]) -> Snapshot:
    """The snapshot in a file. Raises `Unusable`: damaged, of another version, of another cluster, of other settings."""
    if not data.startswith(MAGIC):
        raise Unusable("it is of another version" if data.startswith(MAGIC[:13]) else "it is not a snapshot")
    body = data[_HEAD:]
    if sha256(body).digest() != data[len(MAGIC) : _HEAD]:
        raise Unusable("it is damaged")
    try:
        snapshot = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MemoryError) as error:
        raise Unusable("it is damaged") from error
    if snapshot.cluster != cluster:
        raise Unusable("it is of another cluster: the API server has another address or certificate authority")
    if snapshot.wants != tuple(wants):
        raise Unusable("it was taken with other settings")
    return snapshot


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Snapshot)
