"""Rules in a real kernel, and what tools print of them: ``python -m tests.explain.kernel.saving`` writes ``saved/``.

The texts in ``saved/`` are those that the tests walk without a kernel; tests marked ``kernel`` make fresh ones.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdns.proxy.apply.modes import script
from kdns.proxy.model import Family, Mode, RuleSet
from tests.proxy.apply.namespaces import in_a_namespace
from tests.proxy.iptables_plan import rich, rich6

SAVED = Path(__file__).parent / "saved"
RULES: Mapping[Family, RuleSet] = {Family.IPV4: rich(), Family.IPV6: rich6()}
WAYS: Mapping[str, tuple[Mode, Family, tuple[str, ...], tuple[str, ...]]] = {
    "iptables-save.txt": ("iptables", Family.IPV4, ("iptables-nft-restore",), ("iptables-nft-save",)),
    "ip6tables-save.txt": ("iptables", Family.IPV6, ("ip6tables-nft-restore",), ("ip6tables-nft-save",)),
    "iptables-legacy-save.txt": ("iptables", Family.IPV4, ("iptables-legacy-restore",), ("iptables-legacy-save",)),
    "nft.txt": ("nftables", Family.IPV4, ("nft", "-f", "-"), ("nft", "list", "ruleset")),
    "nft6.txt": ("nftables", Family.IPV6, ("nft", "-f", "-"), ("nft", "list", "ruleset")),
    "nft.json": ("nftables", Family.IPV4, ("nft", "-f", "-"), ("nft", "-j", "list", "ruleset")),
    "nft-of-iptables.txt": ("iptables", Family.IPV4, ("iptables-nft-restore",), ("nft", "list", "ruleset")),
}
"""File, mode, family, the command that takes the rules and the one that prints them."""


def saved_by_kernel(name: str) -> str:
    """What the tool prints once a kernel has the rules, in a namespace that is gone afterwards."""
    mode, family, load, save = WAYS[name]
    return in_a_namespace(lambda: load_and_save(script(mode, RULES[family]), load, save))


def load_and_save(text: str, load: Sequence[str], save: Sequence[str]) -> str:
    """What the second command prints once the first one has taken the text."""
    subprocess.run(load, input=text, text=True, check=True, capture_output=True)
    return subprocess.run(save, text=True, check=True, capture_output=True).stdout


if __name__ == "__main__":
    SAVED.mkdir(exist_ok=True)
    for saved in WAYS:
        (SAVED / saved).write_text(saved_by_kernel(saved))
