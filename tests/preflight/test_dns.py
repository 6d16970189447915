"""The Corefile, and the ports that it takes."""

from pathlib import Path

import pytest

from kdns.config.settings import ServeSettings
from kdns.preflight import dns
from kdns.preflight.model import Verdict
from kdns.preflight.sockets import Sockets
from tests.preflight.proc import Bound, machine

GOOD = """
.:53 {
    health
    ready 127.0.0.1:8181
    kubernetes cluster.local
    prometheus :9153
    pprof
}
tls://.:853 {
    tls cert.pem key.pem
    whoami
}
"""


def looked_at(tmp_path: Path, text: str) -> tuple[list[str], list[dns.Port]]:
    """Its lines, and its ports."""
    path = tmp_path / "Corefile"
    path.write_text(text)
    lines, plans = dns.corefile(ServeSettings(corefile=str(path)), "ConfigMap coredns")
    return list(map(str, lines)), dns.ports_of(plans)


def test_a_good_one(tmp_path: Path) -> None:
    """How many server blocks, a line for each warning, and each port once for each transport."""
    text = GOOD.partition("tls:")[0]
    lines, ports = looked_at(tmp_path, text)
    assert lines[0] == "ok   Corefile: ConfigMap coredns: 1 server block, no mistakes"
    assert lines[1].startswith("warn Corefile: ConfigMap coredns:7:5: pprof is left out")
    assert len(lines) == 2
    assert all("\n" not in line for line in lines)
    assert ports == [
        ("udp", "", 53),
        ("tcp", "", 53),
        ("tcp", "", 8080),
        ("tcp", "127.0.0.1", 8181),
        ("tcp", "", 9153),
    ]


def test_all_mistakes_are_listed(tmp_path: Path) -> None:
    """Each with its place and what to do, and nothing would be served."""
    lines, ports = looked_at(tmp_path, ".:53 {\n  ready nowhere\n  health nowhere\n}\n")
    assert [line.partition(": ")[0] for line in lines] == ["FAIL Corefile", "FAIL Corefile"]
    assert "ConfigMap coredns:2:9: " in lines[0]
    assert "ConfigMap coredns:3:10: " in lines[1]
    assert all("\n     " in line for line in lines)
    assert ports == []


PORTS = (
    (Bound(5, "udp", "0.0.0.0", 53, "07"), "nginx", Verdict.FAIL, "53/udp is taken by nginx (pid 5) on 0.0.0.0"),
    (Bound(5, "udp", "0.0.0.0", 53, "07"), "coredns", Verdict.NOTE, "it is free once that has ended"),
    (Bound(5, "tcp", "127.0.0.1", 8181), "nginx", Verdict.FAIL, "8181/tcp of 127.0.0.1 is taken"),
)


@pytest.mark.parametrize(("bound", "program", "verdict", "text"), PORTS)
def test_ports_that_are_taken(tmp_path: Path, bound: Bound, program: str, verdict: Verdict, text: str) -> None:
    """By what kdns takes the place of, that is as it should be; by others it is in the way, and what to do is said."""
    sockets = Sockets(machine(tmp_path, {5: program}, (bound,)))
    taken, free = dns.ports([("udp", "", 53), ("tcp", "127.0.0.1", 8181)], sockets)
    assert taken.verdict is verdict
    assert text in taken.text
    assert bool(taken.todo) == (verdict is Verdict.FAIL)
    assert free.verdict is Verdict.OK
    assert free.text.endswith("is free")


@pytest.mark.parametrize(
    ("program", "port", "verdict"),
    [
        ("kube-proxy", 10256, Verdict.NOTE),
        ("coredns", 53, Verdict.NOTE),
        ("coredns", 10256, Verdict.FAIL),
        ("nginx", 53, Verdict.FAIL),
    ],
)
def test_a_port_whose_socket_is_not_ours_to_see(tmp_path: Path, program: str, port: int, verdict: Verdict) -> None:
    """A Pod sees what runs, and not whose socket is whose: a usual port of what runs is no obstacle, any other is."""
    root = machine(tmp_path, {5: program}, (Bound(5, "tcp", "0.0.0.0", port),))
    for path in (root / "proc/5/fd").iterdir():
        path.unlink()
    (line,) = dns.ports([("tcp", "", port)], Sockets(root))
    assert line.verdict is verdict
    assert (f"most likely by {program} (pid 5)" in line.text) == (verdict is Verdict.NOTE)
