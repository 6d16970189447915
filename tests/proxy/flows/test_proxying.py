"""What people notice of a proxier's life: restarts, strangers among its rules, endpoints that come and go."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from kdns.base.objects import READY, SERVING, TERMINATING
from kdns.lab.asking import Flow, Refused
from tests.proxy.flows.disturbing import DISTURBANCES
from tests.proxy.flows.modes import Variant, variants
from tests.proxy.flows.proxying import EVERYWHERE, PERIOD, STICKY, Constantly, Place, Proxying, inside, name_of, until

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]

STREAMS = tuple(place for place in EVERYWHERE if place.protocol == "TCP")
DATAGRAMS = tuple(place for place in EVERYWHERE if place.protocol == "UDP")


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
        if name_of(await flow.ask(5)) == name:
            return flow
        flow.close()
    raise AssertionError(f"{name} is never chosen")


async def test_a_restart_goes_unnoticed(proxying: Proxying) -> None:
    """Connections go on, new ones and datagrams are answered all the time; meanwhile an endpoint may have gone."""
    await proxying.put("a", "b", "c")
    await proxying.start()
    flows = [await connected(proxying, place, "a") for place in STREAMS]
    async with Constantly(proxying.ask) as constantly:
        for names in (("a", "b", "c"), ("a", "c"), ("a", "c")):
            await proxying.stop()
            await constantly.some_more()
            await proxying.put(*names)
            await proxying.start()
            await constantly.some_more()
            for flow in flows:
                assert name_of(await flow.ask(5)) == "a"
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
        await until(partial(_rewritten, proxying, full + 2))  # in both families
        for place in EVERYWHERE:
            await proxying.hears(place, "a", "c")


async def _rewritten(proxying: Proxying, times: int) -> bool:
    return proxying.full_rounds() >= times


async def test_an_endpoint_that_goes(proxying: Proxying) -> None:
    """One round later nobody new comes to it; connections that are there go on, also while it terminates."""
    await proxying.put("a", "b", "c")
    await proxying.start()
    flows = [await connected(proxying, place, "a") for place in STREAMS]
    for conditions in (SERVING | TERMINATING, 0):
        await proxying.put_each({"a": conditions, "b": READY | SERVING, "c": READY | SERVING})
        for place in STREAMS:
            await proxying.hears(place, "b", "c")
        for flow in flows:
            assert name_of(await flow.ask(5)) == "a"
    await proxying.put("c")
    for place, flow in zip(STREAMS, flows, strict=True):
        await proxying.hears(place, "c")
        assert name_of(await flow.ask(5)) == "a"
        flow.close()


async def test_a_udp_client_with_a_fixed_port_follows(proxying: Proxying) -> None:
    """From one endpoint to the next, to none (refused), and to one that comes after there was none."""
    await proxying.put("a")
    await proxying.start()
    flows = []
    for number, place in enumerate(DATAGRAMS, 45000):
        flow = await proxying.network.open_flow(place.part, "UDP", place.address, place.port, source_port=number)
        assert isinstance(flow, Flow), flow
        flows.append(flow)

    async def all_lead_to(name: str) -> bool:
        outcomes = await asyncio.gather(*(flow.ask(0.5) for flow in flows))
        return all(outcome == Refused() if not name else name_of(outcome) == name for outcome in outcomes)

    for name in ("a", "c", "", "b", "", "b", "a"):
        await proxying.put(*filter(None, [name]))
        await until(partial(all_lead_to, name))
    for flow in flows:
        flow.close()


async def test_affinity_sticks(proxying: Proxying) -> None:
    """A client stays with its backend while others come and go, and over a restart; it moves when that one goes."""
    await proxying.put("a", "c", shape=STICKY)
    await proxying.start()
    for place in (inside(0, shape=STICKY), inside(1, shape=STICKY)):
        await proxying.put("a", "c", shape=STICKY)
        first = name_of(await proxying.ask(place))
        other = "c" if first == "a" else "a"
        await proxying.put("a", "b", "c", shape=STICKY)
        await proxying.stays(place, first)
        await proxying.put(first, "b", shape=STICKY)
        await proxying.stop()
        await proxying.start()
        await proxying.stays(place, first)
        await proxying.put(other, shape=STICKY)
        await proxying.stays(place, other)
        await proxying.put("a", "b", "c", shape=STICKY)
        await proxying.stays(place, name_of(await proxying.ask(place)))


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
