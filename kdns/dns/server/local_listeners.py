"""More addresses to answer on than the Corefile names: those of the cluster's DNS that are local on a node.

Every server block of port 53 answers there, and one without ``bind`` nowhere else. One more block answers the
server's own questions, by which it knows that it answers: no plugin of the others sees or logs them, and they are
not in the metrics.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from kdns.base.errors import Span
from kdns.config.directive import Key
from kdns.dns.api.options import NoOptions
from kdns.dns.api.plugin import DirectiveContext
from kdns.dns.plugins import whoami
from kdns.dns.server.plan import ServerBlockPlan, Step
from kdns.ops.shutdown import any_of

PORT: Final = 53
GRACE: Final = 0.1
"""Seconds: the answer to the last own question may leave a moment after the end has begun."""
LONGEST: Final = 5.0
"""Seconds that questions are waited for at the end, if they do not cease."""


class LocalListeners:
    """Addresses that may change while the server runs."""

    def __init__(self, heartbeat: str, changed: Callable[[], None], alive: float) -> None:
        """``heartbeat``: the name of the server's own questions. ``changed``: called when they have changed.

        ``alive``: seconds after the last answer to one of those in which the kernel still sends questions here.
        """
        self.addresses: tuple[str, ...] = ()
        self.quiet = alive + GRACE
        """Seconds without a question after which no further one comes: before, the kernel may still send some."""
        self.heartbeat, self._changed = heartbeat, changed

    def listen(self, addresses: tuple[str, ...]) -> None:
        """Answer on these from now on."""
        self.addresses = addresses
        self._changed()

    def extend(self, plans: Sequence[ServerBlockPlan]) -> tuple[ServerBlockPlan, ...]:
        """The plans of a Corefile with these addresses."""
        extended = [self._extended(plan) for plan in plans]
        if self.addresses:
            extended.append(self._own())
        return tuple(extended)

    def _extended(self, plan: ServerBlockPlan) -> ServerBlockPlan:
        if any((key.scheme, key.port) != ("dns", PORT) for key in plan.keys):
            return plan
        named = [address for address in plan.addresses if address]
        return plan._replace(addresses=tuple(dict.fromkeys((*self.addresses, *named))))

    def _own(self) -> ServerBlockPlan:
        key = Key("dns", self.heartbeat, PORT, Span("--local-dns", 1, 1))
        place = DirectiveContext((self.heartbeat,), PORT, "")
        step = Step(whoami.NAME, whoami, NoOptions())
        return ServerBlockPlan((key,), (step,), place, self.addresses, ("--local-dns", self.addresses))


async def until_quiet(answered: Callable[[], int], at_once: asyncio.Event, quiet: float) -> None:
    """Wait until no question has come for so many seconds; ``answered``: how many have been answered so far."""
    before = answered()
    for _ in range(round(LONGEST / quiet)):
        if await any_of(quiet, at_once) or (now := answered()) == before:
            return
        before = now
