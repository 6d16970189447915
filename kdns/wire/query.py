"""A datagram or TCP message becomes a Query: header, question and EDNS (RFC 1035 section 4.1, RFC 6891)."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from kdns.base.errors import FormError
from kdns.wire.name import MAX_NAME
from kdns.wire.numbers import HEADER, IXFR, OPCODE, OPT, QR, SOA

UDP_LIMIT: Final = 1232
"""Octets of a UDP reply at most, whatever the client can take: what passes every path without fragments
(DNS flag day 2020)."""
PLAIN_LIMIT: Final = 512
"""Octets of a UDP reply to a client without EDNS (RFC 1035 section 4.2.1)."""
TCP_LIMIT: Final = 65535


class Edns(NamedTuple):
    """What an OPT record of a query says (RFC 6891 section 6.1.2)."""

    payload: int
    """Octets the client can take over UDP."""
    version: int
    do: bool
    options: bytes = b""
    """As they came, or as the Corefile has changed them; a plugin that wants one reads it with `edns_options`."""
    added: bytes = b""
    """Those of `options` that the Corefile has set: only these go to upstreams, and answers may depend on them."""


class Header(NamedTuple):
    """RFC 1035 section 4.1.1."""

    id: int
    flags: int
    questions: int
    answers: int
    authorities: int
    additionals: int

    @property
    def is_response(self) -> bool:
        """A response: it must never be answered."""
        return bool(self.flags & QR)

    @property
    def opcode(self) -> int:
        """0 is a query."""
        return (self.flags & OPCODE) >> 11


class Query(NamedTuple):
    """A query with one question."""

    id: int
    flags: int
    question: bytes
    """As it came: the client's spelling, type and class."""
    name: bytes
    """Folded."""
    rtype: int
    rclass: int
    edns: Edns | None = None
    serial: int | None = None
    """Of an IXFR question: the serial of the zone as the client has it (RFC 1995 section 3)."""

    def limit(self, proto: str) -> int:
        """Octets of the reply at most."""
        if proto != "udp":
            return TCP_LIMIT
        if self.edns is None:
            return PLAIN_LIMIT
        return min(max(self.edns.payload, PLAIN_LIMIT), UDP_LIMIT)


def parse_header(message: bytes) -> Header:
    """The first twelve octets. Raises FormError, with the id if there are two octets."""
    if len(message) < HEADER:
        known = int.from_bytes(message[:2], "big") if len(message) >= 2 else None
        raise FormError(f"message of {len(message)} octets, a header has {HEADER}", known)
    return Header(*struct.unpack_from("!6H", message))


def question_end(message: bytes, at: int = HEADER) -> int:
    """Where the uncompressed name at an offset ends; -1 if it does not, or has over 255 octets."""
    start = at
    size = len(message)
    while at < size:
        length = message[at]
        if not length:
            return at + 1 if at + 1 - start <= MAX_NAME else -1
        if length > 63:
            return -1
        at += 1 + length
    return -1


def parse_query(message: bytes) -> Query:
    """A standard query. Raises FormError for anything else: not one question, a cut or compressed name, two OPTs.

    What is behind the last record is ignored. Records in answer and authority are skipped: some clients send an SOA
    with an IXFR question.
    """
    header = parse_header(message)
    if header.questions != 1:
        raise FormError(f"{header.questions} questions, one is allowed", header.id)
    end = question_end(message)
    if end < 0 or end + 4 > len(message):
        raise FormError("the question is cut, compressed or too long", header.id)
    rtype, rclass = struct.unpack_from("!HH", message, end)
    edns = _parse_edns(message, end + 4, header)
    serial = _client_serial(message, end + 4, header) if rtype == IXFR else None
    question, name = message[HEADER : end + 4], message[HEADER:end].lower()
    return Query(header.id, header.flags, question, name, rtype, rclass, edns, serial)


def _client_serial(message: bytes, at: int, header: Header) -> int | None:
    """The serial of a lone SOA record in the authority section; all records are whole, `_parse_edns` has seen to it."""
    if header.answers or header.authorities != 1:
        return None
    at = _name_end(message, at, header.id)
    rtype, _, _, length = struct.unpack_from("!HHIH", message, at)
    if rtype != SOA or length < 22:  # two names of one octet at least, and five numbers
        return None
    end = at + 10 + length
    return int.from_bytes(message[end - 20 : end - 16], "big")


def _parse_edns(message: bytes, at: int, header: Header) -> Edns | None:
    edns: Edns | None = None
    skipped = header.answers + header.authorities
    for number in range(skipped + header.additionals):
        root = message[at : at + 1] == b"\0"
        at = _name_end(message, at, header.id)
        if at + 10 > len(message):
            raise FormError(f"record {number + 1} is cut", header.id)
        rtype, payload, extended, length = struct.unpack_from("!HHIH", message, at)
        at += 10 + length
        if at > len(message):
            raise FormError(f"record {number + 1} is cut", header.id)
        if rtype == OPT:
            # RFC 6891 section 6.1.1: "If a query message with more than one OPT RR is received, a FORMERR MUST be
            # returned", and its owner is the root.
            if edns is not None or number < skipped or not root:
                raise FormError("more than one OPT record, or one that is misplaced", header.id)
            options = message[at - length : at]
            edns = Edns(payload, (extended >> 16) & 0xFF, bool(extended & 0x8000), options)
    return edns


def _name_end(message: bytes, at: int, known: int) -> int:
    """Where a name, compressed or not, ends."""
    while at < len(message):
        length = message[at]
        if not length:
            return at + 1
        if length >= 0xC0:
            return at + 2
        if length > 63:
            break
        at += 1 + length
    raise FormError("a record's owner is cut", known)


def opt_record(payload: int, do: bool, extended_rcode: int = 0, options: bytes = b"") -> bytes:
    """Our OPT record (RFC 6891 section 6.1.2): version 0; DO is copied (RFC 3225 section 3)."""
    flags = 0x8000 if do else 0
    return struct.pack("!BHHBBHH", 0, OPT, payload, extended_rcode, 0, flags, len(options)) + options


OPT_SIZE: Final = len(opt_record(0, False))
"""Octets of an OPT record without options."""


def fitting_options(options: bytes, room: int) -> bytes:
    """The options of a reply's OPT record, which may have so many octets: none if they do not fit.

    What the client can take (RFC 6891 section 6.2.3) holds for them, too: a reason (RFC 8914) may be of any length.
    """
    return options if OPT_SIZE + len(options) <= room else b""


def reply_payload(edns: Edns) -> int:
    """The payload size in our OPT record: what we take, and no more than the client offers."""
    return min(max(edns.payload, PLAIN_LIMIT), UDP_LIMIT)


def edns_option(code: int, data: bytes) -> bytes:
    """One EDNS option in wire form (RFC 6891 section 6.1.2)."""
    return struct.pack("!HH", code, len(data)) + data


def edns_options(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and data of each EDNS option; ends where one is cut."""
    at = 0
    while at + 4 <= len(octets):
        code, length = struct.unpack_from("!HH", octets, at)
        at += 4 + length
        if at > len(octets):
            return
        yield code, octets[at - length : at]
