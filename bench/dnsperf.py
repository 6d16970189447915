"""dnsperf: what it measures of a server, over UDP or TCP."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import machine
from bench.peers import find
from bench.queries import Query, Workload

CONNECTIONS, OUTSTANDING = 20, 150
LATENCY_RATE = 10_000
"""Questions a second while latency is measured: far from saturation, so that queues do not count."""
FRESH_RATE = 1_000
"""The same for questions that are not in a cache."""


class Perf(NamedTuple):
    """What one run of dnsperf said."""

    completed: int
    lost: int
    qps: float
    rcodes: str
    """Such as ``NOERROR 1000 (100.00%)``."""


def saturate(port: int, queries: Sequence[Query], workload: Workload, seconds: float, folder: Path) -> Perf:
    """Ask as fast as dnsperf can on one core: for so many seconds, or fresh questions once."""
    limit = ("-n", "1") if workload.fresh else ("-l", str(seconds))
    output = _run(port, queries, workload, folder, *limit)
    return Perf(
        int(_find(r"Queries completed:\s+(\d+)", output)),
        int(_find(r"Queries lost:\s+(\d+)", output)),
        float(_find(r"Queries per second:\s+([\d.]+)", output)),
        _find(r"Response codes:\s+(.*)", output),
    )


def once(port: int, queries: Sequence[Query], workload: Workload, folder: Path) -> None:
    """Ask everything once, so that what is measured then was asked for before, in dnsperf's own form."""
    _run(port, queries, workload, folder, "-n", "1")


def latencies(port: int, queries: Sequence[Query], workload: Workload, seconds: float, folder: Path) -> list[float]:
    """Seconds each question waited at a modest rate, sorted."""
    rate = FRESH_RATE if workload.fresh else LATENCY_RATE
    output = _run(port, queries, workload, folder, "-l", str(seconds), "-v", "-Q", str(rate))
    return sorted(float(text) for text in re.findall(r"^> \S+ \S+ \S+ ([\d.]+)$", output, re.MULTILINE))


def _run(port: int, queries: Sequence[Query], workload: Workload, folder: Path, *more: str) -> str:
    program = find("dnsperf")
    if program is None:
        raise RuntimeError("dnsperf is not installed (apt-get install dnsperf)")
    data = folder / "questions"
    data.write_text("".join(query.line() + "\n" for query in queries))
    argv = [program, "-s", "127.0.0.1", "-p", str(port), "-d", str(data), "-m", workload.transport]
    argv += ["-c", str(CONNECTIONS), "-q", str(OUTSTANDING), "-T", "1", *(["-e"] if workload.edns else []), *more]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, preexec_fn=lambda: machine.pin(machine.CLIENT_CPU)
    )
    if done.returncode != 0:
        raise RuntimeError(f"dnsperf: {done.stderr.strip()[-500:]}")
    return done.stdout


def _find(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise RuntimeError(f"dnsperf said nothing like {pattern!r}: {output[-500:]}")
    return found.group(1).strip()
