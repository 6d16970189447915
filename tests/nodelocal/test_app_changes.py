"""The local DNS while the world around it changes: the Service, the proxy's rules, the kernel, other programs."""

import asyncio

import pytest

from kdns.base.objects import ServiceChange
from kdns.nodelocal.app import clean_up
from tests.nodelocal.world import KEY, NODE, OTHER, VIP, VIP_6, World


async def test_the_rules_of_services_come_first() -> None:
    """Before the proxy's first round neither a rule nor a route is written, and nothing is asked: a question that is
    not answered here would go nowhere. The server listens already, so that nothing waits for that."""
    world = World()
    world.caught_up.clear()
    world.says(OTHER)
    async with world.running():
        await world.until(lambda: world.server.addresses == (VIP,))
        await asyncio.sleep(0.01)
        assert (world.rules.done, world.asked) == ([], 0)
        world.caught_up.set()
        await world.beats()
        assert world.rules.done == ["rules", "route"]


async def test_another_address_waits_for_the_proxy_as_the_first_one_did() -> None:
    """The Service gets another address while all runs: the old one is kept, looked after and answered until the kernel
    has Service rules for the new one; then rules and route are those of the new one alone."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.caught_up.clear()
        world.says(OTHER, address=VIP_6)
        await world.until(lambda: world.server.addresses == (VIP_6, VIP))
        world.rules.there = False  # meanwhile another program removes the rules
        world.says(OTHER, address=VIP_6)
        await world.until(lambda: world.rules.done == ["rules", "route", "rules", "route"])
        assert world.routes.there == {VIP}
        world.caught_up.set()
        await world.until(lambda: world.routes.there == {VIP_6})
        await world.until(lambda: world.value("kdns_local_dns_alive", "fd00:10:96::a") == 1)
        assert world.value("kdns_local_dns_alive") is None
        assert world.server.addresses == (VIP_6,)


async def test_a_second_family_joins() -> None:
    """The Service becomes dual stack while all runs: the first address is answered on all the time."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.says(OTHER, address=(VIP, VIP_6))
        await world.until(lambda: world.value("kdns_local_dns_alive", "fd00:10:96::a") == 1)
        assert world.routes.there == {VIP, VIP_6}
        assert "no route" not in world.rules.done
        assert world.value("kdns_local_dns_alive") == 1


async def test_a_family_that_the_kernel_lacks_is_left_out() -> None:
    """The IPv6 address of a dual-stack Service does not keep a node without IPv6 from answering at the other one."""
    world = World(widths=(4,))
    world.says(OTHER, address=(VIP, VIP_6))
    async with world.running():
        await world.beats()
        assert (world.server.addresses, world.routes.there) == ((VIP,), {VIP})


async def test_a_service_that_is_deleted_is_answered_for_on() -> None:
    """Pods that run have its address in resolv.conf, and questions would go nowhere otherwise."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.local.apply(ServiceChange(KEY, None, None), 0)
        await world.beats(2)
        assert (world.server.addresses, world.routes.there) == ((VIP,), {VIP})
        assert world.value("kdns_local_dns_alive") == 1
        assert world.registry.get_sample_value("kdns_local_dns_fallback_endpoints") == 0


async def test_rules_of_the_other_kind_are_removed() -> None:
    """An earlier process may have written them; their tool may be missing. It is done once."""
    world = World()
    world.other_rules.done = world.rules.done
    world.says(OTHER)
    async with world.running():
        await world.until(lambda: "no rules" in world.rules.done)
        assert world.rules.done == ["rules", "route", "no rules"]


async def test_another_cache_is_not_disturbed() -> None:
    """While an interface has the address, as NodeLocal DNSCache's link does, not even a socket is opened."""
    world = World(own=frozenset({NODE, VIP}))
    world.says(OTHER)
    async with world.running():
        await asyncio.sleep(0)
        assert (world.server.addresses, world.rules.done) == ((), [])
        world.own = frozenset({NODE})
        world.says(OTHER)
        await world.beats()
        assert world.server.addresses == (VIP,)


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


async def test_a_heartbeat_without_answers_gets_a_new_socket() -> None:
    """The old one may keep a way that it took while the route was missing."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        assert world.opened == 1
        world.answers = False
        world.now += 1.1
        await world.until(lambda: world.opened >= 2)
        world.answers = True
        await world.beats()
        assert world.value("kdns_local_dns_alive") == 1
        assert world.opened - world.closed == 1


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
