"""`make bench`, or ``python -m bench``: measure, print, and with ``--write`` keep the tables in docs/benchmarks.md."""

import argparse
import datetime
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench import (
    cluster,
    explaining,
    forwarders,
    forwarding,
    local_dns,
    machine,
    observers,
    peers,
    plan,
    queries,
    report,
    rounds,
    service_path,
    status_pages,
)
from bench.plot import dots
from bench.report import Target

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MARK = "<!-- Below this line: written by `make bench ARGS=--write`. -->"
CLUSTER = "cluster"
DNS = (
    *(workload.key for workload in queries.WORKLOADS), observers.KEY, *forwarding.KEYS, CLUSTER, explaining.KEY,
    status_pages.KEY, local_dns.KEY,
)  # fmt: skip
"""What stands on `PAGE`."""
GROUPS = {"dns": DNS}
KEYS = (*DNS, service_path.KEY)
PLOT = PAGE.with_name("cost-of-a-query.svg")
SERVERS = tuple(dict.fromkeys((*peers.COMMANDS, *forwarders.COMMANDS)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    arguments = _arguments(argv)
    only = {key for word in arguments.only or KEYS for key in GROUPS.get(word, (word,))}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers, namespaces and cgroups are cleared away
    if arguments.urgent:
        machine.hurry()
    where = machine.apart()
    machine.pin(machine.CLIENT_CPU)
    rounds_text = f"{arguments.rounds} rounds of {arguments.seconds:g} s{', at nice -20' * arguments.urgent}"
    page = [
        f"Run of {datetime.date.today():%d %B %Y} on {machine.description()}. "
        f"{where[0].upper()}{where[1:]}; servers on CPU 0, clients on CPU 1; {rounds_text}. "
        f"{peers.versions(arguments.servers)}."
    ]
    say(page[0])
    with tempfile.TemporaryDirectory(prefix="kdns-bench-") as name:
        folder = Path(name)
        if not only.isdisjoint(DNS):
            texts, targets, measured = _dns(folder, only, arguments)
            keep(PAGE, [*page, *texts], targets, write=arguments.write)
            if arguments.write and measured:
                PLOT.write_text(_plot(measured))
        if service_path.KEY in only:
            urgent = ", at nice -20" * arguments.urgent
            about = f"Run of {datetime.date.today():%d %B %Y} on {machine.description()}{urgent}."
            text, met = service_path.measure(folder, full=arguments.full)
            keep(service_path.PAGE, [about, text], met, write=arguments.write)
            if arguments.write:
                service_path.keep_plots(folder)


def _dns(
    folder: Path, only: Collection[str], arguments: argparse.Namespace
) -> tuple[list[str], list[Target], list[Sequence[rounds.Result]]]:
    """Everything on `PAGE` that was asked for: texts, verdicts, and what a query costs."""
    texts: list[str] = []
    targets: list[Target] = []
    measured: list[Sequence[rounds.Result]] = []
    workloads = [workload for workload in queries.WORKLOADS if workload.key in only]
    if workloads:
        text, met, results = _queries(folder, workloads, arguments)
        texts.append(text)
        targets += met
        measured += results
    if not set(forwarding.KEYS).isdisjoint(only):
        more, met, results = forwarding.measure(folder, only, arguments.servers, arguments.rounds, arguments.seconds)
        texts += more
        targets += met
        measured += results
    others: dict[str, Callable[[], tuple[str, list[Target]]]] = {
        observers.KEY: lambda: observers.measure(folder, arguments.rounds, arguments.seconds),
        CLUSTER: lambda: cluster.measure(folder, arguments.seconds),
        explaining.KEY: lambda: explaining.measure(folder),
        status_pages.KEY: lambda: status_pages.measure(folder),
        local_dns.KEY: local_dns.measure,
    }
    for key, measure in others.items():
        if key in only:
            text, met = measure()
            say("\n" + text)
            texts.append(text)
            targets += met
    return texts, targets, measured


def keep(page: Path, parts: Sequence[str], targets: Sequence[Target], *, write: bool) -> None:
    """Print the verdicts, and put everything below the mark of a page if that is wanted."""
    verdicts = "\n".join(target.line() for target in targets)
    say("\n" + verdicts)
    if write:
        head = page.read_text().split(MARK, 1)[0]
        page.write_text(head + MARK + "\n\n" + "\n\n".join((*parts, f"```text\n{verdicts}\n```")) + "\n")
        say(f"\nwritten to {page.name}")


def say(text: str) -> None:
    """Print at once: people watch."""
    print(text, flush=True)


def _queries(
    folder: Path, workloads: Sequence[queries.Workload], arguments: argparse.Namespace
) -> tuple[str, list[Target], list[Sequence[rounds.Result]]]:
    results: list[Sequence[rounds.Result]] = []
    head, names = report.query_head(), [name for name in peers.COMMANDS if name in arguments.servers]
    with peers.running(folder, names) as running:
        for workload in workloads:
            results.append(rounds.measure(workload, running, arguments.rounds, arguments.seconds, folder))
            rows = report.query_rows(results[-1])
            say("\n" + report.table(head, rows))
        memory = report.memory_line([(peer.name, machine.resident_mb(peer.pid)) for peer in running])
    memory = f"Resident after all this, with {plan.SERVICES:,} Services: {memory}."
    say("\n" + memory)
    rows = [row for result in results for row in report.query_rows(result)]
    return report.table(head, rows) + "\n\n" + memory, report.query_targets(results), results


def _plot(measured: Sequence[Sequence[rounds.Result]]) -> str:
    rows: dict[str, dict[str, float]] = {}
    for result in (result for results in measured for result in results):
        middle = rounds.spread(result.full, rounds.cpu)
        if middle is not None and result.peer != forwarders.PLUGINS:
            rows.setdefault(result.workload.title, {})[result.peer] = middle.middle
    return dots("What a query costs", "microseconds of the server's CPU, saturated", rows)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*GROUPS, *KEYS),
        metavar="KEY",
        help=f"some of: dns (all but {service_path.KEY}) {' '.join(KEYS)}",
    )
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--rounds", type=int, help="how often everything is repeated (2; with --full 5)")
    parser.add_argument("--seconds", type=float, help="how long each load lasts (0.5)")
    parser.add_argument("--full", action="store_true", help="more rounds; the Service path with all its sizes")
    parser.add_argument("--urgent", action="store_true", help="ahead of all other processes (root), where others work")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    arguments = parser.parse_args(argv)
    arguments.rounds = arguments.rounds or (5 if arguments.full else 2)
    arguments.seconds = arguments.seconds or 0.5
    return arguments


if __name__ == "__main__":
    main()
