"""Temporary files, also where nothing but /dev/shm can be written."""

import tempfile
from pathlib import Path

import pytest

from kdns.base.errors import ConfigError
from kdns.ops.scratch import scratch_folder


def test_memory_first(tmp_path: Path) -> None:
    """The folder is made in memory, is for its user alone, and is gone afterwards."""
    with scratch_folder(tmp_path) as folder:
        place = Path(folder)
        assert place.parent == tmp_path
        assert place.stat().st_mode & 0o777 == 0o700
        (place / "key").write_text("secret")
    assert not list(tmp_path.iterdir())


def test_the_usual_place_without_memory(tmp_path: Path) -> None:
    """Where there is no such place, the one that Python finds."""
    with scratch_folder(tmp_path / "none") as folder:
        assert Path(folder).parent == Path(tempfile.gettempdir())


def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that says what to do, and no traceback."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no folder for temporary files: No such file or directory"):
        scratch_folder(tmp_path / "none")
