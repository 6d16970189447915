"""A proxier at work on node-0 of a lab, with one Service that tests change; and those who ask for it all the time."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from kdns.base.objects import READY, SERVING, ObjectKey, ServiceChange, ServiceView
from kdns.lab.asking import Arrived, Outcome
from kdns.lab.network import Network
from kdns.lab.plan import PLAN, Plan
from kdns.metrics.proxy import ProxyMetrics
from kdns.proxy.apply.applier import Applier
from kdns.proxy.apply.flow_cleaner import FlowCleaner
from kdns.proxy.healthcheck.proxy_health import ProxyHealth
from kdns.proxy.left_out import LeftOut
from kdns.proxy.proxier import Proxier, Round
from kdns.proxy.report import Reports
from kdns.proxy.rules import Policy
from tests.proxy.flows.ground import FAMILIES, every_refusal
from tests.proxy.flows.modes import Variant, applier, mode_of
from tests.proxy.flows.resident import Resident
from tests.proxy.flows.shapes import NUMBERS, PODS, SHAPES, TARGET, Shape, cluster_ip, node_port, view
from tests.proxy.flows.worlds import WORLDS

NODE: Final = PLAN.nodes[0]
PERIOD: Final = 1.0
"""syncPeriod: so often the rules are looked at."""
PATIENCE: Final = 120.0
SHOP: Final = next(shape for shape in SHAPES if shape.name == "everywhere")
STICKY: Final = next(shape for shape in SHAPES if shape.name == "affine")
READILY: Final = READY | SERVING


class Place(NamedTuple):
    """Where the Service is asked for."""

    part: str
    protocol: str
    address: str
    port: int


def inside(which: int, protocol: str = "TCP", shape: Shape = SHOP) -> Place:
    """A pod of the node asks at the cluster IP."""
    return Place("x", protocol, str(cluster_ip(NUMBERS[shape.name])[which]), 80)


def outside(which: int, protocol: str = "TCP") -> Place:
    """The outside client asks at the node port."""
    return Place("outside", protocol, str(NODE.addresses[which]), node_port(SHOP))


EVERYWHERE: Final = tuple(
    place(which, protocol) for place in (inside, outside) for which in (0, 1) for protocol in ("TCP", "UDP")
)


class Proxying:
    """The lab and the proxier. Make it with ``with``; the proxier runs from `start` to `stop`."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.network = Network(Plan(pods=tuple(PODS.values())))
        self.rounds: list[Round] = []
        """Of all families and runs."""
        self._views: dict[ObjectKey, ServiceView] = {}
        self._proxiers: list[Proxier] = []
        self._running: list[asyncio.Task[None]] = []
        self._cleaner: FlowCleaner | None = None

    def __enter__(self) -> Self:
        every_refusal(self.network)
        for pod in ("a", "b", "c"):
            self.network.serve(pod, TARGET)
        self.resident = Resident(self.network.parts[NODE.name])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resident.wait_for(self._stop())
        self.resident.close()
        self.network.close()

    async def start(self) -> None:
        """Begin as a new process does, and wait until the rules are written."""
        await self.resident.do(self._start())

    async def stop(self) -> None:
        """End as a process does: the rules stay."""
        await self.resident.do(self._stop())

    async def put(self, *names: str, shape: Shape = SHOP, conditions: int = READILY) -> None:
        """The Service has these endpoints now; wait until the rules say so."""
        await self.resident.do(self._put(shape, dict.fromkeys(names, conditions)))

    async def put_each(self, endpoints: Mapping[str, int], shape: Shape = SHOP) -> None:
        """The same, with a condition for each endpoint."""
        await self.resident.do(self._put(shape, endpoints))

    async def ask(self, place: Place, patience: float = 5.0) -> Outcome:
        """Ask once."""
        return await self.network.probe(place.part, place.protocol, place.address, place.port, timeout=patience)

    async def hears(self, place: Place, *names: str) -> None:
        """Ask until each of these has answered; nobody else may, from the beginning on."""
        heard: Counter[str] = Counter()
        for _ in range(20):
            for outcome in await asyncio.gather(*(self.ask(place) for _ in range(4))):
                assert isinstance(outcome, Arrived), (place, outcome)
                heard[outcome.name] += 1
            assert set(heard) <= set(names), (place, heard)
            if set(heard) == set(names):
                return
        raise AssertionError(f"{place}: {heard} of {names}")

    async def stays(self, place: Place, name: str) -> None:
        """Ask some times; always the same answers."""
        for _ in range(3):
            await self.hears(place, name)

    def full_rounds(self) -> int:
        """How often all rules have been written."""
        return sum(done.full and done.error is None for done in self.rounds)

    async def _start(self) -> None:
        world, mode = WORLDS[0], mode_of(self.variant)
        metrics = ProxyMetrics(mode, [family.value for family in FAMILIES])
        health = ProxyHealth(60.0, time.monotonic, time.time)
        self._cleaner = FlowCleaner()
        self._cleaner.start()
        before = self.full_rounds()
        for family in FAMILIES:
            policy = world.policy(mode, family, NODE)
            reports = Reports(family, metrics, health, self._cleaner)
            proxier = self._proxier(policy, await applier(self.variant, policy.node), reports)
            self._proxiers.append(proxier)
            for key, known in self._views.items():
                proxier.touch(ServiceChange(key, None, known))
            proxier.synced()
            self._running.append(asyncio.create_task(proxier.run()))
        await self._until(lambda: self.full_rounds() >= before + len(FAMILIES))

    def _proxier(self, policy: Policy, writer: Applier, reports: Reports) -> Proxier:
        async def report(done: Round) -> None:
            self.rounds.append(done)
            await reports.take(done, proxier)

        def tell(key: ObjectKey, what: LeftOut) -> None:
            raise AssertionError(f"{key}: {what}")

        proxier = Proxier(policy, writer, least=0.02, period=PERIOD, report=report, report_left_out=tell)
        return proxier

    async def _stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        self._proxiers.clear()
        if self._cleaner is not None:
            await asyncio.to_thread(self._cleaner.close)
            self._cleaner = None

    async def _put(self, shape: Shape, endpoints: Mapping[str, int]) -> None:
        made = view(shape._replace(endpoints=endpoints))
        assert made.service is not None
        change = ServiceChange(made.service.key, self._views.get(made.service.key), made)
        self._views[change.key] = made
        for proxier in self._proxiers:
            proxier.touch(change)
        await self._until(lambda: not any(proxier.pending for proxier in self._proxiers))

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                for task in self._running:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.005)


class Constantly:
    """Asks for every place all the time, one probe after the other; says what was no answer."""

    def __init__(self, ask: Callable[[Place], Awaitable[Outcome]], places: Iterable[Place] = EVERYWHERE) -> None:
        self._ask_once, self._places = ask, tuple(places)
        self.answers: Counter[Place] = Counter()
        self.failures: list[tuple[Place, Outcome]] = []
        self._over = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask(place)) for place in self._places]
        await self.some_more()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def some_more(self) -> None:
        """Wait until everybody has asked a few times more."""
        before = self.answers.copy()
        async with asyncio.timeout(120):
            while not self.failures and any(self.answers[at] < before[at] + 3 for at in self._places):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _ask(self, place: Place) -> None:
        while not self._over:
            outcome = await self._ask_once(place)
            if isinstance(outcome, Arrived):
                self.answers[place] += 1
            else:
                self.failures.append((place, outcome))
            await asyncio.sleep(0.003)


def name_of(outcome: Outcome) -> str:
    """Who answered; empty if nobody did."""
    return outcome.name if isinstance(outcome, Arrived) else ""


async def until(condition: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Ask again and again until something is so."""
    async with asyncio.timeout(patience):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
