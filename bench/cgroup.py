"""A memory cgroup, version 1 or 2, with a limit."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_FILES = {
    1: ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    2: ("memory.max", "memory.peak"),
}


class Cgroup:
    """Where a process is kept; without a folder (not root, no controller) it is a cgroup in name only."""

    def __init__(self, folder: Path | None = None, version: int = 2) -> None:
        self._folder, self._version = folder, version

    @classmethod
    @contextlib.contextmanager
    def make(cls, limit: int) -> Iterator["Cgroup"]:
        """A cgroup limited to so many octets, removed on the way out; in name only where none can be made."""
        parent, version = _parent()
        if parent is None:
            yield cls()
            return
        folder = parent / f"kdns-bench-{os.getpid()}"
        folder.mkdir()
        try:
            (folder / _FILES[version][0]).write_text(str(limit))
            yield cls(folder, version)
        finally:
            folder.rmdir()

    def enter(self) -> None:
        """Move the calling process in."""
        if self._folder:
            (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def limits(self) -> bool:
        """It is one, and not in name only."""
        return self._folder is not None

    def take(self, pid: int) -> None:
        """Move a process in."""
        if self._folder:
            (self._folder / "cgroup.procs").write_text(str(pid))

    def peak_mb(self) -> float | None:
        """The most it was ever charged, in MB (page cache included); None without a cgroup."""
        if self._folder is None:
            return None
        try:
            return int((self._folder / _FILES[self._version][1]).read_text()) / 1e6
        except FileNotFoundError:  # memory.peak came with Linux 5.19
            return int((self._folder / "memory.current").read_text()) / 1e6


def _parent() -> tuple[Path | None, int]:
    """A folder in which memory cgroups can be made, and the version of its files."""
    if os.geteuid() != 0:
        return None, 0
    for mount in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = mount.split()
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(where), 1
    root = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError):
        (root / "cgroup.subtree_control").write_text("+memory")
        return root, 2
    return None, 0
