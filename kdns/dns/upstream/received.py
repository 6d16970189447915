"""What an upstream has sent becomes a Message: as octets where they are clean, parsed where not."""

from functools import partial
from typing import Final

from kdns.dns.api.compiled import Loaded, from_facts
from kdns.wire.message import PART, Message, UpstreamQuery, parse_message, parse_reply
from kdns.wire.numbers import ANY, CNAME, HEADER, IN
from kdns.wire.walk import walk

_RESPONSE: Final = 0x80
_NOT_CLEAN: Final = 0x7A
"""QR is looked at by itself; an opcode, or TC, is for the parser."""


def receive(octets: bytes, number: int, ask: UpstreamQuery) -> Message | None:
    """The response to exactly this query, as `parse_reply` has it, whose records are made only where they are read.

    None for all else: forged, malformed, or for another question.
    """
    if len(octets) < HEADER or octets[0] << 8 | octets[1] != number or not octets[2] & _RESPONSE:
        return None  # cheap, since an attacker may send many of these
    question = b"%b%b%b" % (ask.name, ask.rtype.to_bytes(2, "big"), b"\0\1")
    size = len(question)
    if (
        octets[2] & _NOT_CLEAN
        or octets[4:6] != b"\0\1"
        or octets[HEADER : HEADER + size] != question
        or ask.rclass != IN
        or ask.rtype in {ANY, CNAME}
        or (len(octets) > PART and not ask.whole)
    ):
        return parse_reply(octets, number, ask)
    facts = walk(octets, size)
    if facts is None:
        return parse_reply(octets, number, ask)
    flags = octets[2] << 8 | octets[3]
    compiled = from_facts(ask.name, facts, partial(_load, octets))
    records = (compiled.answer, compiled.authority, compiled.additional)
    rcode = flags & 0xF | facts.extended
    return Message(number, flags, rcode, ask.name, ask.rtype, IN, *records, facts.options, compiled)


def _load(octets: bytes) -> Loaded:
    message = parse_message(octets)
    return message.answer, message.authority, message.additional
