"""``dns64``: addresses for clients that have IPv6 only, made from A records (RFC 6147).

::

    AAAA question ──> the plugins behind ──> AAAA records, or NXDOMAIN ──> as it is
                                   └─ neither ──> the same for A ──> each address in the prefix (RFC 6052 section 2.2)
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv6Network
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive, Word
from kdns.config.reading import arguments, network, no_args, once, properties
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_all
from kdns.wire.numbers import AAAA, AD, CD, IN, NOERROR, NXDOMAIN, SOA, A
from kdns.wire.query import Query
from kdns.wire.rr import RR

NAME: Final = "dns64"
WELL_KNOWN: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1."""
LENGTHS: Final = (32, 40, 48, 56, 64, 96)
"""RFC 6052 section 2.2: "the prefix can only have one of the following lengths"."""
MAPPED: Final = bytes(10) + b"\xff\xff"
"""Before an IPv4 address in IPv6 clothes: RFC 6147 section 5.1.4 takes ::ffff:0:0/96 for no address."""
AT_QNAME: Final = b"\xc0\x0c" + AAAA.to_bytes(2, "big")
"""How a first AAAA record with the name of the question begins; its address is at octet 12."""
WITHOUT_SOA: Final = 600
"""Seconds of TTL at most where no SOA record says (RFC 6147 section 5.1.7)."""


class Options(Struct, frozen=True, kw_only=True):
    """What a Corefile can say."""

    prefix: IPv6Network = WELL_KNOWN
    translate_all: bool = False
    """Also where there are AAAA records."""
    allow_ipv4: bool = False
    """Also for questions that came over IPv4."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``dns64 [PREFIX] { prefix PREFIX; translate_all; allow_ipv4 }``."""
    directive = once(directives)
    words = arguments(directive, 0, 1)
    options: dict[str, IPv6Network | bool] = {"prefix": _prefix(words[0])} if words else {}

    def prefix(line: Directive) -> None:
        options["prefix"] = _prefix(arguments(line, 1, 1)[0])

    def switch(line: Directive) -> None:
        no_args(line)
        options[line.name.text] = True

    properties(directive, {"prefix": prefix, "translate_all": switch, "allow_ipv4": switch})
    return Options(**options)  # type: ignore[arg-type]


def _prefix(word: Word) -> IPv6Network:
    prefix = network(word)
    if not isinstance(prefix, IPv6Network):
        raise word.error(f"{word.text} is no IPv6 prefix", hint=f"such as {WELL_KNOWN}")
    if prefix.prefixlen not in LENGTHS:
        raise word.error(f"a prefix of {prefix.prefixlen} bits", hint=f"{', '.join(map(str, LENGTHS))} are possible")
    if prefix.prefixlen == 96 and prefix.network_address.packed[8]:
        raise word.error("octet 9 of the prefix must be 0", hint="RFC 6052 section 2.2")
    return prefix


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block."""
    counter = parts.counter("coredns_dns64_requests_translated", "Answers that were made from A records.", ("server",))

    def ignores(query: Query, answer: PrecompiledAnswer) -> bool:
        """Other types than AAAA, names that do not exist, and what has AAAA records."""
        if query.rtype != AAAA or answer.answer.rcode == NXDOMAIN:
            return True
        octets = answer.answer.sections.octets
        return octets.startswith(AT_QNAME) and not octets[12:].startswith(MAPPED) and not options.translate_all

    def translated(request: Request) -> None:
        counter.labels(request.server).inc()

    return Built(plugin=dns64(options, translated), must_see=sees_all, ignores=ignores)


def dns64(options: Options, translated: Callable[[Request], None]) -> Plugin:
    """The plugin; ``translated`` is called for each answer that was made."""

    def wanted(request: Request) -> bool:
        query = request.query
        if query.rtype != AAAA or query.rclass != IN or (request.client.family == 1 and not options.allow_ipv4):
            return False
        # RFC 6147 section 5.5: with DO and CD the client validates by itself, and is not to be given what was made up
        return not (query.edns is not None and query.edns.do and query.flags & CD)

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await following(request)
            if not wanted(request) or response.dropped or response.rcode == NXDOMAIN:
                return response
            if not options.translate_all and any(_usable(record) for record in response.answer):
                return response
            query = request.query
            question = query.question[:-4] + A.to_bytes(2, "big") + query.question[-2:]
            asked = query._replace(rtype=A, question=question)
            ipv4 = await following(request._replace(query=asked))
            if ipv4.rcode != NOERROR or not any(record.rtype == A for record in ipv4.answer):
                return response if response.rcode == NOERROR else ipv4
            translated(request)
            ttl = min((record.ttl for record in response.authority if record.rtype == SOA), default=WITHOUT_SOA)
            answer = tuple(_mapped(record, options.prefix, ttl) for record in ipv4.answer)
            return replace(ipv4, answer=answer, flags=ipv4.flags & ~AD, plugin=NAME)

        return handle

    return plugin


def _usable(record: RR) -> bool:
    return record.rtype == AAAA and not record.rdata.startswith(MAPPED)


def _mapped(record: RR, prefix: IPv6Network, ttl: int) -> RR:
    """An A record as AAAA record; others as they are."""
    if record.rtype != A:
        return record
    return record._replace(rtype=AAAA, ttl=min(record.ttl, ttl), rdata=embed(prefix, record.rdata))


def embed(prefix: IPv6Network, address: bytes) -> bytes:
    """A packed IPv4 address in a prefix: right behind it, but octet 9 stays 0 (RFC 6052 section 2.2)."""
    octets = bytearray(prefix.network_address.packed)
    at = prefix.prefixlen // 8
    for octet in address:
        if at == 8:
            at += 1
        octets[at] = octet
        at += 1
    return bytes(octets)
