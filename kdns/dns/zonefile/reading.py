"""A master file becomes records (RFC 1035 section 5; $TTL: RFC 2308 section 4). Mistakes are told at their place.

A file that is included is read by a reader of its own: it begins with what is said so far, and what it says of later
entries is not about those of the file that it stands in.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, ParamSpec, TypeVar

from kdns.base.errors import ConfigError
from kdns.config.reading import Mistakes
from kdns.dns.zonefile.generate import generated, numbers
from kdns.dns.zonefile.rdata import absolute, read_rdata, seconds
from kdns.dns.zonefile.tokens import Entry, Token, entries, wrong
from kdns.wire.numbers import IN, SOA
from kdns.wire.rr import RR
from kdns.wire.types import type_number

P = ParamSpec("P")
T = TypeVar("T")

DIRECTIVES: Final = ("$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE")
CLASSES: Final = {"IN", "CH", "HS", "CS"}
DEEPEST: Final = 7
"""Files included by files that are included."""
MAX_RECORDS: Final = 1_000_000
"""More do not fit into the memory of a name server of this kind."""
HASHED: Final = {50, 51}
"""NSEC3 and NSEC3PARAM (RFC 5155): proofs by hashes of names, which nobody here makes."""
QUESTIONS: Final = range(249, 256)
"""Types that are no records (RFC 6895 section 3.1)."""


Open = Callable[[str, str], tuple[str, Iterable[str]]]
"""From the name of a file that is included, and that of the file which says so, to its path and its lines.

Raises OSError, and ValueError for what must not be read.
"""


def read_zone(lines: Iterable[str], origin: bytes, source: str, included: Open | None = None) -> list[RR]:
    """The records of a file, in its order. Raises ConfigError, several together, each with file, line and column.

    ``included`` opens the files that it includes; without it there are none.
    """
    mistakes = Mistakes()
    found: list[RR] = []
    _Reader(origin, source, included).whole(lines, found, mistakes)
    mistakes.settle()
    return found


class _Reader:
    """What earlier entries say of later ones."""

    def __init__(self, origin: bytes, source: str, included: Open | None, default: int | None = None) -> None:
        self._origin, self._source, self._open = origin, source, included
        self._owner: bytes | None = None
        self._default = default
        self._last: int | None = None

    def whole(self, lines: Iterable[str], found: list[RR], mistakes: Mistakes, depth: int = 0) -> None:
        """Add all records of a file, and of those that it includes, and what is wrong with them."""
        try:
            for entry in entries(lines, self._source):
                with mistakes.noted():
                    first = entry.tokens[0]
                    if first.text.upper() == "$INCLUDE" and not entry.indented and not first.quoted:
                        self._include(entry.tokens, found, mistakes, depth)
                    else:
                        found.extend(self._read(entry))
                if len(found) > MAX_RECORDS:
                    raise ConfigError(f"{self._source}: over {MAX_RECORDS} records")
        except ConfigError as error:  # what follows is cut in the wrong places
            mistakes.add(error)

    def _include(self, tokens: tuple[Token, ...], found: list[RR], mistakes: Mistakes, depth: int) -> None:
        name, *rest = tokens
        if not 1 <= len(rest) <= 2:
            raise wrong(self._source, name, f"$INCLUDE needs a file and maybe an origin, got {len(rest)} words")
        file = rest[0]
        origin = self._origin if len(rest) < 2 else self._at(rest[1], absolute, rest[1].text, self._origin)
        if depth >= DEEPEST or self._open is None:
            raise wrong(self._source, name, f"over {DEEPEST} files within each other")
        try:
            source, lines = self._open(file.text, self._source)
        except OSError as error:
            raise wrong(self._source, file, f"{file.text!r} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise wrong(self._source, file, str(error)) from None
        _Reader(origin, source, self._open, self._default).whole(lines, found, mistakes, depth + 1)

    def _read(self, entry: Entry) -> Iterator[RR]:
        """The record of an entry; none for a directive, but for the one that makes many."""
        first = entry.tokens[0]
        if not first.text.startswith("$") or entry.indented or first.quoted:
            yield self._line(entry)
        elif first.text.upper() == "$GENERATE":
            yield from self._generate(entry.tokens)
        else:
            self._directive(first, entry.tokens[1:])

    def _generate(self, tokens: tuple[Token, ...]) -> Iterator[RR]:
        name, *rest = tokens
        if len(rest) < 4:
            raise wrong(self._source, name, f"$GENERATE needs RANGE OWNER TYPE DATA, got {len(rest)} words")
        for number in self._at(rest[0], numbers, rest[0].text):
            words = tuple(self._at(token, generated, token, number) for token in rest[1:])
            yield self._line(Entry(words, indented=False))

    def _line(self, entry: Entry) -> RR:
        """The record of an entry."""
        first = entry.tokens[0]
        rest = list(entry.tokens)
        if not entry.indented:
            self._owner = self._at(first, absolute, first.text, self._origin)
            rest.pop(0)
        if self._owner is None:
            raise wrong(self._source, first, "the first record has no owner")
        ttl: int | None = None
        while rest and not rest[0].quoted:
            text = rest[0].text.upper()
            if text in CLASSES:
                if text != "IN":
                    raise wrong(self._source, rest[0], f"class {text}: only records of class IN are served")
            elif ttl is None and re.fullmatch(r"[0-9][0-9A-Z]*", text):
                ttl = self._at(rest[0], seconds, text)
            else:
                break
            rest.pop(0)
        if not rest:
            raise wrong(self._source, entry.tokens[-1], "this record has no type")
        return self._record(self._owner, ttl, rest[0], rest[1:])

    def _record(self, owner: bytes, ttl: int | None, kind: Token, rest: list[Token]) -> RR:
        rtype = type_number(kind.text.upper())
        if rtype is None or rtype in QUESTIONS or rtype == 41:
            raise wrong(self._source, kind, f"{kind.text!r} is no type of record")
        if rtype in HASHED:
            raise wrong(self._source, kind, "NSEC3 is not supported", "sign the zone with NSEC, or give it unsigned")
        rdata = self._at(rest[0] if rest else kind, read_rdata, rtype, rest, self._origin)
        if ttl is None:
            ttl = self._default if self._default is not None else self._last
        if ttl is None:  # CoreDNS and others take the minimum of the SOA where nothing has been said yet
            ttl = int.from_bytes(rdata[-4:], "big") if rtype == SOA else 3600
        self._last = ttl
        return RR(owner, rtype, ttl, rdata, IN)

    def _directive(self, name: Token, rest: tuple[Token, ...]) -> None:
        known = name.text.upper()
        if known not in {"$ORIGIN", "$TTL"}:
            raise wrong(self._source, name, f"{name.text!r} is no directive", f"there are {', '.join(DIRECTIVES)}")
        if len(rest) != 1:
            raise wrong(self._source, name, f"{known} needs 1 argument, got {len(rest)}")
        if known == "$TTL":
            self._default = self._at(rest[0], seconds, rest[0].text)
        else:
            self._origin = self._at(rest[0], absolute, rest[0].text, self._origin)

    def _at(self, token: Token, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function makes of its arguments; its ValueError is told at a token."""
        try:
            return read(*args, **kwargs)
        except UnicodeError:
            raise wrong(self._source, token, f"{token.text!r} is not ASCII", "write names as xn--...") from None
        except ValueError as error:
            raise wrong(self._source, token, str(error)) from None
