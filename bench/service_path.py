"""What the Service path costs: rules written cold, one endpoint changed, and the first packet of a connection."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.plot import chart
from bench.report import Target, table

KEY = "path"
SIZES = (100, 1_000, 5_000, 10_000)
ENDPOINTS = 10
MODES = ("nftables", "iptables-legacy", "iptables-nft")
GUEST_MODES = ("ipvs", "iptables-legacy")
"""Run in User-Mode Linux, since few machines have ip_vs: slower, so the second is there to compare with."""
GUEST_SIZES = (100, 1_000)
GUEST = " (UML)"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-proxy.md"
PLOT = Path(__file__).parent.parent / "docs" / "first-packet.svg"
CHANGES: Mapping[str, int] = {"nftables": 100, "iptables-legacy": 20, "iptables-nft": 20}
"""At each size: p99 of twenty is the slowest."""
CONNECTIONS = 1_000
PATIENCE = 900.0


class Row(NamedTuple):
    """One mode at one size."""

    mode: str
    services: int
    figures: dict[str, Any]
    """See `bench.path_worker`."""
    first: Sequence[float]
    """Sorted seconds of first packets."""


def measure(folder: Path, *, full: bool) -> tuple[str, list[Target]]:
    """The tables, and what they say of the promises. Needs root. ``full``: in the guest, too, up to the largest."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # the rest of the bench keeps its clients on one core
    rows = []
    plan = [(mode, services) for mode in MODES for services in SIZES]
    plan += [(mode + GUEST, services) for mode in GUEST_MODES for services in (SIZES if full else GUEST_SIZES)]
    for mode, services in plan:
        try:
            figures = run("bench.path_worker", mode, services, ENDPOINTS, CHANGES.get(mode, 20), apart=True)
            rows.append(Row(mode, services, figures, run("bench.first_packet", mode, services, CONNECTIONS)))
        except ImportError as error:
            print(f"left out: {mode}: {error}", flush=True)
            continue
        print(table(HEAD, [cells(rows[-1])]), flush=True)
    text = table(HEAD, [cells(row) for row in rows])
    (folder / "first-packet.svg").write_text(plot(rows))
    return text, targets(rows)


def run(module: str, mode: str, *numbers: int, apart: bool = False) -> Any:
    """What a module prints, in a network namespace of its own if wanted, or in a guest. ImportError: there is none."""
    words = (sys.executable, "-m", module, mode.removesuffix(GUEST), *map(str, numbers))
    if mode.endswith(GUEST):
        return json.loads(_in_guest(words).splitlines()[-1])
    command = (*(("unshare", "--net") if apart else ()), *words)
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=PATIENCE)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[2:])}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _in_guest(words: Sequence[str]) -> str:
    """What a command prints in User-Mode Linux, by the tests' own harness."""
    from tests import uml  # noqa: PLC0415 - it asks for what only the tests need

    if problem := uml.missing():
        raise ImportError(problem)
    ran = uml.run(words, PATIENCE, memory="3G")
    if ran.status:
        raise RuntimeError(f"{' '.join(words[2:])}: {ran.output[-2000:]}")
    return ran.output.strip()


HEAD = (
    "mode", "Services x 10", "cold s", "CPU s", "change p50 ms", "p99 ms", "CPU ms", "RSS MB", "with tools MB",
    "kernel objects", "first packet p50 us", "p90 us", "p99 us",
)  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    figures, changes = row.figures, row.figures["changes"]
    return (
        row.mode,
        f"{row.services:,}",
        f"{figures['cold']:.2f}",
        f"{figures['cold_cpu']:.2f}",
        f"{at(changes, 0.5) * 1e3:.1f}",
        f"{at(changes, 0.99) * 1e3:.1f}",
        f"{figures['change_cpu'] * 1e3:.1f}",
        f"{figures['rss']:.0f}",
        f"{max(figures['rss'], figures['tools']):.0f}",
        ", ".join(f"{count:,} {name}" for name, count in figures["objects"].items()),
        *(f"{at(row.first, share) * 1e6:.0f}" for share in (0.5, 0.9, 0.99)),
    )


def at(values: Sequence[float], share: float) -> float:
    """A quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def plot(rows: Sequence[Row]) -> str:
    """First packets against the number of Services."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.mode.endswith(GUEST) and row.mode.removesuffix(GUEST) in MODES:
            continue  # it is there to compare with, in the table
        series.setdefault(row.mode, []).append((row.services, at(row.first, 0.5) * 1e6))
    return chart("First packet of a connection, median (SYN to SYN-ACK)", "Services", "us", series)


def targets(rows: Sequence[Row]) -> list[Target]:
    """What was promised for the largest size."""
    found = []
    largest = {row.mode: row for row in rows if row.services == SIZES[-1]}
    for mode, cold, change in (("nftables", 10.0, 0.04), ("iptables-legacy", 30.0, 2.0), ("iptables-nft", 30.0, 2.0)):
        if (row := largest.get(mode)) is None:
            continue
        seconds, median = row.figures["cold"], at(row.figures["changes"], 0.5)
        found.append(
            Target(f"{mode}: cold sync of 10k x 10 in at most {cold:g} s", f"{seconds:.1f} s", seconds <= cold)
        )
        text = f"{mode}: one change at 10k x 10 in at most {change * 1e3:g} ms (median)"
        found.append(Target(text, f"{median * 1e3:.1f} ms", median <= change))
        memory = row.figures["rss"]
        found.append(Target(f"{mode}: RSS at most 300 MB", f"{memory:.0f} MB", memory <= 300))
    guests = {row.mode: row for row in rows if row.services == SIZES[-1]}
    row = guests.get(f"ipvs{GUEST}")
    text = "ipvs, in User-Mode Linux: one change at 10k x 10 in at most 50 ms (median)"
    if row is None:
        found.append(Target(text, "only with --full", None))
    else:
        median = at(row.figures["changes"], 0.5)
        found.append(Target(text, f"{median * 1e3:.1f} ms", median <= 0.05))
        memory = row.figures["rss"]
        found.append(Target("ipvs: RSS at most 300 MB", f"{memory:.0f} MB", memory <= 300))
    return found


def keep_plot(folder: Path) -> None:
    """Put the plot beside the page."""
    PLOT.write_text((folder / "first-packet.svg").read_text())
