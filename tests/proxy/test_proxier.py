"""The rounds: what is written when, and what a failure leaves behind. The kernel is a dictionary."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from, tuples

from kdns.base.errors import KernelError
from kdns.base.objects import ObjectKey, ServiceChange
from kdns.proxy.apply.applier import Applied
from kdns.proxy.decisions import Decide
from kdns.proxy.left_out import LeftOut
from kdns.proxy.model import RuleChange, RuleSet, ServicePortName, ServicePortRules
from kdns.proxy.proxier import Proxier, Round
from kdns.proxy.rules import service_rules
from tests.build import State, key, proxied, tcp, udp
from tests.proxy.walk import policy, view_of


class FakeApplier:
    """A kernel in a dictionary. It may be told to fail, or to refuse a service port."""

    def __init__(self) -> None:
        self.kernel: dict[ServicePortName, ServicePortRules] = {}
        self.syncs: list[str] = []
        self.failures: list[Exception] = []
        self.refuses: set[str] = set()
        self.whole = True
        self.looks: list[Exception] = []
        self.tidied = 0
        self.during: Callable[[], None] = lambda: None

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """Take all, or the changes."""
        self.syncs.append("full" if changes is None else " ".join(str(change.name) for change in changes))
        await asyncio.sleep(0)
        self.during()
        if self.failures:
            raise self.failures.pop(0)
        wanted = rules.ports.values() if changes is None else (change.after for change in changes)
        for refused in (one for one in wanted if one is not None and str(one.name) in self.refuses):
            raise KernelError(("fake",), 1, "no such protocol", refused.name)
        before = dict(self.kernel)
        if changes is None:
            self.kernel = dict(rules.ports)
        for change in changes or ():
            assert self.kernel.get(change.name) == change.before
            self.kernel.pop(change.name, None)
            if change.after is not None:
                self.kernel[change.name] = change.after
        return Applied(int(self.kernel != before), changes is None)

    async def intact(self) -> bool:
        """As told."""
        if self.looks:
            raise self.looks.pop()
        return self.whole

    async def tidy(self) -> None:
        """Count."""
        self.tidied += 1

    async def cleanup(self) -> None:
        """Forget all."""
        self.kernel.clear()


class Rig:
    """A proxier, and what came of its rounds."""

    def __init__(
        self,
        least: float = 0.0,
        period: float = 30.0,
        decide: Decide = service_rules,
        applier: FakeApplier | None = None,
    ) -> None:
        self.applier = applier or FakeApplier()
        self.rounds: list[Round] = []
        self.told: list[str] = []
        self.bugs = 0
        self.proxier = Proxier(
            policy(),
            self.applier,
            least=least,
            period=period,
            report=self.report,
            report_left_out=self._tell,
            bug=self._bug,
            decide=decide,
        )

    async def report(self, done: Round) -> None:
        """Keep it."""
        self.rounds.append(done)

    def _bug(self) -> None:
        self.bugs += 1

    def _tell(self, about: ObjectKey, what: LeftOut) -> None:
        self.told.append(f"{about.name}: {what.reason}")

    def put(self, path: str, *endpoints: str, triggered: float | None = None, **service: object) -> None:
        """A Service with one TCP and one UDP port, and where its endpoints are."""
        ip = f"10.96.1.{sum(path.encode()) % 250 + 1}"
        made = proxied(path, (ip,), (tcp(80, "tcp"), udp(53, "udp")), **service)  # type: ignore[arg-type]
        view = view_of(made, [State(address) for address in endpoints])
        self.proxier.touch(ServiceChange(made.key, None, view, triggered))

    def drop(self, path: str) -> None:
        """The Service is gone."""
        self.proxier.touch(ServiceChange(key("Service", path), None, None))

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the proxier works."""
        task = asyncio.get_running_loop().create_task(self.proxier.run())
        try:
            yield
            if task.done():
                task.result()
        finally:
            task.cancel()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that must happen."""
        async with asyncio.timeout(120):
            while not true():  # noqa: ASYNC110 - it is about what others do
                await asyncio.sleep(0.005)


async def test_nothing_is_written_before_the_cluster_is_known() -> None:
    """The first round is a full one, and comes when everything is listed."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")
    with rig.running():
        await asyncio.sleep(0.05)
        assert rig.applier.syncs == []
        rig.proxier.synced()
        await rig.until(lambda: bool(rig.applier.kernel))
    assert rig.applier.syncs == ["full"]


async def test_only_what_changed_is_written() -> None:
    """And what flaps is not."""
    rig = Rig()
    for path in ("shop/web", "shop/db"):
        rig.put(path, "10.244.0.5")
    await rig.proxier.round()
    rig.put("shop/web", "10.244.0.6")
    rig.put("shop/web", "10.244.0.5")
    rig.put("shop/db", "10.244.0.7")
    await rig.proxier.round()
    assert rig.applier.syncs == ["full", "shop/db:tcp shop/db:udp"]
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    assert len(rig.applier.syncs) == 2
    assert rig.rounds[-1].applied == Applied()


async def test_requests_within_the_least_interval_share_a_round() -> None:
    """Ten changes, one round."""
    rig = Rig(least=1.0)
    with rig.running():
        rig.proxier.synced()
        await rig.until(lambda: len(rig.rounds) == 1)
        for n in range(10):
            rig.put("shop/web", f"10.244.0.{n + 1}")
            await asyncio.sleep(0)
        await rig.until(lambda: not rig.proxier.pending)
    assert len(rig.rounds) == 2


async def test_a_failed_apply_loses_nothing() -> None:
    """It is tried again, whole, and what the cluster began when is not forgotten."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    rig.applier.failures = [KernelError(("nft",), 1, "busy")]
    rig.put("shop/web", "10.244.0.6", triggered=1000.0)
    failed = await rig.proxier.round()
    assert failed.applied is None
    assert rig.proxier.pending
    again = await rig.proxier.round()
    assert again.full
    assert again.triggered == [1000.0]
    assert [backend.address[-1] for rules in rig.applier.kernel.values() for backend in rules.cluster] == [6, 6]


async def test_what_the_kernel_refuses_is_set_aside() -> None:
    """The rest is programmed, an Event says so, and a new version is tried."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")
    rig.put("shop/odd", "10.244.0.5")
    rig.applier.refuses = {"shop/odd:udp"}
    with rig.running():
        rig.proxier.synced()
        await rig.until(lambda: len(rig.applier.kernel) == 3)
        assert rig.told == ["odd: RulesRefused"]
        rig.put("shop/odd", "10.244.0.5")
        rig.put("shop/new", "10.244.0.5")
        await rig.until(lambda: len(rig.applier.kernel) == 5)
        assert rig.told == ["odd: RulesRefused"], "the same rules are not tried again"
        rig.applier.refuses = set()
        rig.put("shop/odd", "10.244.0.6")
        await rig.until(lambda: len(rig.applier.kernel) == 6)


async def test_what_others_did_is_undone() -> None:
    """Within a period."""
    rig = Rig(period=0.05)
    rig.put("shop/web", "10.244.0.5")
    with rig.running():
        rig.proxier.synced()
        await rig.until(lambda: bool(rig.applier.kernel))
        rig.applier.kernel.clear()
        rig.applier.whole = False
        await rig.until(lambda: bool(rig.applier.kernel))
    assert rig.applier.tidied


async def test_a_sign_of_what_others_did_is_followed_at_once() -> None:
    """Where the kernel tells, repair does not wait for the period; and who listens ends with the proxier."""
    ended = asyncio.Event()

    class Listening(FakeApplier):
        async def watch(self, altered: Callable[[], None]) -> None:
            self.alter = altered
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    applier = Listening()
    rig = Rig(period=3600.0, applier=applier)
    with rig.running():
        rig.proxier.synced()
        await rig.until(lambda: applier.syncs == ["full"])
        applier.whole = False
        applier.alter()
        await rig.until(lambda: applier.syncs == ["full", "full"])
        applier.whole = True
    await ended.wait()


async def test_an_address_nobody_may_have_is_left_out_and_told_once() -> None:
    """The rest of the Service is programmed."""
    rig = Rig()
    for _ in range(2):
        rig.put("shop/web", "10.244.0.5", external_ips=("169.254.169.254", "203.0.113.5"))
        await rig.proxier.round()
    assert rig.told == ["web: AddressLeftOut"]
    ways = {entry.frontend.address for rules in rig.applier.kernel.values() for entry in rules.entries}
    assert bytes((203, 0, 113, 5)) in ways
    assert bytes((169, 254, 169, 254)) not in ways


async def test_another_policy_decides_all_anew() -> None:
    """A full round follows."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    rig.proxier.policy = policy(masquerade_all=True)
    done = await rig.proxier.round()
    assert done.full
    assert len(done.changes) == 2


EVENTS = lists(
    tuples(sampled_from(("shop/a", "shop/b", "kube-system/kube-dns")), sampled_from(("", "5", "5 6", "x", "x5"))),
    max_size=12,
)


@given(EVENTS)
def test_any_order_of_events_ends_in_the_same_rules(events: list[tuple[str, str]]) -> None:
    """As building them at once; the kernel has what is wanted after any rounds in between. ``x``: claims an address."""
    asyncio.run(_play(events))


async def _play(events: list[tuple[str, str]]) -> None:
    rig, last = Rig(), {}
    for path, what in events:
        last[path] = what
        _event(rig, path, what)
        if what == "5 6":
            await rig.proxier.round()
    await rig.proxier.round()
    fresh = Rig()
    for path, what in sorted(last.items()):
        _event(fresh, path, what)
    await fresh.proxier.round()
    assert rig.applier.kernel == fresh.applier.kernel


def _event(rig: Rig, path: str, what: str) -> None:
    if not what:
        rig.drop(path)
        return
    endpoints = [f"10.244.0.{number}" for number in what.replace("x", "").split()]
    rig.put(path, *endpoints, external_ips=("203.0.113.5",) if what.startswith("x") else ())


@pytest.mark.parametrize("count", [2000])
async def test_a_cold_start_gives_way(count: int) -> None:
    """While thousands of Services are decided, others run."""
    rig = Rig()
    for n in range(count):
        rig.put(f"shop/web-{n}", "10.244.0.5")
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    await rig.proxier.round()
    task.cancel()
    assert turns > 5
