"""Rules of iptables mode into the kernel, for one family."""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from kdns.base.clock import Clock
from kdns.base.errors import KernelError
from kdns.kernel.nfacct import create_counters, delete_counters
from kdns.kernel.run import Runner, Tallier, run, tally
from kdns.proxy.apply.applier import Applied
from kdns.proxy.apply.iptables_look import find, fingerprint, intact, look, tables
from kdns.proxy.apply.iptables_probe import counts, probe
from kdns.proxy.apply.iptables_tools import LOCKED, Tool, detect, installed
from kdns.proxy.model import Family, RuleChange, RuleSet, ServicePortName
from kdns.proxy.render.iptables.names import COUNTERS
from kdns.proxy.render.iptables.removal import removal
from kdns.proxy.render.iptables.restore_input import Script
from kdns.proxy.render.iptables.service import Conflict
from kdns.proxy.render.iptables.table import alone, full, large, partial

LOG: Final = logging.getLogger("kdns.proxy")
PIECE: Final = 5500
"""Chains in one restore of the nft variant: 500 Services of ten endpoints. Its own time grows with the square of that,
but each restore reads all chains that there are, so that half as many take 10 % longer for ten thousand Services, and
twice as many 15 %."""
LEISURE: Final = 5
"""After a look that took a second, the next one waits at least so many."""
MANY: Final = 20_000
"""Of more rules than these, the nft variant's are looked at in part: those of one service port each time, in turn."""
_LINE: Final = re.compile(r"\bline:? (\d+)")


class IptablesApplier:
    """An `Applier`; see there."""

    def __init__(
        self,
        family: Family,
        *,
        tool: Tool | None = None,
        run: Runner = run,
        tally: Tallier = tally,
        fingerprint: Callable[..., object] = fingerprint,
        counters: Callable[[Iterable[str]], None] = create_counters,
        delete_counters: Callable[[Iterable[str]], None] = delete_counters,
        clock: Clock = time.monotonic,
    ) -> None:
        """`tool`: the variant to use; None: the kubelet's, found by `prepare`. `counters` has the kernel have these."""
        self.family = family
        self._tool, self._run, self._tally = tool, run, tally
        self._fingerprint, self._clock, self._counters = fingerprint, clock, counters
        self._delete_counters = delete_counters
        self._counting = False
        """The kernel and the tool have packet counters."""
        self._given: RuleSet | None = None
        """What the last sync was given; None if it failed."""
        self._totals: Counter[str] = Counter()
        self._seen: object = None
        self._next_look = 0.0
        self._looks = 0

    @property
    def tool(self) -> Tool:
        """The variant in use; only after `prepare`."""
        assert self._tool is not None, "prepare first"
        return self._tool

    async def prepare(self) -> None:
        """Find out which variant to use. Raises ConfigError if it, or something in the kernel, is missing."""
        if self._tool is None:
            self._tool = await detect(self.family, self._run, self._tally)
        await probe(self.family, self._tool, self._run)
        self._counting = await self._create_counters() and await counts(self._tool, self._run)

    async def _create_counters(self) -> bool:
        """Have the counters that rules refer to; False: the kernel has none, so rules do without, as kube-proxy's."""
        try:
            await asyncio.to_thread(self._counters, COUNTERS)
        except (KernelError, OSError) as error:
            LOG.info("packets are not counted by nfacct: %s", error)
            return False
        return True

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """See `Applier.sync`. What `rules` say of the node is another than before: a full sync, whatever is asked."""
        tool = self.tool
        piece = PIECE if tool.nft else None
        node = replace(rules.node, packet_counters=self._counting)
        rules = RuleSet(node, dict(rules.ports))  # as it is now, whatever becomes of it while we wait
        whole = changes is None or self._given is None or self._given.node != rules.node
        if whole or changes is None:
            if self._counting:
                self._counting = await self._create_counters()
                rules = rules._replace(node=replace(node, packet_counters=self._counting))
            present = await find(tool, rules.node, self._run, self._tally)
            scripts = full(rules, present, random_fully=tool.modern, piece=piece)
            totals: Counter[str] = Counter()
        else:
            scripts = partial(changes, rules.node, terse=large(rules), piece=piece)
            totals = Counter(self._totals)
        self._given = None
        sent: Counter[str] = Counter()
        jumps: Counter[str] = Counter()
        try:
            # To spell ten thousand Services takes seconds, and there may be DNS to be served meanwhile.
            while (script := await asyncio.to_thread(next, scripts, None)) is not None:
                await self._restore(script, rules)
                sent.update(dict(script.sent))
                jumps.update(dict(script.jumps))
                totals.update(dict(script.grown))
        except Conflict as conflict:
            raise KernelError(tool.restore, 1, str(conflict), conflict.name) from conflict
        self._given, self._totals = rules, totals
        if sent:
            self._seen = self._fingerprint(self.family, nft=tool.nft)
        written = {table: lines - jumps[table] for table, lines in sent.items()}
        return Applied(sent.total(), whole, tuple(sorted(totals.items())), tuple(sorted(written.items())))

    async def _restore(self, script: Script, rules: RuleSet) -> None:
        if not script.text:
            return
        try:
            await self._run(self.tool.restore, script.text)
        except KernelError as error:
            name = _at_fault(script, error)
            if name is None and error.code not in (LOCKED, 124, 127) and not self.tool.nft:
                name = await self._search(script, rules)
            raise KernelError(error.argv, error.code, error.stderr, name) from error

    async def _search(self, script: Script, rules: RuleSet) -> ServicePortName | None:
        """Which service port's own chains the kernel refuses. Legacy iptables says no more than that it does."""
        ports = [rules.ports[name] for name in script.ports if name in rules.ports]
        while ports:
            half = ports[: (len(ports) + 1) // 2]
            try:
                await self._run(self.tool.restore, alone(half, rules.node).text)
            except KernelError as error:
                if error.code in (LOCKED, 124, 127):
                    return None
                if len(half) == 1:
                    return half[0].name
                ports = half
            else:
                ports = ports[len(half) :]
        return None

    async def intact(self) -> bool:
        """See `Applier.intact`: every jump, the canaries, and the number of rules in our chains, if anything changed.

        Raises KernelError when the tool cannot look; a lock that another program holds is no reason for it.
        """
        tool = self.tool
        given = self._given
        if given is None or self._clock() < self._next_look:
            return True
        seen = self._fingerprint(self.family, nft=tool.nft)
        if seen is not None and seen == self._seen:
            return True
        began = self._clock()
        try:
            sampled = self._looks if self.tool.nft and self._totals["nat"] > MANY else None
            self._looks += 1
            whole = await intact(tool, given, self._totals, sampled, self._tally)
        except KernelError as error:
            if error.code != LOCKED:
                raise
            return True
        finally:
            self._next_look = self._clock() + LEISURE * (self._clock() - began)
        if whole and sampled is None:
            self._seen = seen
        return whole

    async def tidy(self) -> None:
        """Nothing waits here: stale chains go with the rules that led to them."""

    async def cleanup(self) -> None:
        """See `Applier.cleanup`; in both variants, if both are installed. KUBE-FIREWALL, the kubelet's too, stays."""
        self._given = None
        variants = {tool.nft: tool for tool in await installed(self.family, self._run)}
        for tool in variants.values():
            for table in await tables(tool, self._tally):
                lines = (await look(tool, table, self._tally)).lines
                for script in removal(table, lines, piece=PIECE if tool.nft else None):
                    await self._run(tool.restore, script.text)
        with suppress(KernelError, OSError):  # a kernel without counters has nothing to remove
            await asyncio.to_thread(self._delete_counters, COUNTERS)


def _at_fault(script: Script, error: KernelError) -> ServicePortName | None:
    """Whose line the tool complains of."""
    for match in _LINE.finditer(error.stderr):
        if (name := script.owner(int(match[1]))) is not None:
            return name
    return None
