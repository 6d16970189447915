"""``errors`` tells what went wrong in CoreDNS's form, ``cancel`` gives up in time."""

import asyncio
import logging

import pytest

from kdns.base.errors import UpstreamError
from kdns.dns.api.handler import Request, Response, chain
from kdns.dns.plugins import cancel, errors
from kdns.wire.numbers import SERVFAIL
from tests.config.text import directives
from tests.dns.parts import FakeParts, scripted
from tests.dns.plugins.asking import request

BROKEN = (UpstreamError("no upstream"), UpstreamError("read: i/o timeout"))


async def told(caplog: pytest.LogCaptureFixture, text: str, *asked: str, close: bool = True) -> list[str]:
    """The lines of some questions that all fail, two ways by turns."""
    parts = FakeParts()
    built = errors.build(errors.parse(directives(text), parts.place), parts)
    assert built.plugin is not None
    assert built.close is not None
    for number, question in enumerate(asked):
        response = await chain((built.plugin,), scripted(BROKEN[number % 2]))(request(question))
        assert response == Response(SERVFAIL)
    if close:
        await built.close()
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("errors", ["ERROR 2 a.test. A: no upstream", "ERROR 2 b.test. HINFO: read: i/o timeout",
                    "ERROR 2 c.test. TYPE999: no upstream"]),
        ("errors {\n consolidate 5m timeout$ warning\n}",
         ["ERROR 2 a.test. A: no upstream", "ERROR 2 c.test. TYPE999: no upstream",
          "WARNING 1 errors like 'timeout$' occurred in last 5m"]),
        ("errors {\n consolidate 5m .* info show_first\n}",
         ["INFO 2 a.test. A: no upstream", "INFO 3 errors like '.*' occurred in last 5m"]),
        ("errors {\n consolidate 5m upstream show_first\n consolidate 1h .*\n}",
         ["ERROR 2 a.test. A: no upstream", "ERROR 2 errors like 'upstream' occurred in last 5m",
          "ERROR 1 errors like '.*' occurred in last 1h"]),
    ],
)  # fmt: skip
async def test_lines(caplog: pytest.LogCaptureFixture, text: str, lines: list[str]) -> None:
    """Each error is a line, or is counted by the first rule it matches; what is counted is told at the end."""
    with caplog.at_level(logging.DEBUG, "kdns.dns.plugins.errors"):
        assert await told(caplog, text, "a.test. A", "B.test. TYPE13", "c.test. TYPE999") == lines


async def test_counted_errors_are_told_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """After the period, and the count begins anew."""
    rule = errors.Rule(1.0, "1s", ".*")
    timers = []

    def later(seconds: float, flush: object) -> asyncio.TimerHandle:
        timers.append((seconds, flush))
        return asyncio.get_running_loop().call_later(60, print)

    counter = errors.Consolidated(rule, later)
    with caplog.at_level(logging.DEBUG, "kdns.dns.plugins.errors"):
        assert [counter.note() for _ in range(3)] == [False, False, False]
        assert [seconds for seconds, _ in timers] == [1.0]
        counter.flush()
        counter.flush()
        counter.note()
        assert len(timers) == 2
        counter.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "3 errors like '.*' occurred in last 1s",
        "1 errors like '.*' occurred in last 1s",
    ]


async def test_cancel_gives_up() -> None:
    """A question that takes too long is SERVFAIL, and what worked on it is told to stop; others pass."""
    stopped = []

    async def waits(_: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("stopped")
        return Response()

    plugin = cancel.cancel(0.01)
    assert (await plugin(waits)(request("a.test. A"))).rcode == SERVFAIL
    assert stopped == ["stopped"]
    assert await plugin(scripted(Response(3)))(request("a.test. A")) == Response(3)
    with pytest.raises(TimeoutError, match="of its own"):
        await plugin(scripted(TimeoutError("of its own")))(request("a.test. A"))
