"""Both halves of a cache: which entry answers a question, and what a response does to them."""

from functools import partial
from math import ceil
from struct import Struct
from typing import Final

from kdns.dns.api.compiled import Loaded, from_facts
from kdns.dns.api.handler import Response
from kdns.dns.api.zones import Zones
from kdns.dns.cache.counts import CacheCounts, Half
from kdns.dns.cache.kinds import EMPTY, Bounds, Kind, answers, clean_kind, duration, facts_of, kind_of
from kdns.dns.cache.kinds import with_ttl as records_with_ttl
from kdns.dns.cache.options import LEAST_CAPACITY, CacheOptions
from kdns.dns.cache.store import CleanOctets, Entry, Key, Store
from kdns.wire.compose import Sections
from kdns.wire.numbers import AXFR, CD, IXFR, NOERROR, RD
from kdns.wire.query import Query
from kdns.wire.walk import Facts, with_lowest, with_ttl

_KEY_TAIL: Final = Struct("!HHB")


def key_of(query: Query) -> Key:
    """What must be the same for a response to do for another query: name, type, class, DO, CD, and EDNS options.

    The options are those that went to the upstream (RFC 7871 section 7.3.1: an answer for one subnet is not one for
    all). AD need not: it is asked for always, see `kdns.dns.cache.cache.asking`. RD need not, see `kinds.kind_of`.
    """
    edns = query.edns
    do, options = (edns.do, edns.added) if edns is not None else (False, b"")
    flags = (query.flags & CD) | do  # CD is 16, DO is 1
    return query.name + _KEY_TAIL.pack(query.rtype, query.rclass, flags) + options


def half_of(entry: Entry) -> Half:
    """Where an entry is kept."""
    return "success" if entry.kind is Kind.SUCCESS else "denial"


class Partitions:
    """The successes and the denials of one server block."""

    def __init__(self, options: CacheOptions, counts: CacheCounts) -> None:
        self.options = options
        self.successes = Store(max(options.success_capacity, LEAST_CAPACITY))
        self.denials = Store(max(options.denial_capacity, LEAST_CAPACITY))
        self._counts = counts
        self._without = {"success": Zones(options.disable_success), "denial": Zones(options.disable_denial)}
        self._stale = options.stale.most if options.stale is not None else 0.0
        self._prefer_positive = options.stale is not None and options.stale.prefer_positive

    def choose(self, key: Key, now: int) -> Entry | None:
        """The entry that answers a question: good, or over and still to be served."""
        success = self.successes.get(key)
        if self._prefer_positive and success is not None:
            good = success if success.answering else success.last_good
            if good is not None and self._serves(good, now):
                return good
        denial = self.denials.get(key)
        if denial is not None and self._serves(denial, now):
            # A failure passes: what was known before is better.
            if denial.kind is Kind.FAILURE and success is not None and self._serves(success, now):
                return success
            return denial
        return success if success is not None and self._serves(success, now) else None

    def _serves(self, entry: Entry, now: int) -> bool:
        left = entry.left(now)
        return left > 0 or -left < self._stale

    def take(self, query: Query, response: Response, now: int, server: str) -> tuple[Response, Entry | None]:
        """Keep a response if that may be, and give it the TTLs that it is kept with; and its entry, if there is one."""
        if query.rtype in {AXFR, IXFR} or response.dropped:
            return response, None
        kind = kind_of(query, response)
        bounds: Bounds = self.options.denial if kind is Kind.DENIAL else self.options.success
        seconds = duration(response, kind, bounds, int(self.options.servfail))
        clamped = _clamped(query.name, response, seconds)
        if kind is Kind.UNRELATED:
            self._counts.count("drops", server)
        if kind in {Kind.UNRELATED, Kind.NEVER} or seconds <= 0:
            return clamped, None
        half: Half = "success" if kind is Kind.SUCCESS else "denial"
        if self._without[half].of(query.name) is not None:
            return clamped, None
        compiled, kept = clamped.compiled, clamped
        contents: Response | CleanOctets = clamped
        if compiled is not None and compiled.facts is not None:
            facts = compiled.facts
            contents = CleanOctets(compiled.name, kept.rcode, kept.flags, facts.sections, facts.uncompressed)
        entry = Entry(contents, kind, now, seconds, answering=answers(query, response), keepttl=self.options.keepttl)
        self._put(key_of(query), entry, half, now, server)
        return clamped, entry

    def take_clean(self, key: Key, query: Query, rcode: int, flags: int, facts: Facts, now: int, server: str) -> bytes:
        """The same as `take` for a clean response.

        Returns its sections, with the TTLs that they are kept with.
        """
        sections, fields, lowest, uncompressed, _, _, answering, _, ns, _, _ = facts
        options = self.options
        if answering and rcode == NOERROR and query.flags & RD:  # most of them: as below, in fewer steps
            kind, bounds = Kind.SUCCESS, options.success
        else:
            kind = clean_kind(rcode, facts) if query.flags & RD else Kind.NEVER  # see `kind_of`
            bounds = options.denial if kind is Kind.DENIAL else options.success
            if not fields or (kind is not Kind.DENIAL and rcode == NOERROR and ns and not sections.counts[0]):
                lowest = EMPTY
        least, most = bounds.least, bounds.most
        seconds = least if lowest < least else most if lowest > most else lowest
        seconds = min(seconds, most) if kind is not Kind.FAILURE else int(options.servfail)
        octets = with_ttl(facts, seconds)
        if kind is Kind.UNRELATED:
            self._counts.count("drops", server)
        if kind is Kind.UNRELATED or kind is Kind.NEVER or seconds <= 0:
            return octets
        half: Half = "success" if kind is Kind.SUCCESS else "denial"
        without = self._without[half]
        if without.texts and without.of(query.name) is not None:
            return octets
        kept = Sections(octets, sections.ends, sections.counts)
        contents = CleanOctets(query.name, rcode, flags, kept, uncompressed)
        entry = Entry(contents, kind, now, seconds, answering=answering, keepttl=options.keepttl)
        self._put(key, entry, half, now, server)
        return octets

    def _put(self, key: Key, entry: Entry, half: Half, now: int, server: str) -> None:
        """The newest word on a question stands alone, but for failures, and where a success is to be preferred."""
        if half == "success":
            if self._prefer_positive and not entry.answering:
                before = self.successes.get(key)
                if before is not None:
                    entry.last_good = before if before.answering else before.last_good
            if entry.answering or not self._prefer_positive:
                self.denials.remove(key)
            evicted = self.successes.put(key, entry, now)
            self._counts.kept(server, "success", len(self.successes), evicted)
        else:
            if entry.kind is Kind.DENIAL and not self._prefer_positive:
                self.successes.remove(key)
            evicted = self.denials.put(key, entry, now)
            self._counts.kept(server, "denial", len(self.denials), evicted)

    def due(self, entry: Entry, now: int) -> bool:
        """It is popular, and nearly over."""
        prefetch = self.options.prefetch
        if not prefetch.amount or entry.hits < prefetch.amount or entry.refreshing:
            return False
        return entry.left(now) <= ceil(prefetch.percent / 100 * entry.duration)


def _clamped(name: bytes, response: Response, seconds: int) -> Response:
    """A response with this TTL in all its records; octets stay octets."""
    facts = facts_of(response, name)
    compiled = None
    if facts is not None:
        compiled = from_facts(name, with_lowest(facts, seconds), partial(_loaded, response, seconds))
        sections: Loaded = (compiled.answer, compiled.authority, compiled.additional)
    else:
        sections = _loaded(response, seconds)
    return Response(
        response.rcode,
        response.flags,
        *sections,
        response.plugin,
        response.options,
        cleared=response.cleared,
        limit=response.limit,
        compiled=compiled,
    )


def _loaded(response: Response, seconds: int) -> Loaded:
    sections = (response.answer, response.authority, response.additional)
    answer, authority, additional = (records_with_ttl(section, seconds) for section in sections)
    return answer, authority, additional
