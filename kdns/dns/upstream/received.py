"""What has come from an upstream: octets where they are clean, parsed where not."""

from functools import partial
from typing import Final

from kdns.dns.api.compiled import Compiled, Loaded, from_facts
from kdns.wire.message import PART, Message, UpstreamQuery, parse_message, parse_reply
from kdns.wire.numbers import ANY, CNAME, HEADER, IN
from kdns.wire.query import Query
from kdns.wire.walk import Facts, walk

_RESPONSE: Final = 0x80
_PARSED: Final = frozenset({ANY, CNAME})
"""Types of questions whose answers are parsed."""
_NOT_CLEAN: Final = 0x7A
"""QR is looked at by itself; an opcode, or TC, is for the parser."""


Asked = UpstreamQuery | Query
"""What was asked: of a client over UDP the query is enough, which can do with a truncated response."""


class Received:
    """The response to a query. Records are made only where they are read."""

    __slots__ = ("_message", "asked", "facts", "flags", "octets", "rcode", "upstream")

    def __init__(
        self, asked: Asked, octets: bytes, flags: int, rcode: int, facts: Facts | None, message: Message | None
    ) -> None:
        self.asked, self.octets, self.flags, self.rcode = asked, octets, flags, rcode
        """``rcode`` with the upper bits from the OPT record, if there is one."""
        self.facts = facts
        """What is known of the octets of a clean response; None: it was parsed."""
        self._message = message
        self.upstream = ""
        """Who it is from, as ``ADDRESS:PORT``; empty until the pool has it."""

    @property
    def whole(self) -> bool:
        """A truncated one will not do, see `kdns.wire.message.UpstreamQuery`."""
        return type(self.asked) is UpstreamQuery and self.asked.whole

    @property
    def compiled(self) -> Compiled:
        """The sections of a clean response."""
        assert self.facts is not None
        return from_facts(self.asked.name, self.facts, partial(_load, self.octets))

    @property
    def message(self) -> Message:
        """The same for those who read fields and records."""
        message = self._message
        if message is None:
            facts, ask, octets = self.facts, self.asked, self.octets
            assert facts is not None
            compiled = self.compiled
            records = (compiled.answer, compiled.authority, compiled.additional)
            number = octets[0] << 8 | octets[1]
            message = self._message = Message(
                number, self.flags, self.rcode, ask.name, ask.rtype, IN, *records, facts.options, compiled
            )
        return message


def parsed(message: Message, asked: Asked) -> Received:
    """A response that is not clean."""
    return Received(asked, b"", message.flags, message.rcode, None, message)


def receive(octets: bytes, number: int, asked: Asked, question: bytes) -> Received | None:
    """The response to exactly this query, ``question`` being the octets of its question section, folded.

    None for all else: forged, malformed, or for another question, as `parse_reply` has it.
    """
    if len(octets) < HEADER or octets[0] << 8 | octets[1] != number or not octets[2] & _RESPONSE:
        return None  # cheap, since an attacker may send many of these
    size = len(question)
    whole = type(asked) is UpstreamQuery and asked.whole
    if (
        octets[HEADER : HEADER + size] == question
        and not octets[2] & _NOT_CLEAN
        and octets[4:6] == b"\0\1"
        and asked.rclass == IN
        and asked.rtype not in _PARSED
        and (len(octets) <= PART or whole)
    ):
        facts = walk(octets, size)
        if facts is not None:
            flags = octets[2] << 8 | octets[3]
            return Received(asked, octets, flags, flags & 0xF | facts.extended, facts, None)
    message = parse_reply(octets, number, UpstreamQuery(asked.name, asked.rtype, asked.rclass, whole=whole))
    return None if message is None else parsed(message, asked)


def _load(octets: bytes) -> Loaded:
    message = parse_message(octets)
    return message.answer, message.authority, message.additional
