"""Tables for people, the same on a terminal and in docs/benchmarks.md."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.rounds import Result, Spread, cpu, qps, ratio, spread

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
    return (
        "workload", "server", "flood us/query", x, "flood qps", x, "dnsperf us/query", x,
        "dnsperf qps", x, "p50 ms", x, "p99 ms", x, "trouble",
    )  # fmt: skip


def query_rows(results: Sequence[Result], against: str = BASE) -> list[tuple[str, ...]]:
    """One row a server and workload; each is compared with the other server's row of the same workload."""
    rows = []
    for result in results:
        bases = (each for each in results if each.peer == against and each.workload.key == result.workload.key)
        base = next(bases, None)
        cells = [result.workload.title, result.peer]
        for samples, theirs in ((result.flood, base and base.flood), (result.perf, base and base.perf)):
            cells += [
                spread_text(spread(samples, cpu)),
                spread_text(ratio(samples, theirs) if theirs else None),
                _middle(spread(samples, lambda sample: sample.qps / 1000), "{:.0f}k"),
                _middle(ratio(samples, theirs, qps) if theirs else None, "{:.2f}"),
            ]
        for mine, others in ((result.p50, base and base.p50), (result.p99, base and base.p99)):
            cells += [f"{mine:.2f}", f"{mine / others:.2f}" if others else ""]
        trouble = sorted({sample.trouble for sample in (*result.flood, *result.perf) if sample.trouble})
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


def query_targets(results: Sequence[Sequence[Result]]) -> list[Target]:
    """What the rows say of the promises about queries."""
    kdns = {result.workload.key: result for rows in results for result in rows if result.peer == "kdns"}
    base = {result.workload.key: result for rows in results for result in rows if result.peer == BASE}
    targets = []
    for key in ("hits", "edns", "headless"):
        if key in kdns and key in base:
            found = ratio(kdns[key].flood, base[key].flood)
            text = f"{kdns[key].workload.title}: at most 1.2 x knotd's CPU a query, saturated"
            targets.append(Target(text, spread_text(found), found.middle <= 1.2 if found else None))
    for key in ("nodata", "nxdomain", "nxrandom"):
        if key in kdns and "hits" in kdns:
            # "As cheap as": within the scatter that the same server shows between rounds, a tenth.
            found = ratio(kdns[key].flood, kdns["hits"].flood)
            text = f"{kdns[key].workload.title}: as cheap as hits (at most 1.1 x)"
            targets.append(Target(text, spread_text(found), found.middle <= 1.1 if found else None))
    return targets
