"""The applier of each mode, and what a mode would write, for people."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from kdns.base.clock import Backoff
from kdns.base.errors import ConfigError, KernelError
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.proxy.apply.applier import Applied, Applier
from kdns.proxy.apply.iptables import IptablesApplier
from kdns.proxy.apply.ipvs import Ipvs, IpvsSettings
from kdns.proxy.apply.nftables import NftablesApplier
from kdns.proxy.model import Family, Mode, NodeRules, RuleChange, RuleSet
from kdns.proxy.render.iptables import table as iptables
from kdns.proxy.render.ipvs import tables as ipvs_tables
from kdns.proxy.render.ipvs.virtual_servers import here
from kdns.proxy.render.nftables import script as nftables

LOG: Final = logging.getLogger("kdns.proxy")
MODES: Final[tuple[Mode, ...]] = ("iptables", "nftables", "ipvs")
ATTEMPTS: Final = 5
"""How often a kernel, or a tool that is locked, is tried at the start."""


def make_applier(mode: Mode, family: Family, settings: ProxySettings) -> Applier:
    """The applier of a mode for one family."""
    match mode:
        case "iptables":
            return IptablesApplier(family)
        case "nftables":
            return NftablesApplier(family)
        case "ipvs":
            ipvs = settings.ipvs
            timeouts = round(ipvs.tcp_timeout), round(ipvs.tcp_fin_timeout), round(ipvs.udp_timeout)
            asked = IpvsSettings(ipvs.scheduler, ipvs.exclude_cidrs, ipvs.strict_arp, timeouts)
            return Ipvs(NodeRules(family, 1 << settings.masquerade_bit), asked)


async def prepare_with_retries(
    applier: Applier, called: str, pause: Callable[[], Awaitable[None]] | None = None
) -> Applier:
    """An applier that has found all it needs. Raises ConfigError for what is missing, or goes wrong again and again.

    A tool that is locked out by others is tried again, since a family that is left out stays so. ``called`` is what
    messages call it.
    """
    pause = pause or Backoff().pause
    for left in reversed(range(ATTEMPTS)):
        try:
            await applier.prepare()
            break
        except KernelError as error:
            if not left:
                raise ConfigError(f"{called}: {error}") from error
            LOG.warning("%s: not ready, to be tried again: %s", called, error)
            await pause()
    return applier


def script(mode: Mode, rules: RuleSet, scheduler: str = "rr", interfaces: Sequence[bytes] = ()) -> str:
    """What a mode would write for these rules on a node that has none, for reading.

    ``scheduler`` and ``interfaces``, all addresses of the node, matter to ipvs alone.
    """
    match mode:
        case "iptables":
            return iptables.script(rules)
        case "nftables":
            return nftables.script(rules)
        case "ipvs":
            addresses = frozenset(address for address in interfaces if len(address) == rules.node.family.width)
            return ipvs_tables.script(rules, here(rules.node, addresses), scheduler)


def service_ports(count: int) -> str:
    """How many, in words."""
    return f"{count} service port{'' if count == 1 else 's'}"


class Printer:
    """An applier that writes to people instead of the kernel."""

    def __init__(self, settings: ProxySettings, family: Family, interfaces: Sequence[bytes] = ()) -> None:
        self._mode: Mode = settings.mode
        self._family, self._scheduler, self._interfaces = family, settings.ipvs.scheduler, interfaces

    def _script(self, rules: RuleSet) -> str:
        return script(self._mode, rules, self._scheduler, self._interfaces)

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """Print all of it, or the service ports that changed."""
        try:
            self._print(rules, changes)
        except BrokenPipeError:
            LOG.info("output closed by the reader")  # kdns proxy --dry-run | head
        return Applied(full=changes is None)

    def _print(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> None:
        if changes is None:
            print(f"# {self._family.value}, {self._mode}: {service_ports(len(rules.ports))}")
            print(self._script(rules), flush=True)
            return
        for change in changes:
            print(
                f"# {self._family.value}: {change.name} {change.name.protocol} {'changed' if change.after else 'gone'}"
            )
        changed = {change.name: change.after for change in changes if change.after is not None}
        if changed:
            print(self._script(RuleSet(rules.node, changed)), flush=True)

    async def intact(self) -> bool:
        """There is nothing to look at."""
        return True

    async def tidy(self) -> None:
        """Nothing is left for later."""

    async def cleanup(self) -> None:
        """Nothing was written."""
