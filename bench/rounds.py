"""Interleaved rounds: every server gets the same questions, one after the other, again and again.

A ratio is taken within a round, so that what slows the machine down for a while slows both sides; the median over the
rounds is reported. A round in which others used more than a fifth of a core is marked noisy, and only counts when
there is no clean one.
"""

import resource
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import dnsperf, machine
from bench.flood import flood
from bench.paced import paced
from bench.peers import Peer
from bench.queries import Query, Workload

RATE = 5_000
"""Questions a second where each is a wake-up of its own."""
NOISE = 0.2
"""Share of one core that others may use before a measurement counts as noisy."""


class Sample(NamedTuple):
    """One server, one load, one round."""

    cpu: float
    """Microseconds of server CPU a query."""
    qps: float
    noisy: bool
    trouble: str
    """What went wrong with answers, empty if nothing."""


class Result(NamedTuple):
    """One server, one workload, over all rounds."""

    workload: Workload
    peer: str
    full: tuple[Sample, ...]
    """Saturated: by our own flood, over TCP by dnsperf."""
    slow: tuple[Sample, ...]
    """At `RATE`, where each query is a wake-up of its own; empty where dnsperf has measured latency."""
    p50: float
    """Milliseconds at `RATE`, or dnsperf's."""
    p99: float


class Spread(NamedTuple):
    """The middle of some rounds, and whether all of them were noisy."""

    middle: float
    low: float
    high: float
    noisy: bool


def measure(workload: Workload, peers: Sequence[Peer], rounds: int, seconds: float, folder: Path) -> list[Result]:
    """All rounds of one workload, for all servers."""
    return interleaved([(workload, peer) for peer in peers], rounds, seconds, folder)


def interleaved(pairs: Sequence[tuple[Workload, Peer]], rounds: int, seconds: float, folder: Path) -> list[Result]:
    """All rounds of some workloads with their servers: each round has all of them, one after the other."""
    full: list[list[Sample]] = [[] for _ in pairs]
    slow: list[list[Sample]] = [[] for _ in pairs]
    waits: list[list[float]] = [[] for _ in pairs]
    for number in range(rounds):
        # Each round begins with another pair, so that none is always the first.
        for turn in range(len(pairs)):
            which = (turn + number) % len(pairs)
            workload, peer = pairs[which]
            queries = workload.make(seed=number)
            first, second = [queries[n::2] for n in range(2)] if workload.fresh else [queries] * 2
            if workload.transport == "udp":
                full[which].append(_flooded(peer, first, workload, seconds))
            else:
                full[which].append(_perf(peer, first, workload, seconds, folder))
            if workload.transport == "udp" and not workload.fresh:
                sample, waited = _paced(peer, second, seconds)
                slow[which].append(sample)
                waits[which] += waited
            else:  # the client that waits by looking at the clock would take the upstream's core
                waits[which] += dnsperf.latencies(peer.port, second, workload, seconds / 2, folder)
    return [
        Result(
            workload,
            peer.name,
            tuple(saturated),
            tuple(paced_ones),
            *(percentile(sorted(waited), share) * 1000 for share in (0.50, 0.99)),
        )
        for (workload, peer), saturated, paced_ones, waited in zip(pairs, full, slow, waits, strict=True)
    ]


def cpu(sample: Sample) -> float:
    """Its CPU time a query."""
    return sample.cpu


def qps(sample: Sample) -> float:
    """Its questions a second."""
    return sample.qps


def spread(samples: Sequence[Sample], value: Callable[[Sample], float]) -> Spread | None:
    """Median, least and most of the clean rounds, or of all when none was clean; None without rounds."""
    chosen = [sample for sample in samples if not sample.noisy] or list(samples)
    if not chosen:
        return None
    values = [value(sample) for sample in chosen]
    return Spread(statistics.median(values), min(values), max(values), chosen[0].noisy)


def ratio(samples: Sequence[Sample], base: Sequence[Sample], value: Callable[[Sample], float] = cpu) -> Spread | None:
    """A figure (CPU a query, if nothing is said) as a share of another server's, round by round."""
    pairs = [
        Sample(value(mine) / value(theirs), 0, mine.noisy or theirs.noisy, "")
        for mine, theirs in zip(samples, base, strict=False)
        if value(theirs)
    ]
    return spread(pairs, cpu)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of a sorted list lies; NaN of an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def _flooded(peer: Peer, queries: Sequence[Query], workload: Workload, seconds: float) -> Sample:
    if workload.fresh:
        meter = _Meter(peer)
        done = flood(peer.port, queries, 0, least=len(queries))
    else:
        flood(peer.port, queries, 0, least=len(queries))  # every answer was asked for once
        meter = _Meter(peer)
        done = flood(peer.port, queries, seconds)
    trouble = [f"{done.wrong} wrong"] * (done.wrong > 0) + [f"{done.lost} lost"] * (done.lost > 0)
    return Sample(meter.read(done.received), done.received / done.seconds, meter.noisy, ", ".join(trouble))


def _perf(peer: Peer, queries: Sequence[Query], workload: Workload, seconds: float, folder: Path) -> Sample:
    if not workload.fresh:
        dnsperf.once(peer.port, queries, workload, folder)
    meter = _Meter(peer)
    done = dnsperf.saturate(peer.port, queries, workload, seconds, folder)
    trouble = f"{done.lost} lost" if done.lost else ""
    return Sample(meter.read(done.completed), done.qps, meter.noisy, trouble)


def _paced(peer: Peer, queries: Sequence[Query], seconds: float) -> tuple[Sample, list[float]]:
    meter = _Meter(peer)
    done = paced(peer.port, queries, RATE, seconds)
    trouble = [f"{done.wrong} wrong"] * (done.wrong > 0) + [f"{done.lost} lost"] * (done.lost > 0)
    return Sample(meter.read(done.sent - done.lost), RATE, meter.noisy, ", ".join(trouble)), done.waits


class _Meter:
    """Server CPU between two moments, and what others used meanwhile."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.noisy = False
        self._before = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        ours = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        ours += sum(map(machine.cpu_seconds, self._peer.beside))
        return machine.cpu_seconds(self._peer.pid), ours, machine.busy_seconds(), machine.now()

    def read(self, answers: int) -> float:
        """Microseconds a query since the meter was made."""
        server, ours, busy, seconds = (after - before for after, before in zip(self._now(), self._before, strict=True))
        self.noisy = busy - server - ours > NOISE * seconds
        return server / answers * 1e6 if answers else float("nan")
