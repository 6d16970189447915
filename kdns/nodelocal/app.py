"""DNS on the node's own cluster-DNS address, from the first word of the cluster to the end of the process.

::

    Service kube-dns ──> addresses ──> listeners (of `dns`) ──> rules ──> route ──> ready: the heartbeat begins
                                                                                      │ SIGTERM, not ready: it ends
    rules and route stay for the next process <── the element has expired, all is answered <─┘
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, NamedTuple, Protocol

from kdns.base.clock import Clock
from kdns.base.errors import KernelError
from kdns.base.objects import Change, ServiceChange, address_text
from kdns.kernel.local_route import LocalRoute, add_local_routes, local_routes, remove_local_routes, source_towards
from kdns.metrics.local_dns import LocalDnsMetrics
from kdns.nodelocal.heartbeat import Heartbeat
from kdns.nodelocal.plan import ClusterDns, Fallback, cluster_dns, fallback
from kdns.nodelocal.rules import Rules
from kdns.ops.shutdown import Stop, unless_asked

LOG: Final = logging.getLogger("kdns.nodelocal")
BEAT: Final = 0.08
"""Seconds from one question to the next: three may be lost before 300 ms are over."""
LOOK: Final = 30.0
"""Seconds from one look at rules and routes to the next."""
RETRY: Final = 1.0
"""Seconds until what failed, or was not answered, is looked at again."""
PATIENCE: Final = 10.0
"""Seconds without the Service until that is worth a warning."""


class LocalDnsOptions(NamedTuple):
    """What the operator asks for."""

    namespace: str = "kube-system"
    service: str = "kube-dns"
    addresses: tuple[bytes, ...] = ()
    """Packed; empty: the Service's cluster IPs."""
    rules: str = "auto"
    """``nftables``, ``ipset``, or ``auto``: the first that the kernel takes."""


class Dns(Protocol):
    """What is asked of the DNS server."""

    def ready(self) -> bool:
        """Clients may be sent here."""
        ...

    def listen(self, addresses: tuple[bytes, ...]) -> None:
        """Answer on these addresses, packed, and on no others that were given before."""
        ...


class Routes(Protocol):
    """What makes addresses local; see `KernelRoutes`. All of it waits, and raises KernelError or OSError."""

    def listed(self) -> frozenset[bytes]:
        """The addresses that are local by us."""
        ...

    def add(self, addresses: Collection[bytes]) -> None:
        """Make these local."""
        ...

    def remove(self, addresses: Collection[bytes]) -> None:
        """No longer."""
        ...


class KernelRoutes:
    """`Routes` of this machine."""

    def listed(self) -> frozenset[bytes]:
        """See `Routes`."""
        return local_routes()

    def add(self, addresses: Collection[bytes]) -> None:
        """See `Routes`. Our own packets to an address keep the source they had, which other nodes can answer to."""
        add_local_routes([LocalRoute(address, source_towards(address)) for address in addresses])

    def remove(self, addresses: Collection[bytes]) -> None:
        """See `Routes`."""
        remove_local_routes(addresses)


class Beat(Protocol):
    """See `kdns.nodelocal.heartbeat.Heartbeat`."""

    def ask(self) -> None:
        """Send a question."""
        ...

    def close(self) -> None:
        """Give the socket back."""
        ...


class LocalDns:
    """One for a process. It is a consumer of the cluster's changes, and runs beside DNS and proxy."""

    def __init__(
        self,
        options: LocalDnsOptions,
        rules: Rules,
        dns: Dns,
        own: Callable[[], Collection[bytes]],
        metrics: LocalDnsMetrics,
        *,
        routes: Routes | None = None,
        heartbeat: Callable[[bytes, Callable[[bytes], None]], Beat] = Heartbeat,
        clock: Clock = time.monotonic,
    ) -> None:
        """``own``: the addresses of this node's interfaces, packed; it may raise OSError."""
        self._heartbeat = heartbeat
        self._options, self._rules, self._dns, self._own, self._metrics = options, rules, dns, own, metrics
        self._routes, self._clock = routes or KernelRoutes(), clock
        self.synced = False
        self.addresses: tuple[bytes, ...] = ()
        """Those that are to be answered on."""
        self.known = asyncio.Event()
        """There are addresses."""
        self._cluster = ClusterDns()
        self._fallback = Fallback(frozenset())
        self._beating: dict[bytes, Beat] = {}
        self._last: dict[bytes, float] = {}
        """When each address was answered for last."""
        self._alive: set[bytes] = set()
        self._look, self._looked = asyncio.Event(), clock()
        """Rules and routes are to be looked at now; when they were last."""

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
        self._judge()
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
            self._judge()

    @property
    def _wanted(self) -> tuple[bytes, ...]:
        """What is to be answered on; a Service that is gone leaves its addresses."""
        return self._options.addresses or self._cluster.addresses or self.addresses

    def _judge(self) -> None:
        """Whether this node may answer, and whether there is a DNS to fail over to."""
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
            self.addresses = wanted
            self._dns.listen(wanted)
            self.known.set()

    async def _keep(self) -> None:
        """Rules and routes are there, now and later."""
        written: tuple[bytes, ...] = ()
        while True:
            self._look.clear()
            pause = LOOK
            try:
                self._judge()
                if written != self.addresses or not await self._intact():
                    if written == self.addresses:
                        self._metrics.repairs.inc()
                        LOG.warning("rules or routes of the local DNS were modified externally; writing them again")
                    await self._write(self.addresses)
                    written = self.addresses
            except (KernelError, OSError) as error:
                LOG.error("the local DNS cannot be set up, to be tried again: %s", error)
                pause = RETRY
            self._looked = self._clock()
            try:
                async with asyncio.timeout(pause):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _intact(self) -> bool:
        return set(self.addresses) <= await asyncio.to_thread(self._routes.listed) and await self._rules.intact()

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
                self._last[address] = self._clock()
                self._beating[address] = self._heartbeat(address, self._answered)
                self._metrics.serve(address_text(address), partial(self._since, address))

    async def _beat(self) -> None:
        while True:
            wanted = not self._fallback.refusal and self._dns.ready()
            for address, heartbeat in self._beating.items():
                since = self._since(address)
                if address in self._alive and since > self._rules.alive:
                    self._expired(address, since, wanted=wanted)
                if wanted:
                    heartbeat.ask()
                    if since > RETRY and self._clock() - self._looked > RETRY:
                        self._look.set()  # the route may be gone, which is not left to the next look
            await asyncio.sleep(BEAT)

    def _since(self, address: bytes) -> float:
        return self._clock() - self._last[address]

    def _answered(self, address: bytes) -> None:
        since = self._since(address)
        if address in self._alive and since > self._rules.alive:  # we were stopped, or stuck
            self._expired(address, since, wanted=True)
        self._last[address] = self._clock()
        if address not in self._alive:
            self._alive.add(address)
            self._metrics.alive(address_text(address), True)
            LOG.info("this node answers at %s", address_text(address))

    def _expired(self, address: bytes, since: float, *, wanted: bool) -> None:
        """The kernel goes around us."""
        text = address_text(address)
        self._alive.discard(address)
        self._metrics.alive(text, False)
        if wanted:
            self._metrics.failed_over(text)
            LOG.warning("the kernel went around %s: own questions were not answered for %.2f s", text, since)
        else:
            LOG.info("questions to %s go to other nodes: this server is not ready", text)


async def clean_up(rules: Collection[Rules], routes: Routes | None = None) -> None:
    """``--cleanup``: remove routes, then rules. Raises KernelError and OSError."""
    routes = routes or KernelRoutes()
    await asyncio.to_thread(lambda: routes.remove(routes.listed()))
    for each in rules:
        await each.remove()
