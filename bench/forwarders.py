"""Starts the servers that forward and cache: kdns with kubeadm's Corefile, dnsmasq and unbound, and who they ask."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import machine, plan
from bench.peers import COREDNS_PROGRAM, Peer, find, free_port, started, wait_for_answer
from bench.queries import Query

COREFILE = """\
.:{port} {{
    errors
    health 127.0.0.1:{health}
    ready 127.0.0.1:{ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus 127.0.0.1:{metrics}
    forward . 127.0.0.1:{upstream} {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success cluster.local
       disable denial cluster.local
    }}
    loop
    reload
    loadbalance
}}
"""
"""kubeadm's, but for addresses, and without lameduck, which would only make us wait at the end."""
COREDNS = """\
.:{port} {{
    errors
    forward . 127.0.0.1:{upstream} {{
       max_concurrent 2000
    }}
    cache 30
    loadbalance
}}
"""
"""What of kubeadm's Corefile a name outside passes."""
PLUGINS = "kdns, plugins"
"""kdns with `rewrite` and `log` in its block, and its log written to a file."""
UNBOUND = """\
server:
    interface: 0.0.0.0@{port}
    interface: ::0@{port}
    access-control: 127.0.0.0/8 allow
    do-daemonize: no
    use-syslog: no
    verbosity: 0
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    outgoing-range: 4096
    num-queries-per-thread: 2048
    so-rcvbuf: 4m
    msg-cache-size: 64m
    rrset-cache-size: 64m
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream}
"""
_FIRST = Query("first.example.com")


@contextlib.contextmanager
def running(folder: Path, names: Sequence[str], delay: float = 0.0) -> Iterator[list[Peer]]:
    """All servers of ``names`` that are installed, answering, in front of an upstream so many seconds away."""
    plan.write_manifests(folder / "cluster.json")
    with contextlib.ExitStack() as stack:
        upstream = free_port()
        argv = [sys.executable, "-m", "bench.upstream", str(upstream), str(delay)]
        log = folder / "upstream.log"
        behind = stack.enter_context(started(argv, log, cpu=machine.CLIENT_CPU))
        wait_for_answer(upstream, behind, _FIRST, log)
        peers = []
        for name in names:
            port = free_port()
            command = COMMANDS[name](folder, port, upstream)
            if command is None:
                print(f"{name}: not installed, left out")
                continue
            log = folder / f"{name}-forwards.log"
            process = stack.enter_context(started(command, log))
            wait_for_answer(port, process, _FIRST, log)
            peers.append(Peer(name, process.pid, port, (behind.pid,)))
        yield peers


def _dnsmasq(_: Path, port: int, upstream: int) -> list[str] | None:
    # Its cache is larger than what is asked: once it is full a miss costs it ten times as much.
    program = find("dnsmasq")
    flags = f"--keep-in-foreground --conf-file=/dev/null --pid-file= --port={port} --no-resolv --no-hosts --user=root"
    flags += f" --server=127.0.0.1#{upstream} --cache-size=100000 --dns-forward-max=2000"
    return [program, *flags.split()] if program else None


def _unbound(folder: Path, port: int, upstream: int) -> list[str] | None:
    program = find("unbound")
    (folder / "unbound.conf").write_text(UNBOUND.format(folder=folder, port=port, upstream=upstream))
    return [program, "-d", "-c", str(folder / "unbound.conf")] if program else None


def _coredns(folder: Path, port: int, upstream: int) -> list[str] | None:
    program = os.environ.get(COREDNS_PROGRAM)
    (folder / "Corefile.coredns").write_text(COREDNS.format(port=port, upstream=upstream))
    # one thread, as the others have
    return ["env", "GOMAXPROCS=1", program, "-conf", str(folder / "Corefile.coredns"), "-quiet"] if program else None


def _kdns(folder: Path, port: int, upstream: int, more: str = "") -> list[str]:
    ports = {name: free_port() for name in ("health", "ready", "metrics")}
    corefile = folder / f"Corefile.{port}"
    corefile.write_text(
        COREFILE.format(port=port, upstream=upstream, **ports).replace("    errors\n", "    errors\n" + more)
    )
    argv = [sys.executable, "-m", "kdns", "serve", "--conf", str(corefile)]
    return [*argv, "--source", str(folder / "cluster.json"), "--quiet"]


def _plugins(folder: Path, port: int, upstream: int) -> list[str]:
    return _kdns(folder, port, upstream, "    log\n    rewrite name exact old.example.com new.example.com\n")


COMMANDS: dict[str, Callable[[Path, int, int], list[str] | None]] = {
    "dnsmasq": _dnsmasq,
    "unbound": _unbound,
    "coredns": _coredns,
    "kdns": _kdns,
    PLUGINS: _plugins,
}
