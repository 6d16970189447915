"""What takes all rules of iptables mode out of a table: ours, or those that kube-proxy left."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from kdns.proxy.render.iptables.fixed import SHARED_CHAINS
from kdns.proxy.render.iptables.names import CANARY, FAMILIES, MARK_MASQUERADE, SERVICES
from kdns.proxy.render.iptables.restore_input import RestoreInput, Script

BUILT_IN: Final = frozenset(("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"))


def removal(table: str, lines: Mapping[str, int], *, piece: int | None = None) -> Iterator[Script]:
    """Scripts that leave nothing of iptables mode but KUBE-FIREWALL, which the kubelet uses.

    `lines`: ``:CHAIN`` for each chain, and the rules outside of our chains that jump to ours, with how often they are
    there. A chain that another program's chain leads to stays as it is, for it cannot go. `piece`: how many chains one
    script may delete; None: all.
    """
    there = {line[1:] for line in lines if line[0] == ":"}
    ours = {chain for chain in there if _ours(table, chain)}
    jumps, kept = [], set[str]()
    for line, count in lines.items():
        words = line.split()
        if words[0] != "-A" or len(words) < 4 or words[-2] != "-j" or words[-1] not in ours:
            continue
        if words[1] in BUILT_IN:
            jumps += [f"-D{line.removeprefix('-A')}"] * count
        else:
            kept.add(words[-1])
    sheet = RestoreInput()
    sheet.rules(table, jumps, grows=0)
    gone = _in_order(ours - kept)
    for start in range(0, len(gone), piece or len(gone) or 1):
        sheet.delete(table, gone[start : start + (piece or len(gone))])
        yield sheet.script()
        sheet = RestoreInput()
    if (rest := sheet.script()).text:
        yield rest


def _ours(table: str, chain: str) -> bool:
    return chain == CANARY or chain in SHARED_CHAINS.get(table, ()) or (table == "nat" and chain.startswith(FAMILIES))


def _in_order(chains: Iterable[str]) -> list[str]:
    """Such that none leads to an earlier one: first what dispatches, at last what marks."""
    groups = (SERVICES, "", *FAMILIES, MARK_MASQUERADE)

    def place(chain: str) -> tuple[int, str]:
        places = (n for n, prefix in enumerate(groups) if prefix and chain.startswith(prefix))
        return next(places, 1), chain

    return sorted(chains, key=place)
