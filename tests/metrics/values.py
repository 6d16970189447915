"""One value of what a scrape would show."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import Metric


class Collects(Protocol):
    """What can be scraped."""

    def collect(self) -> Iterable[Metric]:
        """Its families."""
        ...


def value(collects: Collects, name: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels among theirs; 0.0 if there are none."""
    return sum(
        sample.value
        for family in collects.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
