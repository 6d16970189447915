"""``transfer``: whole zones for other servers (AXFR, RFC 5936), and word to them when a zone changes (RFC 1996).

::

    transfer [ZONES...] {             the zones of the server block
        to ADDRESS...                 ``*`` is every client; those with an address are notified of changes, too
        source ADDRESS                where those messages come from
    }

    AXFR ──> over TCP? from a peer? ──> first message: SOA ... ──> the next when the client has taken it ──> ... SOA

The zones are those of the block's ``kubernetes``, ``k8s_external`` and ``file``.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain
from typing import Final

from msgspec import Struct

from kdns.base.clock import Clock, TimeSlice
from kdns.config.directive import Directive, Word
from kdns.config.reading import Mistakes, address, arguments, properties, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, sees_nothing
from kdns.dns.api.zone_source import ZoneSource
from kdns.dns.api.zones import Zones
from kdns.dns.upstream.notify import Peer, notify
from kdns.records.answers import Answers, to_rrs
from kdns.records.transfer import transfer
from kdns.wire.name import name_text
from kdns.wire.numbers import AA, AXFR, IN, IXFR, NOERROR, REFUSED, SERVFAIL
from kdns.wire.rcodes import rcode_text
from kdns.wire.rr import RR

log = logging.getLogger("kdns.dns.plugins.transfer")

NAME: Final = "transfer"
SOURCES: Final = ("kubernetes", "k8s_external", "file")
EVERYBODY: Final = "*"
PORT: Final = 53
MESSAGE: Final = 16_000
"""Octets of records in a message, before names are compressed; one that is longer is alone in its message."""
MAX_TRANSFERS: Final = 4
"""Zones on their way at a time; who comes then is answered SERVFAIL and comes again."""
LOOK: Final = 5.0
"""Seconds between two looks at the serials: peers are not notified more often than that."""
MAX_NOTIFIES: Final = 16
"""NOTIFYs in flight."""
FIXED: Final = 10
"""Octets of a record besides owner and rdata."""


class Rule(Struct, frozen=True, kw_only=True):
    """One directive."""

    zones: tuple[str, ...]
    to: tuple[Peer, ...] = ()
    everybody: bool = False
    source: str = ""

    def allows(self, client: str) -> bool:
        """True if a client, by its address, may have the zones."""
        plain = ip_address(client.partition("%")[0])
        if isinstance(plain, IPv6Address) and plain.ipv4_mapped is not None:
            plain = plain.ipv4_mapped
        return self.everybody or any(ip_address(peer.address) == plain for peer in self.to)


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    rules: tuple[Rule, ...]

    @property
    def zones(self) -> tuple[str, ...]:
        """Of all rules."""
        return tuple(zone for rule in self.rules for zone in rule.zones)


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """Raises ConfigError, also for a zone that is in two of them."""
    mistakes = Mistakes()
    rules: list[Rule] = []
    for directive in directives:
        with mistakes.noted():
            rule = _parse_one(directive, place)
            for zone in rule.zones:
                if any(zone in other.zones for other in rules):
                    raise directive.name.error(f"zone {zone} is in two transfers", hint="name all peers in one")
            rules.append(rule)
    mistakes.settle()
    return Options(rules=tuple(rules))


def _parse_one(directive: Directive, place: DirectiveContext) -> Rule:
    peers: list[Peer] = []
    everybody = False
    source: IPv4Address | IPv6Address | None = None

    def to(line: Directive) -> None:
        nonlocal everybody
        for word in arguments(line, 1, None):
            if word.text == EVERYBODY:
                everybody = True
            else:
                peers.append(_peer(word))

    def from_(line: Directive) -> None:
        nonlocal source
        if source is not None:
            raise line.name.error("source stands twice")
        source = address(arguments(line, 1, 1)[0])

    own = zones(directive.args, place)
    properties(directive, {"to": to, "source": from_})
    if not peers and not everybody:
        raise directive.name.error("transfer needs 'to'", hint="such as to 192.0.2.53, or to * for everybody")
    if source is not None:
        peers = [peer._replace(source=str(source)) for peer in peers]
        other = next((peer for peer in peers if ip_address(peer.address).version != source.version), None)
        if other is not None:
            raise directive.name.error(f"{other.address} cannot be notified from {source}: two families")
    return Rule(zones=own, to=tuple(dict.fromkeys(peers)), everybody=everybody, source=str(source or ""))


def _peer(word: Word) -> Peer:
    """``192.0.2.1``, ``192.0.2.1:5353``, ``2001:db8::1`` or ``[2001:db8::1]:5353``."""
    host, port = word.text, ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port.removeprefix(":") if port.startswith(":") or not port else "no"
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        number = int(port) if port else PORT
        if port and not (port.isdecimal() and 0 < number < 65536):
            raise ValueError
        return Peer(str(ip_address(host)), number)
    except ValueError:
        hint = "such as 192.0.2.53, 192.0.2.53:5353, [2001:db8::53]:5353, or * for everybody"
        raise word.error(f"invalid address {word.text!r}", hint=hint) from None


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    plugin = Transfer(options, parts)
    return Built(plugin=plugin.plugin, must_see=sees_nothing, start=plugin.start)


class ClusterZones:
    """The zones of ``kubernetes``. Fits `kdns.dns.api.zone_source.ZoneSource`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def apexes(self) -> tuple[bytes, ...]:
        """Reverse zones, too."""
        schema = self._answers.schema
        return (*schema.zones, *schema.reverse_zones)

    def serial(self, apex: bytes) -> int | None:
        """None until everything is known."""
        return self._answers.zone.serial(apex) if self._answers.synced else None

    def zone_records(self, apex: bytes) -> Iterator[RR]:
        """See `kdns.records.transfer`."""
        return chain.from_iterable(to_rrs((rrset,)) for rrset in transfer(self._answers.zone, apex))


class Transfer:
    """The transfers of one server block."""

    def __init__(
        self, options: Options, parts: BlockContext, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._options, self._parts, self._sleep = options, parts, sleep
        self._rules = {apex: rule for rule in options.rules for apex in Zones(rule.zones).texts}
        self._known = Zones(options.zones)
        self._running = 0
        self._told: dict[bytes, int] = {}

    def _sources(self) -> Iterator[ZoneSource]:
        for name in SOURCES:
            offered = self._parts.sibling(name)
            if isinstance(offered, Answers):
                yield ClusterZones(offered)
            elif isinstance(offered, ZoneSource):
                yield offered

    def plugin(self, following: Handler) -> Handler:
        """Answers AXFR and IXFR for zones that it knows whole; everything else goes on."""

        async def handle(request: Request) -> Response:
            query = request.query
            if query.rtype not in {AXFR, IXFR} or query.rclass != IN:
                return await following(request)
            zone = self._known.of(query.name)
            if zone is None:
                return await following(request)
            client = request.client
            if client.proto not in {"tcp", "tls"} or not self._rules[zone].allows(client.address):
                return Response(REFUSED, plugin=NAME)
            source = next((candidate for candidate in self._sources() if query.name in candidate.apexes()), None)
            if source is None:
                return await following(request)
            return await self._respond(request, source)

        return handle

    async def _respond(self, request: Request, source: ZoneSource) -> Response:
        query = request.query
        apex = query.name
        serial = source.serial(apex)
        if serial is None or self._running >= MAX_TRANSFERS or (query.rtype == IXFR and query.serial is None):
            return Response(SERVFAIL, plugin=NAME)
        records = source.zone_records(apex)
        soa = next(records)
        if query.rtype == IXFR and query.serial == serial:
            return Response(NOERROR, AA, (soa,), plugin=NAME)
        sections = _messages(chain((soa,), records, (soa,)))
        self._running += 1
        try:
            first = await _next(sections)
        finally:
            self._running -= 1
        assert first is not None, "a zone has an SOA record"
        text = f"zone {name_text(apex)} to {request.client.address} for {serial} SOA serial"
        return Response(NOERROR, AA, first, plugin=NAME, further=self._further(len(first), sections, text))

    async def _further(
        self, count: int, sections: Iterator[tuple[RR, ...] | None], text: str
    ) -> AsyncGenerator[tuple[RR, ...], None]:
        """The messages after the first."""
        self._running += 1
        try:
            while (section := await _next(sections)) is not None:
                count += len(section)
                yield section
            log.info("Outgoing transfer of %d records of %s", count, text)
        finally:
            self._running -= 1

    # --- notify ---

    async def start(self) -> None:
        """From now on look at the serials, if there is a peer to notify."""
        if any(rule.to for rule in self._options.rules):
            self._parts.spawn(self._follow(), NAME)

    async def _follow(self) -> None:
        while True:
            await self.look()
            await self._sleep(LOOK)

    async def look(self) -> None:
        """Notify the peers of each zone whose serial has changed since the last time; also the first time."""
        room = asyncio.Semaphore(MAX_NOTIFIES)
        wanted: list[tuple[Peer, bytes]] = []
        for source in self._sources():
            for apex in source.apexes():
                zone, serial = self._known.of(apex), source.serial(apex)
                if zone is not None and serial is not None and self._told.get(apex) != serial:
                    self._told[apex] = serial
                    wanted += ((peer, apex) for peer in self._rules[zone].to)

        async def one(peer: Peer, apex: bytes) -> None:
            async with room:
                await self._tell(peer, apex)

        await asyncio.gather(*(one(peer, apex) for peer, apex in wanted))

    async def _tell(self, peer: Peer, apex: bytes) -> None:
        try:
            rcode = await notify(peer, apex, self._parts.random.getrandbits(16))
        except OSError as error:
            log.warning("notify for zone %s cannot be sent to %s: %s", name_text(apex), peer, error)
            return
        if rcode != NOERROR:
            why = "no answer" if rcode is None else f"rcode was {rcode_text(rcode)}"
            log.warning("notify for zone %s was not accepted by %s: %s", name_text(apex), peer, why)


async def _next(sections: Iterator[tuple[RR, ...] | None]) -> tuple[RR, ...] | None:
    """The next message; None at the end. Making one takes tens of milliseconds where a Service has many endpoints."""
    for section in sections:
        if section is not None:
            return section
        await asyncio.sleep(0)
    return None


def _messages(records: Iterable[RR], clock: Clock = time.monotonic) -> Iterator[tuple[RR, ...] | None]:
    """Records in as many messages as they need; None in between wherever others have waited long enough."""
    section: list[RR] = []
    size = 0
    turn = TimeSlice(clock=clock)
    for record in records:
        if turn.over():
            yield None
            turn = TimeSlice(clock=clock)
        own = len(record.owner) + FIXED + len(record.rdata)
        if section and size + own > MESSAGE:
            yield tuple(section)
            section, size = [], 0
        section.append(record)
        size += own
    if section:
        yield tuple(section)
