"""Files that change between the look at them and the reading."""

from pathlib import Path

import pytest

from kdns.watch.manifests import files
from kdns.watch.manifests.files import FileSource
from kdns.watch.manifests.folder import scan

SERVICE = "{kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.9}}\n"


def test_a_file_that_is_cut_while_it_is_read_keeps_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that writes in place empties the file first: what is shorter than it was a moment ago is not whole."""
    path = tmp_path / "web.yaml"
    path.write_text(SERVICE)
    source = FileSource(tmp_path)
    path.write_text(SERVICE + "# more\n")
    found = scan(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(files, "content", lambda _: b"")
        source._read_changed(found)
    assert len(source._files[str(path)].manifests.objects) == 1
    assert not source._is_read(found), "it is looked at again"
    source._read_changed(found)
    assert source._is_read(found)
