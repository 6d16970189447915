"""How long DNS of `kdns node` waits while the proxy of the same process makes 10,000 Services from nothing.

One process, an API server that lists 9,999 Services with cluster IPs and 95,000 endpoints, mode nftables. A steady
stream of questions comes over loopback from the first answer on: while the proxy lists the cluster and writes its
rules; then with nothing else to do; then three times after another program has deleted the whole table.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from socket import AF_INET
from typing import NamedTuple

from bench import lines, machine, plan
from bench.cluster import api_server, source
from bench.peers import free_port, started, wait_for_answer
from bench.queries import Query
from bench.report import Target, table
from bench.rounds import percentile
from kdns.kernel.nftables import Nftables

RATE = 500
"""Questions a second."""
IDLE = 5.0
"""Seconds with nothing to do."""
TIMES = 3
"""How often the table is deleted."""
QUIET = 1.5
"""Seconds without a transaction after which the rules are taken to be whole."""
PATIENCE = 120.0
ABOUT = (
    f"`kdns node`, DNS and proxy in one process, {lines.SERVICES:,} Services with {lines.WITH_ENDPOINTS * 10:,} "
    f"endpoints, mode nftables: how long {RATE} questions a second wait."
)
HEAD = ("moment", "seconds", "DNS p50 ms", "p99 ms", "longest ms", "questions", "lost")
COREFILE = """.:{port} {{
    bind 127.0.0.1
    kubernetes cluster.local
}}
"""


class Moment(NamedTuple):
    """A part of the stream."""

    what: str
    begin: float
    end: float
    """Seconds of CLOCK_REALTIME."""

    def waits(self, pairs: Sequence[tuple[float, float | None]]) -> list[float | None]:
        """How long each question of this part waited."""
        return [seconds for sent, seconds in pairs if self.begin <= sent < self.end]


def measure(folder: Path) -> tuple[str, list[Target]]:
    """The table, and what it says of the promises; needs root and a network namespace of its own."""
    port = free_port()
    with api_server(folder, secure=False, arguments=("--no-headless",)) as api:
        log = folder / "kdns-node.log"
        argv = _command(folder, port, source(folder, api.port, secure=False))
        with started(argv, log, cpu=None) as process:
            wait_for_answer(port, process, Query(plan.service_owner(0)), log)
            with _stream(port) as stream:
                moments = _moments(log)
    pairs = stream.pairs
    text = table(HEAD, [_row(moment, moment.waits(pairs)) for moment in moments])
    waits: dict[bool, list[float | None]] = {True: [], False: []}
    for moment in moments:
        waits[moment.what == _IDLE] += moment.waits(pairs)
    return text, targets(waits[False], waits[True])


_IDLE = "nothing to do"


def targets(waits: Sequence[float | None], idle: Sequence[float | None]) -> list[Target]:
    """What was promised for DNS beside the proxy; ``idle`` are the waits with nothing to do, which show how quiet the
    machine was."""
    came, quiet = (sorted(wait for wait in some if wait is not None) for some in (waits, idle))
    p99, longest, lost = percentile(came, 0.99) * 1e3, came[-1] * 1e3, len(waits) - len(came)
    about = "kdns node, 10k Services from nothing"
    p99_text = f"{p99:.1f} ms ({percentile(quiet, 0.99) * 1e3:.1f} ms with nothing to do)"
    longest_text = f"longest {longest:.1f} ms ({quiet[-1] * 1e3:.1f} ms with nothing to do), {lost} lost"
    return [
        Target(f"{about}: DNS p99 at most 5 ms", p99_text, p99 <= 5 and not lost),
        Target(f"{about}: no stall over 20 ms", longest_text, longest <= 20 and not lost),
    ]


def _command(folder: Path, port: int, cluster: str) -> list[str]:
    (folder / "Corefile").write_text(COREFILE.format(port=port))
    (folder / "proxy.yaml").write_text(
        json.dumps(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
                "mode": "nftables", "hostnameOverride": "node-0", "clusterCIDR": "10.128.0.0/9",
                "conntrack": {"maxPerCore": 0},
            }
        )
    )  # fmt: skip
    configured = ("--conf", str(folder / "Corefile"), "--config", str(folder / "proxy.yaml"))
    return [sys.executable, "-m", "kdns", "node", *configured, "--source", cluster]


def _moments(log: Path) -> list[Moment]:
    """Go through all parts."""
    moments = []
    with Nftables(AF_INET) as tables:
        begin = time.time()
        _wait_for_rules(log)
        moments.append(Moment("cluster listed, rules written", begin, time.time()))
        _wait_until_quiet(tables)
        begin = time.time()
        time.sleep(IDLE)
        moments.append(Moment(_IDLE, begin, time.time()))
        for _ in range(TIMES):
            begin = time.time()
            subprocess.run(("nft", "delete", "table", "ip", "kube-proxy"), check=True)
            moments.append(Moment("table deleted and made again", begin, _wait_until_quiet(tables)))
    return moments


def _wait_for_rules(log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while "rules are written" not in log.read_text(errors="replace"):
        if time.monotonic() > until:
            raise RuntimeError(f"kdns node has not written its rules:\n{log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.05)


def _wait_until_quiet(tables: Nftables) -> float:
    """When the last transaction was made, once there was none for a while."""
    generation, last = tables.generation(), time.time()
    while time.time() < last + QUIET:
        time.sleep(0.05)
        if (now := tables.generation()) != generation:
            generation, last = now, time.time()
    return last


class _Stream:
    """A running `bench.steady`, and what it has measured once it has ended."""

    pairs: Sequence[tuple[float, float | None]] = ()


@contextlib.contextmanager
def _stream(port: int) -> Iterator[_Stream]:
    words = (sys.executable, "-m", "bench.steady", str(port), str(RATE))
    stream = _Stream()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield stream
        finally:
            printed, _ = process.communicate()
        stream.pairs = json.loads(printed)


def _row(moment: Moment, waits: Sequence[float | None]) -> tuple[str, ...]:
    came = sorted(wait for wait in waits if wait is not None)
    shares = (percentile(came, 0.5), percentile(came, 0.99), came[-1])
    milliseconds = (f"{share * 1e3:.1f}" for share in shares)
    return (
        moment.what,
        f"{moment.end - moment.begin:.1f}",
        *milliseconds,
        f"{len(waits):,}",
        str(len(waits) - len(came)),
    )


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("needs root")
    if "--urgent" in sys.argv[1:]:
        machine.hurry()
    machine.apart()
    with tempfile.TemporaryDirectory(prefix="kdns-bench-") as name:
        text, met = measure(Path(name))
    print(text)
    print("\n".join(target.line() for target in met))
