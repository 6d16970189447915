"""What all service ports together want in the kernel, kept up to date one by one. Pure.

Things are shared: two ports of a Service have one address, two Services may select one pod. So each thing has
claimants; it is there while anyone claims it, and the first one says how. (Two Services that want the same external
IP and port are the user's mistake; the one that came first keeps it.)
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from kdns.proxy.model import ServicePortName
from kdns.proxy.render.ipvs.virtual_servers import Member, PortState, Virtual, VirtualAt

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Claims(Generic[K, V]):
    """Things, who wants them, and how."""

    def __init__(self) -> None:
        self._claims: dict[K, dict[ServicePortName, V]] = {}

    def set(self, name: ServicePortName, before: Iterable[K], after: Mapping[K, V]) -> set[K]:
        """`name` claims `after` instead of `before`; the things for which something may have changed."""
        touched = set()
        for key in before:
            if key not in after:
                claims = self._claims[key]
                del claims[name]
                if not claims:
                    del self._claims[key]
                touched.add(key)
        for key, value in after.items():
            claims = self._claims.setdefault(key, {})
            if name not in claims or claims[name] != value:
                claims[name] = value
                touched.add(key)
        return touched

    def get(self, key: K) -> V | None:
        """How the first claimant wants it; None: there is none."""
        claims = self._claims.get(key)
        return next(iter(claims.values())) if claims else None

    def owner(self, key: K) -> ServicePortName | None:
        """The first claimant."""
        return next(iter(self._claims.get(key, ())), None)

    def __iter__(self) -> Iterator[K]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, key: object) -> bool:
        return key in self._claims


class Touched(NamedTuple):
    """What may have to be written after a change."""

    virtuals: set[VirtualAt]
    addresses: set[bytes]
    members: set[tuple[str, Member]]


class Desired:
    """The sum of all service ports."""

    def __init__(self) -> None:
        self.virtuals: Claims[VirtualAt, Virtual] = Claims()
        self.addresses: Claims[bytes, bool] = Claims()
        self.members: Claims[tuple[str, Member], int] = Claims()
        self._states: dict[ServicePortName, PortState] = {}

    def replace(self, name: ServicePortName, state: PortState | None, touched: Touched) -> None:
        """A service port has this state now (None: it is gone); what that touches is added to `touched`."""
        before = self._states.pop(name, NOTHING)
        after = NOTHING if state is None else state
        if state is not None:
            self._states[name] = state
        touched.virtuals.update(self.virtuals.set(name, before.virtuals, after.virtuals))
        touched.addresses.update(self.addresses.set(name, before.addresses, dict.fromkeys(after.addresses, True)))
        touched.members.update(self.members.set(name, before.members, after.members))


NOTHING = PortState({}, frozenset(), {})
