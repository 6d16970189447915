"""What another process counts, as its ``/metrics`` has it."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


class Scraped(NamedTuple):
    """One program, and what it counts."""

    name: str
    """``NAMESPACE/POD``"""
    node: str
    mode: str = ""
    """Of its Service proxy; empty: it has none."""
    families: tuple[Metric, ...] = ()
    problem: str = ""
    """Why its metrics could not be read; empty: they were."""


def families_of(text: str) -> tuple[Metric, ...]:
    """The metrics of a page in Prometheus's text format. Raises ValueError for what is not that."""
    families: Iterable[Metric] = text_string_to_metric_families(text)
    return tuple(families)
