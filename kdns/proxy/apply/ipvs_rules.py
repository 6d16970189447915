"""The few iptables rules of the IPVS mode in the kernel: written when they differ, looked at, removed."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from kdns.kernel.run import Runner
from kdns.proxy.model import Family
from kdns.proxy.render.ipvs.tables import FOREIGN_CHAINS, Table, restore

Variant = Literal["", "legacy", "nft"]
"""Which iptables: what the plain name leads to, or one of the two by name."""

WAIT: Final = ("-w", "5")
"""Seconds for the lock that all users of iptables share."""
PROBE: Final = "KUBE-IPVS-PROBE"
"""A chain for trying what the kernel takes."""
_RULE: Final = re.compile(r"-A (\S+) (?:.* )?-[jg] (\S+)")


class IpvsRules:
    """Our chains in three tables, and the jumps to them."""

    def __init__(self, family: Family, run: Runner, variant: Variant = "") -> None:
        tool = "iptables" if family is Family.IPV4 else "ip6tables"
        self.tool = f"{tool}-{variant}" if variant else tool
        self._run = run
        self._written = ""
        self._seen: Mapping[str, list[str]] = {}

    async def check(self, wanted: Mapping[str, Table]) -> None:
        """KernelError unless tool and kernel take rules like these: in a chain that no rule jumps to, for a moment.

        The sets have to be there.
        """
        probe = {
            name: Table({PROBE: [rule for chain in table.chains.values() for rule in chain if _ends(rule, table)]}, ())
            for name, table in wanted.items()
        }
        removal = "\n".join(f"*{name}\n:{PROBE} - [0:0]\n-X {PROBE}\nCOMMIT" for name in probe) + "\n"
        for script in (restore(probe, {}), removal):
            await self._run((f"{self.tool}-restore", *WAIT, "--noflush"), stdin=script)

    async def write(self, wanted: Mapping[str, Table]) -> int:
        """Bring the rules in unless they are as we left them; how many were written."""
        text = restore(wanted, {})
        present = await self._save(wanted)
        if text == self._written and _ours(wanted, present) == self._seen:
            return 0
        missing = {
            name: [jump for jump in table.jumps if (jump.chain, jump.target) not in _jumps(present[name])]
            for name, table in wanted.items()
        }
        script = restore(wanted, missing)
        await self._run((f"{self.tool}-restore", *WAIT, "--noflush"), stdin=script)
        self._written, self._seen = text, _ours(wanted, await self._save(wanted))
        return sum(line.startswith(("-A", "-I")) for line in script.splitlines())

    async def intact(self, wanted: Mapping[str, Table]) -> bool:
        """The rules are as we left them."""
        return _ours(wanted, await self._save(wanted)) == self._seen

    async def cleanup(self, wanted: Mapping[str, Table]) -> None:
        """Remove our chains and kube-proxy's of this mode; a chain that others use is only emptied."""
        lines = []
        for name, table in wanted.items():
            present = await self._save((name,))
            there = {line[1:].split()[0] for line in present[name] if line.startswith(":")}
            chains = [c for c in (*table.chains, *FOREIGN_CHAINS.get(name, ())) if c in there]
            if not chains:
                continue
            jumps = [line for line in present[name] if _leads(line, chains)]
            ends = {jump.chain for jump in table.jumps} | {"INPUT", "OUTPUT", "FORWARD"}
            used = {_target(line) for line in jumps if _chain(line) not in chains and _chain(line) not in ends}
            lines += [f"*{name}", *(f":{chain} - [0:0]" for chain in chains)]
            lines += [f"-D{line[2:]}" for line in jumps if _chain(line) in ends]
            lines += [f"-X {chain}" for chain in chains if chain not in used]
            lines.append("COMMIT")
        if lines:
            await self._run((f"{self.tool}-restore", *WAIT, "--noflush"), stdin="\n".join((*lines, "")))
        self._written, self._seen = "", {}

    async def _save(self, names: Sequence[str] | Mapping[str, Table]) -> dict[str, list[str]]:
        return {name: (await self._run((f"{self.tool}-save", "-t", name))).splitlines() for name in names}


def _ends(rule: str, table: Table) -> bool:
    """It leads to no chain of ours."""
    return rule.rpartition("-j ")[2].split()[0] not in table.chains


def _chain(line: str) -> str:
    match = _RULE.match(line)
    return match[1] if match else ""


def _target(line: str) -> str:
    match = _RULE.match(line)
    return match[2] if match else ""


def _leads(line: str, chains: Sequence[str]) -> bool:
    return _target(line) in chains


def _jumps(lines: Sequence[str]) -> set[tuple[str, str]]:
    return {(match[1], match[2]) for line in lines if (match := _RULE.match(line))}


def _ours(wanted: Mapping[str, Table], present: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The lines that are ours, as the tool prints them; without what is between them."""
    return {
        name: [
            line
            for line in present[name]
            if line.startswith("-A ") and (line.split(" ", 2)[1] in table.chains or _leads(line, tuple(table.chains)))
        ]
        for name, table in wanted.items()
    }
