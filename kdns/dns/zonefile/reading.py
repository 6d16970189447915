"""A master file becomes records (RFC 1035 section 5; $TTL: RFC 2308 section 4). Mistakes are reported at their place.

An included file is read by a reader of its own: it begins with what was set before it, and what it sets does not
hold in the file that includes it. Templates make single records, which the same reader reads.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, ParamSpec, TypeVar

from kdns.base.errors import ConfigError
from kdns.config.reading import Mistakes
from kdns.dns.zonefile.generate import generated, numbers
from kdns.dns.zonefile.record import absolute, read_rdata, seconds
from kdns.dns.zonefile.tokens import Entry, Token, entries, wrong
from kdns.wire.name import ROOT
from kdns.wire.numbers import IN, SOA
from kdns.wire.rr import RR
from kdns.wire.types import CLASSES, is_data, type_number

P = ParamSpec("P")
T = TypeVar("T")

DIRECTIVES: Final = ("$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE")
DEFAULT_TTL: Final = 3600
"""Seconds, where neither the record nor anything before it has one; as in CoreDNS."""
DEEPEST: Final = 7
"""Files included by files that are included."""
MAX_RECORDS: Final = 1_000_000
"""More do not fit into the memory of a name server of this kind."""
HASHED: Final = {50, 51}
"""NSEC3 and NSEC3PARAM (RFC 5155): proofs by hashes of names, which `zone` cannot make."""


Open = Callable[[str, str], tuple[str, Iterable[str]]]
"""From the name of an included file, and that of the file that includes it, to its path and its lines.

Raises OSError, and ValueError for a file that must not be read.
"""


def read_zone(lines: Iterable[str], origin: bytes, source: str, included: Open | None = None) -> list[RR]:
    """The records of a file, in its order. Raises ConfigError, several together, each with file, line and column.

    ``included`` opens the files that it includes; without it ``$INCLUDE`` is an error.
    """
    mistakes = Mistakes()
    records: list[RR] = []
    _Reader(origin, source, included).whole(lines, records, mistakes)
    mistakes.settle()
    return records


def parse_record(text: str) -> RR:
    """``OWNER [TTL] [CLASS] TYPE RDATA``, as templates make it, over any number of lines.

    Names are absolute whether they end in a dot or not; without a TTL it is an hour; any class. Raises ValueError.
    """
    try:
        parsed = list(entries([text.strip()], ""))
        if len(parsed) != 1:
            raise ValueError("there is no record")
        return _Reader(ROOT, "", None, DEFAULT_TTL, single=True).line(parsed[0])
    except ConfigError as error:
        raise ValueError(error.problem) from None


class _Reader:
    """What earlier entries set for later ones."""

    def __init__(
        self, origin: bytes, source: str, included: Open | None, default: int | None = None, *, single: bool = False
    ) -> None:
        """``single``: not of a zone, so of any class, and a NSEC3 record has no consequences."""
        self._origin, self._source, self._open = origin, source, included
        self._owner: bytes | None = None
        self._default = default
        self._last: int | None = None
        self._single = single

    def whole(self, lines: Iterable[str], records: list[RR], mistakes: Mistakes, depth: int = 0) -> None:
        """Add all records of a file, and of those that it includes, and its mistakes."""
        try:
            for entry in entries(lines, self._source):
                with mistakes.noted():
                    first = entry.tokens[0]
                    if first.text.upper() == "$INCLUDE" and not entry.indented and not first.quoted:
                        self._include(entry.tokens, records, mistakes, depth)
                    else:
                        records.extend(self._read(entry))
                if len(records) > MAX_RECORDS:
                    raise ConfigError(f"{self._source}: over {MAX_RECORDS} records")
        except ConfigError as error:  # what follows is cut in the wrong places
            mistakes.add(error)

    def _include(self, tokens: tuple[Token, ...], records: list[RR], mistakes: Mistakes, depth: int) -> None:
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
        _Reader(origin, source, self._open, self._default).whole(lines, records, mistakes, depth + 1)

    def _read(self, entry: Entry) -> Iterator[RR]:
        """The record of an entry; none for a directive, but for the one that makes many."""
        first = entry.tokens[0]
        if not first.text.startswith("$") or entry.indented or first.quoted:
            yield self.line(entry)
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
            yield self.line(Entry(words, indented=False))

    def line(self, entry: Entry) -> RR:
        """The record of an entry."""
        first = entry.tokens[0]
        rest = list(entry.tokens)
        if not entry.indented:
            self._owner = self._at(first, absolute, first.text, self._origin)
            rest.pop(0)
        if self._owner is None:
            raise wrong(self._source, first, "the first record has no owner")
        ttl: int | None = None
        rclass = IN
        while rest and not rest[0].quoted:
            text = rest[0].text.upper()
            if text in CLASSES:
                rclass = CLASSES[text]
                if rclass != IN and not self._single:
                    raise wrong(self._source, rest[0], f"class {text}: only records of class IN are served")
            elif ttl is None and re.fullmatch(r"[0-9][0-9A-Z]*", text):
                ttl = self._at(rest[0], seconds, text)
            else:
                break
            rest.pop(0)
        if not rest:
            raise wrong(self._source, entry.tokens[-1], "this record has no type")
        record = self._record(self._owner, ttl, rest[0], rest[1:])
        return record if rclass == IN else record._replace(rclass=rclass)

    def _record(self, owner: bytes, ttl: int | None, kind: Token, rest: list[Token]) -> RR:
        rtype = type_number(kind.text.upper())
        if rtype is None or not is_data(rtype):
            raise wrong(self._source, kind, f"unknown record type {kind.text!r}")
        if rtype in HASHED and not self._single:
            raise wrong(self._source, kind, "NSEC3 is not supported", "sign the zone with NSEC, or give it unsigned")
        rdata = read_rdata(kind, rtype, rest, self._origin, self._source)
        if ttl is None:
            ttl = self._default if self._default is not None else self._last
        if ttl is None:  # CoreDNS and others take the minimum of the SOA where no TTL was set yet
            ttl = int.from_bytes(rdata[-4:], "big") if rtype == SOA else DEFAULT_TTL
        self._last = ttl
        return RR(owner, rtype, ttl, rdata, IN)

    def _directive(self, name: Token, rest: tuple[Token, ...]) -> None:
        known = name.text.upper()
        if known not in {"$ORIGIN", "$TTL"}:
            raise wrong(self._source, name, f"unknown directive {name.text!r}", f"there are {', '.join(DIRECTIVES)}")
        if len(rest) != 1:
            raise wrong(self._source, name, f"{known} needs 1 argument, got {len(rest)}")
        if known == "$TTL":
            self._default = self._at(rest[0], seconds, rest[0].text)
        else:
            self._origin = self._at(rest[0], absolute, rest[0].text, self._origin)

    def _at(self, token: Token, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function makes of its arguments; its ValueError is reported at a token."""
        try:
            return read(*args, **kwargs)
        except UnicodeError:
            raise wrong(self._source, token, f"{token.text!r} is not ASCII", "write names as xn--...") from None
        except ValueError as error:
            raise wrong(self._source, token, str(error)) from None
