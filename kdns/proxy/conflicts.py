"""Which service port gets a frontend that several of them claim. Pure.

The API does not forbid two Services the same external IP and port, or an external IP that is a cluster IP. A kernel's
map holds one answer for each, so one is chosen, and the same one on every node whatever the order of events:

- a cluster IP goes before every other claim, so that no external IP takes over DNS;
- a load balancer IP, which a controller gives, before an external IP, which everyone who may write a Service can claim;
- then the older Service has it (creationTimestamp, then uid, then name), so that a newcomer takes nothing away.

A health check node port is claimed likewise, last of all: rules for a node port with its number keep packets from it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from kdns.base.objects import UNKNOWN_AGE, Age
from kdns.proxy.model import Entry, Frontend, FrontendKind, Protocol, ServicePortName, ServicePortRules

RANKS: Final[Mapping[FrontendKind, int]] = {"cluster IP": 0, "load balancer IP": 1, "external IP": 2, "node port": 3}
HEALTH_CHECK: Final = 4
"""The rank of a health check node port."""
Claim = tuple[int, Age, ServicePortName]
"""The rank of the way, and who; the lowest owns the frontend."""


class FrontendKey(NamedTuple):
    """Where traffic arrives, whatever it is called."""

    protocol: Protocol
    address: bytes
    port: int


class Lost(NamedTuple):
    """A frontend that another service port has."""

    frontend: Frontend
    owner: ServicePortName


class FrontendConflicts:
    """All claims of one family."""

    def __init__(self) -> None:
        self._claims: dict[FrontendKey, tuple[Claim, ...]] = {}
        """Sorted: the first owns it."""
        self._keys: dict[ServicePortName, tuple[FrontendKey, ...]] = {}

    def update(
        self, name: ServicePortName, rules: ServicePortRules | None, age: Age = UNKNOWN_AGE
    ) -> set[ServicePortName]:
        """Note what a service port claims now (None: it is gone); those others whose share may be another now."""
        touched: set[ServicePortName] = set()
        before = self._keys.pop(name, ())
        after = _ranks(rules) if rules else {}
        for key in dict.fromkeys((*before, *after)):
            others = self._claims.get(key, ())
            if others:
                others = tuple(claim for claim in others if claim[2] != name)
                touched.update(other for _, _, other in others)
            claims = (*others, (after[key], age, name)) if key in after else others
            if len(claims) > 1:
                claims = tuple(sorted(claims))
            if claims:
                self._claims[key] = claims
            else:
                self._claims.pop(key, None)
        if after:
            self._keys[name] = tuple(after)
        return touched

    def granted(self, rules: ServicePortRules) -> tuple[ServicePortRules, tuple[Lost, ...]]:
        """The rules with those frontends that this service port owns, and those that it does not."""
        lost = []
        for entry in rules.entries:
            owner = self._claims[_key(rules.name, entry)][0][2]
            if owner != rules.name:
                lost.append(Lost(entry.frontend, owner))
        if not lost:
            return rules, ()
        gone = {loss.frontend for loss in lost}
        kept = tuple(entry for entry in rules.entries if entry.frontend not in gone)
        return replace(rules, entries=kept), tuple(lost)

    def health_check_owner(self, rules: ServicePortRules) -> ServicePortName | None:
        """The service port whose node port hides the health check node port of this one; None: it is reached."""
        if not rules.health_check_node_port:
            return None
        rank, _, owner = self._claims[_health_check_key(rules)][0]
        return None if rank == HEALTH_CHECK else owner


def _ranks(rules: ServicePortRules) -> dict[FrontendKey, int]:
    """What a service port claims."""
    ranks = {_health_check_key(rules): HEALTH_CHECK} if rules.health_check_node_port else {}
    return ranks | {_key(rules.name, entry): RANKS[entry.frontend.way] for entry in rules.entries}


def _key(name: ServicePortName, entry: Entry) -> FrontendKey:
    return FrontendKey(name.protocol, entry.frontend.address, entry.frontend.port)


def _health_check_key(rules: ServicePortRules) -> FrontendKey:
    return FrontendKey("TCP", b"", rules.health_check_node_port)
