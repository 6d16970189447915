"""Corefiles and kube-proxy's configuration read from disk: the only part of `kdns.config` that opens anything.

What is read is bounded.
"""

import os
import re
import stat
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from kdns.base.errors import ConfigError
from kdns.config.corefile import MOST_TEXT, WILDCARDS, Text, parse_corefile
from kdns.config.directive import Corefile

STDIN: Final = "stdin"
"""What ``-conf`` calls standard input."""
COREFILE_HINT: Final = "give the path of a Corefile: kdns check FILE, or kdns -conf FILE"
MOST_NAMES: Final = 10_000
"""Entries of a folder that a pattern is compared with."""


def load(path: str, *, environ: Mapping[str, str], port: int = 53, known: Container[str] = ()) -> Corefile:
    """The Corefile at a path, or on standard input. Raises ConfigError, or ConfigErrors with all that is wrong.

    ``port`` and ``known`` are those of `parse_corefile`. Files are read at once, so call it where that may take the
    time of a few reads.
    """
    try:
        text = Text(path, _decoded(sys.stdin.buffer.read(MOST_TEXT + 1)) if path == STDIN else _read(path))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}",
            hint="give the path of a Corefile: kdns check FILE, or kdns -conf FILE",
        ) from error
    _require_corefile(text)
    corefile = parse_corefile(text, read=read_files, environ=environ, port=port, known=known)
    if path == STDIN:
        return corefile._replace(files=tuple(name for name in corefile.files if name != STDIN))
    return corefile


def _require_corefile(text: Text) -> None:
    """Raise ConfigError for what is given for a Corefile by mistake, instead of a mistake in each of its lines."""
    if "\0" in text.text:
        raise ConfigError(f"{text.name}: not a text file")
    if re.match(r"(?:---\s+)?(?:apiVersion|kind):\s", text.text):
        raise ConfigError(
            f"{text.name}: this looks like YAML, not a Corefile",
            hint="kubectl -n kube-system get configmap coredns -o jsonpath='{.data.Corefile}' | kdns check -",
        )


def read_kubeproxy(path: str) -> str:
    """The text of a KubeProxyConfiguration. Raises ConfigError for what cannot be read."""
    try:
        return _read(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", hint="--config is the path of a KubeProxyConfiguration"
        ) from error


def read_files(pattern: str) -> Sequence[Text]:
    """The files that a path names, in order; none if it does not exist or nothing matches.

    Folders that a wildcard matches are left out. Raises ConfigError for what cannot be read.
    """
    if not any(wildcard in pattern for wildcard in WILDCARDS):
        return _texts([pattern]) if os.path.lexists(pattern) else ()
    return _texts([path for path in _matches(pattern) if not Path(path).is_dir()])


def _texts(paths: Sequence[str]) -> Sequence[Text]:
    texts: list[Text] = []
    size = 0
    for path in paths:
        try:
            texts.append(Text(path, _read(path, regular=True)))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        size += len(texts[-1].text)
        if size > MOST_TEXT:
            raise ConfigError(f"the files are larger than {MOST_TEXT // 1024 // 1024} MiB together")
    return texts


def _read(path: str, *, regular: bool = False) -> str:
    """The text of a file, at most a little over what a Corefile may have. ``regular``: nothing that could wait."""
    opener = _open_at_once if regular else None
    with open(path, "rb", opener=opener) as file:
        if regular and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(None, "it is not a regular file")
        return _decoded(file.read(MOST_TEXT + 1))


def _open_at_once(path: str, flags: int) -> int:
    """Open a pipe without waiting for a writer, too."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decoded(octets: bytes) -> str:
    """Text from octets; octets that are not UTF-8 may stand in a comment, so they are replaced, not refused."""
    if len(octets) > MOST_TEXT:
        raise OSError(None, f"it is larger than {MOST_TEXT // 1024 // 1024} MiB")
    return octets.decode("utf-8", "replace")


def _matches(pattern: str) -> list[str]:
    """The paths that a pattern with one ``*`` matches, sorted; as in CoreDNS it matches a leading dot, too."""
    paths = [""] if not pattern.startswith("/") else ["/"]
    for part in pattern.strip("/").split("/"):
        if any(wildcard in part for wildcard in WILDCARDS):
            paths = [os.path.join(folder, name) for folder in paths for name in _names(folder, part)]
        else:
            paths = [os.path.join(folder, part) for folder in paths]
    return [path for path in paths if os.path.lexists(path)]


def _names(folder: str, pattern: str) -> Iterator[str]:
    expression = re.compile(
        "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern), re.DOTALL
    )
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return
    if len(names) > MOST_NAMES:
        raise ConfigError(f"{folder} has more than {MOST_NAMES} entries")
    yield from (name for name in names if expression.fullmatch(name))
