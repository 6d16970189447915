"""The values of metrics, summed as pages need them: what Prometheus scrapes, and nothing counted twice."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import Metric
from prometheus_client.samples import Sample

LEAST: Final = 1.0
"""Seconds between two readings that a rate is made of: less would be noise."""
MOST: Final = 60.0
"""Seconds that a rate may be the mean of, if pages are asked for often."""


class Numbers:
    """All samples of one moment, by name."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._samples: defaultdict[str, list[Sample]] = defaultdict(list)
        for family in families:
            for sample in family.samples:
                self._samples[sample.name].append(sample)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels; 0 if there are none."""
        return sum(sample.value for sample in self._with(name, labels))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the values of a label, the largest first; without those that are 0."""
        sums: defaultdict[str, float] = defaultdict(float)
        for sample in self._samples.get(name, ()):
            sums[sample.labels.get(label, "")] += sample.value
        return dict(sorted(((key, value) for key, value in sums.items() if value), key=lambda pair: -pair[1]))

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """The bucket of a histogram in which a share of all (0 to 1) is complete: its bound; None without any, and
        infinity for the last one."""
        bounds: defaultdict[float, float] = defaultdict(float)
        for sample in self._with(f"{name}_bucket", labels):
            bounds[float(sample.labels["le"])] += sample.value
        total = max(bounds.values(), default=0.0)
        if not total:
            return None
        return next(bound for bound in sorted(bounds) if bounds[bound] >= share * total)

    def _with(self, name: str, labels: Mapping[str, str]) -> Iterator[Sample]:
        for sample in self._samples.get(name, ()):
            if all(sample.labels.get(key) == value for key, value in labels.items()):
                yield sample


class Reading(NamedTuple):
    """A counter at one moment."""

    at: float
    """Monotonic seconds."""
    total: float


class Rate:
    """How often a second something happens, from a counter that is read when a page is asked for: nothing runs between.

    The first page has the mean since the process began.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._readings: deque[Reading] = deque((Reading(clock(), 0.0),))

    def read(self, total: float) -> float:
        """Take a reading, and compare it with the latest one that is old enough."""
        now = self._clock()
        while len(self._readings) > 1 and now - self._readings[0].at > MOST:
            self._readings.popleft()
        before = next((old for old in reversed(self._readings) if now - old.at >= LEAST), self._readings[0])
        if now - self._readings[-1].at >= LEAST:
            self._readings.append(Reading(now, total))
        seconds = now - before.at
        return max(0.0, total - before.total) / seconds if seconds > 0 else 0.0
