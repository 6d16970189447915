"""loop: questions that come back end the process, and nothing else does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Handler, Request, Response
from kdns.dns.plugins import loop
from kdns.dns.plugins.loop import Options, Search
from kdns.wire.name import name_text, under
from kdns.wire.numbers import HINFO, NXDOMAIN, SERVFAIL
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import built, client, mistakes, request, takes_the_fast_way

Upstream = Callable[["World", Request], Awaitable[Response]]


class World:
    """One server block with loop, in front of an upstream that may send questions back."""

    def __init__(self, upstream: Upstream, zone: str = ".") -> None:
        self.parts = FakeParts(zones=(zone,), lookup=self.ask)
        self.search = Search(Options(zone), self.parts, self.pause)
        self.handler: Handler = self.search.plugin(lambda request: upstream(self, request))
        self.pauses = 0

    async def ask(self, request: Request) -> Response:
        return await self.handler(request)

    async def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.parts.clock.now += seconds
        await asyncio.sleep(0)

    @property
    def probes(self) -> list[str]:
        return [name_text(each.query.name) for each in self.parts.looked_up]


async def answers(_world: World, _request: Request) -> Response:
    return Response(NXDOMAIN)


async def refuses(_world: World, _request: Request) -> Response:
    return Response(SERVFAIL)


async def is_silent(_world: World, _request: Request) -> Response:
    raise UpstreamError("timed out")


async def asks_us(world: World, request: Request) -> Response:
    """Sends each question back from its own address, until the process has ended."""
    if world.parts.fatals:
        raise UpstreamError("gone")
    return await world.handler(request._replace(client=client("127.0.0.53")))


async def asks_us_once(world: World, request: Request) -> Response:
    """A loop where the second identical question waits for the first, until both are given up."""
    if request.client.address != "127.0.0.53":
        await world.handler(request._replace(client=client("127.0.0.53")))
    raise UpstreamError("timed out")


class Case(NamedTuple):
    title: str
    upstream: Upstream
    fatal: bool
    probes: int


CASES = (
    Case("an upstream that answers", answers, False, 1),
    Case("an upstream that answers SERVFAIL is asked again", refuses, False, 6),
    Case("a silent upstream is asked again", is_silent, False, 6),
    Case("an upstream that asks us", asks_us, True, 1),
    Case("one that asks us, where identical questions are forwarded once", asks_us_once, True, 2),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_what_counts_as_a_loop(case: Case) -> None:
    """Only a probe that comes back is a loop; the search ends within 30 seconds."""
    world = World(case.upstream)
    await world.search.run()
    assert (bool(world.parts.fatals), len(world.probes)) == (case.fatal, case.probes)
    assert not world.search.probes


async def test_the_message_names_who_sent_it_back() -> None:
    """The message has the address that the question came back from, the socket, the zone and the question."""
    world = World(asks_us, "example.org.")
    await world.search.run()
    (message,) = world.parts.fatals
    assert message.startswith('plugin/loop: Loop (127.0.0.53:4053 -> dns://:53) detected for zone "example.org."')
    assert f'Query: "HINFO {world.probes[0]}"' in message


async def test_no_name_is_used_twice_or_known_before() -> None:
    """Each probe has a name of its own under the zone: two labels of 62 random bits."""
    world = World(is_silent, "example.org.")
    await world.search.run()
    assert len(set(world.probes)) == len(world.probes)
    assert all(len(probe) > len("example.org.") + 20 and probe.endswith(".example.org.") for probe in world.probes)


LOOKALIKES = ("1.2. HINFO", "1.2. A", "{probe} A", "{probe} HINFO CH", "x.{probe} HINFO")


@pytest.mark.parametrize("text", LOOKALIKES)
async def test_a_lookalike_is_no_loop(text: str) -> None:
    """Questions of clients that resemble the probe, as many as they like, do not end the process."""
    asked: list[str] = []

    async def upstream(world: World, asking: Request) -> Response:
        if not asked and asking.query.rtype == HINFO:
            asked.append(text.format(probe=name_text(asking.query.name)))
            for _ in range(5):
                await world.handler(request(asked[0]))
        return Response(NXDOMAIN)

    world = World(upstream)
    await world.search.run()
    assert asked
    assert world.parts.fatals == []


async def test_after_the_search_the_name_means_nothing() -> None:
    """Once a probe was answered, asking for its name again and again is a question like any other."""
    world = World(answers)
    await world.search.run()
    for _ in range(5):
        await world.handler(world.parts.looked_up[0]._replace(client=client("192.0.2.1")))
    assert world.parts.fatals == []


async def test_it_only_sees_its_probes() -> None:
    """While it searches it must see its own names; all others may take the fast way."""
    seen: list[bool] = []

    async def upstream(world: World, asking: Request) -> Response:
        name = asking.query.name
        seen.extend((world.search.must_see(name, False), world.search.must_see(b"\3foo\0", False)))
        seen.extend((world.search.must_see(b"\0", True), world.search.must_see(b"\3foo\0", True)))
        assert under(name, b"\0")
        return Response(NXDOMAIN)

    world = World(upstream)
    await world.search.run()
    assert seen == [True, False, True, False]
    assert not world.search.must_see(b"\0", True)


async def test_it_starts_with_the_block() -> None:
    """The search runs beside the queries from the start of the block on; the fast way stays open."""
    parts = FakeParts(zones=("example.org.", "example.net."))
    made = built(loop, "loop", parts)

    async def made_handler(request: Request) -> Response:
        assert made.plugin is not None
        return await made.plugin(scripted(Response(NXDOMAIN)))(request)

    parts.answer_lookup = made_handler
    assert takes_the_fast_way(made, "web.test.")
    assert made.start is not None
    await made.start()
    await parts.settled()
    assert [name_text(each.query.name).split(".", 2)[2] for each in parts.looked_up] == ["example.org."]


MISTAKES = (
    ("loop now", "1:6 'loop' takes no argument"),
    ("loop {\n now\n}", "2:2 'loop' has no block"),
    ("loop\nloop", "2:1 'loop' stands twice in this server block"),
)


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_have_places(text: str, problem: str) -> None:
    """What is wrong with the directive is told at its place."""
    assert mistakes(loop, text, FakeParts()) == problem


def test_a_zone_without_room_for_a_probe_is_a_mistake() -> None:
    """The probe's name must fit into 255 octets."""
    zone = ".".join(["a" * 60] * 4) + "."
    assert mistakes(loop, "loop", FakeParts(zones=(zone,))).startswith("1:1 no room for a probe in the zone")


async def test_a_probe_is_counted_where_the_block_is_served() -> None:
    """Metrics of the plugins that it passes have the label of a socket, as for all other questions."""
    world = World(answers)
    await world.search.run()
    assert [each.server for each in world.parts.looked_up] == [world.parts.servers[0]]
