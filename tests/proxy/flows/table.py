"""The whole table in one world: asks, and says what came out otherwise."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from kdns.lab.asking import Arrived, Outcome, Refused, Silence
from kdns.lab.network import Network
from kdns.lab.plan import OUTSIDE, PLAN
from kdns.proxy.model import Family, RuleSet
from tests.proxy.flows.cells import NODES, Cell, Table
from tests.proxy.flows.ground import FAMILIES, Ground
from tests.proxy.flows.worlds import local_addresses

PATIENT: Final = 8.0
"""Seconds for an answer or a refusal that should come."""
SILENT: Final = 1.3
"""Seconds without an answer that count as silence. A refusal that comes while connect() still holds the socket is lost
(LockDroppedIcmps); the second one, after a second, is not."""
AT_ONCE: Final = 100
ROUND: Final = 4
"""Probes of one cell at the same time, while some server was not heard."""
MOST: Final = 80
"""Probes after which a server that was not heard is none."""


class Result(NamedTuple):
    """What came of a table."""

    cells: int
    probes: int
    verdicts: Counter[str]
    """Cells by what was expected: dnat, reject, drop, untouched."""
    lost: int
    """Probes without an answer that got one when they were sent again: packets get lost where much is going on."""
    differences: list[str]


async def run(ground: Ground) -> Result:
    """Ask for every cell, through each node."""
    table = Table(ground.mode, ground.rules, ground.shapes, addresses_of(ground), ground.served)
    cells = [cell for family in FAMILIES for cell in table.cells(family)]
    asking = _Asking(ground.network)
    differences: list[str] = []
    for node in PLAN.nodes:
        ground.network.send_outside_through(node.name)
        now = [cell for cell in cells if _turn(cell) == node.name]
        for difference in await asyncio.gather(*(asking.check_all(some) for some in _apart(now))):
            differences += difference
    verdicts = Counter(cell.expected.verdict for cell in cells)
    return Result(len(cells), asking.asked, verdicts, asking.lost, differences)


def addresses_of(ground: Ground) -> dict[tuple[str, Family], frozenset[bytes]]:
    """Every local address of each node, without loopback; in IPVS mode those on the dummy link are among them."""
    return {
        (node, family): local_addresses(NODES[node], family) | (dummy(rules) if ground.mode == "ipvs" else frozenset())
        for (node, family), rules in ground.rules.items()
    }


def dummy(rules: RuleSet) -> frozenset[bytes]:
    """Service addresses, which the node has itself in IPVS mode."""
    entries = (entry for port in rules.ports.values() for entry in port.entries)
    return frozenset(entry.frontend.address for entry in entries if entry.frontend.address)


def _turn(cell: Cell) -> str:
    """The node that the outside client must go through meanwhile; for other askers that does not matter."""
    return cell.asker.first if cell.asker.part == OUTSIDE else PLAN.nodes[0].name


def _apart(cells: Iterable[Cell]) -> Iterable[list[Cell]]:
    """Those that may be asked for at the same time; who sticks to a backend is asked in one place after the other."""
    chains: dict[object, list[Cell]] = {}
    for number, cell in enumerate(cells):
        key = (cell.asker, cell.protocol, cell.address.version) if cell.expected.sticks else number
        chains.setdefault(key, []).append(cell)
    return chains.values()


class _Asking:
    """Asks, and counts."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.asked = self.lost = 0

    async def check_all(self, cells: Iterable[Cell]) -> list[str]:
        """One after the other: how they differ from what is expected."""
        return [difference for cell in cells if (difference := await self._check(cell))]

    async def _check(self, cell: Cell) -> str:
        """How it differs; empty if it does not."""
        expected, seen = cell.expected, Counter[Outcome]()
        wanted = set(expected.servers)
        while True:
            together = 1 if not seen or len(wanted) == 1 else ROUND
            seen.update(await asyncio.gather(*(self._ask(cell) for _ in range(together))))
            if wrong := [outcome for outcome in seen if not _fits(outcome, cell)]:
                return f"{cell}: {_words(wrong)} instead of {expected}"
            heard = {(outcome.name, outcome.client) for outcome in seen if isinstance(outcome, Arrived)}
            if expected.sticks and len(wanted) > 1:
                if len(heard) > 1:
                    return f"{cell}: {_words(seen)} instead of always the same of {expected}"
                if seen.total() >= 2 * ROUND:
                    return ""
            elif heard == wanted or cell.once or (expected.unheard and len(wanted) == 1 and seen.total() >= ROUND):
                return ""
            elif seen.total() >= MOST:
                return f"{cell}: only {_words(seen)} after {seen.total()} probes instead of {expected}"

    async def _ask(self, cell: Cell) -> Outcome:
        async with self._gate:
            outcome = await self._ask_once(cell)
            if outcome == Silence() and not _fits(outcome, cell):
                self.lost += 1
                outcome = await self._ask_once(cell)
        return outcome

    async def _ask_once(self, cell: Cell) -> Outcome:
        asker = cell.asker
        source = "" if asker.address is None else str(asker.address[0 if cell.address.version == 4 else 1])
        patience = SILENT if _fits(Silence(), cell) else PATIENT
        self.asked += 1
        return await self._network.probe(
            asker.part, cell.protocol, str(cell.address), cell.port, source=source, timeout=patience
        )


def _fits(outcome: Outcome, cell: Cell) -> bool:
    expected = cell.expected
    match outcome:
        case Arrived(name, client):
            return (name, client) in expected.servers
        case Refused():
            return expected.refused
        case Silence():
            return expected.unheard or not (expected.servers or expected.refused)
    return False


def _words(outcomes: Iterable[Outcome]) -> str:
    return ", ".join(sorted(str(outcome) for outcome in set(outcomes)))
