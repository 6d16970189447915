"""Brings one family's rules into the kernel and keeps them there.

::

    touch(change) ─> dirty ─> Decisions ─> applier.sync ─> commit ─> report (flows, health, metrics)
      one event, cheap          └── only when a round begins          left out ─> report (log, Events)
                                                    └ KernelError: all stays pending, next is full

The `Schedule` says when a round begins, and what else is done when. A service port that the kernel refuses is set
aside until it changes, so that the others are programmed. A bug is logged and counted as a failure, and what it kept
from being written is tried again like any other change.
"""

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from kdns.base.clock import Clock, TimeSlice
from kdns.base.errors import KernelError
from kdns.base.objects import ObjectKey, ServiceChange, ServiceView
from kdns.proxy.apply.applier import Alerted, Applied, Applier
from kdns.proxy.changes import Pending
from kdns.proxy.decisions import Decide, Decisions, Flows
from kdns.proxy.left_out import LeftOut
from kdns.proxy.model import RuleChange, ServicePortName, ServicePortRules
from kdns.proxy.rules import Policy, ServiceRules, service_rules
from kdns.proxy.schedule import Schedule, Step

LOG: Final = logging.getLogger("kdns.proxy")
AT_ONCE: Final = 500
"""Service ports that are checked out or committed in one go; then other tasks have their turn."""
MOST_TRIGGERED: Final = 10_000
"""Moments that are remembered while the kernel takes nothing; the oldest are forgotten first."""


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
    """Services that were decided again since the last success, also those whose rules are the same."""
    udp: Mapping[ServicePortName, Flows] = {}
    """The same for UDP service ports."""
    triggered: Sequence[float] = ()
    """Unix seconds at which the cluster began the changes that are now in force."""


Report = Callable[[Round], Awaitable[None]]
ReportLeftOut = Callable[[ObjectKey, LeftOut], None]


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
        report_left_out: ReportLeftOut,
        untidy: Callable[[], None] = lambda: None,
        bug: Callable[[], None] = lambda: None,
        modified: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
        decide: Decide = service_rules,
    ) -> None:
        """``least`` and ``period`` in seconds (minSyncPeriod, syncPeriod).

        ``untidy`` is called when what was left for later could not be removed, ``bug`` when one was met and survived,
        ``modified`` when others have modified the rules, which are written again.
        """
        self._applier, self._clock = applier, clock
        self._report, self._report_left_out, self._untidy, self._bug = report, report_left_out, untidy, bug
        self._modified = modified
        self._schedule = Schedule(least, period, clock)
        self._decisions = Decisions(policy, decide)
        self._wake = asyncio.Event()
        self._views: dict[ObjectKey, ServiceView] = {}
        """Every Service as its last Change left it: another policy decides them all again."""
        self._dirty: dict[ObjectKey, None] = {}  # a set that keeps its order
        self._triggered: deque[float] = deque(maxlen=MOST_TRIGGERED)

    @property
    def services(self) -> Mapping[ObjectKey, ServiceRules]:
        """What each Service comes to; those that come to nothing are not in it."""
        return self._decisions.services

    @property
    def views(self) -> Mapping[ObjectKey, ServiceView]:
        """Every Service as its last Change left it, with its slices."""
        return self._views

    @property
    def policy(self) -> Policy:
        """What the operator and the node decide."""
        return self._decisions.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        """Another node address, zone or pod CIDR: every Service is decided again."""
        if policy != self._decisions.policy:
            self._decisions.policy = policy
            self._dirty.update(dict.fromkeys((*self._views, *self.services)))
            self._schedule.want_full()
            self._wake.set()

    @property
    def pending(self) -> bool:
        """Something is known that the kernel was not given."""
        return bool(self._dirty) or self._decisions.pending

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
        self._schedule.synced = True
        self._wake.set()

    def left_out(self, key: ObjectKey) -> tuple[LeftOut, ...]:
        """What of a Service is not programmed, and why."""
        return self._decisions.left_out(key)

    def delay(self) -> float | None:
        """Seconds until there may be something to do; None: not before something changes."""
        return self._schedule.delay(pending=self.pending)

    async def run(self) -> None:
        """Work for ever."""
        watching = asyncio.create_task(self._watch(self._applier)) if isinstance(self._applier, Alerted) else None
        try:
            while True:
                try:
                    await self._step()
                except Exception:
                    LOG.exception("a bug met while rules were kept; all of them are written again")
                    self._bug()
                    self._schedule.retry_later()
        finally:
            if watching is not None:
                watching.cancel()

    async def _watch(self, applier: Alerted) -> None:
        """Look as soon as others change rules. Where the kernel does not notify of it, looks come with the period."""

        def altered() -> None:
            self._schedule.want_look()
            self._wake.set()

        try:
            await applier.watch(altered)
        except OSError as error:
            LOG.warning("no notifications of external changes, which are found with syncPeriod: %s", error)

    async def _step(self) -> None:
        delay = self.delay()
        if delay is None or delay > 0:
            await self._sleep(delay)
            return
        match self._schedule.step(pending=self.pending):
            case Step.ROUND:
                await self.round()
            case Step.TIDY:
                await self._tidy()
            case Step.LOOK:
                await self._look()

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
        known = self._clock()  # nothing waits from here to the checkout, so this is what the round knows
        full = self._schedule.begin(began)
        if full and not self._schedule.retrying:
            self._decisions.retry_refused()
        triggered = list(self._triggered)
        self._triggered.clear()
        pending, changes = await self._checkout()
        if not pending and not full:
            return await self._succeeded(Round(known, 0.0, False, Applied(), triggered=triggered))
        rules = self._decisions.rules_to_write(full=full)
        try:
            applied = await self._applier.sync(rules, None if full else changes)
        except Exception as error:  # noqa: BLE001 - reported by `_failed`
            self._triggered = deque((*triggered, *self._triggered), MOST_TRIGGERED)
            return await self._failed(Round(known, self._clock() - began, full, None, error), error)
        done = Round(known, self._clock() - began, full, applied, changes=changes, triggered=triggered)
        await self._commit(pending)
        return await self._succeeded(done)

    async def _decide(self) -> None:
        """Work out the rules of every Service that was touched, with rests, since there may be thousands."""
        turn = TimeSlice()
        many = len(self._dirty) > AT_ONCE
        while self._dirty:
            key = next(iter(self._dirty))
            del self._dirty[key]
            try:
                self._decisions.decide(key, self._views.get(key))
            except Exception:
                LOG.exception("a bug met while deciding on %s, which keeps the rules it has", key)
                self._bug()
            self._report_news()
            if turn.over():
                if many:
                    gc.freeze()  # or each of the collector's full rounds would walk all that was decided so far
                await turn.rest()

    def _report_news(self) -> None:
        for service, left_out in self._decisions.take_news():
            self._report_left_out(service, left_out)

    async def _checkout(self) -> tuple[list[Pending[ServicePortName, ServicePortRules]], list[RuleChange]]:
        """What the kernel was not given, and the same for the applier. Nothing is decided meanwhile, so it is what this
        round knows."""
        pending, changes = [], []
        for number, change in enumerate(self._decisions.checkout(), 1):
            pending.append(change)
            changes.append(RuleChange(*change))
            if not number % AT_ONCE:
                await asyncio.sleep(0)
        return pending, changes

    async def _commit(self, pending: Sequence[Pending[ServicePortName, ServicePortRules]]) -> None:
        for start in range(0, len(pending), AT_ONCE):
            self._decisions.commit(pending[start : start + AT_ONCE])
            await asyncio.sleep(0)

    async def _succeeded(self, done: Round) -> Round:
        """With what was decided since the last success."""
        decided, udp = self._decisions.take_decided()
        flows: dict[ServicePortName, Flows] = {}
        turn = TimeSlice()
        for name in udp:
            flows[name] = self._decisions.flows(name)
            if turn.over():
                await turn.rest()
        done = done._replace(decided=dict.fromkeys(decided), udp=flows)
        self._schedule.succeeded(full=done.full, wrote=done.applied is not None and bool(done.applied.rules))
        await self._report(done)
        return done

    async def _failed(self, done: Round, error: Exception) -> Round:
        """Everything stays pending. The next round is a full one, without the service port at fault if there is one."""
        self._schedule.ended()
        if not isinstance(error, KernelError):
            LOG.error("a bug met while writing rules", exc_info=error)
            self._bug()
        name = error.refused if isinstance(error, KernelError) else None
        if isinstance(name, ServicePortName) and self._decisions.refuse(name, str(error)):
            LOG.error("%s (%s) is set aside, the kernel refuses its rules: %s", name, name.protocol, error)
            self._report_news()
            self._schedule.retry_now()
        else:
            LOG.error("rules not written, next try in %.1f s: %s", self._schedule.retry_later(), error)
        await self._report(done)
        return done

    async def _tidy(self) -> None:
        try:
            await self._applier.tidy()
        except KernelError as error:
            self._untidy()
            LOG.warning("what was left for later is still there: %s", error)

    async def _look(self) -> None:
        """See whether others have changed what we wrote."""
        try:
            await self._applier.tidy()
            intact = await self._applier.intact()
        except KernelError as error:
            LOG.warning("the kernel could not be looked at: %s", error)
            return
        if not intact:
            LOG.warning("rules were modified externally; resyncing")
            self._modified()
            self._schedule.want_full()
