"""iptables-restore --noflush in memory, as strict as the real one about what scripts may say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kdns.proxy.render.iptables.fixed import JUMPS, SHARED_JUMPS, martian_guard
from kdns.proxy.render.iptables.table import Found
from tests.proxy.iptables_plan import node

BUILT_IN = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
TARGETS = ("ACCEPT", "DROP", "REJECT", "RETURN", "MARK", "MASQUERADE", "DNAT")


class Tables:
    """Tables, their chains, and the rules in each as text without ``-A CHAIN``."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[str, list[str]]] = {
            table: {chain: [] for chain in chains} for table, chains in BUILT_IN.items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tables) and self.chains == other.chains

    __hash__ = None  # type: ignore[assignment]

    def restore(self, text: str) -> None:
        """Take a script; an AssertionError is what the real one would refuse."""
        table: dict[str, list[str]] | None = None
        for line in text.splitlines():
            if line[0] == "*":
                assert table is None, "a table within a table"
                table = self.chains[line[1:]]
                continue
            assert table is not None, f"no table for {line}"
            if line == "COMMIT":
                table = None
            elif line[0] == ":":
                name, rest = line[1:].split(" ", 1)
                assert rest == "- [0:0]"
                assert len(name) <= 28
                table[name] = []
            else:
                self._rule(table, *line.split(" ", 2))
        assert table is None, "no COMMIT"

    def _rule(self, table: dict[str, list[str]], verb: str, chain: str, body: str = "") -> None:
        assert chain in table, f"{verb} {chain}: no such chain"
        target = body.rpartition("-j ")[2].split(" ")[0] if "-j " in body else ""
        assert not target or target in TARGETS or target in table, f"{verb} {chain}: no target {target}"
        if verb == "-A":
            table[chain].append(body)
        elif verb == "-I":
            table[chain].insert(0, body)
        elif verb == "-D":
            assert body in table[chain], f"-D {chain}: no rule {body}"
            table[chain].remove(body)
        else:
            assert verb == "-X", verb
            assert not table[chain], f"-X {chain}: not empty"
            users = [name for name, rows in table.items() if any(row.endswith(f"-j {chain}") for row in rows)]
            assert not users, f"-X {chain}: {users} lead to it"
            del table[chain]

    def found(self) -> Found:
        """What a look at it says."""
        guard = martian_guard(node())
        return Found(
            {table: set(chains) for table, chains in self.chains.items()},
            [jump for jump in (*JUMPS, *SHARED_JUMPS) if jump.body in self.chains[jump.table][jump.chain]],
            guard in self.chains["filter"].get("KUBE-FIREWALL", ()),
            bool(self.chains["nat"].get("KUBE-SERVICES")),
        )

    def listing(self, wanted: Callable[[str], bool]) -> list[str]:
        """``table CHAIN rule`` for each rule of the wanted chains, in no order of chains but the one they came in."""
        return [
            f"{table} {chain} {row}"
            for table, chains in self.chains.items()
            for chain in sorted(chains, key=place)
            if wanted(chain)
            for row in chains[chain]
        ]

    def sorted(self) -> dict[str, dict[str, list[str]]]:
        """All rules, those that dispatch sorted, since their order may differ."""
        shared = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL")
        return {
            table: {chain: sorted(rows) if chain in shared else rows for chain, rows in chains.items()}
            for table, chains in self.chains.items()
        }

    def counts(self) -> Counter[str]:
        """Rules in chains that are ours alone, by table."""
        return Counter(
            table
            for table, chains in self.chains.items()
            for chain, rows in chains.items()
            if chain.startswith("KUBE-") and chain != "KUBE-FIREWALL"
            for _ in rows
        )

    def lines(self, table: str) -> Counter[str]:
        """As a tally of iptables-save has them."""
        found: Counter[str] = Counter()
        for chain, rows in self.chains[table].items():
            found[f":{chain}"] += 1
            for row in rows:
                found[f"-A {chain} {row}" if not chain.startswith("KUBE-") else f"-A {chain}"] += 1
        return found


def place(chain: str) -> int:
    """Built-in chains first, then as the fixed chains are usually told, then all others."""
    order = (
        *BUILT_IN["mangle"],
        "KUBE-FORWARD",
        "KUBE-FIREWALL",
        "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ",
        "KUBE-SERVICES",
    )
    return order.index(chain) if chain in order else len(order)
