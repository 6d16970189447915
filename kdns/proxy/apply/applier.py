"""What the proxier asks of each mode. One applier serves one family; nothing else writes what it writes."""

from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6
from typing import Final, NamedTuple, Protocol, runtime_checkable

from kdns.proxy.model import Family, RuleChange, RuleSet

AF: Final = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}
"""Families as sockets and the kernel number them."""


class Applied(NamedTuple):
    """What one sync wrote."""

    rules: int = 0
    """Rules or elements that were sent to the kernel; 0: nothing had to change."""
    full: bool = False
    totals: tuple[tuple[str, int], ...] = ()
    """Kernel objects in force, by table or kind, for the metrics: ``("nat", 5012)``."""
    written: tuple[tuple[str, int], ...] = ()
    """How many rules in chains of ours went to each of those, where that is known: as kube-proxy counts them."""


class Applier(Protocol):
    """Brings one family's rules into the kernel."""

    async def prepare(self) -> None:
        """Check tools and kernel features. ConfigError: what is missing, for which mode, and what brings it."""
        ...

    async def sync(self, rules: RuleSet, changes: Sequence[RuleChange] | None) -> Applied:
        """Make the kernel do what `rules` say: all of it (None), or only these changes since the last success.

        Raises `kdns.base.errors.KernelError`; then the kernel has the old rules, the new ones, or, after a full sync
        that is sent in pieces, some of both, and the next sync must be a full one. The error names the service port at
        fault in `refused`, if it is known.
        """
        ...

    async def intact(self) -> bool:
        """False: what we wrote was removed or modified externally (a cheap or sampled look)."""
        ...

    async def tidy(self) -> None:
        """What must wait a while after a sync: stale chains, real servers that drain. Called now and then."""
        ...

    async def cleanup(self) -> None:
        """Remove all that this mode writes, of both kube-proxy's and ours; what is not there is no error."""
        ...


@runtime_checkable
class Alerted(Protocol):
    """An applier that the kernel notifies when others change rules."""

    async def watch(self, altered: Callable[[], None]) -> None:
        """Run for ever; call `altered` whenever what we wrote may have been modified externally: look soon."""
        ...
