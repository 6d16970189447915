"""The most frequent keys over the last minute, ten minutes and hour: a sketch a minute, then one for ten. Pure.

Windows end with the minute that is under way, so each covers up to a minute (or ten) less than its name says.
"""

from typing import Final, Generic

from kdns.metrics.sketch import Counted, K, Sketch, merged

MINUTE: Final = 60
WINDOWS: Final = {"1m": 1, "10m": 10, "1h": 60}
"""Name -> minutes."""
COARSE: Final = 10
"""Minutes in a sketch of what is older than that."""


class Windows(Generic[K]):
    """Counts keys by the time at which they come; what is older than an hour is forgotten."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._minutes: dict[int, Sketch[K]] = {}
        self._tens: dict[int, Sketch[K]] = {}

    def add(self, key: K, weight: int, now: float) -> None:
        """Count a key; ``now`` is in seconds, of any clock that only goes forward."""
        self.current(now).add(key, weight)

    def current(self, now: float) -> Sketch[K]:
        """Where to count until the minute is over."""
        minute = int(now) // MINUTE
        sketch = self._minutes.get(minute)
        if sketch is None:
            self._forget(minute)
            sketch = self._minutes[minute] = Sketch(self._capacity)
        return sketch

    def _forget(self, minute: int) -> None:
        """Move minutes that are over ten old into the sketch of their ten, and drop what is over an hour old."""
        for old in [known for known in self._minutes if known <= minute - COARSE]:
            ten = old // COARSE
            parts = [part for part in (self._tens.get(ten), self._minutes.pop(old)) if part is not None]
            self._tens[ten] = merged(parts, self._capacity)
        for old in [known for known in self._tens if (known + 1) * COARSE <= minute - WINDOWS["1h"]]:
            del self._tens[old]

    def over(self, window: str, now: float) -> Sketch[K]:
        """All that came within a window of `WINDOWS`."""
        minute = int(now) // MINUTE
        self._forget(minute)
        first = minute - WINDOWS[window] + 1
        parts = [sketch for known, sketch in self._minutes.items() if known >= first]
        if window == "1h":
            parts += self._tens.values()
        return merged(parts, self._capacity)

    def top(self, window: str, now: float, most: int) -> tuple[list[Counted[K]], int]:
        """The most frequent keys, and the total."""
        sketch = self.over(window, now)
        return sketch.top(most), sketch.total
