"""What goes to an upstream and comes back: a query is composed, a response becomes records (RFC 1035 section 4.1).

A response is untrusted octets: whatever they are, the outcome is a `Message` or FormError. Records come out as
`kdns.wire.rr.RR`: owners folded, names in rdata whole.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from kdns.base.errors import FormError
from kdns.wire.numbers import AD, CD, FORMERR, HEADER, IN, OPCODE, OPT, QR, RD, TC
from kdns.wire.query import UDP_LIMIT, Query, edns_option, edns_options, opt_record, parse_header
from kdns.wire.rdata import MAX_WHOLE, Names
from kdns.wire.rr import RR

PASSED_ON: Final = RD | AD | CD
"""Flags of a client's query that an upstream gets to see (RFC 1035, RFC 6840 section 5.7, RFC 4035 section 3.2.2)."""
EDE: Final = 15
"""The EDNS option that says why (RFC 8914); the only one that a forwarder hands on."""
PART: Final = 4096
"""Octets of a response that are read for a client over UDP, who gets 1,232 of them at most (`UDP_LIMIT`): some more, so
that answers of common sizes are read whole, and can be kept for others."""
_TSIG: Final = 250
_RECORD: Final = struct.Struct("!HHIH")


class UpstreamQuery(NamedTuple):
    """What an upstream is asked; equal ones have the same answer."""

    name: bytes
    """Folded."""
    rtype: int
    rclass: int = IN
    flags: int = RD
    """Which of RD, AD and CD are set."""
    do: bool = False
    """DNSSEC records are wanted, too."""
    options: bytes = b""
    """EDNS options in wire form: those that the Corefile sets."""
    whole: bool = True
    """For clients that can take a whole answer; False: of a long one the first records do, and TC."""


class Message(NamedTuple):
    """A response, parsed."""

    id: int
    flags: int
    rcode: int
    """With the upper bits from the OPT record, if there is one."""
    name: bytes
    """The question's, folded; empty without a question. So for the next two, which are 0 then."""
    rtype: int
    rclass: int
    answer: Sequence[RR] = ()
    authority: Sequence[RR] = ()
    additional: Sequence[RR] = ()
    """Without OPT and TSIG, which are between us and the upstream."""
    options: bytes | None = None
    """EDNS options in wire form; None: no OPT record."""
    compiled: object = None
    """The sections as octets, where they may be sent on as they came (`kdns.dns.api.compiled.Compiled`)."""

    @property
    def truncated(self) -> bool:
        """There is more, over TCP."""
        return bool(self.flags & TC)


def asked(query: Query, whole: bool = True) -> UpstreamQuery:
    """What to ask an upstream for a client; ``whole``: see `UpstreamQuery`."""
    edns = query.edns
    do, options = (edns.do, edns.added) if edns is not None else (False, b"")
    return UpstreamQuery(query.name, query.rtype, query.rclass, query.flags & PASSED_ON, do, options, whole)


def compose_query(number: int, ask: UpstreamQuery, payload: int | None = UDP_LIMIT) -> bytes:
    """A query in wire form; ``payload``: octets that we take over UDP, None for no EDNS (no DO and no options)."""
    opt = b"" if payload is None else opt_record(payload, ask.do, options=ask.options)
    head = struct.pack("!6H", number, ask.flags, 1, 0, 0, 1 if opt else 0)
    return head + ask.name + struct.pack("!HH", ask.rtype, ask.rclass) + opt


def parse_reply(octets: bytes, number: int, ask: UpstreamQuery) -> Message | None:
    """The response to exactly this query; None for all else: forged, malformed, or for another question.

    A bare FORMERR is one, too: servers that cannot read a question send none back (RFC 6891 section 7).
    """
    if len(octets) < HEADER or octets[0] << 8 | octets[1] != number or not octets[2] & 0x80:
        return None  # cheap, since an attacker may send many of these
    try:
        message = parse_message(octets, None if ask.whole else PART)
    except FormError:
        return None
    if not message.name and message.rcode == FORMERR:
        return message
    question = (message.name, message.rtype, message.rclass)
    return message if question == (ask.name, ask.rtype, ask.rclass) else None


def parse_message(octets: bytes, part: int | None = None) -> Message:
    """A response to a standard query. Raises FormError, and nothing else.

    Octets behind the last record are ignored. A truncated response may end anywhere: its whole records are used. With
    ``part``, no record is read that begins beyond so many octets: then the message is a truncated one.
    """
    header = parse_header(octets)
    if not header.flags & QR or header.flags & OPCODE:
        raise FormError("no response to a standard query", header.id)
    if header.questions > 1:
        raise FormError(f"{header.questions} questions, one is allowed", header.id)
    try:
        return _Parser(octets, header.flags, part).message(header.id, header.questions, header[3:])
    except IndexError:
        raise FormError("the message is cut", header.id) from None
    except FormError as error:
        raise FormError(error.problem, header.id) from None


class _Parser:
    """A cursor over one message."""

    def __init__(self, octets: bytes, flags: int, part: int | None) -> None:
        self._octets, self._flags = octets, flags
        self._part = len(octets) if part is None else part
        self._names = Names(octets)
        self._at = HEADER
        self._whole = 0
        self._opt: tuple[int, bytes] | None = None

    def message(self, number: int, questions: int, counts: tuple[int, ...]) -> Message:
        name, rtype, rclass = b"", 0, 0
        if questions:
            name, at = self._names.read(self._at)
            if at + 4 > len(self._octets):
                raise IndexError
            rtype, rclass = struct.unpack_from("!HH", self._octets, at)
            self._at = at + 4
        sections: list[tuple[RR, ...]] = []
        for section, count in enumerate(counts):
            sections.append(tuple(self._records(count, section)))
        answer, authority, additional = sections
        extended, options = self._opt if self._opt is not None else (0, None)
        rcode = self._flags & 0xF | extended
        return Message(number, self._flags, rcode, name.lower(), rtype, rclass, answer, authority, additional, options)

    def _records(self, count: int, section: int) -> Iterator[RR]:
        for _ in range(count):
            if self._at > self._part:
                self._flags |= TC
                return
            try:
                record = self._record(section)
            except IndexError:
                if not self._flags & TC:
                    raise
                self._at = len(self._octets)
                return
            if record is not None:
                yield record

    def _record(self, section: int) -> RR | None:
        owner, at = self._names.read(self._at)
        if at + 10 > len(self._octets):
            raise IndexError
        rtype, rclass, ttl, length = _RECORD.unpack_from(self._octets, at)
        at, end = at + 10, at + 10 + length
        if end > len(self._octets):
            raise IndexError
        self._at = end
        if rtype == OPT:
            # RFC 6891 section 6.1.1: one at most, in the additional section, and its owner is the root
            if section < 2 or self._opt is not None or owner != b"\0":
                raise FormError("more than one OPT record, or one that is misplaced")
            self._opt = ttl >> 24 << 4, self._octets[at:end]
            return None
        if rtype == _TSIG and section == 2:
            return None
        rdata = self._names.rdata(rtype, at, end)
        self._whole += len(rdata)
        if self._whole > MAX_WHOLE:
            raise FormError(f"records of over {MAX_WHOLE} octets")
        # RFC 2181 section 8: a TTL with the most significant bit set counts as zero
        return RR(owner.lower(), rtype, 0 if ttl >> 31 else ttl, rdata, rclass)


def passed_options(options: bytes | None) -> bytes:
    """Those EDNS options of a response that its client gets, too: the reasons (RFC 8914), if they are well-formed."""
    parsed = edns_options(options or b"")
    return b"".join(edns_option(code, data) for code, data in parsed if code == EDE and len(data) >= 2)
