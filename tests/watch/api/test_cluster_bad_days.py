"""Everything that can go wrong, in any order: in the end, what is known is what the server has."""

import asyncio
from random import Random

import msgspec
import pytest

from kdns.base.objects import Service
from kdns.watch.decode.packing import keep_service
from kdns.watch.decode.schema import ApiService
from tests.fakes.api_server import FakeApiServer, refuse
from tests.fakes.faults import (
    Close,
    Cut,
    Disturbance,
    Duplicate,
    Error,
    Garbage,
    Mark,
    Oversized,
    Say,
    Stall,
    too_large,
)
from tests.fakes.objects import service
from tests.watch.api.dialogue import Following

DISTURBANCES: tuple[Disturbance, ...] = (
    Cut(),
    Close(),
    Garbage(),
    Oversized(1 << 17),
    Duplicate(),
    Stall(),
    Say(b'{"type":"ADDED","object":null}'),
    Error(refuse(410)),
    Error(refuse(500)),
    Error(too_large(9, 5)),
    Mark(),
    Mark(version=3),
)
REPLIES = (None, refuse(410), refuse(500), refuse(429, retry_after=1), refuse(503), refuse(401), refuse(504))


def write(api: FakeApiServer, random: Random) -> None:
    """One of ten Services comes, changes, or goes."""
    name = f"web-{random.randrange(10)}"
    if random.random() < 0.4 and ("shop", name) in api.state.collections["services"].objects:
        api.delete("Service", "shop", name)
    else:
        api.put(service("shop", name, f"10.96.0.{random.randrange(1, 250)}"))


async def spoil(api: FakeApiServer, random: Random) -> None:
    """One of the bad things."""
    match random.randrange(8):
        case 0 | 1 | 2:
            api.disturb(random.choice(DISTURBANCES))
        case 3 | 4:
            api.next_reply(random.choice(REPLIES), times=random.randrange(1, 4))
        case 5:
            api.compact()
            api.streaming_lists = not api.streaming_lists
        case 6:
            await api.down()
            await asyncio.sleep(random.random() / 20)
            await api.up()
        case _:
            objects = [service("shop", f"web-{index}", "10.96.1.1") for index in range(random.randrange(10))]
            await api.restart(objects, version=max(1, api.version - 200))


def held(api: FakeApiServer) -> dict[str, Service]:
    """What the server has, packed."""
    stored = api.state.collections["services"].objects.values()
    packed = [keep_service(msgspec.json.decode(item.raw, type=ApiService)) for item in stored]
    return {kept.key.name: kept for kept in packed}


@pytest.mark.parametrize("seed", range(8))
async def test_in_the_end_it_is_what_the_server_has(seed: int) -> None:
    """After any series of writes and faults the store catches up, and then follows the next write at once."""
    random = Random(seed)
    async with (
        FakeApiServer(bookmark_every=0.1, page_limit=3, version=5000) as api,
        Following(api, watch_timeout=0.6, line_limit=1 << 16) as seen,
    ):
        for _ in range(40):
            for _ in range(random.randrange(4)):
                write(api, random)
            if random.random() < 0.5:
                await spoil(api, random)
            await asyncio.sleep(random.random() / 50)
        await seen.until(
            lambda: {key.name: view.service for key, view in seen.store.views() if view.service} == held(api)
        )
        api.put(service("shop", "last", "10.96.2.2"))
        await seen.until(lambda: "shop/last" in seen.names())
