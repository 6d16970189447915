"""What the kernel says of CPU time and memory, and where things run: pinning, namespaces."""

import contextlib
import ctypes
import os
import platform
import subprocess
import time
from pathlib import Path

SERVER_CPU, CLIENT_CPU = 0, 1
_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000


def pin(cpu: int) -> None:
    """Keep this process, and what it starts, on one core; with a single core there is nothing to choose."""
    if cpu in os.sched_getaffinity(0) or len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
        os.sched_setaffinity(0, {cpu} if cpu < (os.cpu_count() or 1) else {0})


def apart() -> str:
    """Move this process into a network and mount namespace of its own when root; say in a few words where we are."""
    if os.geteuid() != 0:
        return "loopback of the machine (not root)"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0:
        return f"loopback of the machine (no namespace: {os.strerror(ctypes.get_errno())})"
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
    subprocess.run(("mount", "--make-rprivate", "/"), check=True)
    return "loopback of a network namespace of its own"


def hurry() -> None:
    """Put this process and its children ahead of all others of the machine; needs root."""
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    with contextlib.suppress(FileNotFoundError):  # kernels without autogroups go by the process alone
        Path("/proc/self/autogroup").write_text("-20")


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _read(task).split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process and its descendants, from schedstat (nanoseconds; finer than ticks)."""
    total = 0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").glob("*/schedstat"):
            if text := _read(task):
                total += int(text.split()[0])
    return total / 1e9


def busy_seconds() -> float:
    """CPU time the whole machine has spent on anything, all cores together."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, _read(Path("/proc/stat")).split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process and its descendants in MB (10^6); ``VmHWM`` for the most it ever was."""
    total = 0
    for member in family(pid):
        for line in _read(Path(f"/proc/{member}/status")).splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1]) * 1024
    return total / 1e6


def forget_peak(pid: int) -> None:
    """Let ``VmHWM`` start again from now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def now() -> float:
    """Seconds of the clock that all processes of this machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def description() -> str:
    """The machine in one line, without its name."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _read(Path("/proc/cpuinfo")).splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = int(_read(Path("/proc/meminfo")).split()[1]) / 1e6
    virtual = ", virtual" if "hypervisor" in _read(Path("/proc/cpuinfo")) else ""
    return (
        f"{os.cpu_count()} x {model}{virtual}, {memory:.0f} GB, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def _read(path: Path) -> str:
    """The text of a file in /proc; empty when the process has gone meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
