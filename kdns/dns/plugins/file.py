"""``file``: zones from master files (RFC 1035 section 5), such as stub zones of a cluster's own.

::

    file DBFILE [ZONES...] {          the zones of the server block
        reload 1m | reload_by_mtime | fallthrough [ZONES...]
    }

A file is looked at every ``reload``, as are those that it includes; when one has changed, all is read again, beside the
queries. A broken
one is logged, and the zone stays as it was.
"""

import asyncio
import io
import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from kdns.base.errors import ConfigError, KdnsError
from kdns.config.directive import Directive
from kdns.config.reading import Mistakes, arguments, duration, no_args, properties, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.api.request_values import do
from kdns.dns.api.zones import Fallthrough, Zones
from kdns.dns.zonefile.reading import read_zone
from kdns.dns.zonefile.zone import LookupResult, StaticZone
from kdns.ops.file_stamp import FileStamp, file_stamps, stamp_of
from kdns.wire.name import name_text, parse_name
from kdns.wire.numbers import AA, AXFR, IN, IXFR, NXDOMAIN, REFUSED, SERVFAIL, TC
from kdns.wire.query import Query
from kdns.wire.rr import RR

log = logging.getLogger("kdns.dns.plugins.file")

NAME: Final = "file"
RELOAD: Final = 60.0
MAX_FILE: Final = 64 << 20
"""Octets of a file at most."""


class ZoneFile(Struct, frozen=True, kw_only=True):
    """One directive: a file, and the zones that are read from it."""

    file: str
    zones: tuple[str, ...]
    reload: float = RELOAD
    """Seconds between two looks at the file; 0: one look is all."""
    fallthrough: tuple[str, ...] | None = None
    """Zones in which a name that does not exist goes on to the next plugin; None: nowhere."""


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    files: tuple[ZoneFile, ...]

    @property
    def zones(self) -> tuple[str, ...]:
        """Of all files."""
        return tuple(zone for file in self.files for zone in file.zones)


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """Raises ConfigError, also for a zone that is in two files."""
    mistakes = Mistakes()
    zone_files: list[ZoneFile] = []
    for directive in directives:
        with mistakes.noted():
            file = _parse_one(directive, place)
            for zone in file.zones:
                if any(zone in other.zones for other in zone_files):
                    raise directive.name.error(f"zone {zone} is read from two files", hint="name it with one of them")
            zone_files.append(file)
    mistakes.settle()
    return Options(files=tuple(zone_files))


def _parse_one(directive: Directive, place: DirectiveContext) -> ZoneFile:
    words = arguments(directive, 1, None)
    own = zones(words[1:], place)
    seconds = RELOAD
    through: tuple[str, ...] | None = None

    def reload(line: Directive) -> None:
        nonlocal seconds
        seconds = duration(arguments(line, 1, 1)[0])

    def fallthrough(line: Directive) -> None:
        nonlocal through
        through = zones(line.args, DirectiveContext((".",), 0, place.folder))

    # by modification time is how files are looked at in any case
    properties(directive, {"reload": reload, "reload_by_mtime": no_args, "fallthrough": fallthrough})
    path = os.path.join(place.folder, words[0].text)
    return ZoneFile(file=path, zones=own, reload=seconds, fallthrough=through)


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block; aliases that lead out of a zone are looked up through the whole server."""
    files = Files(options, parts)
    parts.offer(NAME, files)
    return Built(plugin=files.plugin, must_see=files.known.touch, start=files.start)


class Loading:
    """The files that one zone is read from."""

    def __init__(self) -> None:
        self.stamps: dict[str, FileStamp] = {}
        """As they were when they were read."""
        self._octets = 0

    def lines(self, path: str) -> Iterable[str]:
        """A file's. Raises OSError, and ValueError if it, or all of them together, are too large."""
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a regular file")
        self.stamps[path] = stamp_of(status)
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE - self._octets + 1)
        self._octets += len(data)
        if self._octets > MAX_FILE:
            raise ValueError(f"{path}: over {MAX_FILE} octets")
        return io.StringIO(data.decode("utf-8", "surrogateescape"), newline=None)

    def included(self, name: str, by: str) -> tuple[str, Iterable[str]]:
        """See `kdns.dns.zonefile.reading.Open`: names are relative to the file that includes them."""
        path = os.path.join(os.path.dirname(by), name)
        return path, self.lines(path)


def load(path: str, apex: bytes, loading: Loading | None = None) -> StaticZone:
    """Read one zone from a file. Raises ConfigError, with places in the file where there are any, and OSError."""
    loading = loading or Loading()
    try:
        lines = loading.lines(path)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    records = read_zone(lines, apex, path, loading.included)
    try:
        return StaticZone(apex, records)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.problem}", error.at, error.hint) from None


class Files:
    """The zones of one server block. Fits `kdns.dns.api.zone_source.ZoneSource`."""

    def __init__(
        self, options: Options, parts: BlockContext, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._options, self._parts, self._sleep = options, parts, sleep
        self.known = Zones(options.zones)
        self._through = {zone: Fallthrough(file.fallthrough) for file in options.files for zone in _apexes(file)}
        self._zones: dict[bytes, StaticZone] = {}
        self._stamps: dict[str, dict[str, FileStamp]] = {}
        """By the name of a directive's file, that file and those that it includes as they were when they were read."""

    async def start(self) -> None:
        """Read the files, and from now on look at them. Raises ConfigError; one that is not there yet is awaited."""
        mistakes = Mistakes()
        for file in self._options.files:
            with mistakes.noted():
                try:
                    await self.refresh(file)
                except OSError as error:
                    if not file.reload:
                        raise ConfigError(f"cannot read the zone file: {error}") from error
                    log.warning("Failed to open %s: %s; trying again in %gs", file.file, error, file.reload)
        mistakes.settle()
        for file in self._options.files:
            if file.reload:
                self._parts.spawn(self._follow(file), NAME)

    async def _follow(self, file: ZoneFile) -> None:
        logged = ""
        while True:
            await self._sleep(file.reload)
            try:
                changed = await self.refresh(file)
            except (ConfigError, OSError) as error:
                if str(error) != logged:
                    log.error("zone file %s is not taken, the zone stays as it was: %s", file.file, error)
                logged = str(error)
                continue
            logged = ""
            if changed:
                self._parts.forget()

    async def refresh(self, file: ZoneFile) -> bool:
        """Read a file if it, or one that it includes, is another one than before: True if it was.

        Raises ConfigError and OSError.
        """
        known = self._stamps.get(file.file)
        if known is not None and known == await asyncio.to_thread(file_stamps, known):
            return False
        stamps: dict[str, FileStamp] = {}
        loaded: dict[bytes, StaticZone] = {}
        for apex in _apexes(file):
            loading = Loading()
            loaded[apex] = await asyncio.to_thread(load, file.file, apex, loading)
            stamps = loading.stamps | stamps  # the older one, if a file has changed in between
        self._stamps[file.file] = stamps
        self._zones |= loaded
        for apex, zone in loaded.items():
            log.info("Successfully loaded zone %s in %s with %d SOA serial", name_text(apex), file.file, zone.serial)
            if zone.strays:
                log.warning("%s: %d records are not in zone %s: left out", file.file, zone.strays, name_text(apex))
            if zone.expires is not None and zone.expires < time.time():
                log.warning("%s: the signatures of zone %s have ended: sign it again", file.file, name_text(apex))
        return True

    def apexes(self) -> tuple[bytes, ...]:
        """All of them."""
        return tuple(self.known.texts)

    def serial(self, apex: bytes) -> int | None:
        """None while the file could not be read."""
        zone = self._zones.get(apex)
        return zone.serial if zone is not None else None

    def zone_records(self, apex: bytes) -> Iterator[RR]:
        """Those of the file that is read now."""
        return self._zones[apex].records()

    def plugin(self, following: Handler) -> Handler:
        """Answers for its zones."""

        async def handle(request: Request) -> Response:
            query = request.query
            apex = self.known.of(query.name) if query.rclass == IN else None
            if apex is None:
                return await following(request)
            if query.rtype in {AXFR, IXFR}:
                return Response(REFUSED, plugin=NAME)
            zone = self._zones.get(apex)
            if zone is None:
                return Response(SERVFAIL, plugin=NAME)
            result = zone.lookup(query.name, query.rtype, do=do(request))
            if result.rcode == NXDOMAIN and not result.answer and self._through[apex].through(query.name):
                return await following(request)
            if result.chase is not None:
                return await self._chased(request, result, result.chase)
            return Response(result.rcode, result.flags, result.answer, result.authority, result.additional, NAME)

        return handle

    async def _chased(self, request: Request, result: LookupResult, target: bytes) -> Response:
        """What an alias leads to outside, and the rcode of the end of the chain (RFC 6604 section 2.1)."""
        query = request.query
        question = target + query.question[-4:]
        onward = Query(query.id, query.flags, question, target, query.rtype, query.rclass, query.edns)
        try:
            end = await self._parts.lookup(request._replace(query=onward))
        except KdnsError:
            return Response(SERVFAIL, AA, result.answer, plugin=NAME)
        if end.unclaimed or end.rcode == REFUSED:
            return Response(0, AA, result.answer, plugin=NAME)  # another server may answer for the target
        authority = (*result.authority, *end.authority)
        flags = AA | end.flags & TC  # an answer that is cut must not be kept as a whole one
        return Response(end.rcode, flags, (*result.answer, *end.answer), authority, end.additional, NAME)


def _apexes(file: ZoneFile) -> list[bytes]:
    return [parse_name(zone) for zone in file.zones]
