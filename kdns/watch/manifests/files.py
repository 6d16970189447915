"""A cluster out of manifests: a file, a folder, or standard input, followed as it changes.

::

    watchfiles, or the clock ──> scan: which files are there, which changed
                                   └─> read and parse those; what cannot be read keeps its former content
                                         └─> collect all files, pick what is wanted, compare with the last time
                                               └─> Upserted and Deleted

The kernel's notes only say when to look: what there is to see is decided by looking, so that editors that replace
files, mounted ConfigMaps that swap a symlink, and notes that get lost all come to the same.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from watchfiles import awatch

from kdns.base.errors import ConfigError
from kdns.base.objects import Kind, Object, ObjectKey
from kdns.ops.progress import Progress
from kdns.watch.manifests.collection import Collection, collect
from kdns.watch.manifests.folder import (
    Folders,
    Scan,
    Signature,
    content,
    pipe_content,
    scan,
    shown_path,
    stream_content,
    unreadable_error,
    watched_folders,
)
from kdns.watch.manifests.manifest import Manifest, Manifests, Played, Problem, Skipped
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.manifests.selection import Selection
from kdns.watch.manifests.summary import RENDERED
from kdns.watch.source import Deleted, Event, ListComplete, Listing, Lost, Resumed, Upserted, Want

LOG = logging.getLogger(__name__)

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
IN_FORCE: Final = "its former content stays in force"

NOTHING: Signature = (0, 0, 0, 0)


class Read(NamedTuple):
    """A file as it was last read."""

    signature: Signature
    manifests: Manifests
    """With the former content of objects that cannot be read now."""
    broken: bool = False
    """Something in it cannot be read."""
    kept: bool = False
    """Some of `manifests` is former content."""


class FileSource:
    """Manifests as a `kdns.watch.source.Source`; see the module docstring."""

    def __init__(self, path: str | Path, *, stdin: BinaryIO | None = None, progress: Progress | None = None) -> None:
        """Read everything once.

        `path` is a file, a folder, or ``-`` for standard input (or for `stdin`), which is read to its end, once.
        ConfigError: there is no such path, something may not be read, or a single file holds nothing but mistakes.
        Documents that cannot be parsed are logged, and left out.
        """
        self._root = Path(path)
        self._called = "stdin" if str(path) == "-" else shown_path(str(path))
        self._stop = asyncio.Event()
        self._reading: asyncio.Future[None] | None = None
        """A thread that reads, which `close` waits for."""
        self._files: dict[str, Read] = {}
        self._unreadable: dict[str, str] = {}
        """Folders that may not be read any more, and why."""
        self._said: frozenset[str] = frozenset()
        self._progress = progress or Progress()
        self._followed = str(path) != "-" and (self._root.is_dir() or self._root.is_file())
        if str(path) != "-" and self._root.is_dir():
            self._read_folder()
        else:
            self._read_single(stdin)
        self._progress.end()
        self._collection = self._collect()
        if not any(read.manifests.entries or read.broken for read in self._files.values()):
            LOG.warning("%s has no Service, EndpointSlice, Namespace, Pod or ServiceImport", self._called)

    def _read_folder(self) -> None:
        scanned = scan(self._root)
        for name, why in scanned.unreadable.items():
            raise unreadable_error(name, why)
        self._read_changed(scanned, first=True)

    def _read_single(self, stdin: BinaryIO | None) -> None:
        """A file, or a pipe that is read once."""
        name, signature = str(self._root), NOTHING
        if name == "-":
            data = stream_content(stdin or sys.stdin.buffer, "standard input")
            name = "stdin"
        elif not self._root.exists():
            hint = "give a file or folder of manifests, or - for standard input"
            raise ConfigError(f"{self._called} does not exist", hint=hint)
        elif self._root.is_file():
            signature = scan(self._root).files.get(name, NOTHING)
            data = content(name) or b""
        else:
            data = pipe_content(name)
        manifests = self._parsed(data, name)
        if manifests.template:
            raise ConfigError(f"{self._called} looks like a Helm template", hint=f"render it first: {RENDERED}")
        if manifests.problems and not manifests.entries:
            raise manifests.problems[0].error
        self._files[name] = Read(signature, manifests, broken=bool(manifests.problems))

    def _parsed(self, data: bytes, name: str) -> Manifests:
        called = shown_path(name)
        self._progress.begin(f"reading {called}")
        return parse_manifests(data, called, step=self._progress.step)

    def streams(self, wants: Sequence[Want]) -> Sequence[AsyncIterator[Event]]:
        """One stream for all kinds. ConfigError for a selector that is none."""
        return [self._stream(tuple(wants), Selection(wants))] if wants else []

    async def close(self) -> None:
        """End the streams, within a tick; nothing is read any more on return."""
        self._stop.set()
        if self._reading is not None:
            await asyncio.wait((self._reading,))

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
            folders = watched_folders(self._root) or await self._returned()
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

    async def _returned(self) -> Folders:
        """A second look at a path that is gone: a file that is being replaced is away for a moment."""
        await self._pause(PAUSE)
        return watched_folders(self._root)

    def _lost_or_resumed(self, wants: Iterable[Want], gone: bool) -> Iterator[Event]:
        if gone:
            LOG.error("%s is gone: its former content stays in force", self._root)
        else:
            LOG.info("%s is back", self._root)
        for want in wants:
            yield Lost(want.kind, f"{self._root} is gone") if gone else Resumed(want.kind)

    async def _looks(self, folders: Folders) -> AsyncGenerator[None, None]:
        """When to look; ends when other folders are to be watched, or at `close`."""
        yield  # what other folders have may be something else
        ticks = 0
        async with aclosing(self._notes(folders)) as notes:
            async for noted in notes:
                if self._stop.is_set() or watched_folders(self._root) != folders:
                    return
                if noted or ticks % LOOK == 0:  # the first tick: what changed before the watch stood
                    yield
                ticks += 1

    async def _notes(self, folders: Folders) -> AsyncGenerator[bool, None]:
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
            if watched_folders(self._root) != folders:
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
        scanned = await asyncio.to_thread(scan, self._root)
        if not scanned.files and not watched_folders(self._root):
            return False  # gone as a whole, not emptied
        if self._is_read(scanned):
            return False
        for _ in range(PATIENCE):
            await self._pause(SETTLE)
            before, scanned = scanned, await asyncio.to_thread(scan, self._root)
            emptied = any(now[2] == 0 and not self._as_read(name, now) for name, now in scanned.files.items())
            if scanned == before and not emptied:
                break
        if self._stop.is_set():
            return False
        self._reading = asyncio.get_running_loop().run_in_executor(None, self._read_and_collect, scanned)
        await asyncio.shield(self._reading)
        return True

    def _read_and_collect(self, scanned: Scan) -> None:
        self._read_changed(scanned)
        self._progress.end()
        self._collection = self._collect()

    def _is_read(self, scanned: Scan) -> bool:
        return (
            scanned.unreadable == self._unreadable
            and self._known(scanned) == self._files.keys()
            and all(self._as_read(name, now) for name, now in scanned.files.items())
        )

    def _known(self, scanned: Scan) -> set[str]:
        """The files there are: those that were seen, and those that were read before in folders that refuse it now."""
        hidden = {name for name in self._files if any(_is_below(name, folder) for folder in scanned.unreadable)}
        return hidden | scanned.files.keys()

    def _as_read(self, name: str, signature: Signature) -> bool:
        return name in self._files and self._files[name].signature == signature

    def _read_changed(self, scanned: Scan, *, first: bool = False) -> None:
        """Forget files that are gone, read those that changed; what cannot be read is logged.

        ConfigError if it is the ``first`` time, and a file may not be read.
        """
        self._unreadable = scanned.unreadable
        for name in self._files.keys() - self._known(scanned):
            del self._files[name]
        for name, signature in scanned.files.items():
            if self._as_read(name, signature) or self._stop.is_set():
                continue
            try:
                data = content(name)
            except ConfigError as error:
                if first:
                    raise
                self._unread(name, signature, error)
                continue
            if data is None or len(data) < signature[2]:
                continue  # it is being replaced or written just now, and will be looked at again
            before = self._files.get(name, Read(NOTHING, Manifests()))
            self._files[name] = _joined(signature, self._parsed(data, name), before.manifests)
            if before.broken and not self._files[name].broken:
                LOG.info("%s can be read again", shown_path(name))

    def _unread(self, name: str, signature: Signature, error: ConfigError) -> None:
        """A file that may not be read any more keeps its former content."""
        before = self._files.get(name, Read(NOTHING, Manifests()))
        self._files[name] = before._replace(signature=signature, broken=True)
        LOG.error("%s; %s", error.problem, IN_FORCE if before.manifests.entries else "the others are served")

    def _collect(self) -> Collection:
        """Put the files together; each problem and each warning is logged when it is new."""
        collection = collect({name: read.manifests for name, read in self._files.items()})
        kept = {shown_path(name) for name, read in self._files.items() if read.kept}
        problems = [f"{shown_path(name)} cannot be read: {why}; {IN_FORCE}" for name, why in self._unreadable.items()]
        problems += [_problem_line(problem, kept) for problem in collection.problems]
        warnings = [*collection.warnings, *collection.summary.warnings()]
        summary = list(collection.summary.lines())
        self._log(logging.ERROR, problems)
        self._log(logging.WARNING, warnings)
        self._log(logging.INFO, summary)
        self._said = frozenset((*problems, *warnings, *summary))
        return collection

    def _log(self, level: int, lines: Sequence[str]) -> None:
        new = [line for line in dict.fromkeys(lines) if line not in self._said]
        for line in new[:WARNINGS_SHOWN]:
            LOG.log(level, "%s", line)
        if len(new) > WARNINGS_SHOWN:
            LOG.log(level, "... and %d more warnings like these", len(new) - WARNINGS_SHOWN)


def _joined(signature: Signature, now: Manifests, before: Manifests) -> Read:
    """What a file says now; of objects that cannot be read, their former content.

    A mistake hides which object it is in: every object that the file had, and does not show now, stays.
    """
    if not now.problems:
        return Read(signature, now)
    shown = {_identity(entry) for entry in now.entries}
    kept = tuple(entry for entry in before.entries if _identity(entry) not in shown)
    joined = now._replace(entries=(*now.entries, *kept), template=now.template and not kept)
    return Read(signature, joined, broken=True, kept=bool(kept))


def _identity(entry: Manifest | Played | Skipped) -> object:
    if isinstance(entry, Manifest):
        return entry.key
    return (entry.kind, entry.namespace, entry.name) if isinstance(entry, Played) else entry.warning


def _problem_line(problem: Problem, kept: Container[str]) -> str:
    error = problem.error
    place = f"{error.at.source}:{error.at.line}:{error.at.column}: " if error.at else ""
    if error.at is not None and error.at.source in kept:
        return f"{place}{error.problem}; {IN_FORCE}"
    template = "; looks like a template: render it first" if error.at is not None and "{{" in error.at.text else ""
    return f"{place}{error.problem}; {problem.about or 'this document'} is left out{template}"


def _is_below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


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
