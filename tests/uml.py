"""Runs a program in a Linux kernel of its own: User-Mode Linux, an ordinary program of Debian's `user-mode-linux`.

For what the kernel at hand lacks, IPVS above all. The guest's root is this machine's file tree, read-only, with fresh
/run, /tmp, /dev and module tree above it; it boots in two or three seconds, without KVM, and is gone with its process.
What the program prints comes back; its exit status is printed, too, since the kernel's own says nothing.
"""

import os
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import pytest

KERNEL: Final = "linux.uml"
MODULES: Final = Path("/usr/lib/uml/modules")
SHARED_MEMORY: Final = Path("/dev/shm")
"""Where the guest's memory is kept; the kernel removes the file's name at once."""
BOOTED: Final = 300.0
"""Seconds a boot may take on a busy machine; on an idle one it is two or three."""
HOUSE: Final = Path(__file__).parent.parent
IPVS_MODULES: Final = (
    "ip_vs ip_vs_rr ip_vs_sh dummy veth bridge ip_set xt_set xt_ipvs nf_conntrack_netlink iptable_nat iptable_filter "
    "iptable_mangle ip6table_nat ip6table_filter ip6table_mangle nf_tables"
)
BOOT: Final = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
# The repository may be in a folder that is about to be hidden.
mkdir /run/house && mount --bind {folder} /run/house
mount -t tmpfs tmpfs /tmp
mkdir -p {folder} && mount --bind /run/house {folder}
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/shm /run/netns && mount -t tmpfs tmpfs /dev/shm
# This machine may have no /lib/modules to mount something over, so modprobe is told where to look; the kernel and
# iptables start what the file in /proc names.
mkdir -p /run/bin /run/kernel/lib/modules
ln -s {modules}/$(uname -r) /run/kernel/lib/modules/
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/kernel "$@"\n' >/run/bin/modprobe
chmod 755 /run/bin/modprobe
echo /run/bin/modprobe >/proc/sys/kernel/modprobe
echo 1 >/proc/sys/kernel/printk
ip link set lo up
/run/bin/modprobe -a {load}
cd {folder}
echo "{mark} begins"
env - {environment} {command} </dev/null 2>&1
echo "{mark} $?"
sync
{halt}
"""


class Ran(NamedTuple):
    """What became of a program."""

    status: int
    """Exit status."""
    output: str
    """Standard output and error, without the kernel's own lines before and after."""


def missing() -> str:
    """Why nothing can be run, or nothing."""
    if os.geteuid():
        return "needs root to run User-Mode Linux on the file tree"
    if shutil.which(KERNEL) is None or not MODULES.is_dir():
        return "User-Mode Linux is not installed (Debian package user-mode-linux)"
    if shutil.which("busybox") is None:
        return "busybox is not installed (Debian package busybox-static)"
    return ""


needs_uml = pytest.mark.skipif(bool(missing()), reason=missing() or "User-Mode Linux is there")


def run(
    argv: Sequence[str],
    timeout: float,
    environment: Mapping[str, str] | None = None,
    memory: str = "1G",
    modules: str = IPVS_MODULES,
) -> Ran:
    """Run `argv` in a guest, in this repository's folder, as root; TimeoutError after `timeout` seconds, boot apart.

    `memory` is the guest's (``512M``), `modules` are loaded first; others load when they are asked for.
    The guest and all its processes are ended in any case.
    """
    mark = f"kdns-{uuid4().hex}"
    variables = {
        "PATH": "/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(HOUSE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **(environment or {}),
    }
    with tempfile.TemporaryDirectory(prefix="kdns-uml-") as folder:
        script = Path(folder, "init")
        script.write_text(
            BOOT.format(
                modules=MODULES,
                load=modules,
                folder=shlex.quote(str(HOUSE)),
                environment=" ".join(shlex.quote(f"{name}={value}") for name, value in variables.items()),
                command=shlex.join(argv),
                mark=mark,
                halt=f"{shutil.which('busybox')} poweroff -f",
            )
        )
        script.chmod(0o755)
        boot = (KERNEL, f"mem={memory}", "rootfstype=hostfs", "ro", f"init={script}", f"uml_dir={folder}")
        process = subprocess.Popen(
            (*boot, "con=null", "con0=fd:0,fd:1", "quiet"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(SHARED_MEMORY) if _roomy(memory) else folder, "HOME": folder},
            start_new_session=True,
        )
        try:
            output = _Output(process)
            if not output.read(f"{mark} begins", BOOTED):
                raise TimeoutError(f"User-Mode Linux has not booted within {BOOTED:g} s; it printed:\n{output.end()}")
            if not output.read("", timeout):
                raise TimeoutError(f"{shlex.join(argv)}: no end within {timeout:g} s; it printed:\n{output.end()}")
        finally:
            _end(process)
            process.communicate()
    text = output.text.replace("\r\n", "\n")
    parts = text.split(f"{mark} ")
    if len(parts) != 3:
        raise RuntimeError(f"the guest ended without a verdict:\n{text[-2000:]}")
    return Ran(int(parts[2].split(None, 1)[0]), parts[1].removeprefix("begins\n"))


def python(*arguments: str) -> tuple[str, ...]:
    """The arguments of this interpreter, for `run`."""
    return (sys.executable, *arguments)


class _Output:
    """What a process has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout
        self._octets = bytearray()

    @property
    def text(self) -> str:
        return self._octets.decode(errors="replace")

    def end(self) -> str:
        """The last of it."""
        return self.text[-2000:]

    def read(self, word: str, timeout: float) -> bool:
        """Until `word` has been printed, or for an empty one until the end; False if `timeout` seconds are over."""
        until = time.monotonic() + timeout
        while not (word and word.encode() in self._octets):
            left = until - time.monotonic()
            if left < 0:
                return False
            if select.select([self._pipe], [], [], left)[0]:
                if not (octets := os.read(self._pipe.fileno(), 1 << 16)):
                    return True  # it has ended, and what it printed says how
                self._octets += octets
        return True


def _roomy(memory: str) -> bool:
    """The guest's memory fits into shared memory and may be executed there; else it is a file on disk."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except FileNotFoundError:
        return False
    wanted = int(memory[:-1]) << {"K": 10, "M": 20, "G": 30}[memory[-1]]
    return found.f_bavail * found.f_frsize > wanted and not found.f_flag & os.ST_NOEXEC


def _end(process: subprocess.Popen[bytes]) -> None:
    # The guest's processes are children of the kernel's process, in the session that began with it.
    for pid in _session(process.pid):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
    process.poll()


def _session(leader: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found
