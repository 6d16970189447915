"""Brings one family's rules into the kernel and keeps them there.

::

    touch(service) ─> dirty ──> rules ──> claims ──> tracker ──> applier.sync ──> commit ──> report (flows, health,
      one event, cheap           └── only when a round begins ──┘      │                     metrics, events)
                                                                       └ KernelError: all stays pending, next is full

A round begins at once if the last one ended ``least`` seconds ago, else as soon as that is over. Every ``period`` the
kernel is looked at for what others did to our rules, and every hour all is written again. A service port that the
kernel refuses is set aside until it changes, so that the others are programmed. A bug is logged and counted as a
failure, and what it kept from being written is tried again like any other.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from kdns.base.clock import Backoff, Clock, TimeSlice
from kdns.base.errors import KernelError
from kdns.base.objects import ObjectKey, ServiceChange, ServiceView, address_text
from kdns.proxy.apply.applier import Applied, Applier
from kdns.proxy.changes import ChangeTracker, Pending
from kdns.proxy.conflicts import FrontendConflicts, Lost
from kdns.proxy.model import RuleChange, RuleSet, ServicePortName, ServicePortRules
from kdns.proxy.rules import Policy, ServiceRules, rule_set, service_rules
from kdns.proxy.service_ports import LeftOut

LOG: Final = logging.getLogger("kdns.proxy")
HOUR: Final = 3600.0
SETTLE: Final = 1.5
"""Seconds after a round that wrote something: what it left for later (`Applier.tidy`) can be done then."""
RETRY: Final = 1.0
"""Seconds to the first try after a failure; later ones wait longer, up to the period."""


COMMITTED_AT_ONCE: Final = 500
"""Service ports; then it is others' turn."""
MOST_TRIGGERED: Final = 10_000
"""Moments that are remembered while the kernel takes nothing; the oldest are forgotten first."""


class Flows(NamedTuple):
    """What must be known of a UDP service port to tell which flows lead to the dead."""

    rules: ServicePortRules | None
    """In force now; None: it is gone."""
    serving: frozenset[bytes]
    """Addresses of endpoints that may keep the flows they have."""


class Round(NamedTuple):
    """What one round came to."""

    known: float
    """By the clock: what had changed before this moment is in force."""
    seconds: float
    full: bool
    applied: Applied | None
    """None: it failed."""
    error: Exception | None = None
    """A `KernelError`, or a bug."""
    changes: Sequence[RuleChange] = ()
    """What is in force now and was not before."""
    decided: Collection[ObjectKey] = ()
    """Services that were decided anew since the last success, also those whose rules are the same."""
    udp: Mapping[ServicePortName, Flows] = {}
    """The same for UDP service ports."""
    triggered: Sequence[float] = ()
    """Unix seconds at which the cluster began the changes that are now in force."""


Report = Callable[[Round], Awaitable[None]]
Tell = Callable[[ObjectKey, LeftOut], None]


class Proxier:
    """The rules of one family on this node."""

    def __init__(
        self,
        policy: Policy,
        applier: Applier,
        *,
        least: float = 1.0,
        period: float = 30.0,
        report: Report,
        tell: Tell,
        untidy: Callable[[], None] = lambda: None,
        bug: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """``least`` and ``period`` in seconds (minSyncPeriod, syncPeriod).

        ``untidy`` is called when what was left for later could not be removed, ``bug`` when one was met and survived.
        """
        self._policy, self._applier = policy, applier
        self._least, self._period, self._clock = least, period, clock
        self._report, self._tell, self._untidy, self._bug = report, tell, untidy, bug
        self._wake = asyncio.Event()
        self._backoff = Backoff(first=RETRY, most=max(period, RETRY), clock=clock)
        self._views: dict[ObjectKey, ServiceView] = {}
        """Every Service as its last Change left it: another policy decides them all again."""
        self._dirty: dict[ObjectKey, None] = {}
        self._triggered: deque[float] = deque(maxlen=MOST_TRIGGERED)
        self.services: dict[ObjectKey, ServiceRules] = {}
        """What each Service comes to; those that come to nothing are not in it."""
        self._tracker: ChangeTracker[ServicePortName, ServicePortRules] = ChangeTracker()
        self._claims = FrontendConflicts()
        self._raw: dict[ServicePortName, ServicePortRules] = {}
        self._refused: dict[ServicePortName, ServicePortRules] = {}
        self._told: dict[ObjectKey | ServicePortName, tuple[LeftOut, ...]] = {}
        """What was left out of Services, and which frontends of service ports somebody else has."""
        self._decided: dict[ObjectKey, None] = {}
        self._udp: dict[ServicePortName, None] = {}
        """Both: since the last success."""
        self._synced = False
        self._full = True
        self._again_at: float | None = None
        self._next_look = self._last_full = self._last_end = float("-inf")
        self._tidy_at: float | None = None

    @property
    def policy(self) -> Policy:
        """What the operator and the node decide."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        """Another node address, zone or pod CIDR: every Service is decided again."""
        if policy != self._policy:
            self._policy = policy
            self._dirty.update(dict.fromkeys((*self._views, *self.services)))
            self._full = True
            self._wake.set()

    @property
    def pending(self) -> bool:
        """Something is known that the kernel was not given."""
        return bool(self._dirty or self._tracker.pending)

    def touch(self, change: ServiceChange) -> None:
        """Take in what a Service and its slices are now; the rules follow in the next round."""
        if change.after is None:
            self._views.pop(change.key, None)
        else:
            self._views[change.key] = change.after
        self._dirty[change.key] = None
        if change.triggered is not None:
            self._triggered.append(change.triggered)
        self._wake.set()

    def synced(self) -> None:
        """All Services and EndpointSlices are known: from now on rules are written, never before."""
        self._synced = True
        self._wake.set()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            try:
                await self._step()
            except Exception:
                LOG.exception("a bug met while rules were kept; all of them are written again")
                self._bug()
                self._full = True
                self._again_at = self._clock() + self._pause()

    async def _step(self) -> None:
        delay = self._delay()
        if delay is None or delay > 0:
            await self._sleep(delay)
            return
        now = self._clock()
        if self._due(now):
            await self.round()
        elif self._tidy_at is not None and now >= self._tidy_at:
            await self._tidied()
        else:
            await self._look()

    def _due(self, now: float) -> bool:
        """A round should begin."""
        if not self._synced or now < self._last_end + self._least:
            return False
        if self._again_at is not None:
            return now >= self._again_at
        return self._full or self.pending or now >= self._last_full + HOUR

    def _delay(self) -> float | None:
        """Seconds until there may be something to do; None: until somebody wakes us."""
        if not self._synced:
            return None
        now, soonest = self._clock(), self._last_end + self._least
        if self._again_at is not None:
            return max(0.0, self._again_at - now, soonest - now)
        at = [self._next_look, max(self._last_full + HOUR, soonest)]
        if self._tidy_at is not None:
            at.append(self._tidy_at)
        if self._full or self.pending:
            at.append(soonest)
        return max(0.0, min(at) - now)

    async def _sleep(self, seconds: float | None) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass  # it is time

    async def round(self) -> Round:
        """One round: decide what changed, write it, and report."""
        began = self._clock()
        await self._decide()
        known = self._clock()  # nobody waits from here to the checkout, so this is what the round knows
        full = self._full or began >= self._last_full + HOUR
        self._full = False  # who wants one from now on, as by another policy, gets the next
        if full and self._again_at is None:
            self._try_refused_again()
        triggered = list(self._triggered)
        self._triggered.clear()
        pending = self._tracker.checkout()
        changes = [RuleChange(*change) for change in pending]
        if not changes and not full:
            done = await self._succeeded(Round(known, 0.0, False, Applied(), triggered=triggered))
            await self._ended(done)
            return done
        node = self._policy.node
        # Of a partial round only the changed ones are looked at, so the whole need not be in order.
        wanted = self._tracker.wanted
        rules = rule_set(wanted.values(), node) if full else RuleSet(node, wanted)
        try:
            applied = await self._applier.sync(rules, None if full else changes)
        except Exception as error:  # noqa: BLE001 - told by `_failed`
            self._triggered = deque((*triggered, *self._triggered), MOST_TRIGGERED)
            done = Round(known, self._clock() - began, full, None, error)
            self._failed(error)
        else:
            done = Round(known, self._clock() - began, full, applied, changes=changes, triggered=triggered)
            await self._commit(pending)
            done = await self._succeeded(done)
        await self._ended(done)
        return done

    async def _commit(self, pending: Sequence[Pending[ServicePortName, ServicePortRules]]) -> None:
        for start in range(0, len(pending), COMMITTED_AT_ONCE):
            self._tracker.commit(pending[start : start + COMMITTED_AT_ONCE])
            await asyncio.sleep(0)

    async def _succeeded(self, done: Round) -> Round:
        """With what was decided since the last success."""
        decided, self._decided = self._decided, {}
        return done._replace(decided=decided, udp=await self._flows())

    async def _ended(self, done: Round) -> None:
        now = self._last_end = self._clock()
        if done.error is None:
            self._again_at = None
            self._backoff.begin()
            if done.full:
                self._last_full = now
            if done.applied is not None and done.applied.rules:
                self._tidy_at = now + SETTLE
            self._next_look = now + self._period
        await self._report(done)

    def _pause(self) -> float:
        return min(self._backoff.length(), self._period)

    def _failed(self, error: Exception) -> None:
        """Everything stays pending. The next round is a full one, without the service port at fault if there is one."""
        self._full = True
        if not isinstance(error, KernelError):
            LOG.error("a bug met while writing rules", exc_info=error)
            self._bug()
        name = error.refused if isinstance(error, KernelError) else None
        if isinstance(name, ServicePortName) and (rules := self._tracker.wanted.get(name)) is not None:
            LOG.error("%s (%s) is set aside, the kernel refuses its rules: %s", name, name.protocol, error)
            self._tell(name.service, LeftOut("RulesRefused", f"port {name.port or '(unnamed)'} left out: {error}"))
            self._refused[name] = rules
            self._tracker.update(name, None)
            self._again_at = self._clock()
            return
        self._again_at = self._clock() + (pause := self._pause())
        LOG.error("rules not written, next try in %.1f s: %s", pause, error)

    def _try_refused_again(self) -> None:
        """Whatever the kernel lacked may have come; what is refused again is set aside again."""
        refused, self._refused = self._refused, {}
        for name, rules in refused.items():
            self._tracker.update(name, rules)

    async def _decide(self) -> None:
        """Work out the rules of every Service that was touched, with rests, since there may be thousands."""
        turn = TimeSlice()
        while self._dirty:
            key = next(iter(self._dirty))
            del self._dirty[key]
            self._decide_one(key)
            if turn.over():
                await turn.rest()

    def _decide_one(self, key: ObjectKey) -> None:
        try:
            after = service_rules(self._views.get(key), self._policy)
        except Exception:
            LOG.exception("a bug met while deciding on %s, which keeps the rules it has", key)
            self._bug()
            return
        self._decided[key] = None
        before = self.services.pop(key, None)
        if after.ports:
            self.services[key] = after
        self._tell_left_out(key, after.left_out)
        named = {rules.name: rules for rules in after.ports}
        touched = dict.fromkeys(named)  # a set that keeps its order
        for gone in (one.name for one in (before.ports if before else ()) if one.name not in named):
            self._raw.pop(gone, None)
            touched |= dict.fromkeys((gone, *sorted(self._claims.update(gone, None))))
        for name, rules in named.items():
            self._raw[name] = rules
            touched |= dict.fromkeys(sorted(self._claims.update(name, rules)))
        for name in touched:
            self._grant(name)

    def _grant(self, name: ServicePortName) -> None:
        """Give the tracker what this service port may have."""
        if name.protocol == "UDP":
            self._udp[name] = None
        raw = self._raw.get(name)
        if raw is None:
            self._told.pop(name, None)
            self._refused.pop(name, None)
            self._tracker.update(name, None)
            return
        granted, lost = self._claims.granted(raw)
        self._tell_left_out(name, _taken(name, lost))
        if self._refused.get(name) == granted:
            return
        self._refused.pop(name, None)
        self._tracker.update(name, granted)

    def _tell_left_out(self, of: ObjectKey | ServicePortName, left_out: tuple[LeftOut, ...]) -> None:
        """Tell each thing once, and again only after it was well."""
        service = of.service if isinstance(of, ServicePortName) else of
        known = self._told.get(of, ())
        for one in left_out:
            if one not in known:
                LOG.warning("%s: %s", service, one.message)
                self._tell(service, one)
        if left_out:
            self._told[of] = left_out
        else:
            self._told.pop(of, None)

    async def _flows(self) -> dict[ServicePortName, Flows]:
        names, self._udp = self._udp, {}
        found: dict[ServicePortName, Flows] = {}
        turn = TimeSlice()
        for name in names:
            rules = self.services.get(name.service)
            serving = rules.udp.get(name, frozenset()) if rules else frozenset()
            found[name] = Flows(self._tracker.wanted.get(name), serving)
            if turn.over():
                await turn.rest()
        return found

    async def _tidied(self) -> None:
        self._tidy_at = None
        try:
            await self._applier.tidy()
        except KernelError as error:
            self._untidy()
            LOG.warning("what was left for later is still there: %s", error)

    async def _look(self) -> None:
        """See whether somebody else has changed what we wrote."""
        self._next_look = self._clock() + self._period
        try:
            await self._applier.tidy()
            intact = await self._applier.intact()
        except KernelError as error:
            LOG.warning("the kernel could not be looked at: %s", error)
            return
        if not intact:
            LOG.warning("somebody has removed or changed our rules: writing all of them again")
            self._full = True


def _taken(name: ServicePortName, lost: Sequence[Lost]) -> tuple[LeftOut, ...]:
    """What a service port does not get, as others have it."""
    if not lost:
        return ()
    places = ((one.frontend.way, one.frontend.address, one.frontend.port) for one in lost)
    texts = ", ".join(f"{way} {address_text(address) if address else port}" for way, address, port in places)
    owners = ", ".join(sorted({str(one.owner) for one in lost}))
    return (LeftOut("FrontendTaken", f"port {name.port or '(unnamed)'}: {texts} left out: {owners} has it"),)
