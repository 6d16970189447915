"""The forward plugin, started from a Corefile's lines, and questions for it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from msgspec.structs import replace

from kdns.dns.api.handler import Handler, Request, Response, chain
from kdns.dns.plugins import forward
from kdns.dns.upstream.forward_directive import ForwardDirective
from kdns.dns.upstream.upstream import Settings
from kdns.wire.name import parse_name
from kdns.wire.numbers import IN, RD, A
from kdns.wire.query import Edns, Query
from tests.config.text import directives
from tests.dns.messages import CLIENT
from tests.dns.parts import FakeParts, ManualClock, fits, scripted
from tests.running import PATIENCE

ELSEWHERE = Response(0, plugin="elsewhere")
"""What comes from behind forward."""


class LiveClock(ManualClock):
    """Real seconds; ``now`` is added, so that a test can jump."""

    def __call__(self) -> float:
        """Monotonic."""
        return time.monotonic() + self.now


class Forwarding(NamedTuple):
    """A started plugin."""

    handler: Handler
    parts: FakeParts

    async def ask(self, name: str, rtype: int = A, **changes: Any) -> Response:
        """The response to a client's question."""
        return await self.handler(request(name, rtype, **changes))

    async def address(self, name: str, **changes: Any) -> str:
        """The rdata of all answers, as text; the rcode if there is none."""
        response = await self.ask(name, **changes)
        return " ".join(".".join(map(str, rr.rdata)) for rr in response.answer) or f"rcode {response.rcode}"

    def sample(self, name: str, **labels: str) -> float:
        """A sample; 0 if there is none."""
        return self.parts.value(name, **labels) or 0.0


def request(
    name: str,
    rtype: int = A,
    *,
    proto: str = "udp",
    flags: int = RD,
    edns: Edns | None = None,
    rclass: int = IN,
    client: str = CLIENT.address,
) -> Request:
    """A client's question."""
    folded = parse_name(name)
    question = folded + rtype.to_bytes(2, "big") + rclass.to_bytes(2, "big")
    query = Query(7, flags, question, folded, rtype, rclass, edns)
    return Request(query, CLIENT._replace(proto=proto, address=client), metadata={})


def patient(line: ForwardDirective, deadline: float, probe_timeout: float) -> ForwardDirective:
    """A line with other times than those of production, which a busy machine exceeds; those it gives itself stay."""
    settings = replace(line.settings, probe_timeout=probe_timeout)
    if settings.read_timeout == Settings().read_timeout:
        settings = replace(settings, read_timeout=PATIENCE)
    return replace(line, settings=settings, rules=replace(line.rules, deadline=deadline))


@asynccontextmanager
async def forwarding(
    text: str, folder: str = ".", *, deadline: float = PATIENCE, probe_timeout: float = 1.0
) -> AsyncIterator[Forwarding]:
    """The plugin as these lines configure it, on real time."""
    parts = FakeParts(folder=folder)
    parts.clock = LiveClock(0)
    options = forward.parse(directives(text), parts.place)
    options = forward.Options(tuple(patient(line, deadline, probe_timeout) for line in options.lines))
    built = forward.build(options, fits(parts))
    assert built.plugin is not None
    assert built.start is not None
    assert built.close is not None
    await built.start()
    try:
        yield Forwarding(chain((built.plugin,), scripted(ELSEWHERE)), parts)
    finally:
        await built.close()
        await parts.close()
