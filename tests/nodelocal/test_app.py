"""The life of the local DNS, with a kernel, a server and a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from kdns.base.errors import KernelError
from kdns.base.objects import EndpointSlice, ObjectKey, Service, ServiceChange, ServiceView
from kdns.metrics.local_dns import LocalDnsMetrics
from kdns.nodelocal.app import LocalDns, LocalDnsOptions, clean_up
from kdns.ops.shutdown import Stop
from tests.build import packed
from tests.running import PATIENCE

VIP, NODE, OTHER = packed("10.96.0.10"), packed("172.18.0.2"), packed("10.244.1.9")
KEY = ObjectKey("Service", "kube-system", "kube-dns")
ALIVE = 'address="10.96.0.10"'


class FakeRules:
    """Rules that note what is done with them."""

    alive = 0.3

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
        """As long as nobody took them away."""
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


class FakeDns:
    """A server that is ready when the test says so."""

    def __init__(self) -> None:
        self.is_ready, self.addresses = True, ()  # type: bool, tuple[bytes, ...]

    def ready(self) -> bool:
        """As the test says."""
        return self.is_ready

    def listen(self, addresses: tuple[bytes, ...]) -> None:
        """Note it."""
        self.addresses = addresses


class FakeBeat:
    """A heartbeat that is answered at once, as long as the world is well."""

    def __init__(self, world: "World", address: bytes, answered: Callable[[bytes], None]) -> None:
        self.world, self.address, self.answered = world, address, answered

    def ask(self) -> None:
        """One question."""
        self.world.asked += 1
        self.world.beat.set()
        if self.world.answers:
            self.answered(self.address)

    def close(self) -> None:
        """Nothing is open."""


class World:
    """All of it."""

    def __init__(self, options: LocalDnsOptions | None = None, own: frozenset[bytes] = frozenset({NODE})) -> None:
        self.now, self.asked, self.answers = 100.0, 0, True
        self.beat = asyncio.Event()
        self.rules, self.dns, self.registry = FakeRules(), FakeDns(), CollectorRegistry()
        self.routes, self.own = FakeRoutes(self.rules.done), own
        self.stop = Stop()
        self.local = LocalDns(
            options or LocalDnsOptions(),
            self.rules,
            self.dns,
            lambda: self.own,
            LocalDnsMetrics(self.registry),
            routes=self.routes,
            heartbeat=lambda address, answered: FakeBeat(self, address, answered),
            clock=lambda: self.now,
        )

    def says(self, *endpoints: bytes) -> None:
        """The cluster has the Service with these endpoints."""
        slices = (EndpointSlice(KEY, "kube-dns", 4, b"".join(endpoints)),)
        self.local.apply(ServiceChange(KEY, None, ServiceView(Service(KEY, (VIP,)), slices)), 0)

    def value(self, name: str) -> float | None:
        """Of a metric."""
        return self.registry.get_sample_value(name, {"address": "10.96.0.10"})

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


async def test_the_order_of_a_start() -> None:
    """Listeners and rules come before the route, and the first question after it."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        assert world.dns.addresses == (VIP,)
        assert world.rules.done == ["rules", "route"]
        assert world.value("kdns_local_dns_alive") == 1


async def test_nothing_is_done_before_the_service_is_known() -> None:
    """No address: no listener, no rule, no route; the Service brings them."""
    world = World()
    async with world.running():
        await asyncio.sleep(0)
        assert (world.rules.done, world.local.known.is_set()) == ([], False)
        world.says(OTHER)
        await world.beats()
        assert world.local.known.is_set()


async def test_an_address_from_the_command_line_waits_for_nothing() -> None:
    """With --local-dns-address the cluster need not be known."""
    world = World(LocalDnsOptions(addresses=(VIP,)))
    async with world.running():
        await world.beats()
        assert world.routes.there == {VIP}


async def test_no_question_while_not_ready() -> None:
    """/ready says no, so that the element expires, and that is no failover."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.dns.is_ready = False
        before = world.asked
        world.now += 1
        await world.until(lambda: not world.value("kdns_local_dns_alive"))
        assert world.asked == before
        assert world.value("kdns_local_dns_failovers_total") == 0


async def test_a_failover_is_counted_once() -> None:
    """Own questions stay without an answer for longer than the element lives; then they are answered again."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.answers = False
        world.now += 0.31
        await world.beats(3)
        assert world.value("kdns_local_dns_alive") == 0
        assert world.value("kdns_local_dns_failovers_total") == 1
        world.answers = True
        await world.beats()
        assert world.value("kdns_local_dns_alive") == 1
        assert world.value("kdns_local_dns_failovers_total") == 1


async def test_a_stop_that_ends_with_an_answer_is_a_failover_too() -> None:
    """After SIGCONT the answer may be read before anything looks at the clock."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.now += 2
        world.local._answered(VIP)
        assert world.value("kdns_local_dns_failovers_total") == 1
        assert world.value("kdns_local_dns_alive") == 1


async def test_refused_while_this_node_is_the_only_endpoint() -> None:
    """No question is asked until there is an endpoint elsewhere."""
    world = World()
    world.says(NODE)
    async with world.running():
        await world.until(lambda: "route" in world.rules.done)
        assert world.asked == 0
        world.says(NODE, OTHER)
        await world.beats()
        assert world.value("kdns_local_dns_alive") == 1


async def test_another_cache_is_not_disturbed() -> None:
    """While an interface has the address, as NodeLocal DNSCache's link does, not even a socket is opened."""
    world = World(own=frozenset({NODE, VIP}))
    world.says(OTHER)
    async with world.running():
        await asyncio.sleep(0)
        assert (world.dns.addresses, world.rules.done) == ((), [])
        world.own = frozenset({NODE})
        world.says(OTHER)
        await world.beats()
        assert world.dns.addresses == (VIP,)


async def test_a_lost_route_is_noticed_by_its_silence() -> None:
    """Own questions that are not answered for a second have rules and routes looked at, and written again."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.routes.there.clear()
        world.answers = False
        world.now += 1.1
        await world.until(lambda: world.rules.done.count("route") == 2)
        assert world.registry.get_sample_value("kdns_local_dns_repairs_total") == 1


async def test_rules_and_routes_stay_at_the_end() -> None:
    """The next process takes them over."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
    assert world.rules.done == ["rules", "route"]


async def test_a_kernel_that_refuses_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is tried again, and the process goes on."""
    monkeypatch.setattr("kdns.nodelocal.app.RETRY", 0.001)
    world = World()
    world.rules.broken = 2
    world.says(OTHER)
    async with world.running():
        await world.beats()
        assert world.rules.done == ["rules", "route"]


async def test_clean_up() -> None:
    """Routes go first: a local address without rules would swallow what the proxy's rules no longer take."""
    world = World()
    world.routes.there.add(VIP)
    await clean_up([world.rules], world.routes)
    assert world.rules.done == ["no route", "no rules"]
