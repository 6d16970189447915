"""Tables for people, the same on a terminal and in docs/benchmarks.md."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.rounds import RATE, Result, Spread, cpu, ratio, spread

BASE = "knotd"
"""The server that the others are compared with, for names of the cluster."""


class Target(NamedTuple):
    """Something that was promised, and what was measured."""

    text: str
    measured: str
    met: bool | None
    """None: not measured on this machine."""

    def line(self) -> str:
        """One line with the verdict at its head."""
        verdict = {True: "met", False: "missed", None: "not run"}[self.met]
        return f"{verdict:<8} {self.text}: {self.measured}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns (words left, figures right), so that it reads well as it is."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    left = {n for n in range(len(head)) if any(row[n][:1].isalpha() for row in rows)}

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if n in left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join((first, *rest)) + " |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if n in left else ":") for n, width in enumerate(widths)) + "|"
    return "\n".join((line(head), rule, *map(line, rows)))


def query_head(against: str = BASE) -> tuple[str, ...]:
    """The head of `query_rows`."""
    x = f"x {against}"
    return ("workload", "server", x, "us", f"{x}, {RATE:,}/s", f"us, {RATE:,}/s", "p50 ms", "p99 ms", "trouble")


def query_rows(results: Sequence[Result], against: str = BASE) -> list[tuple[str, ...]]:
    """One row a server and workload; each is compared with the other server's row of the same workload."""
    rows = []
    for result in results:
        bases = (each for each in results if each.peer == against and each.workload.key == result.workload.key)
        base = next(bases, None)
        cells = [result.workload.title, result.peer]
        for samples, theirs in ((result.full, base and base.full), (result.slow, base and base.slow)):
            cells += [
                spread_text(ratio(samples, theirs) if theirs else None),
                _middle(spread(samples, cpu), "{:.2f}"),
            ]
        cells += [f"{wait:.2f}" for wait in (result.p50, result.p99)]
        trouble = sorted({sample.trouble for sample in (*result.full, *result.slow) if sample.trouble})
        rows.append((*cells, "; ".join(trouble)))
    return rows


def memory_line(resident: Sequence[tuple[str, float]]) -> str:
    """Resident memory of each server (name, MB) and its ratio to knotd's."""
    base = dict(resident).get(BASE)
    return ", ".join(f"{name} {mb:.0f} MB" + (f" ({mb / base:.1f} x knotd)" if base else "") for name, mb in resident)


def spread_text(values: Spread | None) -> str:
    """``4.12 (3.77-4.28)``, with ``~`` ahead when every round was noisy."""
    if values is None:
        return ""
    middle, low, high = (f"{value:.2f}" for value in values[:3])
    return f"{'~' * values.noisy}{middle} ({low}-{high})"


def _middle(values: Spread | None, form: str) -> str:
    return form.format(values.middle) if values else ""


LIMITS = {
    "hits": 1.2, "edns": 1.2, "headless": 1.2, "random": 1.1, "mixedcase": 1.1, "nxrandom": 1.1,
}  # fmt: skip
"""Workload -> at most so many times knotd's CPU for a query, saturated."""
SLOW_LIMIT = 1.45
"""The same at `RATE`, for hits."""


def query_targets(results: Sequence[Sequence[Result]]) -> list[Target]:
    """What the rows say of the promises about queries."""
    kdns = {result.workload.key: result for rows in results for result in rows if result.peer == "kdns"}
    base = {result.workload.key: result for rows in results for result in rows if result.peer == BASE}
    targets = []
    for key, most in LIMITS.items():
        if key in kdns and key in base:
            text = f"{kdns[key].workload.title}: at most {most} x knotd's CPU a query, saturated"
            targets.append(at_most(text, ratio(kdns[key].full, base[key].full), most))
    if "hits" in kdns and "hits" in base:
        text = f"{kdns['hits'].workload.title}, {RATE:,} a second: at most {SLOW_LIMIT} x knotd's CPU a query"
        targets.append(at_most(text, ratio(kdns["hits"].slow, base["hits"].slow), SLOW_LIMIT))
    for key in ("nodata", "nxdomain", "nxrandom"):
        if key in kdns and "hits" in kdns:
            # "As cheap as": within the scatter that the same server shows between rounds, a tenth.
            text = f"{kdns[key].workload.title}: as cheap as hits (at most 1.1 x)"
            targets.append(at_most(text, ratio(kdns[key].full, kdns["hits"].full), 1.1))
    return targets


def at_most(text: str, measured: Spread | None, most: float) -> Target:
    """A ratio that was promised."""
    return Target(text, spread_text(measured) or "nothing", measured.middle <= most if measured else None)
