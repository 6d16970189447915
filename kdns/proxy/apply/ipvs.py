"""The IPVS mode of the proxy: netlink for virtual servers, sets and addresses, iptables-restore for a few fixed rules.

Netlink calls wait, so they run in threads; the event loop goes on. Sets are filled before rules and servers need them,
addresses come last; see `kdns.proxy.apply.ipvs_state`.
"""

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError, KernelError
from kdns.base.objects import Network
from kdns.kernel import sysctl
from kdns.kernel.netlink import generic_family
from kdns.kernel.run import Runner, run
from kdns.proxy.apply.applier import Applied
from kdns.proxy.apply.ipvs_rules import IpvsRules, Variant
from kdns.proxy.apply.ipvs_state import IpvsState, Link
from kdns.proxy.apply.ipvs_virtual import ENOENT
from kdns.proxy.model import Backend, Family, NodeRules, RuleChange, RuleSet, ServicePortRules
from kdns.proxy.render.ipvs.desired import Desired, Touched
from kdns.proxy.render.ipvs.tables import tables
from kdns.proxy.render.ipvs.virtual_servers import (
    FOREIGN_SETS,
    SETS,
    Here,
    Marks,
    PortState,
    Virtual,
    VirtualAt,
    here,
    port_state,
    set_name,
)

log = logging.getLogger(__name__)

PROBE: Final = {Family.IPV4: bytes((198, 51, 100, 0)), Family.IPV6: bytes.fromhex("20010db8") + bytes(12)}
"""An address of documentation, at which a scheduler is tried."""
PROBE_PORT: Final = 20000
SYSCTLS: Final = (
    ("net/ipv4/vs/conntrack", 1),
    ("net/ipv4/vs/expire_nodest_conn", 1),
    ("net/ipv4/vs/expire_quiescent_template", 1),
)
FORWARDING: Final = {Family.IPV4: "net/ipv4/ip_forward", Family.IPV6: "net/ipv6/conf/all/forwarding"}
STRICT_ARP: Final = (("net/ipv4/conf/all/arp_ignore", 1), ("net/ipv4/conf/all/arp_announce", 2))


class IpvsSettings(NamedTuple):
    """What the configuration says for this mode."""

    scheduler: str = "rr"
    exclude: tuple[Network, ...] = ()
    """Virtual servers with addresses in these are never removed."""
    strict_arp: bool = False
    timeouts: tuple[int, int, int] = (0, 0, 0)
    """Seconds for TCP, TCP after FIN, and UDP; 0: as the kernel has it."""


class Ipvs:
    """One family's `Applier` in IPVS mode."""

    def __init__(self, node: NodeRules, settings: IpvsSettings, runner: Runner = run, variant: Variant = "") -> None:
        """`variant` is which iptables to use; none: what the plain name leads to, or legacy if that does not work."""
        self.node, self.settings, self.family = node, settings, node.family
        self.rules = IpvsRules(self.family, runner, variant)
        self._runner, self._fixed = runner, variant != ""
        self._number = 0
        self._state = IpvsState(self.family, settings.exclude, node.masquerade_mark)
        self._desired = Desired()
        self._marks = Marks(node.masquerade_mark)
        self._here = Here(frozenset(), ())
        self._known = False
        self._written = 0

    async def prepare(self) -> None:
        """Look for what the mode needs, and set what the node needs for it; see `Applier`."""
        await asyncio.to_thread(self._prepare)
        try:
            await self.rules.check(tables(self.node))
        except KernelError as error:
            if self._fixed or not await self._try_legacy():
                hint = (
                    "the package iptables brings the tool; the kernel's modules are xt_set, xt_addrtype, xt_conntrack"
                )
                raise ConfigError(f"mode ipvs needs {self.rules.tool}-restore: {error}", hint=hint) from error

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """See `Applier`."""
        full = changes is None or not self._known or rules.node != self.node
        self._known = False
        if full:
            written = await self._full(rules)
        else:
            written = await asyncio.to_thread(self._partial, changes or ())
        self._known = True
        return Applied(written, full, self._totals())

    async def intact(self) -> bool:
        """See `Applier`."""
        if not self._known:
            return True  # a full sync comes anyway
        if problem := await asyncio.to_thread(self._differs):
            log.warning("IPVS was modified externally (%s): %s; resyncing", self.family.value, problem)
            return False
        if not await self.rules.intact(tables(self.node)):
            log.warning("the iptables rules of IPVS were modified externally (%s); resyncing", self.family.value)
            return False
        return True

    async def tidy(self) -> None:
        """See `Applier`."""
        if self._state.draining:
            await asyncio.to_thread(self._tidy)

    async def cleanup(self) -> None:
        """See `Applier`. Without a sign of this mode rules are left alone: the iptables mode has chains so named."""
        if await asyncio.to_thread(self._present):
            await self.rules.cleanup(tables(self.node))
            await asyncio.to_thread(self._clean)
        self._known = False

    async def _try_legacy(self) -> bool:
        """A kernel may have the tables of old and not what the nft variant needs."""
        rules = IpvsRules(self.family, self._runner, "legacy")
        try:
            await rules.check(tables(self.node))
        except KernelError:
            return False
        self.rules = rules
        return True

    @property
    def draining(self) -> frozenset[tuple[VirtualAt, Backend]]:
        """Real servers that are given no new connection and go with their last one."""
        return frozenset(self._state.draining)

    def _prepare(self) -> None:
        number = generic_family("IPVS")
        if number is None:
            raise ConfigError("mode ipvs needs IPVS in the kernel", hint="load its module: modprobe ip_vs")
        self._number = number
        with self._state.open(number) as link:
            self._probe(link)
            try:
                self._state.make(link)
            except KernelError as error:
                hint = "the modules are dummy, ip_set, ip_set_hash_*, ip_set_bitmap_port and xt_set"
                raise ConfigError(f"mode ipvs: {error}", hint=hint) from error
            link.virtuals.set_timeouts(self.settings.timeouts)
        for path, value in sysctls(self.family, self.settings.strict_arp, os.uname().release):
            sysctl.ensure(path, value)

    def _probe(self, link: Link) -> None:
        """Asking for a scheduler makes the kernel load it."""
        scheduler = self.settings.scheduler
        at = VirtualAt("TCP", PROBE[self.family], PROBE_PORT)
        code = link.virtuals.add([(at, Virtual(scheduler, 0, 0, ()))])[0]
        if code == ENOENT:
            hint = f"load its module: modprobe ip_vs_{scheduler}"
            raise ConfigError(f"mode ipvs: the kernel has no scheduler {scheduler}", hint=hint)
        if code:
            raise link.virtuals.error(code, "try a virtual server")
        link.virtuals.remove([at])

    async def _full(self, rules: RuleSet) -> int:
        self.node = rules.node
        touched = await asyncio.to_thread(self._begin, rules)
        written = self._written + await self.rules.write(tables(rules.node))
        return written + await asyncio.to_thread(self._finish, touched)

    def _begin(self, rules: RuleSet) -> Touched:
        with self._state.open(self._number) as link:
            self._state.make(link)
            self._here = self._look(link)
            self._desired = Desired()
            nothing = Touched(set(), set(), set())
            for name, port in rules.ports.items():
                self._desired.replace(name, self._spell(port), nothing)
            self._state.read(link)
            touched = self._state.everything(self._desired)
            self._written = self._state.add_members(link, self._desired, touched)
        return touched

    def _finish(self, touched: Touched) -> int:
        with self._state.open(self._number) as link:
            written = self._state.serve(link, self._desired, touched)
            return written + self._state.shrink(link, self._desired, touched)

    def _partial(self, changes: Sequence[RuleChange]) -> int:
        touched = Touched(set(), set(), set())
        for change in changes:
            self._desired.replace(change.name, self._spell(change.after) if change.after else None, touched)
            if change.after is None:
                self._marks.forget(change.name)
        with self._state.open(self._number) as link:
            written = self._state.add_members(link, self._desired, touched)
            written += self._state.serve(link, self._desired, touched)
            return written + self._state.shrink(link, self._desired, touched)

    def _spell(self, port: ServicePortRules) -> PortState:
        return port_state(port, self.node, self._here, self.settings.scheduler, self._marks.mark(port.name))

    def _look(self, link: Link) -> Here:
        _, others = link.addresses.addresses()
        return here(self.node, others)

    def _differs(self) -> str:
        with self._state.open(self._number) as link:
            if self._look(link) != self._here:
                return "the addresses of this node are others than before"
            return self._state.differs(link)

    def _tidy(self) -> None:
        with self._state.open(self._number) as link:
            self._state.tidy(link)

    def _present(self) -> bool:
        self._number = generic_family("IPVS") or 0
        if not self._number:
            return False
        with self._state.open(self._number) as link:
            return link.addresses.there() or set_name("KUBE-CLUSTER-IP", self.family) in link.sets.sizes()

    def _clean(self) -> None:
        with self._state.open(self._number) as link:
            self._state.clean(link, (*SETS, *FOREIGN_SETS))
        self._state = IpvsState(self.family, self.settings.exclude, self.node.masquerade_mark)

    def _totals(self) -> tuple[tuple[str, int], ...]:
        state = self._state
        return (
            ("virtual servers", len(state.virtuals)),
            ("real servers", state.reals),
            ("set members", len(state.members)),
            ("addresses", len(state.addresses)),
        )


def sysctls(family: Family, strict_arp: bool, release: str) -> list[tuple[str, int]]:
    """What the mode needs of the kernel's settings, for a kernel of this release (``6.1.0-18-amd64``)."""
    wanted = [*SYSCTLS, (FORWARDING[family], 1)]
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (6, 0)
    if (4, 1) <= version < (5, 9):
        # A new connection from a port that was used before waits a second otherwise; later kernels know better.
        wanted.append(("net/ipv4/vs/conn_reuse_mode", 0))
    if strict_arp:
        wanted += STRICT_ARP
    return wanted
