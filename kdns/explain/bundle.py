"""Evidence from a folder or a tar.gz in the layout of `kdns collect`. The edge: it opens files, bounded.

::

    *.yaml, *.json                     objects
    node/NODE/FILE                     what a node has
    pod/NAMESPACE/POD/resolv.conf      as the container sees it
    dns/POD/log.txt, metrics.txt       of a DNS server

A tar.gz may have these at its top, or below one folder.
"""

import os
import tarfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from kdns.base.errors import ConfigError
from kdns.explain.evidence import Evidence, TextFile

FILE_LIMIT: Final = 1 << 28
"""Octets of one file: rules of the largest clusters and dumps of 100,000 endpoints stay far below."""
TOTAL_LIMIT: Final = 1 << 30
"""Octets of all files together."""
FILES_LIMIT: Final = 20_000
FOLDERS: Final = 4
"""Folders in an archive for each file at most."""
ERROR_STARTS: Final = ("error:", "Error:", "Error from server", "Unable to connect", "sh:", "bash:")
"""How tools begin that were redirected into a file and failed."""


class Raw(NamedTuple):
    """One file as octets, with its path relative to the evidence."""

    path: str
    data: bytes


def read_bundle(path: str, evidence: Evidence) -> list[Raw]:
    """Put the files of a bundle into the evidence; the manifests among them are returned. Raises ConfigError."""
    manifests: list[Raw] = []
    for raw in _tar(path) if os.path.isfile(path) else _folder(Path(path)):
        parts = PurePosixPath(raw.path).parts
        if len(parts) == 1 and raw.path.endswith((".yaml", ".yml", ".json")):
            manifests.append(raw)
            continue
        file = text_file(raw)
        match parts:
            case ("node", node, name):
                evidence.nodes.setdefault(node, {})[name] = file
            case ("pod", namespace, pod, name):
                evidence.pods.setdefault((namespace, pod), {})[name] = file
            case ("dns", pod, name):
                evidence.dns.setdefault(pod, {})[name] = file
            case _:
                continue
        if file.problem:
            evidence.problems = (*evidence.problems, f"{raw.path}: {file.problem}")
    return manifests


def text_file(raw: Raw) -> TextFile:
    """Octets as text, and what makes them useless as evidence."""
    if b"\0" in raw.data:
        return TextFile(raw.path, "", "not a text file")
    text = raw.data.decode("utf-8", "replace")
    if not text.strip() and not raw.path.endswith(("conntrack.txt", "legacy-save.txt")):
        return TextFile(raw.path, text, "the file is empty")
    if text.lstrip().startswith(ERROR_STARTS):
        return TextFile(raw.path, text, f"it holds an error message: {text.strip().splitlines()[0][:120]}")
    return TextFile(raw.path, text)


def _folder(root: Path) -> Iterator[Raw]:
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
            try:
                size = path.stat().st_size
                total, count = total + size, count + 1
                _check(str(path), size, total, count)
                yield Raw(path.relative_to(root).as_posix(), path.read_bytes())
            except OSError as error:
                raise ConfigError(f"--evidence: cannot read {path}: {error.strerror}") from error


def _tar(path: str) -> Iterator[Raw]:
    """Members are read and never unpacked, so it does not matter where they say they want to go."""
    total = others = 0
    files: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:  # checked before what it holds is decompressed
                total += member.size
                if member.isfile():
                    files.append(member)
                else:
                    others += 1
                count = max(len(files), others // FOLDERS)
                _check(f"{path}: {member.name}", member.size, total, count)
            prefix = _common_folder([member.name for member in files])
            for member in files:
                stream = archive.extractfile(member)
                if stream is not None:
                    yield Raw(_normal(member.name).removeprefix(prefix), stream.read())
            _read_to_end(archive, path)
    except (tarfile.TarError, EOFError, OSError, zlib.error, LZMAError) as error:
        raise ConfigError(f"--evidence: cannot read {path}: {error}", hint="a folder, or a tar.gz of one") from error


def _read_to_end(archive: tarfile.TarFile, path: str) -> None:
    """The checksum of what is compressed stands behind it, and is compared when it is reached."""
    size = 0
    while archive.fileobj is not None and (chunk := archive.fileobj.read(1 << 20)):
        size += len(chunk)
        _check(path, 0, size, 0)


def _normal(name: str) -> str:
    return PurePosixPath(name).as_posix().removeprefix("./").lstrip("/")


def _common_folder(names: list[str]) -> str:
    """The one folder that everything is below, with a slash; empty if the files are at the top."""
    tops = {_normal(name).partition("/")[0] for name in names}
    whole = all("/" in _normal(name) for name in names)
    top = next(iter(tops), "")
    return f"{top}/" if len(tops) == 1 and whole and top not in {"node", "pod", "dns"} else ""


def _check(name: str, size: int, total: int, count: int) -> None:
    if size > FILE_LIMIT or total > TOTAL_LIMIT or count > FILES_LIMIT:
        raise ConfigError(f"--evidence: {name}: more than {TOTAL_LIMIT >> 20} MiB or {FILES_LIMIT} files", hint="")
