"""Rounds in which something comes at a bad moment, and bugs: nothing is lost, told twice, or kept for ever."""

import asyncio
import time

import pytest

from kdns.base.errors import KernelError
from kdns.base.objects import ServiceView
from kdns.proxy.proxier import MOST_TRIGGERED, Proxier
from kdns.proxy.rules import Policy, ServiceRules, service_rules
from kdns.proxy.schedule import HOUR
from tests.proxy.test_proxier import Rig
from tests.proxy.walk import policy


async def test_a_policy_that_comes_during_a_full_round_is_not_lost() -> None:
    """What it changes may be in no service port's rules, so only another full round writes it."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")

    def renew() -> None:
        rig.proxier.policy = policy(node_port_addresses=(bytes((172, 18, 0, 9)),))

    rig.applier.during = renew
    await rig.proxier.round()
    done = await rig.proxier.round()
    assert done.full
    assert not done.changes


async def test_what_comes_while_services_are_decided_is_known_to_the_round() -> None:
    """Else it would be waited for in vain, and the node be called late for a change that is in force."""
    rig = Rig()
    for n in range(1500):
        rig.put(f"shop/web-{n}", "10.244.0.5")
    came: list[float] = []

    async def meanwhile() -> None:
        rig.put("shop/late", "10.244.0.5")
        came.append(time.monotonic())

    task = asyncio.create_task(meanwhile())
    done = await rig.proxier.round()
    await task
    assert any(name.name == "late" for name in rig.applier.kernel)
    assert not rig.proxier.pending
    assert done.known >= came[0]


async def test_every_service_that_was_decided_is_told_once_it_is_in_force() -> None:
    """A terminating endpoint may take the place of a ready one: the rules are the same, the health check is not."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    rig.put("shop/web", "10.244.0.5")
    rig.put("shop/db", "10.244.0.5")
    rig.applier.failures = [KernelError(("nft",), 1, "busy")]
    assert not (await rig.proxier.round()).decided
    done = await rig.proxier.round()
    assert {service.name for service in done.decided} == {"web", "db"}
    assert {change.name.name for change in done.changes} == {"db"}


async def test_a_frontend_that_is_taken_is_reported_once() -> None:
    """However often the endpoints behind it change, and again only after it was had."""
    rig = Rig()
    for path in ("shop/a", "shop/b"):
        rig.put(path, external_ips=("203.0.113.5",))
    await rig.proxier.round()
    for n in range(3):
        rig.put("shop/b", f"10.244.0.{n}", external_ips=("203.0.113.5",))
        await rig.proxier.round()
    assert rig.told == ["b: FrontendTaken"] * 2  # for each of its ports
    rig.drop("shop/a")
    await rig.proxier.round()
    rig.put("shop/a", external_ips=("203.0.113.5",))
    await rig.proxier.round()
    assert len(rig.told) == 4


async def test_bugs_are_survived(caplog: pytest.LogCaptureFixture) -> None:
    """In an applier, in a look and in a report: counted, and in the end the kernel has what is wanted."""
    rig = Rig(period=0.05)
    rig.applier.failures = [RuntimeError("a bug while it was written")]
    rig.applier.looks = [ValueError("a bug while it was looked at")]
    rig.put("shop/web", "10.244.0.5")
    with rig.running():
        rig.proxier.synced()
        await rig.until(lambda: bool(rig.applier.kernel) and not rig.applier.looks)
        await rig.until(lambda: rig.bugs == 2 and rig.applier.syncs == ["full"] * 3)
    assert rig.rounds[0].applied is None
    assert [text for text in ("written", "looked at") if f"a bug while it was {text}" not in caplog.text] == []


async def test_a_bug_about_one_service_is_its_own() -> None:
    """It keeps the rules it has, and the others get theirs."""
    broken = False

    def decide(view: ServiceView | None, chosen: Policy) -> ServiceRules:
        if broken and view and view.service and view.service.key.name == "web":
            raise RuntimeError("a bug")
        return service_rules(view, chosen)

    rig = Rig(decide=decide)
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    before = dict(rig.applier.kernel)
    rig.put("shop/web", "10.244.0.6")
    rig.put("shop/db", "10.244.0.7")
    broken = True
    await rig.proxier.round()
    assert rig.bugs == 1
    assert before.items() < rig.applier.kernel.items()
    assert {name.name for name in rig.applier.kernel} == {"web", "db"}


async def test_moments_are_remembered_within_bounds() -> None:
    """While the kernel takes nothing for days."""
    rig = Rig()
    rig.put("shop/web", "10.244.0.5")
    for n in range(MOST_TRIGGERED + 5):
        rig.put("shop/web", "10.244.0.5", triggered=float(n))
    rig.applier.failures = [KernelError(("nft",), 1, "busy")]
    await rig.proxier.round()
    done = await rig.proxier.round()
    assert (len(done.triggered), done.triggered[-1]) == (MOST_TRIGGERED, float(MOST_TRIGGERED + 4))


async def test_every_hour_all_is_written() -> None:
    """What the kernel refused is tried again with it."""
    now = 0.0
    rig = Rig()
    rig.proxier = Proxier(policy(), rig.applier, report=rig.report, report_left_out=rig._tell, clock=lambda: now)
    rig.applier.refuses = {"shop/web:udp"}
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    await rig.proxier.round()
    assert len(rig.applier.kernel) == 1
    rig.applier.refuses = set()
    now = HOUR - 1
    assert not (await rig.proxier.round()).full
    now = HOUR
    assert (await rig.proxier.round()).full
    assert len(rig.applier.kernel) == 2


async def test_a_full_round_that_is_due_too_early_is_waited_for() -> None:
    """An hour is over within the least interval: nothing is done meanwhile, above all not again and again."""
    now = 0.0
    rig = Rig(least=1.0)
    rig.proxier = Proxier(policy(), rig.applier, report=rig.report, report_left_out=rig._tell, clock=lambda: now)
    rig.proxier.synced()
    await rig.proxier.round()
    now = HOUR - 0.5
    rig.put("shop/web", "10.244.0.5")
    await rig.proxier.round()
    now = HOUR
    assert rig.proxier.delay() == 0.5
