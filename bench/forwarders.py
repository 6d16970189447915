"""Starts the servers that forward and cache: kdns with kubeadm's Corefile, dnsmasq and unbound, and who they ask."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import machine, plan
from bench.peers import COREDNS_PROGRAM, Peer, find, free_port, started, wait_for_answer
from bench.queries import Query, Way

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
       max_concurrent 2000
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
"""kubeadm's, but for addresses, without lameduck, which would only make us wait at the end, and with max_concurrent of
2000 instead of 1000: with the question of `loop` a wave of 1,000 would be one too many."""
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
    outgoing-num-tcp: 200
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
def running(folder: Path, names: Sequence[str], delay: float = 0.0, way: Way = "udp") -> Iterator[list[Peer]]:
    """All servers of ``names`` that can, answering, in front of an upstream so many seconds away, asked in one way."""
    plan.write_manifests(folder / "cluster.json")
    with contextlib.ExitStack() as stack:
        upstream = free_port()
        argv = [sys.executable, "-m", "bench.upstream", str(upstream), str(delay)]
        log = folder / "upstream.log"
        behind = stack.enter_context(started(argv, log, cpu=machine.CLIENT_CPU))
        wait_for_answer(upstream, behind, _FIRST, log)
        beside = [behind.pid]
        if way != "udp":
            argv = [
                sys.executable,
                "-m",
                "bench.stream_upstream",
                str(upstream),
                str(certificate(folder)) * (way == "tls"),
            ]
            streams = stack.enter_context(started(argv, folder / "streams.log", cpu=machine.CLIENT_CPU))
            beside.append(streams.pid)
        peers = []
        for name in names:
            port = free_port()
            command = COMMANDS[name](folder, port, upstream, way)
            if command is None:
                print(f"{name}: not installed, or does not ask by {way}, left out")
                continue
            log = folder / f"{name}-forwards.log"
            process = stack.enter_context(started(command, log))
            wait_for_answer(port, process, _FIRST, log)
            peers.append(Peer(name, process.pid, port, tuple(beside)))
        yield peers


def certificate(folder: Path) -> Path:
    """Of ``localhost``, with its key in the same file; it is its own authority."""
    path = folder / "upstream.pem"
    if not path.exists():
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        more = ("-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", str(folder / "authority.pem"))
        subprocess.run(("openssl", *words.split(), *more), check=True, capture_output=True)
        path.write_text(path.read_text() + (folder / "authority.pem").read_text())
    return path


def _dnsmasq(_: Path, port: int, upstream: int, way: Way) -> list[str] | None:
    if way != "udp":
        return None
    # Its cache is larger than what is asked: once it is full a miss costs it ten times as much.
    program = find("dnsmasq")
    flags = f"--keep-in-foreground --conf-file=/dev/null --pid-file= --port={port} --no-resolv --no-hosts --user=root"
    flags += f" --server=127.0.0.1#{upstream} --cache-size=100000 --dns-forward-max=2000"
    return [program, *flags.split()] if program else None


def _unbound(folder: Path, port: int, upstream: int, way: Way) -> list[str] | None:
    program = find("unbound")
    text = UNBOUND.format(folder=folder, port=port, upstream=f"{upstream}#localhost" if way == "tls" else upstream)
    if way == "tls":
        text = text.replace("server:\n", f'server:\n    tls-cert-bundle: "{folder}/authority.pem"\n')
    if way != "udp":
        text += f"    forward-{way}-upstream: yes\n"
    (folder / "unbound.conf").write_text(text)
    return [program, "-d", "-c", str(folder / "unbound.conf")] if program else None


def asked(text: str, folder: Path, upstream: int, way: Way) -> str:
    """A Corefile with its upstream asked in one way."""
    more = {
        "udp": "",
        "tcp": "       force_tcp\n",
        "tls": f"       tls {folder}/authority.pem\n       tls_servername localhost\n",
    }
    text = text.replace("       max_concurrent", more[way] + "       max_concurrent")
    return text.replace(f"127.0.0.1:{upstream}", f"tls://127.0.0.1:{upstream}") if way == "tls" else text


def _coredns(folder: Path, port: int, upstream: int, way: Way) -> list[str] | None:
    program = os.environ.get(COREDNS_PROGRAM)
    corefile = asked(COREDNS.format(port=port, upstream=upstream), folder, upstream, way)
    (folder / "Corefile.coredns").write_text(corefile)
    # one thread, as the others have
    return ["env", "GOMAXPROCS=1", program, "-conf", str(folder / "Corefile.coredns"), "-quiet"] if program else None


def _kdns(folder: Path, port: int, upstream: int, way: Way, more: str = "") -> list[str]:
    ports = {name: free_port() for name in ("health", "ready", "metrics")}
    corefile = folder / f"Corefile.{port}"
    text = COREFILE.format(port=port, upstream=upstream, **ports).replace("    errors\n", "    errors\n" + more)
    corefile.write_text(asked(text, folder, upstream, way))
    argv = [sys.executable, "-m", "kdns", "serve", "--conf", str(corefile)]
    return [*argv, "--source", str(folder / "cluster.json"), "--quiet"]


def _plugins(folder: Path, port: int, upstream: int, way: Way) -> list[str] | None:
    if way != "udp":
        return None
    return _kdns(folder, port, upstream, way, "    log\n    rewrite name exact old.example.com new.example.com\n")


COMMANDS: dict[str, Callable[[Path, int, int, Way], list[str] | None]] = {
    "dnsmasq": _dnsmasq,
    "unbound": _unbound,
    "coredns": _coredns,
    "kdns": _kdns,
    PLUGINS: _plugins,
}
