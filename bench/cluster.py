"""kdns at a large cluster: time to sync, memory, memory during relists, and how soon a change is answered."""

import contextlib
import http.client
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from bench import lines, machine, peers, plan
from bench.cgroup import Cgroup
from bench.peers import free_port, kdns_command, started
from bench.queries import Query
from bench.report import Target, table
from bench.rounds import NOISE, percentile

LIMIT_MB = 170 * 1.048576
"""170Mi, the limit of the Deployment whose place we take, in MB."""
SECRETS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
UPDATES_A_SECOND = 100


class Changes(NamedTuple):
    """Some changes of one sort, and how long each waited for the answer that shows it."""

    what: str
    rate: int
    """A second."""
    seconds: list[float]
    """Sorted."""
    cpu: float
    """Milliseconds of server CPU for each, the questions that look out for it included; NaN when not measured."""

    def milliseconds(self, share: float) -> float:
        """The time within which this share of the changes was answered."""
        return percentile(self.seconds, share) * 1000


class Grown(NamedTuple):
    """Memory at one moment, in MB."""

    moment: str
    resident: float
    peak: float
    """The most since the moment before."""


def measure(folder: Path, seconds: float) -> tuple[str, list[Target]]:
    """Everything about one kdns and one API server; a table and the verdicts."""
    secure = os.geteuid() == 0
    with api_server(folder, secure) as api, Cgroup.make(170 * 1024 * 1024) as cgroup:
        ready, port = f"127.0.0.1:{free_port()}", free_port()
        argv = kdns_command(port, "--source", source(folder, api.port, secure), "--startup-timeout", "60s", ready=ready)
        env = {**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
        log = folder / "kdns-cluster.log"
        busy, began = machine.busy_seconds(), machine.now()
        with started(argv, log, cgroup.enter, env) as process:
            became_ready = wait_until_ready(ready, process, log)
            synced = became_ready - api.ask("listed")["first_byte"]
            cpu = machine.cpu_seconds(process.pid)
            time.sleep(1)  # what sync leaves behind is frozen and given back by then
            grown = [_grown("synced", process.pid)]
            count = max(100, int(seconds * 2 * UPDATES_A_SECOND))
            small, _ = _changes(api, process.pid, "update", "one of 10 endpoints", port, count, UPDATES_A_SECOND)
            grown.append(_grown(f"{count} updates", process.pid))
            big, whole = _changes(api, process.pid, "update_big", "one of 5,000 endpoints", port, count // 2, 20)
            for generation, moment in ((0, "relist, all the same"), (1, "relist, all other Pods")):
                api.ask("relist", generation=generation)
                _wait_until_shown(port, generation)
                time.sleep(1)
                grown.append(_grown(moment, process.pid))
            peak = cgroup.peak_mb()
            killed = process.poll() is not None
            ours = machine.cpu_seconds(process.pid) + machine.cpu_seconds(api.pid) + time.process_time()
            others = (machine.busy_seconds() - busy - ours) / (machine.now() - began)
    text = _text(api.secure, (synced, cpu), grown, peak, (small, big, whole), others)
    return text, _targets(synced, grown, peak, killed, (small, big), " (noisy)" * (others > NOISE))


def _changes(api: "_Api", pid: int, order: str, what: str, port: int, count: int, rate: int) -> tuple[Changes, Changes]:
    """So many changes, and the answers that were the first ones after each where the order asks for them."""
    before = machine.cpu_seconds(pid)
    done = api.ask(order, port=port, count=count, rate=rate)
    cpu = (machine.cpu_seconds(pid) - before) / count * 1000
    whole = Changes(f"{what}: first whole answer", rate, sorted(done.get("whole", ())), float("nan"))
    return Changes(what, rate, sorted(done["seconds"]), cpu), whole


def _targets(
    synced: float,
    grown: list[Grown],
    peak: float | None,
    killed: bool,
    changes: tuple[Changes, Changes],
    noisy: str,
) -> list[Target]:
    small, big = changes
    relist = max(moment.peak for moment in grown if moment.moment.startswith("relist"))
    p99, one, resident = small.milliseconds(0.99), big.milliseconds(0.50), grown[0].resident
    limited = "no memory cgroup to be had" if peak is None else f"{peak:.0f} MB" + ", killed" * killed
    return [
        Target("sync of 10k Services, 100k endpoints in at most 3 s", f"{synced:.2f} s{noisy}", synced <= 3),
        Target("resident at most 130 MB", f"{resident:.0f} MB", resident <= 130),
        Target("never above 160 MB resident during a relist", f"{relist:.0f} MB", relist <= 160),
        Target("stays within a cgroup of 170Mi", limited, None if peak is None else not killed and peak < LIMIT_MB),
        Target(
            f"change to answer, p99 at {UPDATES_A_SECOND} updates/s, at most 10 ms", f"{p99:.1f} ms{noisy}", p99 <= 10
        ),
        Target("one endpoint of 5,000: median at most 5 ms", f"{one:.1f} ms{noisy}", one <= 5),
    ]


def _text(
    secure: bool,
    synced: tuple[float, float],
    grown: list[Grown],
    peak: float | None,
    changes: Sequence[Changes],
    others: float,
) -> str:
    memory = table(
        ("moment", "resident MB", "peak MB"),
        [(moment.moment, f"{moment.resident:.0f}", f"{moment.peak:.0f}") for moment in grown],
    )
    rows = []
    for kind in changes:
        times = (f"{kind.milliseconds(share):.2f}" for share in (0.5, 0.99, 1))
        cpu = "" if math.isnan(kind.cpu) else f"{kind.cpu:.2f}"
        rows.append((kind.what, f"{kind.rate}/s", str(len(kind.seconds)), *times, cpu))
    answered = table(("change", "rate", "changes", "p50 ms", "p99 ms", "most ms", "server CPU ms"), rows)
    transport = "TLS, service account" if secure else "plain HTTP, kubeconfig"
    limited = "No memory cgroup: not limited."
    if peak is not None:
        limited = f"Most that the cgroup of 170Mi was charged: {peak:.0f} MB."
    return (
        f"10k Services, 100k endpoints ({transport}): ready {synced[0]:.2f} s after the first byte of the lists, "
        f"{synced[1]:.2f} s of server CPU after its start. "
        f"{limited} Others used {max(others, 0):.0%} of a core meanwhile.\n\n{memory}\n\n{answered}"
    )


def _grown(moment: str, pid: int) -> Grown:
    grown = Grown(moment, machine.resident_mb(pid), machine.resident_mb(pid, "VmHWM"))
    machine.forget_peak(pid)
    return grown


class _Api(NamedTuple):
    """The API server's process, which takes orders."""

    pid: int
    port: int
    secure: bool
    orders: IO[str]
    answers: IO[str]

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        self.orders.write(json.dumps({"do": what, **arguments}) + "\n")
        self.orders.flush()
        return _answer(self.answers)


@contextlib.contextmanager
def api_server(folder: Path, secure: bool, arguments: Sequence[str] = ()) -> Iterator[_Api]:
    """`bench.apiserver`, started and listening; ended on the way out."""
    argv = [sys.executable, "-m", "bench.apiserver", *arguments]
    if secure:
        argv += ["--certificate", str(_certificate(folder))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        orders, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        try:
            yield _Api(process.pid, _answer(answers)["port"], secure, orders, answers)
        finally:
            orders.close()
            process.wait(20)


def _answer(answers: IO[str]) -> dict[str, Any]:
    text = answers.readline()
    if not text:
        raise RuntimeError("the API server of the benchmark has ended; what it said is above")
    answer: dict[str, Any] = json.loads(text)
    return answer


def _certificate(folder: Path) -> Path:
    """A key and certificate for 127.0.0.1 in one PEM, and the certificate alone beside it."""
    key, certificate, both = folder / "key.pem", folder / "ca.crt", folder / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
    more = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate))
    subprocess.run((*command.split(), *more), check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def source(folder: Path, port: int, secure: bool) -> str:
    """Where kdns finds the API server: as a Pod does when root, by a kubeconfig otherwise."""
    if secure:
        # This process has a mount namespace of its own: nobody else sees this /run.
        subprocess.run(("mount", "-t", "tmpfs", "tmpfs", "/run"), check=True)
        SECRETS.mkdir(parents=True)
        (SECRETS / "token").write_text("bench")
        (SECRETS / "namespace").write_text("kube-system")
        (SECRETS / "ca.crt").write_bytes((folder / "ca.crt").read_bytes())
        return "cluster"
    (folder / "kubeconfig").write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "bench",
                "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "bench", "user": {"token": "bench"}}],
                "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            }
        )
    )  # fmt: skip
    return f"kubeconfig:{folder / 'kubeconfig'}"


def wait_until_ready(ready: str, process: "subprocess.Popen[bytes]", log: Path, patience: float = 120) -> float:
    """The moment /ready said 200 for the first time."""
    until = machine.now() + patience
    said = "nothing"
    while machine.now() < until and process.poll() is None:
        connection = http.client.HTTPConnection(ready, timeout=5)
        try:
            connection.request("GET", "/ready")
            response = connection.getresponse()
            said = f"{response.status} {response.read(500)!r}"
            if response.status == http.client.OK:
                return machine.now()
        except OSError as error:
            said = str(error)
        finally:
            connection.close()
        time.sleep(0.02)
    last = log.read_text(errors="replace")[-1500:]
    raise RuntimeError(f"kdns is not ready: /ready said {said}; its last words:\n{last}")


def _wait_until_shown(port: int, generation: int) -> None:
    """Until the last endpoint of the list has its name: the relist is over."""
    address = lines.big_addresses(lines.BIG_SLICES - 1, generation)[-1]
    name = f"{address.replace('.', '-')}.big.many.svc.{plan.ZONE}"
    peers.wait_for_reply(port, Query(name), 60)
