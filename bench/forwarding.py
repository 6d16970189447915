"""Names outside the cluster: kdns with kubeadm's Corefile beside dnsmasq and unbound, cached, not cached, far away."""

import contextlib
import select
import socket
import statistics
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import forwarders, machine, report, rounds
from bench.cluster import LIMIT_MB
from bench.peers import Peer
from bench.queries import FORWARDED, Query, Way
from bench.report import Target, table

BASE = "unbound"
FAR = "far"
"""The key of the part with an upstream that is far away."""
DELAY = 0.05
AT_ONCE = 1_000
WAVES = (1, 11, 12)
"""Waves of `AT_ONCE` new names between two looks at memory: kdns's cache (10,000 names) is full from the second on."""
_PATIENCE = 1.0
"""Seconds without a reply after which the rest of a wave is lost."""
_KEPT_MB = 5
BIG = "big"
"""The key of the part with an answer of 64 kB."""
BIG_TIMES = 20
BIG_LEAST = 60_000
STALL = 0.005
KEYS = (*(row.workload.key for row in FORWARDED), FAR, BIG)


class Wave(NamedTuple):
    """What came of so many new names, asked for at once."""

    lost: int
    wrong: int
    seconds: float
    """From the first question to the last reply."""


class Far(NamedTuple):
    """What waves did to a server whose upstream is far away."""

    peer: str
    waves: tuple[Wave, ...]
    resident: tuple[float, ...]
    """MB before all, and after each of `WAVES`."""
    peak: float


def measure(
    folder: Path, keys: Collection[str], servers: Sequence[str], times: int, seconds: float
) -> tuple[list[str], list[Target], list[Sequence[rounds.Result]]]:
    """The rows with these keys: texts for the page, the verdicts, and what was measured of each row."""
    names = [name for name in forwarders.COMMANDS if name in servers]
    texts, targets = [], []
    measured: list[Sequence[rounds.Result]] = []
    head, cells = report.query_head(BASE), []
    for way in ("udp", "tcp", "tls"):
        rows = [row for row in FORWARDED if row.workload.key in keys and row.upstream == way]
        if not rows:
            continue
        with forwarders.running(folder, names, way=way) as running:
            kdns = [peer for peer in running if peer.name == "kdns"]
            for row in rows:
                pairs = [(row.workload, peer) for peer in running]
                pairs += [(row.beside, peer) for peer in kdns if row.beside]
                results = rounds.interleaved(pairs, times, seconds, folder)
                measured.append(results)
                cells += report.query_rows(results, BASE)
                targets += _hit_targets(results, row.workload.key) if row.beside else _miss_targets(results, way)
                print("\n" + table(head, report.query_rows(results, BASE)), flush=True)
    if cells:
        texts.append(table(head, cells))
    if BIG in keys:
        with forwarders.running(folder, ["kdns"], way="tcp") as running:
            targets.append(_big(running[0]))
    if FAR in keys:
        fars = []
        for name in names:
            with forwarders.running(folder, [name], DELAY) as running:
                fars += [_far(peer) for peer in running]
        texts.append(_far_table(fars))
        targets += [target for far in fars if far.peer == "kdns" for target in _far_targets(far)]
        print("\n" + texts[-1], flush=True)
    return texts, targets, measured


def _hit_targets(results: Sequence[rounds.Result], key: str) -> list[Target]:
    """A cached name beside one of the cluster, from the same process in the same rounds."""
    cluster = [result for result in results if result.workload.key != key]
    cached = [result for result in results if result.workload.key == key and result.peer == "kdns"]
    targets = []
    for hit, other in zip(cached, cluster, strict=False):
        text = f"{hit.workload.title}: at most 1.3 x the CPU of a name of the cluster, saturated"
        targets.append(report.at_most(text, rounds.ratio(hit.full, other.full), 1.3))
    return targets


def _miss_targets(results: Sequence[rounds.Result], way: Way) -> list[Target]:
    """A name that is not cached beside the same one of CoreDNS and unbound, and with more plugins in the block."""
    by_name = {result.peer: result for result in results}
    targets = []
    for name, other, most in (("kdns", "coredns", 0.6), ("kdns", BASE, 1.3), (forwarders.PLUGINS, "kdns", 1.3)):
        if name in by_name and other in by_name and (way == "udp" or name == "kdns"):
            ratio = rounds.ratio(by_name[name].full, by_name[other].full)
            text = f"{by_name[name].workload.title}: {name} at most {most} x the CPU of {other}, saturated"
            targets.append(report.at_most(text, ratio, most))
    return targets


def _big(peer: Peer) -> Target:
    """How long others wait while an answer of 64 kB is fetched over TCP and passed on.

    A question is asked again and again meanwhile. Of `BIG_TIMES` answers the middle one counts: on a machine that
    others use any single question may wait for the scheduler.
    """
    longest = []
    for number in range(BIG_TIMES):
        query = Query(f"big-{number}.example.com", answers=0)
        with (
            socket.create_connection(("127.0.0.1", peer.port)) as stream,
            socket.socket(type=socket.SOCK_DGRAM) as sock,
        ):
            stream.setblocking(False)
            sock.connect(("127.0.0.1", peer.port))
            message = query.message(number)
            waits, octets = [0.0], 0
            small = Query("first.example.com").message(1)
            stream.send(len(message).to_bytes(2, "big") + message)
            until = time.monotonic() + 5
            while octets < BIG_LEAST and time.monotonic() < until:
                began = time.monotonic()
                sock.send(small)
                sock.recv(4096)
                waits.append(time.monotonic() - began)
                with contextlib.suppress(BlockingIOError):
                    octets += len(stream.recv(1 << 17))
        if octets < BIG_LEAST:
            return Target("an answer of 64 kB stalls nothing", f"{octets} octets came in 5 s", met=False)
        longest.append(max(waits))
    middle = statistics.median(longest)
    text = f"an answer of 64 kB stalls nothing for more than {STALL * 1000:.0f} ms (the middle one of {BIG_TIMES})"
    return Target(text, f"{middle * 1000:.1f} ms (at most {max(longest) * 1000:.1f})", middle <= STALL)


def _far(peer: Peer) -> Far:
    """All waves at one server."""
    resident = [machine.resident_mb(peer.pid)]
    waves: list[Wave] = []
    for count in WAVES:
        waves += [
            _wave(peer.port, [Query(f"far-{len(waves) + n}-{i}.example.com") for i in range(AT_ONCE)])
            for n in range(count)
        ]
        resident.append(machine.resident_mb(peer.pid))
    return Far(peer.name, tuple(waves), tuple(resident), machine.resident_mb(peer.pid, "VmHWM"))


def _wave(port: int, queries: Sequence[Query]) -> Wave:
    """Send them all as fast as they go out, and wait for every reply; none is sent twice."""
    waiting, wrong = dict(enumerate(queries)), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect(("127.0.0.1", port))
        messages = [query.message(number) for number, query in waiting.items()]
        began = last = time.monotonic()
        for message in messages:
            sock.send(message)
        while waiting and select.select((sock,), (), (), _PATIENCE)[0]:
            reply = sock.recv(4096)
            last = time.monotonic()
            query = waiting.pop(int.from_bytes(reply[:2]), None)
            right = query is not None and reply[3] & 0x0F == query.rcode and reply[7] == query.answers
            wrong += not right
    return Wave(len(waiting), wrong, last - began)


def _far_table(fars: Sequence[Far]) -> str:
    asked = [sum(WAVES[: n + 1]) * AT_ONCE for n in range(len(WAVES))]
    grown = (f"MB after {count:,}" for count in asked)
    head = ("server", "asked", "lost", "wrong", "wave ms", "slowest ms", "MB before", *grown, "peak MB")
    rows = []
    for far in fars:
        lost, wrong = (sum(wave[field] for wave in far.waves) for field in (0, 1))
        took = sorted(wave.seconds * 1000 for wave in far.waves)
        times = (f"{rounds.percentile(took, 0.5):.0f}", f"{took[-1]:.0f}")
        memory = (f"{mb:.1f}" for mb in (*far.resident, far.peak))
        rows.append((far.peer, f"{asked[-1]:,}", f"{lost:,}", f"{wrong:,}", *times, *memory))
    return table(head, rows)


def _far_targets(far: Far) -> list[Target]:
    lost, wrong = (sum(wave[field] for wave in far.waves) for field in (0, 1))
    before, _, full, after = far.resident
    times = f"{len(far.waves)} times: {lost} lost, {wrong} wrong"
    memory = f"{before:.0f} MB + {full - before:.1f}, then {after - full:+.1f}, peak {far.peak:.0f}"
    bounded = far.peak <= LIMIT_MB and after - full <= _KEPT_MB
    return [
        Target(
            f"{AT_ONCE:,} misses at once, upstream {DELAY * 1000:.0f} ms away, all answered", times, not lost + wrong
        ),
        Target(f"their memory: within 170Mi, at most {_KEPT_MB} MB more once caches are full", memory, bounded),
    ]
