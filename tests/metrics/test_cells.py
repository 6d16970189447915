"""Plain cells are scraped as prometheus_client's own objects would be."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kdns.metrics.cells import Cells, DurationCells
from kdns.metrics.families import as_go_shows_it


def lines(registry: CollectorRegistry) -> list[str]:
    """The page without the moments of creation, which prometheus_client adds, in order."""
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


@pytest.mark.parametrize(("kind", "reference"), [("counter", Counter), ("gauge", Gauge)])
def test_numbers(kind: str, reference: type[Counter] | type[Gauge]) -> None:
    """The same names, labels and values; a series is there as soon as it was asked for."""
    plain, known = CollectorRegistry(), CollectorRegistry()
    cells = Cells("counter" if kind == "counter" else "gauge", "some_things", "Things.", ("server", "zone"), plain)
    theirs = reference("some_things", "Things.", ("server", "zone"), registry=known)
    for family in (cells, theirs):
        family.labels("dns://:53", ".").inc()
        family.labels("dns://:53", ".").inc(2)
        family.labels("dns://:54", ".")
    assert lines(plain) == lines(known)
    assert cells.labels("dns://:53", ".") is cells.labels("dns://:53", ".")


def test_a_gauge_is_set() -> None:
    """The last value counts."""
    registry = CollectorRegistry()
    cell = Cells("gauge", "entries", "Kept.", (), registry).labels()
    for value in (3, 7, 5):
        cell.set(value)
    assert registry.get_sample_value("entries") == 5


def test_durations() -> None:
    """The same counts in the same buckets, with bounds as Go writes them."""
    plain, known = CollectorRegistry(), CollectorRegistry()
    ours = DurationCells("seconds", "How long.", ("to",), (0.25, 1.0), plain)
    theirs = Histogram("seconds", "How long.", ("to",), buckets=(0.25, 1.0), registry=known)
    for seconds in (0.125, 0.25, 0.5, 4.0):
        ours.labels("a").observe(seconds)
        theirs.labels("a").observe(seconds)
    (shown,), (reference,) = plain.collect(), as_go_shows_it(theirs)
    values = [
        {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
        for family in (shown, reference)
    ]
    assert values[0] == values[1]
