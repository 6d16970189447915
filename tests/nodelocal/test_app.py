"""The life of the local DNS: start, heartbeat, failover and end."""

import asyncio

import pytest

from kdns.nodelocal.liveness import Liveness
from kdns.nodelocal.parts import LocalDnsOptions
from tests.nodelocal.world import NODE, OTHER, VIP, World


async def test_the_order_of_a_start() -> None:
    """Listeners and rules come before the route, and the first question after it."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        assert world.server.addresses == (VIP,)
        assert world.rules.done == ["rules", "route"]
        assert world.value("kdns_local_dns_alive") == 1


async def test_rules_that_want_several_answers() -> None:
    """Where the kernel counts answers, an address is alive with the last one that it needs, and not before."""
    world = World()
    world.rules.liveness = Liveness(every=0.001, within=1.0, enough=3)
    world.says(OTHER)
    async with world.running():
        await world.beats(2)
        assert world.value("kdns_local_dns_alive") == 0
        await world.beats()
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
    """/ready says no, so that the element expires, which does not count as a failover."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.server.is_ready = False
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
        world.local._answered(VIP, world.now)
        assert world.value("kdns_local_dns_failovers_total") == 1
        assert world.value("kdns_local_dns_alive") == 1


async def test_an_old_answer_makes_nothing_alive() -> None:
    """A loop that was stuck reads an answer long after it left: the kernel has forgotten it, so it does not count."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
        world.answers = False
        world.now += 2
        world.local._answered(VIP, world.now - 1.9)
        assert world.value("kdns_local_dns_alive") == 0
        assert world.value("kdns_local_dns_failovers_total") == 1
        assert world.value("kdns_local_dns_heartbeat_age_seconds") == pytest.approx(1.9)


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


async def test_rules_and_routes_stay_at_the_end() -> None:
    """The next process takes them over."""
    world = World()
    world.says(OTHER)
    async with world.running():
        await world.beats()
    assert world.rules.done == ["rules", "route"]
