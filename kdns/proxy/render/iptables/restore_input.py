"""Input for iptables-restore that knows which service port each of its lines belongs to."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from kdns.proxy.model import ServicePortName

TABLES: Final = ("mangle", "filter", "nat")
"""In the order in which they are written: what is refused, before what is sent on."""


class Script(NamedTuple):
    """Input for ``iptables-restore --noflush --counters``."""

    text: str
    sent: tuple[tuple[str, int], ...]
    """How many rules, and chains without use, it adds or deletes in each table."""
    grown: tuple[tuple[str, int], ...]
    """By how many rules each table is larger afterwards."""
    jumps: tuple[tuple[str, int], ...] = ()
    """How many of the rules sent are jumps from built-in chains, which kube-proxy does not count."""
    owners: tuple[tuple[int, ServicePortName | None], ...] = ()
    """From which line on, counted from 1, lines belong to whom; None: to none in particular."""

    @property
    def rules(self) -> int:
        """The same for all tables together."""
        return sum(number for _, number in self.sent)

    def owner(self, line: int) -> ServicePortName | None:
        """Whose line it is."""
        at = bisect_right(self.owners, line, key=lambda owned: owned[0]) - 1
        return self.owners[at][1] if at >= 0 else None

    @property
    def ports(self) -> tuple[ServicePortName, ...]:
        """Everyone who has lines in it, each once."""
        return tuple(dict.fromkeys(name for _, name in self.owners if name is not None))


class _Block(NamedTuple):
    text: str
    lines: int
    owner: ServicePortName | None


class RestoreInput:
    """A script in the making; within each table chains come first, then rules, then deletions of chains."""

    def __init__(self) -> None:
        self._chains: dict[str, list[str]] = {table: [] for table in TABLES}
        self._rules: dict[str, list[_Block]] = {table: [] for table in TABLES}
        self._ends: dict[str, list[_Block]] = {table: [] for table in TABLES}
        self._grown: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._jumps: dict[str, int] = {}

    def jump(self, table: str, rule: str) -> None:
        """A rule at the top of a built-in chain that leads to one of ours."""
        self.rules(table, (rule,), grows=0)
        self._jumps[table] = self._jumps.get(table, 0) + 1

    def chains(self, table: str, names: Iterable[str]) -> None:
        """Chains that are to be there, and empty."""
        self._chains[table] += names

    def rules(self, table: str, rules: Iterable[str], owner: ServicePortName | None = None, *, grows: int = 1) -> None:
        """Rules, each with its ``-A``, ``-I`` or ``-D``; by each of them the table `grows`."""
        if lines := list(rules):
            self._rules[table].append(_Block("\n".join(lines), len(lines), owner))
            self._send(table, len(lines))
            self.shrink(table, -grows * len(lines))

    def shrink(self, table: str, rules: int) -> None:
        """So many rules go away with chains that are emptied."""
        self._grown[table] = self._grown.get(table, 0) - rules

    def delete(self, table: str, names: Iterable[str], owner: ServicePortName | None = None) -> None:
        """Chains that are to be emptied, and deleted once all rules of the table are in place."""
        names = tuple(names)
        self.chains(table, names)
        if lines := [f"-X {name}" for name in names]:
            self._ends[table].append(_Block("\n".join(lines), len(lines), owner))
            self._send(table, len(lines))

    def _send(self, table: str, lines: int) -> None:
        self._sent[table] = self._sent.get(table, 0) + lines

    def script(self) -> Script:
        """What there is so far; empty text if there is nothing."""
        texts: list[str] = []
        owners: list[tuple[int, ServicePortName | None]] = []
        line = 1
        for table in TABLES:
            # The tools keep chains in a sorted list that they walk for each new one; from the last name to the first
            # there is nothing to walk. Two thousand chains take a quarter of the time.
            chains = [f":{name} - [0:0]" for name in sorted(self._chains[table], reverse=True)]
            head = (_Block("\n".join(chains), len(chains), None),) if chains else ()
            blocks = (*head, *self._rules[table], *self._ends[table])
            if not blocks:
                continue
            for block in (_Block(f"*{table}", 1, None), *blocks, _Block("COMMIT", 1, None)):
                if not owners or owners[-1][1] != block.owner:
                    owners.append((line, block.owner))
                texts.append(block.text)
                line += block.lines
        text = "\n".join((*texts, "")) if texts else ""
        return Script(
            text, tuple(self._sent.items()), tuple(self._grown.items()), tuple(self._jumps.items()), tuple(owners)
        )
