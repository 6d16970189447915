"""Corefiles on disk: patterns, symbolic links, and what is no file."""

import io
import os
import sys
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.config.load import load, read_files
from tests.config.text import outline


def write(folder: Path, **files: str) -> Path:
    """Files into a folder; its path."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def names(folder: Path, pattern: str) -> list[str]:
    """What a pattern finds, relative to the folder."""
    return [os.path.relpath(text.name, folder) for text in read_files(f"{folder}/{pattern}")]


def test_a_configmap(tmp_path: Path) -> None:
    """A ConfigMap's folder is full of symbolic links; a pattern takes the files, and no folder."""
    data = write(tmp_path / "..2026_01_01", **{"b.server": "b {\n}", "a.server": "a {\n}", "x.override": "log"})
    (tmp_path / "..data").symlink_to(data.name)
    for file in data.iterdir():
        (tmp_path / file.name).symlink_to(f"..data/{file.name}")
    assert names(tmp_path, "*.server") == ["a.server", "b.server"]
    assert names(tmp_path, "*") == ["a.server", "b.server", "x.override"]
    (tmp_path / "Corefile").write_text(". {\n import *.override\n}\nimport *.server\n")
    found = load(str(tmp_path / "Corefile"), environ={})
    assert outline(found) == ".:53\n  log\na.:53\nb.:53"
    assert str(tmp_path) in found.files


def test_patterns(tmp_path: Path) -> None:
    """One wildcard, in any part of the path; a leading dot is matched as well; nothing is nothing."""
    write(tmp_path, **{"a/x": "1", "b/x": "2", "b/y": "3", ".hidden.x": "4"})
    assert names(tmp_path, "*/x") == ["a/x", "b/x"]
    assert names(tmp_path, "b/?") == ["b/x", "b/y"]
    assert names(tmp_path, "*.x") == [".hidden.x"]
    assert names(tmp_path, "no/*") == names(tmp_path, "no") == names(tmp_path, "c*") == []


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Corefile named without a folder is in the working directory, and so is what it imports."""
    write(tmp_path, Corefile="import *.x\nimport sub/y", **{"a.x": "a {\n}", "sub/y": "import z", "sub/z": "b {\n}"})
    monkeypatch.chdir(tmp_path)
    found = load("Corefile", environ={})
    assert outline(found) == "a.:53\nb.:53"
    assert found.files == ("Corefile", ".", "a.x", "sub/y", "sub/z")


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``stdin`` is read, and is nothing to be watched."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"import x\n")))
    monkeypatch.chdir(write(tmp_path, x="a {\n}"))
    found = load("stdin", environ={}, port=1053)
    assert outline(found) == "a.:1053"
    assert found.files == ("x",)


def test_octets_that_are_no_text(tmp_path: Path) -> None:
    """A comment in another encoding is no mistake."""
    (tmp_path / "Corefile").write_bytes(b". {\n a # gr\xfc\xdfe\n}\n")
    assert outline(load(str(tmp_path / "Corefile"), environ={})) == ".:53\n  a"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import pipe", "cannot import: {}/pipe: it is not a regular file"),
        ("import folder", "cannot import: {}/folder: Is a directory"),
        ("import link", "cannot import: {}/link: No such file or directory"),
        ("import nothing", "there is no snippet and no file 'nothing'"),
        ("import /dev/zero", "cannot import: /dev/zero: it is not a regular file"),
        ("import large", "cannot import: {}/large: it is larger than 8 MiB"),
    ],
)
def test_what_cannot_be_imported(line: str, told: str, tmp_path: Path) -> None:
    """What is no file is told at the import, and nothing waits."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("away")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(8 * 1024 * 1024 + 1)
    (tmp_path / "Corefile").write_text(f". {{\n {line}\n}}\n")
    with pytest.raises(ConfigError) as raised:
        load(str(tmp_path / "Corefile"), environ={})
    assert raised.value.problem == told.format(tmp_path)
    assert raised.value.at is not None
    assert raised.value.at[1:3] == (2, 9)


def test_no_corefile(tmp_path: Path) -> None:
    """A Corefile that is not there, or a folder, is told by its name."""
    for path, reason in ((tmp_path / "Corefile", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as raised:
            load(str(path), environ={})
        assert raised.value.problem == f"cannot read {path}: {reason}"
