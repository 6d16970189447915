"""Evidence from a folder or a tar.gz in the layout of `kdns collect`. The edge: it opens files, bounded.

::

    collected.txt                      when it was (RFC 3339); else the files of a tar say so
    *.yaml, *.json                     objects
    node/NODE/FILE                     what a node has
    pod/NAMESPACE/POD/resolv.conf      as the container sees it
    dns/POD/log.txt, metrics.txt       of a DNS server

A tar.gz may have these at its top, or below one folder.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.explain.ages import rfc3339
from kdns.explain.archive import ArchiveError, Limits, read_archive
from kdns.explain.evidence import Evidence, TextFile

FILE_LIMIT: Final = 1 << 28
"""Octets of one file: rules of the largest clusters and dumps of 100,000 endpoints stay far below."""
TOTAL_LIMIT: Final = 1 << 30
"""Octets of all files together."""
FILES_LIMIT: Final = 20_000
LIMITS: Final = Limits(FILE_LIMIT, TOTAL_LIMIT, FILES_LIMIT, 4 * FILES_LIMIT)
LOOK: Final = 4096
"""Characters at the start of a file in which an error message would stand."""
ERROR_STARTS: Final = ("error:", "Error:", "Error from server", "Unable to connect", "sh:", "bash:")
"""How tools begin that were redirected into a file and failed."""


class Raw(NamedTuple):
    """One file as octets, with its path relative to the evidence."""

    path: str
    data: bytes


class Part(NamedTuple):
    """A file of objects, read when it is its turn: the largest ones are not needed as a whole."""

    path: str
    read: Callable[[], bytes]
    """Raises ConfigError."""
    size: int

    @classmethod
    def of(cls, raw: Raw) -> "Part":
        """Of octets that are there."""
        return cls(raw.path, lambda: raw.data, len(raw.data))


def read_bundle(path: str, evidence: Evidence) -> list[Part]:
    """Put the files of a bundle into the evidence; the manifests among them are returned. Raises ConfigError."""
    manifests: list[Part] = []
    parts_of_it, written = _tar(path) if os.path.isfile(path) else (_folder(Path(path)), "")
    for part in parts_of_it:
        parts = PurePosixPath(part.path).parts
        if len(parts) == 1 and part.path.endswith((".yaml", ".yml", ".json")):
            manifests.append(part)
            continue
        match parts:
            case ("collected.txt",):
                written = text_file(Raw(part.path, part.read())).text.strip()
                continue
            case ("node", node, name):
                kept = evidence.nodes.setdefault(node, {})
            case ("pod", namespace, pod, name):
                kept = evidence.pods.setdefault((namespace, pod), {})
            case ("dns", pod, name):
                kept = evidence.dns.setdefault(pod, {})
            case _:
                continue
        kept[name] = file = text_file(Raw(part.path, part.read()))
        if file.problem:
            evidence.problems = (*evidence.problems, f"{part.path}: {file.problem}")
    evidence.collected = max(evidence.collected, written)
    return manifests


def text_file(raw: Raw) -> TextFile:
    """Octets as text, and what makes them useless as evidence."""
    if b"\0" in raw.data:
        return TextFile(raw.path, "", "not a text file")
    text = raw.data.decode("utf-8", "replace")
    start = text[:LOOK].lstrip()
    if not start and (not text or text.isspace()) and not raw.path.endswith(("conntrack.txt", "legacy-save.txt")):
        return TextFile(raw.path, text, "the file is empty")
    if start.startswith(ERROR_STARTS):
        return TextFile(raw.path, text, f"it holds an error message: {start.splitlines()[0].rstrip()[:120]}")
    return TextFile(raw.path, text)


def _folder(root: Path) -> Iterator[Part]:
    if not root.is_dir():
        raise ConfigError(f"--evidence: no file or folder {str(root)!r}", hint="kdns collect writes one")
    total = count = 0

    def refused(error: OSError) -> None:
        raise ConfigError(f"--evidence: cannot read {error.filename}: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=refused):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not path.is_file() or name.startswith("."):
                continue
            size = path.stat().st_size
            total, count = total + size, count + 1
            if size > FILE_LIMIT or total > TOTAL_LIMIT or count > FILES_LIMIT:
                raise ConfigError(f"--evidence: {path}: more than {TOTAL_LIMIT >> 20} MiB or {FILES_LIMIT} files")
            yield Part(path.relative_to(root).as_posix(), partial(_read, path), size)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--evidence: cannot read {path}: {error.strerror}") from error


def _tar(path: str) -> tuple[Iterator[Part], str]:
    """Its files, and when the last one was written. Members are never unpacked: their paths may say what they like."""
    try:
        members = list(read_archive(path, LIMITS))
    except (ArchiveError, OSError) as error:
        raise ConfigError(f"--evidence: cannot read {path}: {error}", hint="a folder, or a tar.gz of one") from error
    prefix = _common_folder([member.name for member in members])
    raws = (Raw(_normal(member.name).removeprefix(prefix), member.data) for member in members)
    return map(Part.of, raws), rfc3339(max((member.written for member in members), default=0))


def _normal(name: str) -> str:
    return PurePosixPath(name).as_posix().removeprefix("./").lstrip("/")


def _common_folder(names: list[str]) -> str:
    """The one folder that everything is below, with a slash; empty if the files are at the top."""
    tops = {_normal(name).partition("/")[0] for name in names}
    whole = all("/" in _normal(name) for name in names)
    top = next(iter(tops), "")
    return f"{top}/" if len(tops) == 1 and whole and top not in {"node", "pod", "dns"} else ""
