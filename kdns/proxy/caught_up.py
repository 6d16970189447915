"""How much of what is known of the cluster the kernel has, by family; others wait for it."""

import asyncio
import time
from collections.abc import Callable, Mapping

from kdns.base.clock import Clock
from kdns.proxy.model import Family


class CaughtUp:
    """What the rounds of each family have come to."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """``clock``: that of the rounds."""
        self._clock = clock
        self._known: dict[Family, float] = {}
        """By the clock: what changed before is in the kernel."""
        self._standing: set[Family] = set()
        self._noted = asyncio.Event()

    def note(self, family: Family, known: float) -> None:
        """A round has succeeded; what changed before ``known`` is in force."""
        self._known[family] = known
        self._wake()

    def stands(self, family: Family, standing: bool) -> None:
        """The kernel has the rules of an earlier process, which stay until the cluster is listed."""
        (self._standing.add if standing else self._standing.discard)(family)
        self._wake()

    async def until(self, pending: Callable[[], Mapping[Family, bool]]) -> None:
        """Wait until what has changed up to now is in the kernel in every family, after a first round of each.

        ``pending``: the families, once they are known, and whether something of them is not in force.
        """
        moment = self._clock()
        while not ((families := pending()) and all(self._has(family, moment, families[family]) for family in families)):
            await self._noted.wait()

    def _has(self, family: Family, moment: float, pending: bool) -> bool:
        if family in self._standing:
            return True
        known = self._known.get(family)
        return known is not None and (known >= moment or not pending)

    def _wake(self) -> None:
        noted, self._noted = self._noted, asyncio.Event()
        noted.set()
