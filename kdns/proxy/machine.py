"""What the proxy asks of the machine that it runs on. It is handed to `ProxyApp`, so that tests need no real one."""

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError, KernelError
from kdns.config.kubeproxy.settings import ProxySettings
from kdns.kernel import sysctl
from kdns.kernel.interfaces import interface_addresses
from kdns.proxy.apply.applier import Applier
from kdns.proxy.apply.flow_cleaner import Cleaned, FlowCleaner
from kdns.proxy.apply.modes import MODES, make_applier
from kdns.proxy.apply.present import rules_present
from kdns.proxy.model import Family, Mode
from kdns.proxy.report import counted_packets

LOG: Final = logging.getLogger("kdns.proxy")
IPV6: Final = Path("/proc/net/if_inet6")


class Machine:
    """This one."""

    def __init__(self, settings: ProxySettings) -> None:
        self.settings = settings

    def families(self) -> list[Family]:
        """The address families that the kernel has."""
        return kernel_families()

    def applier(self, mode: Mode, family: Family) -> Applier:
        """What writes the rules of a mode."""
        return make_applier(mode, family, self.settings)

    def flow_cleaner(self, cleaned: Callable[[Cleaned], None]) -> FlowCleaner:
        """What deletes UDP flows; it is not started yet."""
        return FlowCleaner(cleaned)

    def interfaces(self) -> tuple[bytes, ...]:
        """Every address, packed. Raises OSError."""
        return own_interfaces()

    def liberal(self) -> bool:
        """Connection tracking calls no packet out of window INVALID."""
        return sysctl.liberal()

    async def load_conntrack(self) -> None:
        """Have connection tracking, whose settings are not there before."""
        await sysctl.load_conntrack()

    def apply_conntrack(self) -> tuple[str, ...]:
        """Set the sysctls of connection tracking; what went wrong. It waits for the kernel."""
        return sysctl.apply_conntrack(self.settings.conntrack)

    def route_localnet(self) -> str:
        """Route 127/8, for node ports on it; what went wrong. It waits for the kernel."""
        return sysctl.route_localnet()

    async def rules_present(self, family: Family) -> bool:
        """Service rules of some mode are in the kernel, whatever wrote them."""
        return await rules_present(family)

    def counted_packets(self) -> Mapping[str, int]:
        """What the kernel has counted for mode iptables, by the name of the metric."""
        return counted_packets()


def kernel_families() -> list[Family]:
    """The address families that this machine's kernel has."""
    return [Family.IPV4, *([Family.IPV6] if IPV6.exists() else [])]


def own_interfaces() -> tuple[bytes, ...]:
    """Every address of this machine, packed. Raises OSError."""
    return tuple(interface.address for interface in interface_addresses())


async def clean_up_others(machine: Machine, running: Mode, families: Iterable[Family]) -> None:
    """Remove what this node was given in other modes than the running one, as far as their tools are there."""
    for mode, family in product(MODES, families):
        if mode == running:
            continue
        try:
            await machine.applier(mode, family).cleanup()
        except (KernelError, ConfigError) as error:
            # most nodes lack the tools of some mode, and have nothing of it
            LOG.debug("nothing of mode %s, %s, was removed: %s", mode, family.value, error)
