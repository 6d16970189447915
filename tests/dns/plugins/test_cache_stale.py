"""The ``cache`` plugin: what is over, and served nevertheless (RFC 8767)."""

import asyncio

import pytest

from kdns.dns.api.handler import Request
from tests.dns.cache.play import Play, reply

A1, A2 = "192.0.2.1", "192.0.2.2"
SOA = "-- test. 60 SOA ns.test. root.test. 1 2 3 4 5"
KNOWN = f"""
        behind NOERROR | a.test. 60 A {A1}
        ask a.test. A
        wait 60
"""

DIALOGUES = {
    "immediate: TTL 0 at once, and asked again beside": (
        "cache 60 {\n serve_stale\n}",
        f"""
        {KNOWN}
        behind NOERROR | a.test. 60 A {A2}
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        settle
        asked 2
        ask a.test. A
        says NOERROR aa | a.test. 60 A {A2}
        count served_stale_total 1
        count hits_total success 2
        count misses_total 1
        count prefetch_total 1
        """,
    ),
    "only for so long": (
        "cache 60 {\n serve_stale 30s\n}",
        f"""
        {KNOWN}
        behind fails
        wait 29
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        settle
        wait 1
        ask a.test. A
        fails
        """,
    ),
    "a TTL for what is over, and a pause after failures": (
        "cache 60 {\n serve_stale 1h immediate 30s 10s\n}",
        f"""
        {KNOWN}
        behind SERVFAIL
        ask a.test. A
        says NOERROR aa | a.test. 30 A {A1}
        settle
        asked 2
        wait 9
        ask a.test. A
        settle
        asked 2
        wait 1
        ask a.test. A
        says NOERROR aa | a.test. 30 A {A1}
        settle
        asked 3
        """,
    ),
    "without a pause every question asks again": (
        "cache 60 {\n serve_stale\n}",
        f"""
        {KNOWN}
        behind REFUSED
        ask a.test. A
        settle
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        settle
        asked 3
        """,
    ),
    "verify: what is true now comes first": (
        "cache 60 {\n serve_stale 1h verify\n}",
        f"""
        {KNOWN}
        behind NOERROR ad | a.test. 600 A {A2}
        ask a.test. A
        says NOERROR | a.test. 60 A {A2}
        count served_stale_total 0
        """,
    ),
    "verify: NXDOMAIN is an answer, and replaces what was known": (
        "cache 60 {\n serve_stale 1h verify\n}",
        f"""
        {KNOWN}
        behind NXDOMAIN | {SOA}
        ask a.test. A
        says NXDOMAIN | {SOA}
        wait 10
        ask a.test. A
        says NXDOMAIN aa | {SOA.replace("60", "50")}
        asked 2
        """,
    ),
    "verify: a name that comes to be again is not hidden by the denial that is over": (
        "cache 60 {\n serve_stale 1h verify\n}",
        f"""
        behind NXDOMAIN | {SOA}
        ask a.test. A
        wait 60
        behind NOERROR | a.test. 60 A {A1}
        ask a.test. A
        ask a.test. A
        says NOERROR aa | a.test. 60 A {A1}
        asked 2
        """,
    ),
    "verify: failures and errors are no answer": (
        "cache 60 {\n serve_stale 1h verify\n}",
        f"""
        {KNOWN}
        behind SERVFAIL
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        behind fails
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        count served_stale_total 2
        count prefetch_total 0
        """,
    ),
    "verify with a pause": (
        "cache 60 {\n serve_stale 1h verify 0s 7s 10s\n}",
        f"""
        {KNOWN}
        behind fails
        ask a.test. A
        ask a.test. A
        says NOERROR aa | a.test. 7 A {A1}
        asked 2
        wait 10
        ask a.test. A
        asked 3
        """,
    ),
    "prefer_positive: a denial does not take the place of an answer": (
        "cache 60 {\n serve_stale 1h verify\n serve_stale_policy prefer_positive\n}",
        f"""
        {KNOWN}
        behind NXDOMAIN | {SOA}
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        behind NOERROR | a.test. 60 A {A2}
        ask a.test. A
        says NOERROR | a.test. 60 A {A2}
        """,
    ),
    "prefer_positive: nor does an answer that is none": (
        "cache 60 {\n serve_stale 1h immediate\n serve_stale_policy prefer_positive\n}",
        f"""
        {KNOWN}
        behind NOERROR
        ask a.test. A
        settle
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        settle
        """,
    ),
    "keepttl holds for what is over as well": (
        "cache 60 {\n serve_stale\n keepttl\n}",
        f"""
        {KNOWN}
        behind fails
        ask a.test. A
        says NOERROR aa | a.test. 60 A {A1}
        settle
        """,
    ),
}


@pytest.mark.parametrize("title", DIALOGUES)
async def test_dialogues(title: str) -> None:
    """Each dialogue goes as written."""
    corefile, text = DIALOGUES[title]
    await Play(corefile).run(text)


async def test_verify_waits_only_so_long() -> None:
    """When the upstream takes longer than the timeout, the old answer is served, and the new one kept later."""
    play = Play("cache 60 {\n serve_stale 1h verify 10ms\n}")
    await play.run(KNOWN)
    answering = asyncio.Event()

    async def wait(_: Request) -> None:
        await answering.wait()

    play.behind.before = wait
    play.answers(reply(f"NOERROR | a.test. 60 A {A2}"))
    assert await play.ask("a.test. A") == f"NOERROR aa | a.test. 0 A {A1}"
    answering.set()
    await play.parts.settled()
    assert await play.ask("a.test. A") == f"NOERROR aa | a.test. 60 A {A2}"


async def test_verify_in_time_is_fresh() -> None:
    """When the upstream is quick enough, its answer is served, and failures are no answer."""
    play = Play("cache 60 {\n serve_stale 1h verify 10s\n}")
    await play.run(KNOWN)
    await play.run(f"""
        behind fails
        ask a.test. A
        says NOERROR aa | a.test. 0 A {A1}
        behind NOERROR | a.test. 60 A {A2}
        ask a.test. A
        says NOERROR | a.test. 60 A {A2}
        """)


async def test_many_questions_make_one_refresh() -> None:
    """While an entry is asked for again, no other question asks for it as well."""
    for corefile in ("cache 100 {\n serve_stale\n}", "cache 100 {\n prefetch 1 1m 90%\n}"):
        play = Play(corefile)
        await play.run(f"behind NOERROR | a.test. 100 A {A1}\nask a.test. A")
        play.parts.clock.now += 100 if "stale" in corefile else 50
        answering = asyncio.Event()

        async def wait(_: Request, answering: asyncio.Event = answering) -> None:
            await answering.wait()

        play.behind.before = wait
        for _ in range(50):
            await play.ask("a.test. A")
        assert len(play.parts.tasks) == 1
        answering.set()
        await play.parts.settled()
        assert len(play.behind.requests) == 2
