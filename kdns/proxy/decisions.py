"""What is decided of every Service of one family, and what of it the kernel has. Pure.

::

    Service ──service_rules──> claimed ──conflicts──> granted ──(unless the kernel refuses it)──> tracker ──> changes
                    └── left out           └── left out              └── left out
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kdns.base.objects import ObjectKey, ServiceView, address_text
from kdns.proxy.changes import ChangeTracker, Pending
from kdns.proxy.conflicts import FrontendConflicts, Lost
from kdns.proxy.left_out import LeftOut
from kdns.proxy.model import RuleSet, ServicePortName, ServicePortRules
from kdns.proxy.rules import FIRST, Policy, ServiceRules, rule_set, service_rules

Decide = Callable[[ServiceView | None, Policy], ServiceRules]
"""`kdns.proxy.rules.service_rules`"""


class Flows(NamedTuple):
    """What must be known of a UDP service port to tell which flows are stale."""

    rules: ServicePortRules | None
    """In force now; None: it is gone."""
    serving: frozenset[bytes]
    """Addresses of endpoints that may keep the flows they have."""


class Decisions:
    """The rules of every Service under one policy."""

    def __init__(self, policy: Policy, decide: Decide = service_rules) -> None:
        self.policy, self._decide = policy, decide
        self.services: dict[ObjectKey, ServiceRules] = {}
        """What each Service comes to; those that come to nothing are not in it."""
        self._tracker: ChangeTracker[ServicePortName, ServicePortRules] = ChangeTracker()
        self._conflicts = FrontendConflicts()
        self._claimed: dict[ServicePortName, ServicePortRules] = {}
        self._refused: dict[ServicePortName, tuple[ServicePortRules, LeftOut]] = {}
        self._left_out: dict[ObjectKey | ServicePortName, tuple[LeftOut, ...]] = {}
        self._news: list[tuple[ObjectKey, LeftOut]] = []
        self._decided: dict[ObjectKey, None] = {}  # sets that keep their order
        self._udp: dict[ServicePortName, None] = {}

    @property
    def pending(self) -> bool:
        """The kernel was not given all of it."""
        return bool(self._tracker.pending)

    def decide(self, key: ObjectKey, view: ServiceView | None) -> None:
        """Work out a Service; None: it is gone. An exception is a bug, and leaves what was decided before."""
        after = self._decide(view, self.policy)
        self._decided[key] = None
        before = self.services.pop(key, None)
        if after.ports:
            self.services[key] = after
        self._note(key, key, after.left_out)
        named = {rules.name: rules for rules in after.ports}
        touched = dict.fromkeys(named)  # a set that keeps its order
        for gone in (rules.name for rules in (before.ports if before else ()) if rules.name not in named):
            self._claimed.pop(gone, None)
            touched |= dict.fromkeys((gone, *sorted(self._conflicts.update(gone, None))))
        for name, rules in named.items():
            self._claimed[name] = rules
            if others := self._conflicts.update(name, rules, after.age):
                touched |= dict.fromkeys(sorted(others))
        for name in touched:
            self._grant(name)

    def left_out(self, key: ObjectKey) -> tuple[LeftOut, ...]:
        """What of a Service is not programmed now."""
        rules = self.services.get(key)
        names = [port.name for port in rules.ports] if rules else []
        of_ports = [left_out for name in names for left_out in self._left_out.get(name, ())]
        refused = [self._refused[name][1] for name in names if name in self._refused]
        return (*self._left_out.get(key, ()), *of_ports, *refused)

    def take_news(self) -> list[tuple[ObjectKey, LeftOut]]:
        """What has been left out since this was last asked, each thing once as long as it lasts, with its Service."""
        news, self._news = self._news, []
        return news

    def take_decided(self) -> tuple[list[ObjectKey], list[ServicePortName]]:
        """Services that were decided since this was last asked, also those with the same rules; their UDP ports."""
        decided, udp = list(self._decided), list(self._udp)
        self._decided, self._udp = {}, {}
        return decided, udp

    def flows(self, name: ServicePortName) -> Flows:
        """Of a UDP service port."""
        rules = self.services.get(name.service)
        serving = rules.udp.get(name, frozenset()) if rules else frozenset()
        return Flows(self._tracker.wanted.get(name), serving)

    def rule_set(self) -> RuleSet:
        """All rules in the order in which people read them."""
        return rule_set(self._tracker.wanted.values(), self.policy.node)

    def rules_to_write(self, *, full: bool) -> RuleSet:
        """All rules; for a full sync first those without which nothing else gets going, then the others as they have
        become known. To sort ten thousand of them takes as long as many questions to DNS."""
        wanted = self._tracker.wanted
        if not full:
            return RuleSet(self.policy.node, wanted)
        services = (self.services.get(ObjectKey("Service", *pair)) for pair in FIRST)
        names = [rules.name for service in services if service is not None for rules in service.ports]
        first = {name: wanted[name] for name in names if name in wanted}
        return RuleSet(self.policy.node, {**first, **wanted})

    def checkout(self) -> Iterator[Pending[ServicePortName, ServicePortRules]]:
        """What the kernel was not given; it stays pending until committed."""
        return self._tracker.differing()

    def commit(self, changes: Iterable[Pending[ServicePortName, ServicePortRules]]) -> None:
        """The kernel has taken them."""
        self._tracker.commit(changes)

    def refuse(self, name: ServicePortName, why: str) -> bool:
        """The kernel refuses a service port: set it aside until it changes. False: it is not wanted any more."""
        rules = self._tracker.wanted.get(name)
        if rules is None:
            return False
        left_out = LeftOut("RulesRefused", f"{_port(name)} left out: {why}", port=name)
        self._refused[name] = rules, left_out
        self._news.append((name.service, left_out))
        self._tracker.update(name, None)
        return True

    def retry_refused(self) -> None:
        """What the kernel lacked may have come; what is refused again is set aside again."""
        refused, self._refused = self._refused, {}
        for name, (rules, _) in refused.items():
            self._tracker.update(name, rules)

    def _grant(self, name: ServicePortName) -> None:
        """Give the tracker what this service port may have."""
        if name.protocol == "UDP":
            self._udp[name] = None
        claimed = self._claimed.get(name)
        if claimed is None:
            self._left_out.pop(name, None)
            self._refused.pop(name, None)
            self._tracker.update(name, None)
            return
        granted, lost = self._conflicts.granted(claimed)
        owner = self._conflicts.health_check_owner(claimed)
        self._note(name.service, name, (*_taken(name, lost), *_shadowed(claimed, owner)))
        if name in self._refused and self._refused[name][0] == granted:
            return
        self._refused.pop(name, None)
        self._tracker.update(name, granted)

    def _note(self, service: ObjectKey, of: ObjectKey | ServicePortName, left_out: tuple[LeftOut, ...]) -> None:
        """Each thing is news once, and again only after it was well."""
        known = self._left_out.pop(of, ())
        self._news += ((service, thing) for thing in left_out if thing not in known)
        if left_out:
            self._left_out[of] = left_out


def decided(views: Mapping[ObjectKey, ServiceView], policy: Policy) -> Decisions:
    """Every Service at once."""
    decisions = Decisions(policy)
    for key, view in views.items():
        decisions.decide(key, view)
    return decisions


def _port(name: ServicePortName) -> str:
    return f"port {name.port or '(unnamed)'}"


def _taken(name: ServicePortName, lost: Sequence[Lost]) -> tuple[LeftOut, ...]:
    """What a service port does not get, as others have it."""
    if not lost:
        return ()
    frontends = [loss.frontend for loss in lost]
    texts = [f"{at.way} {address_text(at.address) if at.address else at.port}" for at in frontends]
    owners = ", ".join(sorted({str(loss.owner) for loss in lost}))
    message = f"{_port(name)}: {', '.join(texts)} left out: {owners} has it"
    return (LeftOut("FrontendTaken", message, tuple(at.address for at in frontends if at.address), name),)


def _shadowed(rules: ServicePortRules, owner: ServicePortName | None) -> tuple[LeftOut, ...]:
    """A node port is answered by the rules before a packet gets to what listens on the node."""
    if owner is None:
        return ()
    message = f"health check node port {rules.health_check_node_port} is not reached: {owner} has that node port"
    return (LeftOut("HealthCheckPortTaken", message, (), rules.name),)
