"""A world for the local DNS: a kernel, a server and a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from kdns.base.errors import KernelError
from kdns.base.objects import EndpointSlice, ObjectKey, Service, ServiceChange, ServiceView
from kdns.metrics.local_dns import LocalDnsMetrics
from kdns.nodelocal.app import LocalDns
from kdns.nodelocal.liveness import Liveness
from kdns.nodelocal.parts import LocalDnsOptions
from kdns.ops.shutdown import Stop
from tests.build import packed
from tests.running import PATIENCE

VIP_6 = packed("fd00:10:96::a")
VIP, NODE, OTHER = packed("10.96.0.10"), packed("172.18.0.2"), packed("10.244.1.9")
KEY = ObjectKey("Service", "kube-system", "kube-dns")
ALIVE = 'address="10.96.0.10"'


class FakeRules:
    """Rules that note what is done with them."""

    liveness = Liveness(every=0.001, within=0.3)

    def __init__(self) -> None:
        self.done: list[str] = []
        self.broken = 0
        self.there = False

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def write(self, addresses: Sequence[bytes]) -> None:
        """Fails as often as `broken` says."""
        if self.broken:
            self.broken -= 1
            raise KernelError(("nft",), 1, "busy")
        self.done.append("rules")
        self.there = True

    async def intact(self) -> bool:
        """As long as they were not removed."""
        return self.there

    async def remove(self) -> None:
        """Note it."""
        self.done.append("no rules")


class FakeRoutes:
    """Routes that share the rules' notes."""

    def __init__(self, done: list[str]) -> None:
        self.done, self.there = done, set[bytes]()

    def listed(self) -> frozenset[bytes]:
        """Those there are."""
        return frozenset(self.there)

    def add(self, addresses: Collection[bytes]) -> None:
        """Note it."""
        self.there |= set(addresses)
        self.done.append("route")

    def remove(self, addresses: Collection[bytes]) -> None:
        """Note it if there is something to remove."""
        if addresses:
            self.there -= set(addresses)
            self.done.append("no route")


class FakeServer:
    """A server that is ready when the test says so."""

    def __init__(self) -> None:
        self.is_ready, self.addresses = True, ()  # type: bool, tuple[bytes, ...]

    def ready(self) -> bool:
        """As the test says."""
        return self.is_ready

    def listen(self, addresses: tuple[bytes, ...]) -> None:
        """Note it."""
        self.addresses = addresses


class FakeHeartbeat:
    """A heartbeat that is answered at once, as long as the world is well."""

    def __init__(self, world: "World", address: bytes, answered: Callable[[bytes, float], None]) -> None:
        self.world, self.address, self.answered = world, address, answered
        world.opened += 1

    def ask(self) -> None:
        """One question."""
        self.world.asked += 1
        self.world.beat.set()
        if self.world.answers:
            self.answered(self.address, self.world.now)

    def close(self) -> None:
        """Note it."""
        self.world.closed += 1


class World:
    """All of it."""

    def __init__(
        self,
        options: LocalDnsOptions | None = None,
        own: frozenset[bytes] = frozenset({NODE}),
        widths: tuple[int, ...] = (4, 16),
    ) -> None:
        self.now, self.asked, self.answers = 100.0, 0, True
        self.opened, self.closed = 0, 0
        """Heartbeats."""
        self.beat = asyncio.Event()
        self.rules, self.server, self.registry = FakeRules(), FakeServer(), CollectorRegistry()
        self.routes, self.own = FakeRoutes(self.rules.done), own
        self.caught_up, self.other_rules = asyncio.Event(), FakeRules()
        self.caught_up.set()
        self.stop = Stop()
        self.local = LocalDns(
            options or LocalDnsOptions(),
            self.rules,
            self.server,
            lambda: self.own,
            LocalDnsMetrics(self.registry),
            caught_up=self.wait_caught_up,
            others=[self.other_rules],
            widths=widths,
            routes=self.routes,
            heartbeat=lambda address, answered: FakeHeartbeat(self, address, answered),
            clock=lambda: self.now,
        )

    async def wait_caught_up(self) -> None:
        """The proxy's part."""
        await self.caught_up.wait()

    def says(self, *endpoints: bytes, address: bytes | tuple[bytes, ...] = VIP) -> None:
        """The cluster has the Service with these endpoints, and one or more addresses."""
        addresses = (address,) if isinstance(address, bytes) else address
        slices = (EndpointSlice(KEY, "kube-dns", 4, b"".join(endpoints)),)
        self.local.apply(ServiceChange(KEY, None, ServiceView(Service(KEY, addresses), slices)), 0)

    def value(self, name: str, address: str = "10.96.0.10") -> float | None:
        """Of a metric."""
        return self.registry.get_sample_value(name, {"address": address})

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the others work until something is so."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - it is about what others do
                await asyncio.sleep(0)

    async def beats(self, number: int = 1) -> None:
        """Wait for so many questions more."""
        for _ in range(number):
            self.beat.clear()
            await self.beat.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While it runs."""
        task = asyncio.create_task(self.local.run(self.stop))
        try:
            yield
        finally:
            self.stop.asked.set()
            await task
