"""Sums, shares and rates of metrics."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from kdns.status.numbers import Numbers, Rate


def test_sums() -> None:
    """By label, the largest first, and as a total of those with a label."""
    registry = CollectorRegistry()
    answers = Counter("answers", "", ("rcode", "zone"), registry=registry)
    answers.labels("NXDOMAIN", "a").inc(2)
    answers.labels("NOERROR", "a").inc(5)
    answers.labels("NOERROR", "b").inc(1)
    answers.labels("REFUSED", "b")
    numbers = Numbers(registry.collect())
    assert list(numbers.by("answers_total", "rcode").items()) == [("NOERROR", 6.0), ("NXDOMAIN", 2.0)]
    assert numbers.total("answers_total", zone="a") == 7.0
    assert numbers.total("nothing") == 0.0


def test_shares_of_a_histogram() -> None:
    """The bound of the bucket in which a share is complete; nothing was measured: None."""
    registry = CollectorRegistry()
    seconds = Histogram("seconds", "", buckets=(1, 2, 4), registry=registry)
    assert Numbers(registry.collect()).quantile("seconds", 0.5) is None
    for value in (0.5, 0.5, 1.5, 3.0):
        seconds.observe(value)
    numbers = Numbers(registry.collect())
    assert numbers.quantile("seconds", 0.5) == 1.0
    assert numbers.quantile("seconds", 0.75) == 2.0
    assert numbers.quantile("seconds", 1.0) == 4.0
    seconds.observe(100.0)
    assert Numbers(registry.collect()).quantile("seconds", 1.0) == float("inf")


def test_a_rate_needs_no_task_of_its_own() -> None:
    """The first is the mean since the start; the next compare with a reading that is a second old at least."""
    now = 100.0
    rate = Rate(lambda: now)
    now = 110.0
    assert rate.read(50) == 5.0
    now = 110.5  # too soon for the reading before
    assert rate.read(60) == 60 / 10.5
    now = 112.0
    assert rate.read(90) == 20.0
    now = 114.0
    assert rate.read(90) == 0.0
