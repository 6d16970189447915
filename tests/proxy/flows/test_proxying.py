"""What people notice of a proxier's life: restarts, strangers among its rules, endpoints that come and go."""

import asyncio
from collections.abc import Iterator

import pytest

from kdns.lab.asking import Arrived, Flow, Refused
from kdns.objects import READY, SERVING, TERMINATING
from tests.proxy.flows.disturbing import DISTURBANCES
from tests.proxy.flows.modes import Variant, variants
from tests.proxy.flows.proxying import EVERYWHERE, PERIOD, STICKY, Constantly, Place, Proxying, inside, outside, until

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

FAMILIES = pytest.mark.parametrize("which", [0, 1], ids=["v4", "v6"])
WAYS = pytest.mark.parametrize("way", [inside, outside], ids=["cluster IP", "node port"])


@pytest.fixture(params=variants())
def proxying(request: pytest.FixtureRequest) -> Iterator[Proxying]:
    """The lab with a proxier that does not run yet."""
    with Proxying(request.param) as made:
        yield made


async def connected(proxying: Proxying, place: Place, name: str) -> Flow:
    """A connection that leads to a certain Pod."""
    for _ in range(60):
        flow = await proxying.network.open_flow(place.part, place.protocol, place.address, place.port, timeout=5)
        assert isinstance(flow, Flow), flow
        outcome = await flow.ask(5)
        assert isinstance(outcome, Arrived)
        if outcome.name == name:
            return flow
        flow.close()
    raise AssertionError(f"{name} is never chosen")


async def test_a_restart_goes_unnoticed(proxying: Proxying) -> None:
    """Connections go on, new ones and datagrams are answered all the time; meanwhile an endpoint may have gone."""
    await proxying.put("a", "b", "c")
    await proxying.start()
    flows = [await connected(proxying, place(which), "a") for place in (inside, outside) for which in (0, 1)]
    async with Constantly(proxying) as constantly:
        for names in (("a", "b", "c"), ("a", "c"), ("a", "c")):
            await proxying.stop()
            await constantly.some_more()
            await proxying.put(*names)
            await proxying.start()
            await constantly.some_more()
            for flow in flows:
                outcome = await flow.ask(5)
                assert isinstance(outcome, Arrived)
                assert outcome.name == "a"
    assert not constantly.failures
    for place in EVERYWHERE:
        await proxying.hears(place, "a", "c")
    for flow in flows:
        flow.close()


async def test_what_strangers_remove_comes_back(proxying: Proxying) -> None:
    """Within syncPeriod, whichever part of ours is gone; what nobody touches is not written again."""
    await proxying.put("a", "c")
    await proxying.start()
    for disturbance in DISTURBANCES[proxying.variant]:
        full = proxying.full_rounds()
        await proxying.resident.do(disturbance())
        await until(lambda full=full: _true(proxying.full_rounds() > full))  # type: ignore[misc]
        for place in EVERYWHERE:
            await until(lambda place=place: _answered(proxying, place))  # type: ignore[misc]
            await proxying.hears(place, "a", "c")


async def _true(so: bool) -> bool:
    return so


async def _answered(proxying: Proxying, place: Place) -> bool:
    return isinstance(await proxying.ask(place, 0.5), Arrived)


@FAMILIES
@WAYS
async def test_an_endpoint_that_goes(proxying: Proxying, way: type[Place], which: int) -> None:
    """One round later nobody new comes to it; connections that are there go on, also while it terminates."""
    await proxying.put("a", "b", "c")
    await proxying.start()
    place = way(which)  # type: ignore[call-arg, arg-type]
    flow = await connected(proxying, place, "a")
    for conditions in (SERVING | TERMINATING, 0):
        await proxying.put_each({"a": conditions, "b": READY | SERVING, "c": READY | SERVING})
        await proxying.hears(place, "b", "c")
        outcome = await flow.ask(5)
        assert isinstance(outcome, Arrived)
        assert outcome.name == "a"
    await proxying.put("c")
    await proxying.hears(place, "c")
    assert isinstance(await flow.ask(5), Arrived)
    flow.close()


@FAMILIES
@WAYS
async def test_a_udp_client_with_a_fixed_port_follows(proxying: Proxying, way: type[Place], which: int) -> None:
    """From one endpoint to the next, to none (refused), and to one that comes after there was none."""
    place = way(which, "UDP")  # type: ignore[call-arg, arg-type]
    await proxying.put("a")
    await proxying.start()
    flow = await proxying.network.open_flow(place.part, "UDP", place.address, place.port, source_port=45000)
    assert isinstance(flow, Flow)

    async def leads_to(name: str) -> bool:
        outcome = await flow.ask(0.5)
        return outcome == Refused() if not name else isinstance(outcome, Arrived) and outcome.name == name

    for name in ("a", "c", "", "b", "", "b", "a"):
        await proxying.put(*filter(None, [name]))
        await until(lambda name=name: leads_to(name))  # type: ignore[misc]
    flow.close()


@FAMILIES
async def test_affinity_sticks(proxying: Proxying, which: int) -> None:
    """A client stays with its backend while others come and go, and over a restart; it moves when that one goes."""
    await proxying.put("a", "c", shape=STICKY)
    await proxying.start()
    place = inside(which, shape=STICKY)
    first = await proxying.ask(place)
    assert isinstance(first, Arrived)
    other = "c" if first.name == "a" else "a"
    await proxying.put("a", "b", "c", shape=STICKY)
    for _ in range(8):
        await proxying.hears(place, first.name)
    await proxying.put(first.name, "b", shape=STICKY)
    await proxying.stop()
    await proxying.start()
    for _ in range(8):
        await proxying.hears(place, first.name)
    await proxying.put(other, shape=STICKY)
    await proxying.hears(place, other)
    await proxying.put("a", "b", "c", shape=STICKY)
    last = await proxying.ask(place)
    assert isinstance(last, Arrived)
    for _ in range(8):
        await proxying.hears(place, last.name)


async def test_what_nobody_touches_is_left_alone(proxying: Proxying) -> None:
    """A look at the rules every syncPeriod finds them intact, also those that a proxier before this one wrote."""
    await proxying.put("a", "c")
    await proxying.start()
    await proxying.stop()
    await proxying.start()
    done = len(proxying.rounds)
    await proxying.put("a", "c")
    await asyncio.sleep(3 * PERIOD)
    assert not [one for one in proxying.rounds[done:] if one.full or one.applied is None or one.applied.rules]
    for place in EVERYWHERE:
        await proxying.hears(place, "a", "c")


def test_every_variant_is_disturbed() -> None:
    """There is something to remove in each."""
    every: tuple[Variant, ...] = ("iptables-nft", "iptables-legacy", "nftables", "ipvs")
    assert all(DISTURBANCES[variant] for variant in every)
