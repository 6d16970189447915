"""Whether a file has changed: written again, put in place of another, or pointed to by another link."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdns.ops.file_stamp import file_stamp, file_stamps


def longer(path: Path) -> None:
    """More octets."""
    path.write_text("two lines\nof text\n")


def other_time(path: Path) -> None:
    """The same octets, written later."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replaced(path: Path) -> None:
    """Another file of the same size and time, renamed into its place: as editors and the kubelet do."""
    status = path.stat()
    fresh = path.with_suffix(".new")
    fresh.write_text("two\n")
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.rename(path)


def linked(path: Path) -> None:
    """A link to another file."""
    other = path.with_suffix(".other")
    other.write_text("one\n")
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [longer, other_time, replaced, linked])
def test_a_change_shows(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Each way to change a file gives another stamp; looking twice does not."""
    path = tmp_path / "file"
    path.write_text("one\n")
    before = file_stamp(path)
    assert file_stamp(str(path)) == before
    change(path)
    assert file_stamp(path) != before


def test_files_that_are_gone(tmp_path: Path) -> None:
    """One alone is an error, of several it is left out."""
    there = tmp_path / "there"
    there.touch()
    gone = str(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        file_stamp(gone)
    assert list(file_stamps([gone, str(there)])) == [str(there)]
