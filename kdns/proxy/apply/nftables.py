"""Nftables mode: remembers what it wrote, so that a change costs the change and nothing else.

::

    first sync   no table              pieces of thousands of operations, the most important Services first
                 ours, this layout     adopted: what differs is written; established flows notice nothing
                 of another program    one transaction that deletes it and makes ours: the old rules work until then
    later ones   changed service ports -> commands -> one transaction; nothing is asked
    intact       if others may have changed anything while nothing was listened to: chains and rules are counted and
                 compared, and the elements of some service ports are asked for
    watch        the kernel notifies of what other processes do to the table; that alone is read and repaired

To adopt a table, all elements of the large maps are added once more: the kernel compares, and what is there with the
same value is not changed. Then it says how many elements each map holds, and only one with more than there should be
is listed. To list a map takes the square of its size (the kernel walks it from the beginning for each 32 kB), and
``nft`` takes seconds to list a table or a chain, whose sets it reads as well; ``nft -t list ruleset`` does not.
"""

import asyncio
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from typing import Final

from kdns.base.clock import Clock, TimeSlice
from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.nftables import Nftables
from kdns.kernel.run import Runner, run
from kdns.proxy.apply.applier import Applied
from kdns.proxy.apply.nftables_table import Connect, KernelTable, Listing
from kdns.proxy.apply.nftables_watch import ForeignChanges
from kdns.proxy.model import Family, NodeRules, RuleChange, RuleSet
from kdns.proxy.render.nftables import fixed
from kdns.proxy.render.nftables.command import Chain, Command, Elements, Verb, WholeTable
from kdns.proxy.render.nftables.elements import ElementsOf
from kdns.proxy.render.nftables.lines import script_text
from kdns.proxy.render.nftables.table import Found, Step, Table, transactions

LOG: Final = logging.getLogger("kdns.proxy.nftables")
PIECE: Final = 5000
"""Rules and elements in one piece with chains, about: nft, which runs for each of them, reads all sets every time."""
ELEMENTS: Final = 500
"""Elements in one transaction of nothing else, about: the kernel needs a millisecond for so many, and often lets
nothing else run on that core meanwhile. With 2,000, DNS in the same process waits twice as long while a large table is
made."""
CLAIMED: Final = frozenset((fixed.HAIRPIN, *fixed.MAPS)) - fixed.TO_VERDICTS
"""The large sets and maps, which are adopted without being listed. Not those whose elements have comments, which the
kernel does not compare."""
LINGER: Final = 1.0
"""Seconds until a stale chain is deleted: kernels before 6.2 still count what led to it for a while."""
SAMPLE: Final = 40
"""Service ports whose elements are tried at each look."""
NFT: Final = (1, 0, 1)
KERNEL: Final = (5, 13)
SKIP: Final = "KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK"

WITHOUT: Final = (Command(Verb.ADD, WholeTable()), Command(Verb.DELETE, WholeTable()))
"""There is no table: deleting one that is not there would be an error."""


class NftablesApplier:
    """The table ``kube-proxy`` of one family. See `kdns.proxy.apply.applier.Applier`."""

    def __init__(
        self,
        family: Family,
        runner: Runner = run,
        clock: Clock = time.monotonic,
        *,
        connect: Connect = Nftables,
    ) -> None:
        self._family = family
        self._kernel = KernelTable(family, runner, connect)
        self._table = self._kernel.name
        self._run, self._clock = runner, clock
        self._written: Table | None = None
        """None: not known, so the next sync reads what is there."""
        self._stale_since: dict[str, float] = {}
        self._listed: dict[str, tuple[str, ...]] = {}
        """Rules of chains as nft listed them at the last look, as long as we have not written them again."""
        self._next_sample = 0

    async def prepare(self) -> None:
        """See `Applier.prepare`; the kernel is asked to check a whole table without making it."""
        try:
            version = re.search(r"v(\d+)\.(\d+)\.(\d+)", await self._run(["nft", "--version"]))
        except KernelError as error:
            raise ConfigError(
                f"nftables mode needs nft, which does not run: {error}", hint="the package is nftables"
            ) from error
        if version is None or tuple(map(int, version.groups())) < NFT:
            raise ConfigError(
                f"nftables mode needs nft {'.'.join(map(str, NFT))} or later"
                + (f", this one is {'.'.join(version.groups())}" if version else ""),
                hint="the package is nftables",
            )
        release = os.uname().release
        kernel = re.match(r"(\d+)\.(\d+)", release)
        if not os.environ.get(SKIP) and (kernel is None or tuple(map(int, kernel.groups())) < KERNEL):
            raise ConfigError(
                f"nftables mode needs Linux {'.'.join(map(str, KERNEL))} or later, this is {release}",
                hint=f"set {SKIP}=1 to try it all the same",
            )
        await self._try_kernel()

    async def _try_kernel(self) -> None:
        node = NodeRules(self._family)
        commands = Table(node).rebuild(RuleSet(node, {}), Found({}))
        text = script_text(chain.from_iterable(commands), f"{self._table}-try")
        try:
            await self._run(["nft", "-c", "-f", "-"], text)
        except KernelError as error:
            raise ConfigError(
                f"nftables mode: the kernel does not take the table: {error}",
                hint="CAP_NET_ADMIN, and the modules nf_tables, nft_chain_nat, nft_fib_inet, nft_numgen, nft_masq "
                "and nft_reject are needed",
            ) from error

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """See `Applier.sync`. A full sync of what is known to be in the kernel writes only what differs."""
        written, self._written = self._written, None  # back again once all is well
        count = None
        mended = 0 if written is None or changes is not None else await self._mend(written)
        if written is not None and mended is not None:
            count = await self._update(written, rules, changes)
            count = None if count is None else count + mended
        if written is None or count is None:
            written, count = await self._rebuild(rules)
        self._written = written
        self._note_stale(written)
        return Applied(count, changes is None, self._totals(written))

    async def _update(self, written: Table, rules: RuleSet, changes: Sequence[RuleChange] | None) -> int | None:
        """Write what differs from what was written; None: the kernel has something else, or refuses something."""
        named = None if changes is None else ((change.name, change.after) for change in changes)
        try:
            return await self._write(written.replace(rules) if named is None else written.change(named))
        except KernelError as error:
            LOG.warning("a change of table %s did not succeed, so all of it is looked at: %s", self._table, error)
            return None

    def _totals(self, written: Table) -> tuple[tuple[str, int], ...]:
        chains, rules = written.totals()
        return (
            ("chains", chains),
            ("rules", rules),
            ("sets", len(fixed.CONTAINERS) + len(written.affinity_sets)),
            ("elements", written.elements),
        )

    async def _rebuild(self, rules: RuleSet) -> tuple[Table, int]:
        with self._kernel.watch.ignoring():
            self._kernel.watch.take()  # from here on the table is read
            return await self._read_and_write(rules)

    async def _read_and_write(self, rules: RuleSet) -> tuple[Table, int]:
        written = Table(rules.node)
        self._listed.clear()
        listing: Listing | None = None
        try:
            listing = await self._kernel.listing()
        except KernelError as error:  # perhaps another table of the node is too new for this nft
            LOG.warning("table %s is made again, since what is there cannot be read: %s", self._table, error)
        else:
            if listing is None:
                return written, await self._write(written.rebuild(rules, Found({})))
        if listing is not None and fixed.LAYOUT in listing.chains:
            try:
                return written, await self._adopt(written, rules, listing)
            except KernelError as error:
                LOG.warning("table %s cannot be brought up to date, so it is made again: %s", self._table, error)
        written = Table(rules.node)
        commands = [*WITHOUT, *chain.from_iterable(written.rebuild(rules, Found({})))]
        await self._kernel.run(commands)
        return written, sum(command.weight for command in commands)

    async def _adopt(self, written: Table, rules: RuleSet, listing: Listing) -> int:
        """Bring a table of this layout up to date; how many rules and elements were written."""
        before = await self._kernel.counts()
        claimed = CLAIMED if before is not None and before.keys() >= CLAIMED else frozenset[str]()
        elements = await self._kernel.elements(name for name in fixed.CONTAINERS if name not in claimed)
        wanted: Counter[str] = Counter()
        in_kernel = Found(elements, listing.chains, listing.sets)
        count = await self._write(written.rebuild(rules, in_kernel), claimed=wanted if claimed else None)
        after = await self._kernel.counts() if claimed else None
        if before is None or after is None:
            return count
        count += sum(after[name] - before[name] for name in claimed)
        surplus = [name for name in sorted(claimed) if after[name] > wanted[name]]
        if surplus:
            listed = await self._kernel.elements(surplus)
            touched = {name: frozenset(some) for name, some in listed.items()}
            count += await self._write(written.repair(Found(listed), touched))
        return count

    async def _write(self, steps: Iterable[Step], claimed: Counter[str] | None = None) -> int:
        """Send commands; how many rules and elements they were.

        What comes next is worked out while the kernel is at work, with rests: DNS may be served by the same process.
        ``claimed``: elements of CLAIMED may be there, with this or another value; they are counted here instead.
        """
        with ExitStack() as much:
            return await self._send_all(steps, lambda: much.enter_context(self._kernel.watch.ignoring()), claimed)

    async def _send_all(self, steps: Iterable[Step], much: Callable[[], None], claimed: Counter[str] | None) -> int:
        """See `_write`; `much` is called before the second piece is sent."""
        count, pieces = 0, 0
        sending: asyncio.Task[int] | None = None
        turn = TimeSlice()
        try:
            for piece in transactions(steps, PIECE, ELEMENTS):
                if piece:
                    if sending is not None:
                        count += await sending
                    pieces += 1
                    if pieces == 2:
                        much()
                    count += _weigh(piece, claimed)
                    sending = asyncio.create_task(self._send(piece, claim=claimed is not None))
                if turn.over():
                    await turn.rest()
        finally:
            if sending is not None:
                count += await sending
        return count

    async def _send(self, piece: Sequence[Command], *, claim: bool) -> int:
        for command in piece:
            if command.verb is Verb.FLUSH and isinstance(command.object, Chain):
                self._listed.pop(command.object.name, None)
        return await self._kernel.send(piece, claim=claim)

    async def intact(self) -> bool:
        """See `Applier.intact`. What was never written successfully is not looked at."""
        return self._written is None or await self._intact(self._written)

    async def _mend(self, written: Table) -> int | None:
        """Undo what others did, and return how many rules and elements that took; None: more than is known may be
        another, so all of the table must be read."""
        watch = self._kernel.watch
        foreign = watch.take()
        try:
            count = await self._repair(written, foreign)
            if count is None or (watch.unsure and not await self._intact(written)):
                return None
        except KernelError as error:
            LOG.warning("table %s could not be looked at: %s", self._table, error)
            return None if foreign else 0
        return count

    async def _repair(self, written: Table, foreign: ForeignChanges) -> int | None:
        """Read what others have touched, and write it again; None: that is not known."""
        if foreign.unknown:
            return None
        if not foreign:
            return 0
        in_kernel = Found(await self._kernel.present(foreign.elements))
        if foreign.chains:
            listing = await self._kernel.listing()
            if listing is None or fixed.LAYOUT not in listing.chains:
                return None
            in_kernel = in_kernel._replace(chains=listing.chains, sets=listing.sets)
            if not in_kernel.declared:
                return None
        return await self._write(written.repair(in_kernel, foreign.elements))

    async def watch(self, altered: Callable[[], None]) -> None:
        """See `Alerted.watch`."""
        await self._kernel.watch.run(altered)

    async def _intact(self, written: Table) -> bool:
        watch = self._kernel.watch
        if watch.foreign:
            return False
        if not watch.unsure:
            return True  # the kernel would have notified of a change
        if not await self._looks_intact(written):
            return False
        watch.unsure = not watch.listening
        return not watch.foreign

    async def _looks_intact(self, written: Table) -> bool:
        listing = await self._kernel.listing()
        if listing is None:
            return False
        wanted = written.rules()
        if {name: len(rules) for name, rules in listing.chains.items()} != wanted:
            return False
        if not {*fixed.CONTAINERS, *written.affinity_sets} <= listing.sets:
            return False
        if any(listing.chains[name] != rules for name, rules in self._listed.items() if name in wanted):
            return False
        self._listed = listing.chains
        return await self._sampled(written)

    async def _sampled(self, written: Table) -> bool:
        """Ask for some elements. The first service ports every time, the others in turn."""
        chosen = [*islice(written.ports, 2), *islice(written.ports, self._next_sample, self._next_sample + SAMPLE)]
        self._next_sample += SAMPLE
        if self._next_sample >= len(written.ports):
            self._next_sample = 0
        elements: ElementsOf = {}
        for name in chosen:
            for container, some in written.elements_of(name).items():
                elements.setdefault(container, {}).update(some)
        return await self._kernel.holds(elements)

    def _note_stale(self, written: Table) -> None:
        now = self._clock()
        self._stale_since = {name: self._stale_since.get(name, now) for name in written.stale}

    async def tidy(self) -> None:
        """Delete chains that have been stale long enough. KernelError: the kernel still uses one; they are kept."""
        written, until = self._written, self._clock() - LINGER
        if written is None:
            return
        due = [name for name, since in self._stale_since.items() if since <= until]
        for start in range(0, len(due), PIECE):
            some = due[start : start + PIECE]
            await self._kernel.run([Command(Verb.DELETE, Chain(name)) for name in some])
            written.stale.difference_update(some)
            for name in some:
                del self._stale_since[name]

    async def cleanup(self) -> None:
        """See `Applier.cleanup`: the table is ours and kube-proxy's alike."""
        self._written = None
        await self._kernel.run(WITHOUT)


def _weigh(piece: Iterable[Command], claimed: Counter[str] | None) -> int:
    """How many rules and elements a piece writes; elements that may be there are counted in `claimed` instead."""
    weight = 0
    for verb, object_, own, _ in piece:
        if claimed is not None and isinstance(object_, Elements) and verb is Verb.ADD and object_.container in CLAIMED:
            claimed[object_.container] += own
        else:
            weight += own
    return weight
