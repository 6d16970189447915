"""The applier of each mode, and what a mode would write, for people."""

from collections.abc import Sequence
from typing import Final

from kdns.config.kubeproxy.settings import ProxySettings
from kdns.proxy.kernel.applier import Applied, Applier
from kdns.proxy.kernel.iptables import IptablesApplier
from kdns.proxy.kernel.nftables import NftablesApplier
from kdns.proxy.model import Family, Mode, RuleChange, RuleSet
from kdns.proxy.render import iptables, nftables

MODES: Final[tuple[Mode, ...]] = ("iptables", "nftables", "ipvs")


def make_applier(mode: Mode, family: Family, settings: ProxySettings) -> Applier:
    """The applier of a mode for one family."""
    match mode:
        case "iptables":
            return IptablesApplier(family)
        case "nftables":
            return NftablesApplier(family)
        case "ipvs":
            raise NotImplementedError


def script(mode: Mode, rules: RuleSet) -> str:
    """What a mode would write for these rules on a node that has none, for reading."""
    match mode:
        case "iptables":
            return iptables.script(rules)
        case "nftables":
            return nftables.script(rules)
        case "ipvs":
            raise NotImplementedError


class Printer:
    """An applier that writes to people instead of the kernel."""

    def __init__(self, mode: Mode, family: Family) -> None:
        self._mode: Mode = mode
        self._family = family

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """Print all of it, or the service ports that changed."""
        if changes is None:
            print(f"# {self._family.value}, {self._mode}: {len(rules.ports)} service ports")
            print(script(self._mode, rules), flush=True)
            return Applied(full=True)
        for change in changes:
            print(
                f"# {self._family.value}: {change.name} {change.name.protocol} {'changed' if change.after else 'gone'}"
            )
        changed = {change.name: change.after for change in changes if change.after is not None}
        if changed:
            print(script(self._mode, RuleSet(rules.node, changed)), flush=True)
        return Applied()

    async def intact(self) -> bool:
        """There is nothing to look at."""
        return True

    async def tidy(self) -> None:
        """Nothing is left for later."""

    async def cleanup(self) -> None:
        """Nothing was written."""
