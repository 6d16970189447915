"""Has a file changed? One answer for all who look at files now and then: zone files, hosts files, certificates."""

import os
from collections.abc import Iterable
from typing import NamedTuple


class FileStamp(NamedTuple):
    """What differs once a file has been written again, or another one has been put in its place."""

    inode: int
    size: int
    """Octets."""
    modified: int
    """Nanoseconds since 1970."""


def stamp_of(status: os.stat_result) -> FileStamp:
    """The stamp of a file whose status is known."""
    return FileStamp(status.st_ino, status.st_size, status.st_mtime_ns)


def file_stamp(path: str | os.PathLike[str]) -> FileStamp:
    """The stamp of a file as it is now. Follows symbolic links, as those of a mounted ConfigMap. Raises OSError."""
    return stamp_of(os.stat(path))


def file_stamps(paths: Iterable[str]) -> dict[str, FileStamp]:
    """Of several files as they are now; those that cannot be found are left out."""
    stamps: dict[str, FileStamp] = {}
    for path in paths:
        try:
            stamps[path] = file_stamp(path)
        except OSError:
            continue
    return stamps
