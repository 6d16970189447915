"""Starts the servers that are compared: the same names, one core, wildcard sockets of both families."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import machine, plan
from bench.queries import Query

KNOT = """\
server:
    rundir: {folder}
    listen: [ 0.0.0.0@{port}, "::@{port}" ]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}
log:
  - target: stderr
    any: error
zone:
  - domain: {zone}
    storage: {folder}
    file: zone
    journal-content: none
    zonefile-sync: -1
"""
NSD = """\
server:
    server-count: 1
    ip-address: 0.0.0.0@{port}
    ip-address: ::0@{port}
    username: ""
    database: ""
    zonesdir: "{folder}"
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    cookie-secret-file: "{folder}/cookies"
    minimal-responses: yes
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: {zone}
    zonefile: zone
"""
COREDNS_PROGRAM = "KDNS_BENCH_COREDNS"
"""The environment variable with the path of a CoreDNS binary; without it CoreDNS is left out."""


class Peer(NamedTuple):
    """A server that runs."""

    name: str
    pid: int
    port: int
    beside: tuple[int, ...] = ()
    """Processes of ours that work with it, and are no noise."""


def free_port() -> int:
    """A port that is free for UDP and TCP on all addresses just now."""
    while True:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_INET6) as tcp:
            udp.bind(("::", 0))
            port: int = udp.getsockname()[1]
            with contextlib.suppress(OSError):
                tcp.bind(("::", port))
                return port


def find(program: str) -> str | None:
    """Where a server program is; Debian keeps some outside a user's PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@contextlib.contextmanager
def running(folder: Path, names: Sequence[str]) -> Iterator[list[Peer]]:
    """All servers of ``names`` that are installed, started, and answering; stopped on the way out."""
    folder.chmod(0o755)  # nsd gives up root where a user of its name exists
    plan.write_zone(folder / "zone")
    plan.write_manifests(folder / "cluster.json")
    with contextlib.ExitStack() as stack:
        peers = []
        for name in names:
            port = free_port()
            argv = COMMANDS[name](folder, port)
            if argv is None:
                print(f"{name}: not installed, left out")
                continue
            process = stack.enter_context(started(argv, folder / f"{name}.log"))
            wait_for_answer(port, process, Query(plan.service_owner(0)), folder / f"{name}.log")
            peers.append(Peer(name, process.pid, port))
        yield peers


@contextlib.contextmanager
def started(
    argv: Sequence[str],
    log: Path,
    enter: Callable[[], None] = lambda: None,
    env: dict[str, str] | None = None,
    cpu: int | None = machine.SERVER_CPU,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process on the servers' core or another (None: on any), its output in a file.

    It is ended by SIGTERM, then SIGKILL after 10 s.
    """

    def before_exec() -> None:
        if cpu is not None:
            machine.pin(cpu)
        enter()

    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            preexec_fn=before_exec,  # noqa: PLW1509 - this process has one thread
            env=env,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_answer(port: int, process: "subprocess.Popen[bytes]", query: Query, log: Path) -> None:
    """Return when the server answers rightly for the first time; RuntimeError with its last words if it never does."""
    try:
        wait_for_reply(port, query, 60, lambda: process.poll() is None)
    except TimeoutError as error:
        last = log.read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{process.args!r}: {error}; its last words:\n{last}") from error


def wait_for_reply(port: int, query: Query, patience: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Ask until the answer is right. Raises TimeoutError after so many seconds, or when there is no server left."""
    until = time.monotonic() + patience
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        while time.monotonic() < until and alive():
            with contextlib.suppress(OSError):  # not listening yet, or too busy to answer in time
                sock.send(query.message(1))
                reply = sock.recv(4096)
                if reply[3] & 0x0F == query.rcode and reply[7] == query.answers:
                    return
            time.sleep(0.05)
    raise TimeoutError(f"no right answer on port {port} for {query.name}")


def versions(names: Sequence[str]) -> str:
    """What is compared, in the words of the programs themselves."""
    asked = {
        "knotd": ("knotd", "--version"),
        "nsd": ("nsd", "-v"),
        "dnsmasq": ("dnsmasq", "--version"),
        "unbound": ("unbound", "-V"),
        "coredns": (os.environ.get(COREDNS_PROGRAM, ""), "-version"),
        "kdns": (sys.executable, "-m", "kdns", "version"),
    }
    found = []
    for program, *flags in (asked[name] for name in names if name in asked):
        if program and (path := find(program)):
            done = subprocess.run((path, *flags), capture_output=True, text=True, check=False)
            said = (done.stdout + done.stderr).splitlines()[0].partition("  Copyright")[0]
            found.append(said.replace("Version", "unbound", 1) if program == "unbound" else said)
    return ", ".join(found)


def _knotd(folder: Path, port: int) -> list[str] | None:
    program = find("knotd")
    (folder / "knot.conf").write_text(KNOT.format(folder=folder, port=port, zone=plan.ZONE))
    return [program, "-c", str(folder / "knot.conf")] if program else None


def _nsd(folder: Path, port: int) -> list[str] | None:
    program = find("nsd")
    (folder / "nsd.conf").write_text(NSD.format(folder=folder, port=port, zone=plan.ZONE))
    return [program, "-d", "-c", str(folder / "nsd.conf")] if program else None


def _kdns(folder: Path, port: int) -> list[str]:
    return kdns_command(port, "--source", str(folder / "cluster.json"))


def kdns_command(port: int, *more: str, ready: str = "") -> list[str]:
    """`kdns serve` on a port, its metrics on, with nothing else listening but what is asked for."""
    metrics = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "kdns", "serve", "--port", str(port), "--metrics", metrics]
    return [*argv, "--health", "", "--ready", ready, *more]


COMMANDS: dict[str, Callable[[Path, int], list[str] | None]] = {"knotd": _knotd, "nsd": _nsd, "kdns": _kdns}
