"""DNS on the node's own cluster-DNS address, from the first list of the cluster to the end of the process.

::

    Service kube-dns ──> addresses ──> listeners (of `dns`) ──> rules of Services (of `proxy`) ──> rules ──> route
                                                                                                              │ ready
    rules and route stay for the next process <── the element has expired, all is answered <── it ends <── heartbeat
                                                                                      SIGTERM, not ready
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Final

from kdns.base.clock import Clock
from kdns.base.errors import KernelError
from kdns.base.objects import Change, ServiceChange, address_text
from kdns.metrics.local_dns import LocalDnsMetrics
from kdns.nodelocal.heartbeat import UdpHeartbeat
from kdns.nodelocal.liveness import Answers
from kdns.nodelocal.parts import (
    Heartbeat,
    KernelRoutes,
    LocalDnsOptions,
    LocalRoutes,
    LocalServer,
    MakeHeartbeat,
)
from kdns.nodelocal.plan import ClusterDns, Fallback, cluster_dns, fallback
from kdns.nodelocal.rules import LocalRules
from kdns.ops.shutdown import Stop, unless_asked

LOG: Final = logging.getLogger("kdns.nodelocal")
LOOK: Final = 30.0
"""Seconds from one look at rules and routes to the next."""
RETRY: Final = 1.0
"""Seconds until what failed, or was not answered, is looked at again."""
PATIENCE: Final = 10.0
"""Seconds without what must be there first until that is worth a warning."""
BOTH: Final = frozenset({4, 16})


class LocalDns:
    """One for a process. It is a consumer of the cluster's changes, and runs beside DNS and proxy."""

    def __init__(
        self,
        options: LocalDnsOptions,
        rules: LocalRules,
        server: LocalServer,
        own: Callable[[], Collection[bytes]],
        metrics: LocalDnsMetrics,
        *,
        caught_up: Callable[[], Awaitable[None]],
        others: Sequence[LocalRules] = (),
        widths: Collection[int] = BOTH,
        routes: LocalRoutes | None = None,
        heartbeat: MakeHeartbeat = UdpHeartbeat,
        clock: Clock = time.monotonic,
    ) -> None:
        """``own``: the addresses of this node's interfaces, packed; it may raise OSError.

        ``caught_up`` waits until the kernel has the rules of Services as the cluster is now: before, a question that
        is not answered here would go nowhere. ``others``: rules that an earlier process may have written instead.
        ``widths``: octets of an address, of the families that the kernel has.
        """
        self._options, self._rules, self._server, self._own, self._metrics = options, rules, server, own, metrics
        self._caught_up, self._others, self._widths = caught_up, list(others), widths
        self._heartbeat, self._routes, self._clock = heartbeat, routes or KernelRoutes(), clock
        self.synced = False
        self.addresses: tuple[bytes, ...] = ()
        """Those that are to be answered on."""
        self._listening: tuple[bytes, ...] = ()
        self.known = asyncio.Event()
        """There are addresses."""
        self._cluster = ClusterDns()
        self._fallback = Fallback(frozenset())
        self._beating: dict[bytes, Heartbeat] = {}
        self._answers: dict[bytes, Answers] = {}
        self._alive: set[bytes] = set()
        self._look, self._looked = asyncio.Event(), clock()
        """Rules and routes are to be looked at now; when they were last."""
        self._warned = False
        """That the rules of Services are missing."""

    def apply(self, change: Change, now: int) -> None:
        """Take in one change of the cluster."""
        if isinstance(change, ServiceChange) and change.key[1:] == (self._options.namespace, self._options.service):
            self._cluster = cluster_dns(change.after)
            self._look.set()

    async def run(self, stop: Stop) -> None:
        """Keep the node's DNS alive, until asked to stop. Raises ConfigError for what the operator must fix."""
        if not await unless_asked(stop, self._begin()):
            return
        tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._keep())]
        asked = asyncio.create_task(stop.asked.wait())
        try:
            done, _ = await asyncio.wait((*tasks, asked), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, asked):
                task.cancel()
            await asyncio.gather(*tasks, asked, return_exceptions=True)
            for heartbeat in self._beating.values():
                heartbeat.close()

    async def _begin(self) -> None:
        """Wait for addresses that this node may answer on."""
        warned = False
        self._decide()
        while not self.addresses:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._look.wait()
            except TimeoutError:
                if not warned and not self._wanted:
                    name = f"{self._options.namespace}/{self._options.service}"
                    LOG.warning("waiting for Service %s, whose address is to be answered on", name)
                    warned = True
            self._look.clear()
            self._decide()

    @property
    def _wanted(self) -> tuple[bytes, ...]:
        """What is to be answered on; a Service that is gone leaves its addresses."""
        given = self._options.addresses or self._cluster.addresses
        return tuple(address for address in given if len(address) in self._widths) or self.addresses

    def _decide(self) -> None:
        """Whether this node may answer, where, and whether there is a DNS to fail over to."""
        before, wanted = self._fallback, self._wanted
        if not wanted:
            return
        try:
            own = self._own()
        except OSError as error:
            LOG.warning("the addresses of this machine cannot be read, to be tried again: %s", error)
            return
        now = self._fallback = fallback(self._cluster, wanted, own)
        self._metrics.fallbacks.set(len(now.elsewhere))
        if now.refusal and now.refusal != before.refusal:
            LOG.error("the local DNS stays off: %s", now.refusal)
        elif self.synced and now.warning and now.warning != before.warning:
            LOG.warning("%s", now.warning)
        if wanted != self.addresses and not now.taken:
            self._listen(tuple(dict.fromkeys((*wanted, *self.addresses))))  # until the route is that of the new ones
            self.addresses = wanted
            self.known.set()

    def _listen(self, addresses: tuple[bytes, ...]) -> None:
        if addresses != self._listening:
            self._listening = addresses
            self._server.listen(addresses)

    async def _keep(self) -> None:
        """Rules and routes are there, now and later."""
        written: tuple[bytes, ...] = ()
        while True:
            self._look.clear()
            pause = LOOK
            try:
                self._decide()
                if written != self.addresses and await self._ordinary_way():
                    await self._write(self.addresses)
                    written = self.addresses
                    self._listen(written)
                    await self._remove_others()
                elif written and not await self._intact(written):
                    self._metrics.repairs.inc()
                    LOG.warning("rules or routes of the local DNS were modified externally; writing them again")
                    await self._write(written)
                self._reopen()
            except (KernelError, OSError) as error:
                LOG.error("the local DNS cannot be set up, to be tried again: %s", error)
                pause = RETRY
            self._looked = self._clock()
            try:
                async with asyncio.timeout(pause):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _ordinary_way(self) -> bool:
        """Wait until the rules of Services are in the kernel; False: there is something to look at first."""
        force = asyncio.ensure_future(self._caught_up())
        look = asyncio.create_task(self._look.wait())
        try:
            await asyncio.wait((force, look), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if force.done():
                force.result()
                return True
            if not look.done():
                self._look.set()  # what may have changed meanwhile is looked at
                if not self._warned:
                    LOG.warning("waiting for the rules of Services, by which questions go to other nodes")
                    self._warned = True
            return False
        finally:
            for task in (force, look):
                task.cancel()
            await asyncio.gather(force, look, return_exceptions=True)

    async def _intact(self, written: Collection[bytes]) -> bool:
        return set(written) <= await asyncio.to_thread(self._routes.listed) and await self._rules.intact()

    async def _write(self, addresses: tuple[bytes, ...]) -> None:
        """First the rules, then the routes: until there is a heartbeat all questions take the ordinary way."""
        await self._rules.write(addresses)
        there = await asyncio.to_thread(self._routes.listed)
        await asyncio.to_thread(self._routes.remove, there.difference(addresses))
        await asyncio.to_thread(self._routes.add, [address for address in addresses if address not in there])
        for address in self._beating.keys() - set(addresses):
            self._beating.pop(address).close()
            self._alive.discard(address)
            self._metrics.forget(address_text(address))
        for address in addresses:
            if address not in self._beating:
                self._answers[address] = Answers(self._rules.liveness, self._clock())
                self._beating[address] = self._heartbeat(address, self._answered)
                self._metrics.serve(address_text(address), partial(self._since, address))

    def _reopen(self) -> None:
        """Give heartbeats that stay without an answer a new socket: a connected one of IPv6 keeps the way that it took
        while the route was missing, also once the route is there again."""
        for address, heartbeat in list(self._beating.items()):
            if self._since(address) > RETRY:
                self._beating[address] = self._heartbeat(address, self._answered)
                heartbeat.close()

    async def _remove_others(self) -> None:
        """Remove rules of the other kind, of an earlier process, as far as its tool is there."""
        while self._others:
            try:
                await self._others.pop().remove()
            except KernelError as error:
                LOG.debug("other rules of the local DNS were not removed: %s", error)

    async def _beat(self) -> None:
        """Ask. What is late at one question makes the next one none the later, but two are never close together."""
        loop, every = asyncio.get_running_loop(), self._rules.liveness.every
        due = loop.time()
        while True:
            wanted = not self._fallback.refusal and self._server.ready()
            for address, heartbeat in self._beating.items():
                self._check(address, wanted=wanted)
                if wanted:
                    heartbeat.ask()
                    if self._since(address) > RETRY and self._clock() - self._looked > RETRY:
                        self._look.set()  # the route may be gone, which is not left to the next look
            now = loop.time()
            due = max(due + every, now + every / 2)
            await asyncio.sleep(due - now)

    def _since(self, address: bytes) -> float:
        return self._clock() - self._answers[address].last

    def _answered(self, address: bytes, asked: float) -> None:
        self._check(address, wanted=True)  # this process may have been stopped, or stuck
        self._answers[address].note(asked)
        if address not in self._alive and self._answers[address].alive(self._clock()):
            self._alive.add(address)
            self._metrics.alive(address_text(address), True)
            LOG.info("this node answers at %s", address_text(address))

    def _check(self, address: bytes, *, wanted: bool) -> None:
        """See whether the kernel goes around this server; ``wanted``: it should not."""
        if address not in self._alive or self._answers[address].alive(self._clock()):
            return
        text = address_text(address)
        self._alive.discard(address)
        self._metrics.alive(text, False)
        if wanted:
            self._metrics.failed_over(text)
            LOG.warning("the kernel went around %s: the last own question answered is %.2f s old", text,
                        self._since(address))  # fmt: skip
        else:
            LOG.info("questions to %s go to other nodes: this server is not ready", text)


async def clean_up(rules: Collection[LocalRules], routes: LocalRoutes | None = None) -> None:
    """``--cleanup``: remove routes, then rules. Raises KernelError and OSError."""
    routes = routes or KernelRoutes()
    await asyncio.to_thread(lambda: routes.remove(routes.listed()))
    for kind in rules:
        await kind.remove()
