"""Files, folders and pipes of manifests: which there are, what tells that they changed, and their octets."""

import logging
import os
import select
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from kdns.base.errors import ConfigError

LOG = logging.getLogger(__name__)

SUFFIXES: Final = (".yaml", ".yml", ".json")
PIPE_PATIENCE: Final = 1.0
"""Seconds without an octet after which a wait for a pipe is logged."""
CHUNK: Final = 1 << 16

Signature = tuple[int, int, int, int]
"""Device, inode, size in octets, time of change in nanoseconds."""
Folders = tuple[tuple[str, int, int], ...]
"""Path, device, inode."""


class Scan(NamedTuple):
    """What is below a folder, or the one file."""

    files: dict[str, Signature]
    unreadable: dict[str, str]
    """Folders that may not be read, and why."""


def watched_folders(root: Path) -> Folders:
    """The folders to watch, with device and inode: another folder of the same name needs another watch.

    Empty when `root` is gone. For a single file these are its folder and, behind a symlink, the folder of the
    file itself: who replaces a file does so in its folder.
    """
    try:
        root.stat()
        folders = {root} if root.is_dir() else {root.absolute().parent, root.resolve().parent}
        return tuple((str(path), path.stat().st_dev, path.stat().st_ino) for path in sorted(folders))
    except OSError:
        return ()


def scan(root: Path) -> Scan:
    """Every manifest below a folder (or the one file), with what tells whether it changed.

    Names that begin with a dot are left out, folders too: so the ``..2026_01_01...`` folders of a mounted ConfigMap
    are seen only through the symlinks that stand beside them.
    """
    signatures: dict[str, Signature] = {}
    unreadable: dict[str, str] = {}
    for name in _files_below(root, unreadable) if root.is_dir() else (str(root),):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            continue  # it went while we looked, or is a symlink to nothing
        except OSError as error:
            unreadable[name] = str(error.strerror)
            continue
        if stat.S_ISREG(status.st_mode):
            signatures[name] = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return Scan(signatures, unreadable)


def _files_below(root: Path, unreadable: dict[str, str]) -> Iterator[str]:
    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unreadable[str(error.filename)] = str(error.strerror)

    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=refused):
        try:
            status = os.stat(folder)
        except OSError:
            continue  # it went while we looked
        if (status.st_dev, status.st_ino) in seen:  # a symlink to a folder above
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(folder, name)


def content(name: str) -> bytes | None:
    """The octets of a file; None if it is not there any more. ConfigError if it cannot be read."""
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable_error(name, str(error.strerror)) from error


def unreadable_error(name: str, why: str) -> ConfigError:
    """What to tell the operator about a path that may not be read."""
    return ConfigError(f"{shown_path(name)} cannot be read: {why}", hint="check its mode and owner (ls -ld)")


def pipe_content(name: str) -> bytes:
    """What comes out of a pipe, to its end. A wait for it is logged once, after a second."""
    try:
        # without O_NONBLOCK, opening a FIFO waits for a writer, and nothing could be logged meanwhile
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as pipe:
            return stream_content(pipe, shown_path(name))
    except OSError as error:
        raise unreadable_error(name, str(error.strerror)) from error


def stream_content(stream: BinaryIO, called: str) -> bytes:
    """The same for a stream that is open, such as standard input."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # a stream without a file: its maker has all of it
        return stream.read()
    polling = select.poll()
    polling.register(number, select.POLLIN)
    if not polling.poll(PIPE_PATIENCE * 1000):
        LOG.warning("%s: nothing has come yet; waiting for its end (Ctrl-C to stop)", called)
    chunks: list[bytes] = []
    while True:
        polling.poll()
        try:
            chunk = os.read(number, CHUNK)
        except BlockingIOError:
            continue
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def shown_path(name: str) -> str:
    """A file name that can be printed, whatever its octets."""
    return os.fsencode(name).decode("utf-8", "replace")
