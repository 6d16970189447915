"""The most frequent keys of a stream, in bounded memory: space-saving (Metwally, Agrawal, El Abbadi, ICDT 2005). Pure.

Instead of replacing the least counter at each new key, which costs a search, counters may grow to twice their number
and the lesser half is dropped: the bound on the error stays the largest count that was dropped.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Counted(NamedTuple, Generic[K]):
    """A key, with how often it came: at least ``questions - error`` times, at most ``questions``."""

    key: K
    questions: int
    error: int


class Sketch(Generic[K]):
    """Counts keys; keeps at most twice ``capacity`` of them."""

    __slots__ = ("_capacity", "_counts", "_errors", "floor", "total")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: dict[K, int] = {}
        self._errors: dict[K, int] = {}
        self.floor = 0
        """The most that a key which is not kept can have come."""
        self.total = 0
        """All that was counted."""

    def add(self, key: K, weight: int = 1) -> None:
        """Count a key."""
        self.total += weight
        counts = self._counts
        if key in counts:
            counts[key] += weight
            return
        if len(counts) >= 2 * self._capacity:
            self._prune()
        self._counts[key] = self.floor + weight
        if self.floor:
            self._errors[key] = self.floor

    def _prune(self) -> None:
        ordered = sorted(self._counts.items(), key=lambda pair: -pair[1])
        self.floor = max(self.floor, ordered[self._capacity][1])
        self._counts = dict(ordered[: self._capacity])
        self._errors = {key: error for key, error in self._errors.items() if key in self._counts}

    def top(self, most: int) -> list[Counted[K]]:
        """The keys that came most often, the first one first; equal ones by their text."""
        ordered = sorted(self._counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
        return [Counted(key, count, self._errors.get(key, 0)) for key, count in ordered[:most]]


def merged(sketches: Iterable[Sketch[K]], capacity: int) -> Sketch[K]:
    """Several streams as one. A key that one of them does not keep may have come as often as its floor there."""
    parts = list(sketches)
    result = Sketch[K](capacity)
    keys = {key for part in parts for key in part._counts}
    for key in keys:
        result._counts[key] = sum(part._counts.get(key, part.floor) for part in parts)
        error = sum(part._errors.get(key, 0) if key in part._counts else part.floor for part in parts)
        if error:
            result._errors[key] = error
    result.total = sum(part.total for part in parts)
    result.floor = sum(part.floor for part in parts)
    if len(result._counts) > 2 * capacity:
        result._prune()
    return result
