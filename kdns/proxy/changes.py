"""What differs between the cluster and what the kernel was last given. Pure.

Going there and back leaves nothing to do; a failure leaves everything. `checkout` forgets nothing, only `commit` does,
and what changes between the two stays pending.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Pending(NamedTuple, Generic[K, V]):
    """One thing that differs."""

    key: K
    before: V | None
    """None: the kernel was not given it."""
    after: V | None
    """None: it is gone."""


class ChangeTracker(Generic[K, V]):
    """What is wanted, what was applied, and the keys at which they differ."""

    def __init__(self) -> None:
        self._wanted: dict[K, V] = {}
        self._applied: dict[K, V] = {}
        self._pending: dict[K, None] = {}  # a set that keeps its order

    @property
    def wanted(self) -> Mapping[K, V]:
        """The newest values; read only."""
        return self._wanted

    @property
    def pending(self) -> int:
        """How many keys differ."""
        return len(self._pending)

    def update(self, key: K, value: V | None) -> bool:
        """Note the newest value (None: it is gone); True if this key differs now from what the kernel has."""
        _put(self._wanted, key, value)
        return self._settle(key)

    def checkout(self) -> list[Pending[K, V]]:
        """All that differs. It stays pending until committed."""
        return list(self.differing())

    def differing(self) -> Iterator[Pending[K, V]]:
        """The same, one after the other: there may be tens of thousands. No key may be updated meanwhile."""
        return (Pending(key, self._applied.get(key), self._wanted.get(key)) for key in self._pending)

    def commit(self, changes: Iterable[Pending[K, V]]) -> None:
        """Call once the kernel has taken them."""
        for change in changes:
            _put(self._applied, change.key, change.after)
            self._settle(change.key)

    def _settle(self, key: K) -> bool:
        if self._wanted.get(key) == self._applied.get(key):
            self._pending.pop(key, None)
            return False
        self._pending[key] = None
        return True


def _put(mapping: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
