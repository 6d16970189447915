"""The folder that the example is copied into and served from."""

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from kdns.base.errors import ConfigError


class Folder(NamedTuple):
    """Where the example is."""

    path: Path
    ours: bool
    """It is a temporary one, to be removed at the end unless it has been edited."""


def example() -> dict[str, str]:
    """The manifests of the package: file name -> text."""
    texts = {entry.name: entry.read_text() for entry in files("kdns.demo").iterdir() if entry.name.endswith(".yaml")}
    return dict(sorted(texts.items()))


def prepare(path_text: str) -> Folder:
    """Copy the example into a new temporary folder, or into the one named unless it has files already.

    Raises ConfigError when that cannot be.
    """
    try:
        path = Path(path_text) if path_text else Path(tempfile.mkdtemp(prefix="kdns-demo-"))
        path.mkdir(parents=True, exist_ok=True)
        if not any(path.iterdir()):
            for name, text in example().items():
                (path / name).write_text(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write the example to {path_text or 'a temporary folder'}: {error.strerror}"
        ) from error
    return Folder(path, ours=not path_text)


def leave(folder: Folder) -> str:
    """Remove the folder if it is ours and as we made it; what was done, in words."""
    if not folder.ours:
        return f"kept {folder.path}"
    if not folder.path.exists():
        return f"{folder.path} is gone already"
    now = {entry.name: entry.read_bytes() for entry in folder.path.iterdir() if entry.is_file()}
    if now != {name: text.encode() for name, text in example().items()}:
        return f"kept {folder.path}, as it has changes"
    shutil.rmtree(folder.path)
    return f"removed {folder.path}"
