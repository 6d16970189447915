"""`kdns lab up`, `exec`, `status` and `down`, as people run them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdns.kernel.netlink import generic_family
from kdns.lab import labs

pytestmark = [pytest.mark.kernel, pytest.mark.e2e]

MANIFESTS = """\
kind: Pod
metadata: {name: web}
spec:
  containers:
    - {name: web, image: web, ports: [{containerPort: 80}]}
---
kind: Pod
metadata: {name: client}
spec:
  dnsPolicy: None
  dnsConfig: {nameservers: [192.0.2.53]}
  containers: []
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kdns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `kdns lab`, with a temporary folder of its own; what is still up at the end is killed."""
    if os.geteuid():
        pytest.skip("no network namespaces without root")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "pods.yaml").write_text(MANIFESTS)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def run(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        made = {**os.environ, "TMPDIR": str(temporary), **environ}
        command = (sys.executable, "-m", "kdns", "lab", *words)
        return subprocess.run(command, capture_output=True, check=False, text=True, env=made, timeout=120)

    yield run
    for one in labs.labs():
        if one.alive:
            os.kill(one.pid, signal.SIGKILL)


def up(kdns: Run, tmp_path: Path, *more: str) -> None:
    """Make a small lab that has no proxy."""
    done = kdns("up", "--mode", "none", "--folder", str(tmp_path / "objects"), *more)
    assert done.returncode == 0, done
    assert "is ready" in done.stdout


def test_the_life_of_a_lab(kdns: Run, tmp_path: Path) -> None:
    """It comes up, commands run in its parts, its status lists them, and nothing of it stays."""
    up(kdns, tmp_path)
    shown = kdns("exec", "client", "--", "sh", "-c", "hostname; cat /etc/resolv.conf; exit 7")
    assert (shown.returncode, shown.stdout) == (7, "client\nnameserver 192.0.2.53\n")
    (address,) = [word for word in kdns("status").stdout.split() if word.startswith("10.244.0.5")]
    fetched = kdns("exec", "client", "--", "busybox", "wget", "-qO-", f"http://{address.rstrip(',')}:80")
    assert (fetched.returncode, fetched.stdout) == (0, "web\n"), fetched
    again = kdns("up", "--mode", "none")
    assert (again.returncode, "up already" in again.stderr) == (1, True)
    assert kdns("exec", "nobody", "--", "true").stderr.startswith("kdns: lab kdns has no 'nobody'")
    assert kdns("exec", "cli", "--", "hostname").stdout == "client\n"
    assert kdns("exec", "deploy/kdn", "--", "hostname").stdout.startswith("kdns-")
    (lab,) = json.loads(kdns("status", "-o", "json").stdout)
    assert [part["name"] for part in lab["parts"][:5]] == ["node-0", "node-1", "outside", "client", "web"]
    assert kdns("exec", "client", "--", "no-such-program").returncode == 127
    (found,) = labs.labs()
    assert kdns("down").returncode == 0
    assert not found.alive
    assert not Path(f"/proc/{found.first}").exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert kdns("down").stderr.startswith("kdns: no lab is up")


def test_a_killed_keeper(kdns: Run, tmp_path: Path) -> None:
    """After kill -9 only files are left, which the next `up` or `down` removes; programs are gone with it."""
    up(kdns, tmp_path)
    (found,) = labs.labs()
    running = subprocess.Popen(
        (sys.executable, "-m", "kdns", "lab", "exec", "web", "--", "sleep", "1000"),
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    until = time.monotonic() + 120
    while not _children(running.pid) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(found.pid, signal.SIGKILL)
    assert running.wait(20) == 128 + signal.SIGKILL
    while Path(f"/proc/{found.first}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{found.first}").exists()
    assert kdns("exec", "web", "--", "true").stderr.startswith("kdns: no lab is up")
    up(kdns, tmp_path)
    assert not found.folder.exists()
    (second,) = labs.labs()
    os.kill(second.pid, signal.SIGKILL)
    while second.alive:
        time.sleep(0.02)
    assert kdns("down").stdout == "removed what was left of lab kdns\n"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_walk_that_is_ended(kdns: Run, tmp_path: Path, number: signal.Signals) -> None:
    """Whatever ends `run`, its programs end with it; only a kill leaves a folder, which `down` removes."""
    command = (sys.executable, "-m", "kdns", "lab", "run", "--folder", str(tmp_path / "objects"), "names")
    environ = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as walking:
        until = time.monotonic() + 120
        while not (found := [one for one in labs.labs() if len(programs(one.first)) > 1]):
            assert time.monotonic() < until
            time.sleep(0.02)
        running = programs(found[0].first)
        walking.send_signal(number)
        assert walking.stderr is not None
        assert walking.stderr.read() == b""
        assert walking.wait(30) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    while any(Path("/proc", pid).exists() for pid in running):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert found[0].folder.exists() == (number == signal.SIGKILL)
    kdns("down")
    assert list((tmp_path / "tmp").iterdir()) == []


def programs(first: int) -> list[str]:
    """The processes of a lab by its first one: those in its process namespace."""
    there = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns" / "pid").readlink() == Path(f"/proc/{first}/ns/pid").readlink():
                there.append(process.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has just ended, or is none of ours
    return there


def test_two_side_by_side(kdns: Run, tmp_path: Path) -> None:
    """Two labs have the same addresses and names; who does not say which is asked to."""
    up(kdns, tmp_path, "--name", "one")
    up(kdns, tmp_path, "--name", "two")
    assert "several labs" in kdns("exec", "web", "--", "true").stderr
    first, second = (
        kdns("exec", "--name", name, "web", "--", "readlink", "/proc/self/ns/net") for name in ("one", "two")
    )
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout != second.stdout
    assert kdns("down", "--name", "one").returncode == 0
    assert kdns("exec", "web", "--", "true").returncode == 0
    assert kdns("down").returncode == 0


def test_what_a_lab_needs(kdns: Run, tmp_path: Path) -> None:
    """Without a tool, its package is named; without readable manifests, their fault."""
    missing = kdns("up", PATH="/nowhere")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "missing on this machine: ip, openssl, nft" in missing.stderr
    assert "apt-get install iproute2 nftables openssl" in missing.stderr
    missing = kdns("run", "--mode", "iptables", PATH="/nowhere")
    assert "apt-get install busybox-static iproute2 iptables libc-bin openssl" in missing.stderr
    (tmp_path / "objects" / "pods.yaml").write_text("kind: [")
    broken = kdns("up", "--mode", "none", "--folder", str(tmp_path / "objects"))
    assert (broken.returncode, "pods.yaml:" in broken.stderr) == (1, True), broken


@pytest.mark.not_about_tools  # a kernel that has more than this test wants
def test_a_kernel_without_ipvs(kdns: Run) -> None:
    """The module is named, before anything is made."""
    if generic_family("IPVS") is not None:
        pytest.skip("this machine's kernel has IPVS; labs in mode ipvs are tested in tests/e2e/test_lab_ipvs.py")
    done = kdns("run", "--mode", "ipvs", "names")
    assert (done.returncode, "modprobe ip_vs" in done.stderr) == (1, True), done


def test_not_root() -> None:
    """A user who is not root gets a message that says so."""
    if os.geteuid():
        pytest.skip("a user who is not root cannot become another one")
    command = "import os; from kdns.lab.tools import require; os.setuid(65534); require()"
    done = subprocess.run((sys.executable, "-c", command), capture_output=True, check=False, text=True)
    assert "need root" in done.stderr, done


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()
