"""A cluster out of manifests: a file, a folder, or standard input, followed as it changes.

::

    watchfiles, or the clock ──> scan: which files are there, which changed
                                   └─> read and parse those; one that cannot be read keeps what it said before
                                         └─> collect all files, pick what is wanted, compare with the last time
                                               └─> Put and Gone

The kernel's notes only say when to look: what there is to see is decided by looking, so that editors that replace
files, mounted ConfigMaps that swap a symlink, and notes that get lost all come to the same.
"""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, NamedTuple

from watchfiles import awatch

from kdns.base.errors import ConfigError
from kdns.base.objects import Kind, Object, ObjectKey
from kdns.watch.manifests.collection import Collection, Selection, collect
from kdns.watch.manifests.reading import Manifests, parse_manifests
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Upserted, Want

LOG = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")
DEBOUNCE, STEP = 100, 20
"""Milliseconds: notes are gathered until none came for a step, and for that long at most."""
TICK = 250
"""Milliseconds without notes after which the watched folders are checked to be the same still."""
LOOK = 20
"""Ticks after which everything is looked at, in case a note was lost: behind symlinks, on network file systems."""
SETTLE = 0.03
"""Seconds a changed file must stay as it is before it is read: it may be half written."""
PATIENCE = 10
"""How often to wait so, at most; files that shrank to nothing are about to be written."""
PAUSE = 0.25
"""Seconds between two looks for a path that is gone."""
POLL = 1.0
"""Seconds between two looks where the kernel cannot watch."""
WARNINGS_SHOWN = 20
"""Of one reading; a dump of a large cluster may have a thousand objects with the same fault."""

Signature = tuple[int, int, int, int]
"""Device, inode, size in octets, time of change in nanoseconds."""


class Read(NamedTuple):
    """A file as it was last read."""

    signature: Signature
    manifests: Manifests
    broken: bool = False
    """It cannot be read; `manifests` is what it said before."""


class FileSource:
    """Manifests as a `kdns.watch.source.Source`; see the module docstring."""

    def __init__(self, path: str | Path, *, stdin: BinaryIO | None = None) -> None:
        """Read everything once.

        `path` is a file, a folder, or ``-`` for standard input (or for `stdin`), which is read to its end, once.
        ConfigError: there is no such path, or a single file cannot be read. What cannot be read in a folder is logged.
        """
        self._root = Path(path)
        self._stop = asyncio.Event()
        self._files: dict[str, Read] = {}
        self._said: frozenset[str] = frozenset()
        self._followed = str(path) != "-" and (self._root.is_dir() or self._root.is_file())
        if str(path) == "-":
            self._files["stdin"] = Read(NOTHING, parse_manifests((stdin or sys.stdin.buffer).read(), "stdin"))
        elif self._root.is_dir():
            self._read_changed(_scan(self._root))
        else:
            self._files[str(self._root)] = _read_single(self._root)
        self._collection = self._collect()
        if not self._collection.objects:
            LOG.warning(
                "%s has no Service, EndpointSlice, Namespace, Pod or ServiceImport",
                "stdin" if str(path) == "-" else path,
            )

    def streams(self, wants: Sequence[Want]) -> Sequence[AsyncIterator[Event]]:
        """One stream for all kinds. ConfigError for a selector that is none."""
        return [self._stream(tuple(wants), Selection(wants))] if wants else []

    async def close(self) -> None:
        """End the streams, within a tick."""
        self._stop.set()

    async def _stream(self, wants: Sequence[Want], selection: Selection) -> AsyncIterator[Event]:
        known = selection.pick(self._collection)
        for kind, objects in known.items():
            yield Listing(kind)
            for kept in objects.values():
                yield Upserted(kept)
            yield ListComplete(kind)
        if not self._followed:
            await self._stop.wait()
            return
        gone = False
        while not self._stop.is_set():
            folders = _watched(self._root) or await self._returned()
            if bool(folders) is gone:
                gone = not folders
                for event in self._lost_or_resumed(wants, gone):
                    yield event
            if not folders:
                await self._pause(PAUSE)
                continue
            async with aclosing(self._looks(folders)) as looks:
                async for _ in looks:
                    if await self._reread():
                        newest = selection.pick(self._collection)
                        for event in self._told(list(_differences(known, newest))):
                            yield event
                        known = newest

    def _told(self, events: Sequence[Event]) -> Sequence[Event]:
        if events:
            gone = sum(isinstance(event, Deleted) for event in events)
            LOG.info("%s changed: %d objects put, %d gone", self._root, len(events) - gone, gone)
        return events

    async def _returned(self) -> "Folders":
        """A second look at a path that is gone: a file that is being replaced is away for a moment."""
        await self._pause(PAUSE)
        return _watched(self._root)

    def _lost_or_resumed(self, wants: Iterable[Want], gone: bool) -> Iterator[Event]:
        if gone:
            LOG.error("%s is gone: what it said stays in force", self._root)
        else:
            LOG.info("%s is back", self._root)
        for want in wants:
            yield Lost(want.kind, f"{self._root} is gone") if gone else Resumed(want.kind)

    async def _looks(self, folders: "Folders") -> AsyncGenerator[None, None]:
        """When to look; ends when other folders are to be watched, or at `close`."""
        yield  # what other folders have may be something else
        ticks = 0
        async with aclosing(self._notes(folders)) as notes:
            async for noted in notes:
                if self._stop.is_set() or _watched(self._root) != folders:
                    return
                if noted or ticks % LOOK == 0:  # the first tick: what changed before the watch stood
                    yield
                ticks += 1

    async def _notes(self, folders: "Folders") -> AsyncGenerator[bool, None]:
        """Something may have changed (True), or a tick went by."""
        paths = [path for path, _, _ in folders]
        try:
            changes = awatch(
                *paths,
                watch_filter=None,
                debounce=DEBOUNCE,
                step=STEP,
                stop_event=self._stop,
                rust_timeout=TICK,
                yield_on_timeout=True,
                recursive=self._root.is_dir(),
                ignore_permission_denied=True,
            )
            async with aclosing(changes):
                async for noted in changes:
                    yield bool(noted)
        except (OSError, RuntimeError) as error:  # RuntimeError: watchfiles' own faults
            if _watched(self._root) != folders:
                return
            LOG.warning("%s cannot be watched, it is looked at every %g s instead: %s", self._root, POLL, error)
        while not self._stop.is_set():
            await self._pause(POLL)
            yield True

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until `close`."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _reread(self) -> bool:
        """Look, read what changed, collect; False if nothing changed. Reading and parsing leave the loop alone."""
        scanned = await asyncio.to_thread(_scan, self._root)
        if not scanned and not _watched(self._root):
            return False  # gone as a whole, not emptied
        if self._is_read(scanned):
            return False
        for _ in range(PATIENCE):
            await self._pause(SETTLE)
            before, scanned = scanned, await asyncio.to_thread(_scan, self._root)
            emptied = any(now[2] == 0 and not self._as_read(name, now) for name, now in scanned.items())
            if scanned == before and not emptied:
                break
        await asyncio.to_thread(self._read_changed, scanned)
        self._collection = await asyncio.to_thread(self._collect)
        return True

    def _is_read(self, scanned: Mapping[str, Signature]) -> bool:
        return scanned.keys() == self._files.keys() and all(self._as_read(name, now) for name, now in scanned.items())

    def _as_read(self, name: str, signature: Signature) -> bool:
        return name in self._files and self._files[name].signature == signature

    def _read_changed(self, scanned: Mapping[str, Signature]) -> None:
        """Forget files that are gone, read those that changed; one that cannot be read is logged, once."""
        for name in self._files.keys() - scanned.keys():
            del self._files[name]
        for name, signature in scanned.items():
            if self._as_read(name, signature):
                continue
            before = self._files.get(name, Read(NOTHING, Manifests()))
            try:
                data = _content(name)
                if len(data) < signature[2]:
                    continue  # it is being written just now, and will be looked at again
                self._files[name] = Read(signature, parse_manifests(data, _shown(name)))
            except ConfigError as error:
                self._files[name] = Read(signature, before.manifests, broken=True)
                kept = "what it said before stays in force" if before.manifests.objects else "the others are served"
                place = f"{error.at.source}:{error.at.line}:{error.at.column}: " if error.at else ""
                LOG.error("%s%s; %s", place, error.problem, kept)
            else:
                if before.broken:
                    LOG.info("%s can be read again", _shown(name))

    def _collect(self) -> Collection:
        """Put the files together, and tell each warning when it is new."""
        collection = collect({name: read.manifests for name, read in self._files.items()})
        new = [warning for warning in dict.fromkeys(collection.warnings) if warning not in self._said]
        for warning in new[:WARNINGS_SHOWN]:
            LOG.warning("%s", warning)
        if len(new) > WARNINGS_SHOWN:
            LOG.warning("... and %d more warnings like these", len(new) - WARNINGS_SHOWN)
        self._said = frozenset(collection.warnings)
        return collection


NOTHING: Signature = (0, 0, 0, 0)
Folders = tuple[tuple[str, int, int], ...]


def _watched(root: Path) -> Folders:
    """The folders to watch, with device and inode: another folder of the same name needs another watch.

    Empty when `root` is gone. For a single file these are its folder and, behind a symlink, the folder of the
    file itself: whoever replaces a file does so in its folder.
    """
    try:
        root.stat()
        folders = {root} if root.is_dir() else {root.absolute().parent, root.resolve().parent}
        return tuple((str(one), one.stat().st_dev, one.stat().st_ino) for one in sorted(folders))
    except OSError:
        return ()


def _scan(root: Path) -> dict[str, Signature]:
    """Every manifest below a folder (or the one file), with what tells whether it changed.

    Names that begin with a dot are left out, folders too: so the ``..2026_01_01...`` folders of a mounted ConfigMap
    are seen only through the symlinks that stand beside them.
    """
    found: dict[str, Signature] = {}
    if not root.is_dir():
        names: Iterable[str] = [str(root)]
    else:
        names = _files_below(root)
    for name in names:
        try:
            status = os.stat(name)
        except OSError:
            continue  # it went while we looked, or is a symlink to nothing
        if stat.S_ISREG(status.st_mode):
            found[name] = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return found


def _files_below(root: Path) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
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


def _read_single(path: Path) -> Read:
    """A file, or a pipe that is read once; ConfigError if it is not there or cannot be read."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist", hint="give a file or folder of manifests, or - for standard input")
    signature = _scan(path).get(str(path), NOTHING)
    return Read(signature, parse_manifests(_content(str(path)), _shown(str(path))))


def _shown(name: str) -> str:
    """A file name that can be printed, whatever its octets."""
    return os.fsencode(name).decode("utf-8", "replace")


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error


def _differences(
    before: Mapping[Kind, Mapping[ObjectKey, Object]], after: Mapping[Kind, Mapping[ObjectKey, Object]]
) -> Iterator[Event]:
    """What makes `before` into `after`, kind by kind."""
    for kind, objects in after.items():
        for key in before[kind].keys() - objects.keys():
            yield Deleted(key)
        for key, kept in objects.items():
            if before[kind].get(key) != kept:
                yield Upserted(kept)
