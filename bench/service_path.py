"""What the Service path costs: rules written cold, one endpoint changed, and the first packet of a connection."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import node_dns
from bench.plot import chart
from bench.report import Target, table

KEY = "path"
SIZES = (100, 1_000, 5_000, 10_000)
ENDPOINTS = 10
LARGE = ((5_006, 50), (44_125, 2))
"""Services and endpoints of each; mode nftables alone. Others have published figures for these (see the page)."""
FLOWS, STALE = 1_000_000, 600_000
STICKY = 500
"""Services with affinity, 5,000 endpoints and so 5,000 sets in all; those without it are measured."""
MODES = ("nftables", "iptables-legacy", "iptables-nft")
GUEST = " (UML)"
"""Run in User-Mode Linux, since few machines have ip_vs: slower, so iptables-legacy is there, too, to compare with."""
GUEST_SIZES = (100, 1_000)
"""Of iptables-legacy there, and of IPVS in a short run."""
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-proxy.md"
PLOTS = ("first-packet.svg", "one-change.svg")
"""Beside the page."""
CHANGES: Mapping[str, int] = {"nftables": 100, "iptables-legacy": 20, "iptables-nft": 20}
"""At each size: p99 of twenty is the slowest."""
CONNECTIONS = 1_000
PATIENCE = 900.0


class Row(NamedTuple):
    """One mode at one size."""

    mode: str
    services: int
    endpoints: int
    figures: dict[str, Any]
    """See `bench.path_worker`."""
    first: Sequence[float]
    """Sorted seconds of first packets."""


def measure(folder: Path, *, full: bool) -> tuple[str, list[Target]]:
    """The tables, and what they say of the promises. Needs root. ``full``: in the guest, too, up to the largest."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # the rest of the bench keeps its clients on one core
    rows: list[Row] = []
    seconds = 60 if full else 10
    plan = [(mode, services, ENDPOINTS) for mode in MODES for services in SIZES]
    plan += [("nftables", *size) for size in LARGE]
    plan += [(f"ipvs{GUEST}", services, ENDPOINTS) for services in (SIZES if full else GUEST_SIZES)]
    plan += [(f"iptables-legacy{GUEST}", services, ENDPOINTS) for services in GUEST_SIZES]
    for mode, services, endpoints in plan:
        steady = seconds if (mode, services) == ("nftables", SIZES[-1]) else 0
        try:
            figures = run("bench.path_worker", mode, services, endpoints, CHANGES.get(mode, 20), steady, apart=True)
            connections = CONNECTIONS if endpoints == ENDPOINTS else 0
            first = run("bench.first_packet", mode, services, connections) if connections else ()
            rows.append(Row(mode, services, endpoints, figures, first))
        except ImportError as error:
            print(f"left out: {mode}: {error}", flush=True)
            continue
        print(table(HEAD, [cells(rows[-1], rows)]), flush=True)
    sticky = run("bench.path_worker", "nftables", 5_000, ENDPOINTS, 100, 0, STICKY, apart=True)
    beside, beside_met = node_dns.measure(folder)
    text = "\n\n".join((table(HEAD, [cells(row, rows) for row in rows]), node_dns.ABOUT, beside))
    for name, picture in zip(PLOTS, plots(rows), strict=True):
        (folder / name).write_text(picture)
    flows = flow_targets() if full else ()
    return text, [*nftables_targets(rows, sticky), *beside_met, *targets(rows), *flows]


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
    "mode", "Services", "cold, x nftables", "CPU s", "change, x nftables", "p50 ms", "p99 ms", "RSS MB",
    "first packet us",
)  # fmt: skip


def cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """A row of the table, beside nftables of the same size."""
    figures, changes = row.figures, row.figures["changes"]
    same = (row.services, row.endpoints)
    beside = next((one for one in rows if one.mode == "nftables" and (one.services, one.endpoints) == same), row)
    cold = figures["cold_cpu"] / beside.figures["cold_cpu"]
    change = at(changes, 0.5) / at(beside.figures["changes"], 0.5)
    return (
        row.mode,
        f"{row.services:,} x {row.endpoints}",
        f"{cold:.1f}",
        f"{figures['cold_cpu']:.2f}",
        f"{change:.0f}",
        f"{at(changes, 0.5) * 1e3:.2f}",
        f"{at(changes, 0.99) * 1e3:.2f}",
        f"{figures['rss']:.0f}",
        f"{at(row.first, 0.5) * 1e6:.0f}" if row.first else "",
    )


def at(values: Sequence[float], share: float) -> float:
    """A quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def plots(rows: Sequence[Row]) -> tuple[str, str]:
    """First packets, and one change, against the number of Services."""
    packets: dict[str, list[tuple[float, float]]] = {}
    changes: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.mode.endswith(GUEST) and row.mode.removesuffix(GUEST) in MODES:
            continue  # it is there to compare with, in the table
        if row.endpoints == ENDPOINTS:
            packets.setdefault(row.mode, []).append((row.services, at(row.first, 0.5) * 1e6))
            changes.setdefault(row.mode, []).append((row.services, at(row.figures["changes"], 0.5) * 1e3))
    return (
        chart("First packet of a connection, median (SYN to SYN-ACK)", "Services", "us", packets),
        chart("One endpoint replaced, median (until the kernel has it)", "Services", "ms", changes),
    )


def flow_targets() -> list[Target]:
    """What was promised for stale UDP flows, in User-Mode Linux: elsewhere the table is everyone's."""
    text = f"UDP flows: {STALE:,} of {FLOWS:,} deleted in at most 20 s"
    words = (sys.executable, "-m", "bench.flows_worker", str(FLOWS), str(STALE))
    try:
        figures = json.loads(_in_guest(words).splitlines()[-1])
    except ImportError as error:
        return [Target(text, str(error), None)]
    seconds, stall = figures["seconds"], figures["stall"]
    whole = seconds <= 20 and figures["deleted"] == STALE
    return [Target(text, f"{seconds:.1f} s, {figures['deleted']:,} deleted, longest stall {stall * 1e3:.0f} ms", whole)]


def nftables_targets(rows: Sequence[Row], sticky: Mapping[str, Any]) -> list[Target]:
    """What was promised for mode nftables; seconds are CPU seconds, of kdns and the tools it runs."""
    promised = []

    def at_most(text: str, value: float, most: float, unit: str) -> None:
        promised.append(Target(f"nftables: {text} at most {most:g} {unit}", f"{value:.2f} {unit}", value <= most))

    sizes = {(row.services, row.endpoints): row.figures for row in rows if row.mode == "nftables"}
    for size, most in (((10_000, 10), 2.0), (LARGE[0], 5.0), (LARGE[1], 8.0)):
        if size in sizes:
            at_most(f"{size[0]:,} x {size[1]} cold", sizes[size]["cold_cpu"], most, "s")
            at_most(f"{size[0]:,} x {size[1]} adopted by a restart", sizes[size]["adopt_cpu"], 3.0, "s")
            at_most(f"{size[0]:,} x {size[1]}, a foreign change repaired after", sizes[size]["repair"], 1.0, "s")
            wrote = sizes[size]["adopt_wrote"]
            text = f"nftables: a restart at {size[0]:,} x {size[1]} writes nothing"
            promised.append(Target(text, f"{wrote} rules and elements", wrote == 0))
    if figures := sizes.get((10_000, 10)):
        at_most("one change at 10,000 x 10, p50", at(figures["changes"], 0.5) * 1e3, 1.0, "ms")
        at_most("one change at 10,000 x 10, p99", at(figures["changes"], 0.99) * 1e3, 5.0, "ms")
        at_most("RSS at 10,000 x 10", figures["rss"], 130.0, "MB")
        at_most("100 changes a second at 10,000 x 10", figures["share"] * 100, 15.0, "% of a core")
        waits = "some" if figures["waiting"] else "none"
        promised.append(Target("nftables: none of them waits afterwards", waits, not figures["waiting"]))
    at_most("one change beside 5,000 affinity sets, p50", at(sticky["changes"], 0.5) * 1e3, 1.0, "ms")
    return promised


def targets(rows: Sequence[Row]) -> list[Target]:
    """What was promised for the largest size of the other modes."""
    promised = []
    largest = {row.mode: row for row in rows if row.services == SIZES[-1]}
    for mode, cold, change in (("iptables-legacy", 30.0, 1.5), ("iptables-nft", 15.0, 2.0)):
        if (row := largest.get(mode)) is None:
            continue
        seconds, median = row.figures["cold_cpu"], at(row.figures["changes"], 0.5)
        text = f"{mode}: cold sync of 10k x 10 in at most {cold:g} s of CPU"
        promised.append(Target(text, f"{seconds:.1f} s", seconds <= cold))
        text = f"{mode}: one change at 10k x 10 in at most {change * 1e3:g} ms (median)"
        promised.append(Target(text, f"{median * 1e3:.1f} ms", median <= change))
        memory = row.figures["rss"]
        promised.append(Target(f"{mode}: RSS at most 300 MB", f"{memory:.0f} MB", memory <= 300))
    guests = {row.mode: row for row in rows if row.services == SIZES[-1]}
    row = guests.get(f"ipvs{GUEST}")
    text = "ipvs, in User-Mode Linux: one change at 10k x 10 in at most 50 ms (median)"
    if row is None:
        promised.append(Target(text, "only with --full", None))
    else:
        median = at(row.figures["changes"], 0.5)
        promised.append(Target(text, f"{median * 1e3:.1f} ms", median <= 0.05))
        memory = row.figures["rss"]
        promised.append(Target("ipvs: RSS at most 300 MB", f"{memory:.0f} MB", memory <= 300))
    return promised


def keep_plots(folder: Path) -> None:
    """Put the plots beside the page."""
    for name in PLOTS:
        (PAGE.parent / name).write_text((folder / name).read_text())
