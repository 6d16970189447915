"""``acl``: who may ask what.

::

    acl [ZONE...] {
        allow|block|filter|drop [type TYPE...] [net CIDR...]
    }

It stands behind rewrite and autopath, so that it judges the name that is looked up, and before the cache and every
plugin that answers: whatever way a name is reached, it is asked first. Of each block the first policy that fits
decides, and what no policy fits goes on to the next block; an ``allow`` ends it all.
"""

import logging
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal, cast

from msgspec import Struct

from kdns.config.arguments import near
from kdns.config.directive import Directive, Word
from kdns.config.reading import Mistakes, choice, network, no_block, zones
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.api.plugin import BlockContext, Built, DirectiveContext
from kdns.dns.api.zones import Zones
from kdns.wire.numbers import EDE, NOERROR, REFUSED
from kdns.wire.query import edns_option
from kdns.wire.types import TYPES, type_number

log = logging.getLogger("kdns.dns.plugins.acl")

NAME: Final = "acl"
Action = Literal["allow", "block", "filter", "drop"]
ACTIONS: Final = ("allow", "block", "filter", "drop")
BLOCKED: Final = edns_option(EDE, (15).to_bytes(2, "big"))
"""RFC 8914 section 4.16."""
FILTERED: Final = edns_option(EDE, (17).to_bytes(2, "big"))
"""RFC 8914 section 4.18."""
LABELS: Final = ("server", "zone", "view")

Network = IPv4Network | IPv6Network


class Policy(Struct, frozen=True):
    """What is done to whom."""

    action: Action
    types: frozenset[int] | None = None
    """None: all."""
    networks: tuple[Network, ...] | None = None
    """Of clients; None: all."""


class Rule(Struct, frozen=True):
    """One block of the Corefile."""

    zones: tuple[str, ...]
    policies: tuple[Policy, ...] = ()


class Options(Struct, frozen=True):
    """The blocks in their order."""

    rules: tuple[Rule, ...]


def parse(directives: Sequence[Directive], place: DirectiveContext) -> Options:
    """All blocks; their mistakes are reported together."""
    mistakes = Mistakes()
    rules = []
    for directive in directives:
        policies = []
        for line in directive.block or ():
            with mistakes.noted():
                policies.append(_policy(line))
        with mistakes.noted():
            rules.append(Rule(zones(directive.args, place), tuple(policies)))
            if not directive.block:
                raise directive.name.error("'acl' has no policy", hint="such as `block net 10.0.0.0/8` in its block")
    mistakes.settle()
    return Options(tuple(rules))


def _policy(line: Directive) -> Policy:
    no_block(line)
    action = cast(Action, choice(_lower(line.name), ACTIONS))
    sections: dict[str, list[Word]] = {}
    words: list[Word] | None = None
    for word in line.args:
        if word.text.lower() in {"type", "net"}:
            words = sections.setdefault(word.text.lower(), [])
        elif words is None:
            raise word.error(f"{word.text!r} is neither 'type' nor 'net'")
        else:
            words.append(word)
    for section, rules in sections.items():
        if not rules:
            raise line.name.error(f"nothing stands behind {section!r}", hint="* is everything")
    return Policy(action, _types(sections.get("type")), _networks(sections.get("net")))


def _lower(word: Word) -> Word:
    return word._replace(text=word.text.lower())


def _types(words: list[Word] | None) -> frozenset[int] | None:
    if words is None or any(word.text == "*" for word in words):
        return None
    rtypes = set()
    for word in words:
        number = type_number(word.text.upper())
        if number is None:
            raise word.error(
                f"unknown type {word.text!r}", hint=near(word.text.upper(), TYPES) or "such as A or TYPE65"
            )
        rtypes.add(number)
    return frozenset(rtypes)


def _networks(words: list[Word] | None) -> tuple[Network, ...] | None:
    if words is None or any(word.text == "*" for word in words):
        return None
    return tuple(map(network, words))


def build(options: Options, parts: BlockContext) -> Built:
    """The plugin for one server block. It sees everything in its zones, so nothing there is sent past it.

    It offers itself: other blocks ask it about names of this one, see `kdns.dns.query.gate`.
    """
    acl = Acl(options, parts)
    parts.offer(NAME, acl)
    return Built(plugin=acl.plugin, must_see=acl.must_see)


class Acl:
    """The rules of one server block."""

    def __init__(self, options: Options, parts: BlockContext) -> None:
        self._rules = tuple((Zones(rule.zones), rule.policies) for rule in options.rules)
        self._denied = {
            "block": parts.counter("coredns_acl_blocked_requests", "Questions that were refused.", LABELS),
            "filter": parts.counter("coredns_acl_filtered_requests", "Questions that were answered empty.", LABELS),
            "drop": parts.counter("coredns_acl_dropped_requests", "Questions that were not answered.", LABELS),
        }
        self._allowed = parts.counter(
            "coredns_acl_allowed_requests", "Questions that were let pass.", ("server", "view")
        )

    def must_see(self, name: bytes, below: bool) -> bool:
        """Everything in the zones of its blocks."""
        return any(zones.touch(name, below) for zones, _ in self._rules)

    def plugin(self, following: Handler) -> Handler:
        """Decides, and only then asks the others."""

        async def handle(request: Request) -> Response:
            denied = self.denial(request)
            return denied if denied is not None else await following(request)

        return handle

    def denial(self, request: Request) -> Response | None:
        """What a denied request is answered, counted; None for one that may go on."""
        action, zone = self.decide(request)
        if action == "allow":
            self._allowed.labels(request.server, _view(request)).inc()
            return None
        self._denied[action].labels(request.server, zone, _view(request)).inc()
        if action == "drop":
            return Response(dropped=True, plugin=NAME)
        if action == "block":
            return Response(REFUSED, options=BLOCKED, plugin=NAME)
        return Response(NOERROR, options=FILTERED, plugin=NAME)

    def denies(self, request: Request) -> bool:
        """True for a request that must not go on; not counted."""
        return self.decide(request)[0] != "allow"

    def decide(self, request: Request) -> tuple[Action, str]:
        """What is to be done with a request, and the zone that says so."""
        query = request.query
        for within, policies in self._rules:
            zone = within.of(query.name)
            if zone is None:
                continue
            action = _match(policies, query.rtype, request.client.address)
            if action is not None:
                return action, within.texts[zone]
        return "allow", ""


def _match(policies: Sequence[Policy], rtype: int, client: str) -> Action | None:
    """The action of the first policy that fits; None: there is none. Clients from nowhere are blocked."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        log.error("Blocking request. Unable to parse source address: %s", client)
        return "block"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for policy in policies:
        if policy.types is not None and rtype not in policy.types:
            continue
        if policy.networks is None or any(address in network for network in policy.networks):
            return policy.action
    return None


def _view(request: Request) -> str:
    return request.metadata.get("view/name", "")
