"""What the proxy sets in the kernel, in a folder that looks like /proc and /sys, and in a real one."""

import asyncio
import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kdns.base.errors import KernelError
from kdns.config.kubeproxy.settings import ConntrackSettings
from kdns.kernel import sysctl
from tests.needs import lacks_kernel

HOUSE = Path(__file__).parents[2]

FILES = {
    "proc/sys/net/netfilter/nf_conntrack_max": "65536",
    "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established": "432000",
    "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait": "60",
    "proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal": "0",
    "proc/sys/net/netfilter/nf_conntrack_udp_timeout": "30",
    "proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream": "120",
    "proc/sys/net/ipv4/conf/all/route_localnet": "0",
    "proc/self/oom_score_adj": "0",
    "sys/module/nf_conntrack/parameters/hashsize": "16384",
    "sys/devices/system/cpu/online": "0-3",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with those files, each with a line's end as the kernel has it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    return tmp_path


def changed(root: Path) -> dict[str, str]:
    """What says something else than before, by the last part of its name."""
    now = {name: (root / name).read_text().strip() for name in FILES}
    return {Path(name).name.removeprefix("nf_conntrack_"): text for name, text in now.items() if text != FILES[name]}


CASES = {
    "the defaults": (
        ConntrackSettings(),
        {"max": "131072", "hashsize": "32768", "tcp_timeout_established": "86400", "tcp_timeout_close_wait": "3600"},
    ),
    "more for many CPUs": (
        ConntrackSettings(max_per_core=100_000, tcp_established_timeout=0, tcp_close_wait_timeout=0),
        {"max": "400000", "hashsize": "100000"},
    ),
    "but not without end": (
        ConntrackSettings(max_per_core=1_000_000, tcp_established_timeout=0, tcp_close_wait_timeout=0),
        {"max": "1048576", "hashsize": "262144"},
    ),
    "a larger one is left alone": (
        ConntrackSettings(max_per_core=1, min=1000, tcp_established_timeout=0, tcp_close_wait_timeout=0),
        {},
    ),
    "nothing is asked for": (
        ConntrackSettings(max_per_core=0, min=10**6, tcp_established_timeout=0, tcp_close_wait_timeout=0),
        {},
    ),
    "all of it": (
        ConntrackSettings(
            max_per_core=0, tcp_established_timeout=1.9, tcp_close_wait_timeout=60, tcp_be_liberal=True,
            udp_timeout=0.5, udp_stream_timeout=7,
        ),
        {"tcp_timeout_established": "1", "tcp_be_liberal": "1", "udp_timeout": "1", "udp_timeout_stream": "7"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", CASES)
def test_conntrack(title: str, root: Path) -> None:
    """What the settings ask for is written, and nothing else."""
    settings, expected = CASES[title]
    assert sysctl.apply_conntrack(settings, root) == ()
    assert changed(root) == expected


def test_what_is_so_is_not_written(root: Path) -> None:
    """Twice is as once: the second time no file is touched."""
    sysctl.apply_conntrack(ConntrackSettings(), root)
    before = {name: (root / name).stat().st_mtime_ns for name in FILES}
    assert sysctl.apply_conntrack(ConntrackSettings(), root) == ()
    assert {name: (root / name).stat().st_mtime_ns for name in FILES} == before


def test_what_is_not_there_is_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A kernel without connection tracking: everything is tried, each failure is told."""
    shutil.rmtree(root / "proc/sys/net/netfilter")
    problems = sysctl.apply_conntrack(ConntrackSettings(), root)
    assert problems == tuple(
        f"cannot set net.netfilter.nf_conntrack_{name}: the kernel does not have it; is its module loaded?"
        for name in ("max to 131072", "tcp_timeout_established to 86400", "tcp_timeout_close_wait to 3600")
    )
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == list(problems)
    assert (root / "sys/module/nf_conntrack/parameters/hashsize").read_text() == "32768"


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 1), ("0-1", 2), ("0-3,8-11", 8), ("0,2,4", 3), ("", 1), (None, 1)]
)
def test_cpus(text: str | None, expected: int, tmp_path: Path) -> None:
    """Ranges, as the kernel lists them; one if it does not."""
    if text is not None:
        (tmp_path / sysctl.ONLINE).parent.mkdir(parents=True)
        (tmp_path / sysctl.ONLINE).write_text(f"{text}\n")
    assert sysctl.online_cpus(tmp_path) == expected


def test_the_oom_score_is_of_this_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No init container can set it, so nobody is sent there."""

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    told = sysctl.set_oom_score(-999, root)
    assert told.startswith("cannot set /proc/self/oom_score_adj to -999: it takes the capability SYS_RESOURCE")
    assert "--init-only" not in told
    assert "--init-only" in sysctl.route_localnet(root)


def test_the_others(root: Path) -> None:
    """node ports on loopback, the OOM score, and whether packets out of window are taken."""
    assert sysctl.route_localnet(root) == ""
    assert sysctl.set_oom_score(-999, root) == ""
    assert changed(root) == {"route_localnet": "1", "oom_score_adj": "-999"}
    assert sysctl.read(sysctl.ROUTE_LOCALNET, root) == 1
    assert sysctl.read("net/ipv4/none", root) is None
    assert not sysctl.liberal(root)
    assert sysctl.ensure("net/netfilter/nf_conntrack_tcp_be_liberal", 2, root) == ""
    assert sysctl.liberal(root)


SCRIPT = """
from kdns.config.kubeproxy.settings import ConntrackSettings
from kdns.kernel import sysctl
settings = ConntrackSettings(max_per_core=0, udp_timeout=17)
print(*sysctl.apply_conntrack(settings), sep="\\n")
print(sysctl.read("net/netfilter/nf_conntrack_udp_timeout"))
"""


def inside(*prepare: str) -> list[str]:
    """What the script prints in namespaces of its own, after some commands in them."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    if not Path("/proc/sys/net/netfilter").exists():
        lacks_kernel("connection tracking (the module nf_conntrack is not loaded)")
    command = " && ".join([*prepare, f"exec {sys.executable} -c '{SCRIPT}'"])
    done = subprocess.run(
        ("unshare", "--net", "--mount", "sh", "-c", command),
        capture_output=True, text=True, check=True, timeout=120, env={**os.environ, "PYTHONPATH": str(HOUSE)},
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.kernel
def test_a_real_kernel() -> None:
    """In a network namespace of its own, the timeouts are what was asked for."""
    assert inside() == ["17"]


@pytest.mark.kernel
def test_a_real_kernel_that_may_only_be_read() -> None:
    """A read-only /proc/sys: each setting is a line, and nothing is raised."""
    *problems, now = inside("mount --bind /proc/sys /proc/sys", "mount -o remount,bind,ro /proc/sys")
    assert len(problems) == 3
    assert all("it is read-only here; run kdns proxy --init-only" in problem for problem in problems)
    assert now != "17"


def test_tracking_begins_before_it_is_set_up(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The module is loaded where its settings are missing, and only there; that it cannot be is told."""
    asked: list[tuple[str, ...]] = []

    async def refuse(argv: Sequence[str], stdin: str | bytes = b"", patience: float = 0) -> str:
        asked.append(tuple(argv))
        raise KernelError(argv, 1, "module nf_conntrack not found")

    asyncio.run(sysctl.load_conntrack(refuse, root))
    assert asked == []
    (root / "proc/sys/net/netfilter/nf_conntrack_max").unlink()
    asyncio.run(sysctl.load_conntrack(refuse, root))
    assert asked == [("modprobe", "nf_conntrack")]
    assert "connection tracking cannot be begun" in caplog.text
    assert "not found" in caplog.text
