"""A machine for the proxy: kernels in dictionaries, sysctls that are noted, interfaces that are said."""

from collections.abc import Callable, Mapping

from kdns.config.kubeproxy.settings import ProxySettings
from kdns.proxy.apply.applier import Applier
from kdns.proxy.machine import Machine
from kdns.proxy.model import Family, Mode
from tests.proxy.test_proxier import FakeApplier


class FakeMachine(Machine):
    """Nothing of it is of the machine that the tests run on, but for its UDP flows, which are only looked at."""

    def __init__(self, settings: ProxySettings) -> None:
        super().__init__(settings)
        self.appliers: dict[Family, FakeApplier] = {family: FakeApplier() for family in Family}
        self.make: Callable[[Mode, Family], Applier] = self._applier
        self.done: list[str] = []
        """What was set or removed, in order."""
        self.problems: tuple[str, ...] = ()
        """What setting connection tracking comes to."""
        self.present = False
        """Service rules were in the kernel before."""

    async def rules_present(self, family: Family) -> bool:
        """As `present` says."""
        return self.present

    def families(self) -> list[Family]:
        """Both."""
        return list(Family)

    def applier(self, mode: Mode, family: Family) -> Applier:
        """Of the mode that runs, one of `appliers`."""
        return self.make(mode, family)

    def _applier(self, mode: Mode, family: Family) -> Applier:
        return self.appliers[family] if mode == self.settings.mode else _OtherMode(mode, family, self.done)

    def interfaces(self) -> tuple[bytes, ...]:
        """Loopback and one more."""
        return (bytes((127, 0, 0, 1)), bytes((172, 18, 0, 2)))

    def liberal(self) -> bool:
        """As most machines."""
        return False

    async def load_conntrack(self) -> None:
        """Noted."""
        self.done.append("load conntrack")

    def apply_conntrack(self) -> tuple[str, ...]:
        """Noted."""
        self.done.append("apply conntrack")
        return self.problems

    def route_localnet(self) -> str:
        """Noted, with whether there were rules."""
        rules = any(applier.kernel for applier in self.appliers.values())
        self.done.append("route localnet behind rules" if rules else "route localnet")
        return ""

    def counted_packets(self) -> Mapping[str, int]:
        """None."""
        return {}


class _OtherMode(FakeApplier):
    """Of a mode that does not run, and is cleaned up."""

    def __init__(self, mode: Mode, family: Family, done: list[str]) -> None:
        super().__init__()
        self._name, self._done = f"{mode} {family.value}", done

    async def cleanup(self) -> None:
        """Noted."""
        self._done.append(f"clean up {self._name}")
