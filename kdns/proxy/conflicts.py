"""Who gets a frontend that several service ports claim. Pure.

The API does not forbid two Services the same external IP and port, or an external IP that is a cluster IP. A kernel's
map holds one answer for each, so somebody must decide, and the same way on every node whatever the order of events: a
cluster IP goes before every other claim (nobody takes over DNS by an external IP), a load balancer IP, which a
controller gives, before an external IP, which whoever may write a Service can claim; then the first by `rules.urgency`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from kdns.proxy.model import Entry, Frontend, FrontendKind, Protocol, ServicePortName, ServicePortRules
from kdns.proxy.rules import urgency

RANKS: Final[Mapping[FrontendKind, int]] = {"cluster IP": 0, "load balancer IP": 1, "external IP": 2, "node port": 3}


class FrontendKey(NamedTuple):
    """Where traffic arrives, whatever it is called."""

    protocol: Protocol
    address: bytes
    port: int


class Lost(NamedTuple):
    """A frontend that somebody else has."""

    frontend: Frontend
    owner: ServicePortName


class FrontendConflicts:
    """All claims of one family."""

    def __init__(self) -> None:
        self._claims: dict[FrontendKey, tuple[tuple[int, ServicePortName], ...]] = {}
        """(rank of the way, who): the first owns it."""
        self._places: dict[ServicePortName, tuple[FrontendKey, ...]] = {}

    def update(self, name: ServicePortName, rules: ServicePortRules | None) -> set[ServicePortName]:
        """Note what a service port claims now (None: it is gone); those others whose share may be another now."""
        touched: set[ServicePortName] = set()
        before = self._places.pop(name, ())
        after = {_place(name, entry): RANKS[entry.frontend.way] for entry in rules.entries} if rules else {}
        for place in dict.fromkeys((*before, *after)):
            others = tuple(claim for claim in self._claims.get(place, ()) if claim[1] != name)
            touched.update(other for _, other in others)
            claims = (*others, (after[place], name)) if place in after else others
            if len(claims) > 1:
                claims = tuple(sorted(claims, key=lambda claim: (claim[0], urgency(claim[1]))))
            if claims:
                self._claims[place] = claims
            else:
                self._claims.pop(place, None)
        if after:
            self._places[name] = tuple(after)
        return touched

    def granted(self, rules: ServicePortRules) -> tuple[ServicePortRules, tuple[Lost, ...]]:
        """The rules with those frontends that this service port owns, and those that it does not."""
        lost = []
        for entry in rules.entries:
            owner = self._claims[_place(rules.name, entry)][0][1]
            if owner != rules.name:
                lost.append(Lost(entry.frontend, owner))
        if not lost:
            return rules, ()
        gone = {one.frontend for one in lost}
        kept = tuple(entry for entry in rules.entries if entry.frontend not in gone)
        return replace(rules, entries=kept), tuple(lost)


def _place(name: ServicePortName, entry: Entry) -> FrontendKey:
    return FrontendKey(name.protocol, entry.frontend.address, entry.frontend.port)
