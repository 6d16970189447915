"""``hosts``: names and addresses from a file like /etc/hosts, and from lines in the Corefile.

::

    hosts [FILE [ZONE...]] {          the file is /etc/hosts
        ADDRESS NAME...               lines of its own, before fallthrough
        ttl 3600 | no_reverse | reload 5s | fallthrough [ZONE...] | fallthrough_unsupported
    }

The file is looked at every few seconds; when it has changed the whole of it is read again, beside the queries.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, duration, integer, no_args, no_block, once, properties, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.api.zones import Fallthrough, Zones
from kdns.dns.zonefile.hosts_table import EMPTY, Table, parse_address, parse_hosts
from kdns.ops.file_stamp import FileStamp, file_stamp
from kdns.wire.name import parse_name, under
from kdns.wire.numbers import AA, AAAA, IN, PTR, SERVFAIL, A
from kdns.wire.rr import RR

log = logging.getLogger("kdns.dns.plugins.hosts")

NAME: Final = "hosts"
FILE: Final = "/etc/hosts"
FAMILIES: Final = {A: 4, AAAA: 16}
"""Octets of an address of each type."""


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    file: str = FILE
    zones: tuple[str, ...] = (".",)
    """Names outside of them are not taken from the file or the lines."""
    inline: str = ""
    """Lines as they would stand in a file."""
    ttl: int = 3600
    """Seconds, of all records."""
    reverse: bool = True
    """Addresses have PTR records."""
    reload: float = 5.0
    """Seconds between two looks at the file; 0: one look is all."""
    fallthrough: tuple[str, ...] | None = None
    """Zones in which a name that is not known goes on to the next plugin; None: nowhere."""
    fallthrough_unsupported: bool = False
    """Types other than A, AAAA and PTR go on, too, where fallthrough says so."""


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """The options. Raises ConfigError for a line that is neither a property nor ``ADDRESS NAME...``."""
    directive = once(directives)
    words = directive.args
    reader = _Reader(place)
    file = os.path.join(place.folder, words[0].text) if words else FILE
    own = zones(words[1:], place)
    properties(directive, reader.known(directive))
    if reader.unsupported is not None and reader.fallthrough is None:
        raise reader.unsupported.error("'fallthrough_unsupported' does nothing without 'fallthrough'")
    return Options(
        file=file,
        zones=own,
        inline="\n".join(reader.lines),
        ttl=reader.ttl,
        reverse=reader.reverse,
        reload=reader.reload,
        fallthrough=reader.fallthrough,
        fallthrough_unsupported=reader.unsupported is not None,
    )


class _Reader:
    """The lines of the block, one by one."""

    def __init__(self, place: DirectiveContext) -> None:
        self._place = place
        self.lines: list[str] = []
        self.ttl, self.reverse, self.reload = 3600, True, 5.0
        self.fallthrough: tuple[str, ...] | None = None
        self.unsupported: Word | None = None

    def known(self, directive: Directive) -> dict[str, Callable[[Directive], None]]:
        """The properties, and each address that begins a line."""
        own: dict[str, Callable[[Directive], None]] = {
            "ttl": self._ttl,
            "no_reverse": self._no_reverse,
            "reload": self._reload,
            "fallthrough": self._fallthrough,
            "fallthrough_unsupported": self._unsupported,
        }
        addresses = {line.name.text for line in directive.block or () if parse_address(line.name.text)}
        return own | dict.fromkeys(addresses, self._line)

    def _line(self, line: Directive) -> None:
        if self.fallthrough is not None:
            raise line.name.error("addresses stand before 'fallthrough'", hint="move the line up")
        no_block(line)
        for word in arguments(line, 1, None):
            try:
                parse_name(word.text)
            except ValueError as error:
                raise word.error(f"no name: {error}") from None
        self.lines.append(" ".join(word.text for word in (line.name, *line.args)))

    def _ttl(self, line: Directive) -> None:
        self.ttl = integer(arguments(line, 1, 1)[0], 1, 65535)

    def _no_reverse(self, line: Directive) -> None:
        no_args(line)
        self.reverse = False

    def _reload(self, line: Directive) -> None:
        self.reload = duration(arguments(line, 1, 1)[0])

    def _fallthrough(self, line: Directive) -> None:
        self.fallthrough = zones(line.args, DirectiveContext((".",), 0, self._place.folder))

    def _unsupported(self, line: Directive) -> None:
        no_args(line)
        self.unsupported = line.name


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    hosts = Hosts(options, parts)
    return Built(plugin=hosts.plugin, must_see=hosts.must_see, start=hosts.start, close=hosts.close)


class Hosts:
    """The tables of one server block, and the plugin that answers from them."""

    def __init__(
        self, options: Options, parts: BlockContext, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._options, self._parts, self._sleep = options, parts, sleep
        self._zones = Zones(options.zones)
        self._fallthrough = Fallthrough(options.fallthrough)
        self._inline = parse_hosts(options.inline.splitlines(), self._zones, reverse=options.reverse)
        self._file = EMPTY
        self._stamp: FileStamp | None = None
        self._entries = parts.gauge("coredns_hosts_entries", "Entries of all files and lines.")
        self._noted = 0
        self._read = parts.gauge("coredns_hosts_reload_timestamp_seconds", "Unix time of the file that is in use.")

    @property
    def tables(self) -> tuple[Table, Table]:
        """The file's comes first."""
        return self._file, self._inline

    def must_see(self, name: bytes, below: bool) -> bool:
        """The names that it knows, and those of its zones that it does not hand on."""
        if any(table.holds(name) or (below and name in table.above) for table in self.tables):
            return True
        if self._zones.of(name) is not None:
            return not self._fallthrough.through(name)
        return below and any(under(zone, name) and not self._fallthrough.through(zone) for zone in self._zones.texts)

    async def start(self) -> None:
        """Read the file, and from now on look at it again and again."""
        await asyncio.to_thread(self._look)
        await self.refresh()
        self._count()
        if self._options.reload:
            self._parts.spawn(self._follow(), NAME)

    def _look(self) -> None:
        path = Path(self._options.file)
        if not path.exists():
            log.warning("File does not exist: %s", path)
        elif not path.is_file():
            log.warning("Hosts file %s is not a file", path)

    async def _follow(self) -> None:
        while True:
            await self._sleep(self._options.reload)
            if await self.refresh():
                self._count()
                self._parts.forget()

    async def refresh(self) -> bool:
        """Read the file if it is another one than before: True if it was. One that cannot be read changes nothing."""
        loaded = await asyncio.to_thread(self._load)
        if loaded is None:
            return False
        self._file, self._stamp = loaded
        return True

    def _load(self) -> tuple[Table, FileStamp] | None:
        path = Path(self._options.file)
        try:
            stamp = file_stamp(path)
            if stamp == self._stamp or not path.is_file():
                return None
            with path.open(encoding="utf-8", errors="replace") as lines:
                return parse_hosts(lines, self._zones, reverse=self._options.reverse), stamp
        except OSError:
            return None

    def _count(self) -> None:
        """CoreDNS has no label here, so the numbers of all blocks are added up."""
        entries = sum(table.entries for table in self.tables)
        self._entries.inc(entries - self._noted)
        self._noted = entries
        if self._stamp is not None:
            self._read.set(self._stamp.modified / 1e9)

    async def close(self) -> None:
        """It is served no more."""
        self._entries.dec(self._noted)
        self._noted = 0

    def plugin(self, following: Handler) -> Handler:
        """Answers for its names."""

        async def handle(request: Request) -> Response:
            response = self._answer(request)
            return response if response is not None else await following(request)

        return handle

    def _answer(self, request: Request) -> Response | None:
        """None: the next plugin is to answer."""
        query = request.query
        name, rtype = query.name, query.rtype
        if query.rclass != IN:
            return None
        if rtype == PTR:  # in its zones or not; what it does not know is never its own
            names = {address: None for table in self.tables for address in table.names.get(name, ())}
            return self._positive(name, rtype, names) if names else None
        if self._zones.of(name) is None:
            return None
        through = self._fallthrough.through(name)
        if rtype not in FAMILIES and through and self._options.fallthrough_unsupported:
            return None
        size = FAMILIES.get(rtype, 0)
        addresses = {address: None for table in self.tables for address in table.find(name, size)}
        if addresses or any(
            table.find(name, family_size) for table in self.tables for family_size in FAMILIES.values()
        ):
            return self._positive(name, rtype, addresses)
        # NXDOMAIN would need an SOA (RFC 2308 section 3), and such a file has none
        return None if through else Response(SERVFAIL)

    def _positive(self, name: bytes, rtype: int, rdatas: dict[bytes, None]) -> Response:
        return Response(0, AA, tuple(RR(name, rtype, self._options.ttl, rdata) for rdata in rdatas), plugin=NAME)
