"""Elements of nftables' sets and maps as netlink carries them. Pure.

linux/netfilter/nf_tables.h, `enum nft_set_elem_attributes`. The layout is the one in which the kernel lists elements,
so what is wanted and what is there can be compared as octets::

    NFTA_LIST_ELEM
      NFTA_SET_ELEM_KEY       NFTA_DATA_VALUE    the key
      NFTA_SET_ELEM_DATA      NFTA_DATA_VALUE    the value, or
                              NFTA_DATA_VERDICT  NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN
      NFTA_SET_ELEM_TIMEOUT   milliseconds
      NFTA_SET_ELEM_USERDATA  type 0, length, text, NUL: nft's comment

Each part of a concatenation, in keys and in values, is padded to 4 octets. Numbers in them are in network order, but
for those that the kernel makes (numgen, marks): they are in the machine's.
"""

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

_ATTRIBUTE: Final = Struct("=HH")
_LENGTH: Final = Struct("=H")
_CODE: Final = Struct(">i")
_MILLISECONDS: Final = Struct(">Q")
_LIST_ELEM: Final = 1
_KEY, _DATA, _TIMEOUT, _USERDATA = 1, 2, 4, 6
_VALUE, _VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_COMMENT: Final = 0
_TYPE_MASK: Final = 0x3FFF
_KEY_AT: Final = 12
"""Where the key begins in an element: after three headers."""

DROP: Final = 0
JUMP: Final = -3
GOTO: Final = -4
"""Codes of verdicts: NF_DROP, NFT_JUMP, NFT_GOTO."""


class Verdict(NamedTuple):
    """What an element of a map to verdicts leads to."""

    code: int
    chain: str = ""
    """For `JUMP` and `GOTO`."""


class Element(NamedTuple):
    """An element as values."""

    key: bytes
    data: bytes | Verdict | None = None
    """None in a set."""
    comment: str = ""
    """At most 126 octets."""
    timeout: int | None = None
    """Milliseconds; None: the set's, if it has one."""


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded; none is marked as nested, since the kernel lists them so, and takes them so."""
    length = len(payload)
    return _ATTRIBUTE.pack(4 + length, kind) + payload + bytes(-length % 4)


def compose(element: Element) -> bytes:
    """The octets of an element that is to be added."""
    parts = [attribute(_KEY, attribute(_VALUE, element.key))]
    if isinstance(element.data, bytes):
        parts.append(attribute(_DATA, attribute(_VALUE, element.data)))
    elif element.data is not None:
        parts.append(_verdict(element.data))
    if element.timeout is not None:
        parts.append(attribute(_TIMEOUT, _MILLISECONDS.pack(element.timeout)))
    if element.comment:
        parts.append(_comment(element.comment))
    return attribute(_LIST_ELEM, b"".join(parts))


def compose_key(key: bytes) -> bytes:
    """The octets that name an element: to delete it, or to ask for it."""
    return attribute(_LIST_ELEM, attribute(_KEY, attribute(_VALUE, key)))


def compose_plain(key: bytes) -> bytes:
    """`compose` for a set, for keys of whole words."""
    return _head(len(key), 0) + key


def compose_mapped(key: bytes, value: bytes) -> bytes:
    """`compose` for a map to values, for keys and values of whole words: a tenth of the time."""
    size = len(value)
    return _head(len(key), 8 + size) + key + _value_head(size) + value


def compose_leading(key: bytes, verdict: Verdict, comment: str) -> bytes:
    """`compose` for a map to verdicts, for keys of whole words."""
    tail = _verdict(verdict) + _comment(comment)
    return _head(len(key), len(tail)) + key + tail


def key_of(octets: bytes) -> bytes:
    """The key of an element."""
    return octets[_KEY_AT : 8 + _LENGTH.unpack_from(octets, 8)[0]]


def parse(octets: bytes) -> Element:
    """The values of an element."""
    key, data, comment, timeout = b"", None, "", None
    for kind, payload in _attributes(octets, 4):
        if kind == _KEY:
            key = _only(payload)
        elif kind == _DATA:
            data = _data(payload)
        elif kind == _TIMEOUT:
            timeout = _MILLISECONDS.unpack(payload)[0]
        elif kind == _USERDATA:
            comment = _text(payload)
    return Element(key, data, comment, timeout)


def split(elements: bytes) -> Iterator[bytes]:
    """The elements in a list of them (NFTA_SET_ELEM_LIST_ELEMENTS), each with its header."""
    start, end = 0, len(elements)
    unpack = _LENGTH.unpack_from
    while start < end:
        length = unpack(elements, start)[0]
        yield elements[start : start + length]
        start += length + (-length & 3)


@lru_cache(64)
def _head(key: int, rest: int) -> bytes:
    """The three headers before a key, of so many octets, with so many after it."""
    return (
        _ATTRIBUTE.pack(12 + key + rest, _LIST_ELEM) + _ATTRIBUTE.pack(8 + key, _KEY) + _ATTRIBUTE.pack(4 + key, _VALUE)
    )


@lru_cache(8)
def _value_head(size: int) -> bytes:
    return _ATTRIBUTE.pack(8 + size, _DATA) + _ATTRIBUTE.pack(4 + size, _VALUE)


@lru_cache(1024)
def _verdict(verdict: Verdict) -> bytes:
    inner = attribute(_VERDICT_CODE, _CODE.pack(verdict.code))
    if verdict.chain:
        inner += attribute(_VERDICT_CHAIN, verdict.chain.encode() + b"\0")
    return attribute(_DATA, attribute(_VERDICT, inner))


def _comment(comment: str) -> bytes:
    text = comment.encode() + b"\0"
    return attribute(_USERDATA, bytes((_COMMENT, len(text))) + text)


def _attributes(octets: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    while start + 4 <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, start)
        yield kind & _TYPE_MASK, octets[start + 4 : start + length]
        start += length + (-length & 3)


def _only(octets: bytes) -> bytes:
    return next(_attributes(octets))[1]


def _data(octets: bytes) -> bytes | Verdict:
    kind, payload = next(_attributes(octets))
    if kind == _VALUE:
        return payload
    parts = dict(_attributes(payload))
    chain = parts.get(_VERDICT_CHAIN, b"").rstrip(b"\0").decode()
    return Verdict(_CODE.unpack(parts[_VERDICT_CODE])[0], chain)


def _text(userdata: bytes) -> str:
    """nft's comment in what it keeps with an element: parts of a type, a length, and octets."""
    start = 0
    while start + 2 <= len(userdata):
        kind, length = userdata[start], userdata[start + 1]
        if kind == _COMMENT:
            return userdata[start + 2 : start + 2 + length].rstrip(b"\0").decode(errors="replace")
        start += 2 + length
    return ""
