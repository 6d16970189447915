"""What a rule does to the reply. Pure, but for `Alias`, which only says what is to be looked up."""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from kdns.dns.api.handler import Response
from kdns.dns.rewriting.names import Matcher
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import CNAME, DNAME, MX, NS, PTR, SOA, SRV, TC
from kdns.wire.rr import RR

NAPTR: Final = 35
BEFORE: Final = {CNAME: 0, NS: 0, PTR: 0, DNAME: 0, SOA: 0, MX: 2, SRV: 6}
"""Types with a name in their rdata: the octets in front of it."""
FOREVER: Final = 2**31 - 1
"""Seconds: the longest TTL (RFC 2181 section 8)."""


class Pairs(NamedTuple):
    """``answer name|value FROM TO``: what a pattern matches becomes something else."""

    matcher: Matcher
    to: str

    def text(self, name: str) -> str:
        """A name as the client is to see it."""
        replaced = self.matcher.replaced(name, self.to)
        return name if replaced is None else replaced


class Back(NamedTuple):
    """The new name, and names under it, become the old one."""

    new: str
    old: str

    def text(self, name: str) -> str:
        """A name as the client is to see it."""
        if name == self.new or name.endswith(f".{self.new}"):
            return name.removesuffix(self.new) + self.old
        return name


class BackSuffix(NamedTuple):
    """The new suffix becomes the old one."""

    new: str
    old: str

    def text(self, name: str) -> str:
        """A name as the client is to see it."""
        return name.removesuffix(self.new) + self.old if name.endswith(self.new) else name


Spelling: TypeAlias = Pairs | Back | BackSuffix


class Owners(NamedTuple):
    """Owners become others, in all sections."""

    spelling: Spelling

    def revise(self, response: Response) -> Response:
        """The response with other owners."""
        return _each(response, lambda rr: rr._replace(owner=_name(rr.owner, self.spelling)))


class Values(NamedTuple):
    """Names in rdata become others, in all sections: those that CNAME, DNAME, SOA, SRV, MX, NAPTR, NS and PTR name."""

    spelling: Spelling

    def revise(self, response: Response) -> Response:
        """The response with other names in it."""
        return _each(response, self._value)

    def _value(self, rr: RR) -> RR:
        start = _naptr(rr.rdata) if rr.rtype == NAPTR else BEFORE.get(rr.rtype)
        if start is None:
            return rr
        end = start
        while rr.rdata[end]:
            end += 1 + rr.rdata[end]
        name = rr.rdata[start : end + 1]
        return rr._replace(rdata=rr.rdata[:start] + _name(name, self.spelling) + rr.rdata[end + 1 :])


class Ttl(NamedTuple):
    """TTLs become no less than one number of seconds, and no more than another."""

    low: int
    high: int

    def revise(self, response: Response) -> Response:
        """The response with other TTLs."""
        return _each(response, lambda rr: rr._replace(ttl=min(max(rr.ttl, self.low), self.high)))


class Rcode(NamedTuple):
    """One rcode becomes another."""

    old: int
    new: int

    def revise(self, response: Response) -> Response:
        """The response with another rcode."""
        return replace(response, rcode=self.new) if response.rcode == self.old else response


class Alias(NamedTuple):
    """``cname``: an alias leads elsewhere, and what is there has to be looked up."""

    matcher: Matcher
    to: str

    def target(self, response: Response) -> tuple[int, str] | None:
        """The first alias of the answer that is to lead elsewhere: its number, and where to."""
        for number, rr in enumerate(response.answer):
            if rr.rtype == CNAME:
                replaced = self.matcher.replaced(name_text(rr.rdata.lower()), self.to)
                if replaced is not None:
                    return number, replaced
        return None


Reply: TypeAlias = Owners | Values | Ttl | Rcode | Alias


def retargeted(response: Response, number: int, target: bytes, looked_up: Response) -> Response:
    """The aliases up to one of them, which leads elsewhere, and what was found there."""
    aliases = [rr for rr in response.answer[: number + 1] if rr.rtype == CNAME]
    aliases[-1] = aliases[-1]._replace(rdata=target)
    truncated = response.flags & ~TC | looked_up.flags & TC
    return replace(response, answer=(*aliases, *looked_up.answer), flags=truncated)


def _each(response: Response, revise: Callable[[RR], RR]) -> Response:
    return replace(
        response,
        answer=tuple(map(revise, response.answer)),
        authority=tuple(map(revise, response.authority)),
        additional=tuple(map(revise, response.additional)),
    )


def _name(name: bytes, spelling: Spelling) -> bytes:
    before = name_text(name)
    after = spelling.text(before.lower())
    return name if after == before.lower() else parse_name(after)


def _naptr(rdata: bytes) -> int:
    at = 4
    for _ in range(3):  # flags, services, regexp
        at += 1 + rdata[at]
    return at
