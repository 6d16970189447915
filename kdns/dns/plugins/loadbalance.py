"""``loadbalance``: each reply has its addresses and mail exchangers in another order.

Precompiled answers need no such thing: they rotate by themselves, with this plugin or without it.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kdns.config.directive import Directive
from kdns.config.reading import Mistakes, arguments, choice, network, once, properties
from kdns.dns.api.forward_step import ForwardStep, Turn, UpstreamOctets, as_it_came
from kdns.dns.api.handler import Handler, Plugin, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext, PrecompiledAnswer, sees_all, sees_nothing
from kdns.wire.numbers import AAAA, CNAME, MX, NOERROR, TRANSFERS, A
from kdns.wire.query import Query
from kdns.wire.rr import RR
from kdns.wire.walk import Facts

NAME: Final = "loadbalance"
ADDRESSES: Final = frozenset({A, AAAA})

Network = IPv4Network | IPv6Network


class Options(Struct, frozen=True):
    """The order is random, but for ``prefer``."""

    prefer: tuple[Network, ...] = ()
    """Addresses in these networks come first, in the order of the networks."""


def parse(directives: Sequence[Directive], _place: DirectiveContext) -> Options:
    """``loadbalance [round_robin] { prefer CIDR... }``."""
    directive = once(directives)
    words = arguments(directive, 0, None)
    if words and words[0].text == "weighted":
        raise words[0].error("the policy 'weighted' is not supported yet", hint="round_robin is")
    if words:
        choice(words[0], ("round_robin",))
        arguments(directive, 0, 1)
    preferred: list[Network] = []

    def prefer(line: Directive) -> None:
        mistakes = Mistakes()
        for word in arguments(line, 1, None):
            with mistakes.noted():
                preferred.append(network(word))
        mistakes.settle()

    properties(directive, {"prefer": prefer})
    return Options(tuple(preferred))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block.

    It offers itself, so that a cache behind it can tell whether what it has ready is to be sent in rotation.
    """
    parts.offer(NAME, options)
    return Built(
        plugin=loadbalance(options, parts.random),
        must_see=sees_all if options.prefer else sees_nothing,
        ignores=ignores,
        forward_step=ForwardStep(leaves=in_order, turns=turning(options, parts.random)),
    )


def ignores(_query: Query, answer: PrecompiledAnswer) -> bool:
    """What has no two addresses to be put into order."""
    return not answer.answer.ring_size


def in_order(facts: Facts) -> bool:
    """No section has two records that could change places."""
    answer, authority, additional = facts.sections.counts
    return answer < 2 and authority < 2 and additional < 2


def loadbalance(options: Options, chance: random.Random) -> Plugin:
    """The plugin."""

    def plugin(following: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await following(request)
            if response.rcode != NOERROR or request.query.rtype in TRANSFERS:
                return response
            return replace(
                response,
                answer=ordered(response.answer, chance, options.prefer),
                authority=ordered(response.authority, chance),
                additional=ordered(response.additional, chance, options.prefer),
            )

        return handle

    return plugin


def turning(options: Options, chance: random.Random) -> Callable[[UpstreamOctets], Turn | None]:
    """What the plugin does to a reply, as octets: see `kdns.dns.api.forward_step.ForwardStep.turns`.

    Addresses change places as octets where each has a pointer for its owner: no pointer leads into such a record.
    """

    def turns(octets: UpstreamOctets) -> Turn | None:
        facts = octets.facts
        if facts is None:
            return None
        if octets.rcode != NOERROR or in_order(facts):
            return as_it_came
        if options.prefer:
            return None
        runs: list[tuple[int, int, int]] = []
        first = 0
        for count in facts.sections.counts:
            if 1 < count <= MAX_SHUFFLED:
                run = address_run(facts, first, first + count)
                if run is None:
                    return None
                if run[2] > 1:
                    runs.append(run)
            first += count
        return partial(turned, runs, chance) if runs else as_it_came

    return turns


def address_run(facts: Facts, first: int, last: int) -> tuple[int, int, int] | None:
    """The addresses among the records of a section, if `ordered` changes nothing but their order.

    Where the first of them begins in the octets, how long each is, and how many they are; None: the section would get
    another order, or the octets of an address cannot stand in another place.
    """
    sections, fields = facts.sections, facts.fields
    ranks = [_RANKS.get(rtype, _OTHER) for rtype in facts.rtypes[first:last]]
    addresses, exchangers = ranks.count(_ADDRESS), ranks.count(_EXCHANGER)
    if exchangers > 1 or ranks != sorted(ranks):
        return None
    if addresses < 2:
        return 0, 0, addresses
    last -= exchangers
    first = last - addresses
    begin = sections.ends[first - 1] if first else 0
    unit = sections.ends[first] - begin
    end = begin + addresses * unit
    pointers = fields[first:last] == tuple(range(begin + _TTL_BEHIND_POINTER, end, unit))
    alike = sections.ends[last - 1] == end
    return (begin, unit, addresses) if pointers and alike else None


def turned(runs: Sequence[tuple[int, int, int]], chance: random.Random, sections: bytes) -> bytes:
    """The octets of sections with the records of each run, see `address_run`, in any order."""
    for begin, unit, count in runs:
        end = begin + count * unit
        records = [sections[at : at + unit] for at in range(begin, end, unit)]
        chance.shuffle(records)
        sections = b"".join((sections[:begin], *records, sections[end:]))
    return sections


MAX_SHUFFLED: Final = 256
"""Records of a section at most: a datagram has room for a third of that, and must not cost more than its reply."""
_OTHER: Final = 1
_ADDRESS: Final = 2
_EXCHANGER: Final = 3
_RANKS: Final = {CNAME: 0, A: _ADDRESS, AAAA: _ADDRESS, MX: _EXCHANGER}
"""The order of `ordered`; all other types are `_OTHER`."""
_TTL_BEHIND_POINTER: Final = 6
"""Octets from the beginning of a record to its TTL, if its owner is a pointer."""


def ordered(records: Sequence[RR], chance: random.Random, prefer: Sequence[Network] = ()) -> Sequence[RR]:
    """Aliases first, then what has no order to it, then addresses, then mail exchangers; the last two shuffled."""
    if len(records) < 2 or (len(records) > MAX_SHUFFLED and not prefer):
        return records
    addresses = shuffled((record for record in records if record.rtype in ADDRESSES), chance)
    if prefer:
        addresses.sort(key=lambda record: _rank(record, prefer))  # stable: within one network the order stays random
    return (
        *(record for record in records if record.rtype == CNAME),
        *(record for record in records if record.rtype not in {CNAME, A, AAAA, MX}),
        *addresses,
        *shuffled((record for record in records if record.rtype == MX), chance),
    )


def shuffled(records: Iterable[RR], chance: random.Random) -> list[RR]:
    """In any order, each as likely as the others."""
    order = list(records)
    chance.shuffle(order)
    return order


def _rank(record: RR, prefer: Sequence[Network]) -> int:
    address = ip_address(record.rdata)
    return next((rank for rank, network in enumerate(prefer) if address in network), len(prefer))
