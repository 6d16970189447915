"""What every metric family here is made with: a histogram of seconds, and plain values turned into families."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics import MetricWrapperBase


class Durations:
    """A histogram of seconds, filled by `observe`."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        """How many took at most as long as each bucket and longer than the one before; the last is for the rest."""
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Note one duration."""
        self.counts[bisect_left(self.buckets, seconds)] += 1
        self.sum += seconds


def counter(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], int]) -> Metric:
    """A family of counters from their values by labels; the name is without ``_total``."""
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def gauge(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    """A family of gauges from their values by labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def histogram(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], Durations]) -> Metric:
    """A family of histograms of seconds by labels."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, cumulated(value.buckets, value.counts), value.sum)
    return family


def as_go_shows_it(metric: MetricWrapperBase, prefix: str = "") -> Iterator[Metric]:
    """The family of a prometheus_client object, under a longer name if a prefix is given.

    As Go programs, and so CoreDNS and kube-proxy, write it: bounds such as ``1`` and not ``1.0``, and without the
    moments of creation that prometheus_client adds.
    """
    for family in metric.collect():
        family.name = prefix + family.name
        family.samples = [
            sample._replace(name=prefix + sample.name, labels=_spelled(sample.labels))
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        yield family


def _spelled(labels: Mapping[str, str]) -> dict[str, str]:
    if "le" not in labels or labels["le"] == "+Inf":
        return dict(labels)
    return {**labels, "le": f"{float(labels['le']):.10g}"}


def cumulated(buckets: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts per bucket as Prometheus wants them: at most this long, with the bounds as Go clients spell them."""
    result: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip(buckets, counts[:-1], strict=True):
        total += count
        result.append((f"{bound:.10g}", total))
    result.append(("+Inf", total + counts[-1]))
    return result
