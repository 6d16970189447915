"""The forms of queries that the fast path takes: a plain one, and those that ask the same with more octets.

A plain query has the flags RD, AD and CD at most, one question of class IN, and at most an OPT record of version 0
with the flag DO at most and no options (RFC 6891 section 6.1.2). Any other header flag, EDNS flag or EDNS option is
left out of a `Variant`, whose plain query has the same reply unless a plugin reads what was left out.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from kdns.wire.compose import head
from kdns.wire.numbers import AD, AXFR, CD, HEADER, IN, IXFR, OPCODE, QR, RD
from kdns.wire.query import Edns, Query, question_end

TRANSFERS: Final = frozenset({AXFR, IXFR})
TYPE: Final = 4
"""Octets of type and class."""
OPT: Final = 11
"""Octets of an OPT record without options."""
SHAPES: Final = {
    head(flags, (0, 0, 0), opt): (flags, opt)
    for flags in (rd | ad | cd for rd in (0, RD) for ad in (0, AD) for cd in (0, CD))
    for opt in (False, True)
}
"""Octets 2 to 12 of plain queries: their flags, and whether an OPT record follows the question."""

_DO: Final = {b"\0\0\0\0": False, b"\x80\0\0\0": True}
"""The last four octets of an OPT record without options: flags and length."""
_COUNTS: Final = {b"\0\1\0\0\0\0\0\0": False, b"\0\1\0\0\0\0\0\1": True}
"""Octets 4 to 12 of a query with one question and nothing but an OPT record behind it."""
_ROOT_OPT: Final = b"\0\0\x29"
"""How an OPT record begins: its owner is the root, its type 41."""


class Variant(NamedTuple):
    """A query that asks the same as a plain one."""

    query: Query
    """As it came, with all its flags and options."""
    plain: bytes
    """The message of the plain query: its id, its spelling and what of it the reply depends on."""


def plain_query(flags: int, name: bytes, tail: bytes) -> Query | None:
    """The query of a message of a plain shape; ``tail`` is what follows its folded name. None if it is not plain."""
    rtype = int.from_bytes(tail[:2], "big")
    if tail[2:TYPE] != b"\0\1" or rtype in TRANSFERS:
        return None
    edns = None
    if len(tail) > TYPE:
        edns = _plain_edns(tail[TYPE:])
        if edns is None:
            return None
    return Query(0, flags, name + tail[:TYPE], name, rtype, IN, edns)


@lru_cache(64)
def _plain_edns(opt: bytes) -> Edns | None:
    """What a plain OPT record says; None if it is not plain. Remembered, since clients send the same few."""
    do = _DO.get(opt[-4:])
    if do is None or opt[:3] != _ROOT_OPT or opt[-6:-4] != b"\0\0":
        return None
    return Edns(int.from_bytes(opt[3:5], "big"), 0, do)


def variant(message: bytes) -> Variant | None:
    """The variant of a plain query that a message is; None for plain ones and for all that the slow path must read.

    Octets behind the last record are ignored, as `kdns.wire.query.parse_query` ignores them.
    """
    flags = int.from_bytes(message[2:4], "big")
    opt = _COUNTS.get(message[4:HEADER])
    end = question_end(message)
    if opt is None or flags & (QR | OPCODE) or end < 0 or message[end + 2 : end + TYPE] != b"\0\1":
        return None
    rtype = int.from_bytes(message[end : end + 2], "big")
    if rtype in TRANSFERS:
        return None
    question, at = message[HEADER : end + TYPE], end + TYPE
    edns, plain_opt = None, b""
    if opt:
        record = message[at : at + OPT]
        options_end = at + OPT + int.from_bytes(record[9:11], "big")
        # octet 6 is the version: BADVERS for all but 0 (RFC 6891 section 6.1.3)
        if len(record) < OPT or record[:3] != _ROOT_OPT or record[6] or options_end > len(message):
            return None
        do = bool(record[7] & 0x80)
        edns = Edns(int.from_bytes(record[3:5], "big"), 0, do, message[at + OPT : options_end])
        plain_opt = record[:5] + (b"\0\0\x80\0\0\0" if do else bytes(6))
    plain = message[:2] + head(flags & (RD | AD | CD), (0, 0, 0), opt) + question + plain_opt
    if plain == message:
        return None
    name = message[HEADER:end].lower()
    return Variant(Query(0, flags, question, name, rtype, IN, edns), plain)
