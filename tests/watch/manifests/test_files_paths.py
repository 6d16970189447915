"""Where manifests come from: mounted ConfigMaps, folders that go and come back, symlinks, pipes, standard input."""

import asyncio
import io
import logging
import os
import shutil
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kdns.base.errors import ConfigError
from kdns.watch.manifests import files
from kdns.watch.manifests.files import FileSource
from kdns.watch.source import Deleted, Lost, Resumed, Want
from tests.watch.manifests.folder_rig import following, service


def mount(folder: Path, version: str, **names: str) -> None:
    """What the kubelet does with a ConfigMap: a new folder, and a symlink that is swapped to it."""
    (folder / version).mkdir()
    for name, text in names.items():
        (folder / version / f"{name}.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in names:
        if not (folder / f"{name}.yaml").is_symlink():
            (folder / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")


@pytest.mark.parametrize("single", [False, True], ids=["folder", "single file"])
async def test_a_mounted_config_map(tmp_path: Path, single: bool) -> None:
    """Each object is seen once, through its symlink, and a swap of the folder behind it shows."""
    mount(tmp_path, "..2026_01_01", web=service("web"))
    async with following(tmp_path / "web.yaml" if single else tmp_path) as follower:
        assert follower.addresses() == {"web": "10.96.0.9"}
        for version, address in (("..2026_01_02", "10.96.0.10"), ("..2026_01_03", "10.96.0.11")):
            mount(tmp_path, version, web=service("web", address))
            await follower.has(web=address)
        assert not any(isinstance(event, Deleted) for event in follower.events)


@pytest.mark.parametrize("single", [False, True], ids=["folder", "single file"])
async def test_a_path_that_vanishes_and_comes_back(tmp_path: Path, single: bool) -> None:
    """While it is gone what it said stays in force, and the source says so; back again, it is followed as before."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(service("web"))
    root = folder / "web.yaml" if single else folder
    async with following(root) as follower:
        folder.rename(tmp_path / "aside")
        await follower.until(lambda: Lost("Service", f"{root} is gone") in follower.events)
        assert follower.addresses() == {"web": "10.96.0.9"}
        folder.mkdir()
        (folder / "web.yaml").write_text(service("web", "10.96.0.10"))
        await follower.has(web="10.96.0.10")
        assert Resumed("Service") in follower.events
        (folder / "web.yaml").write_text(service("web", "10.96.0.11"))
        await follower.has(web="10.96.0.11")
        assert not any(isinstance(event, Deleted) for event in follower.events)


async def test_a_folder_that_is_replaced(tmp_path: Path) -> None:
    """Another folder under the same name, or behind the same symlink, is the one that is followed from then on."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "web.yaml").write_text(service("web", f"10.96.0.{version}"))
    (tmp_path / "current").symlink_to("1")
    async with following(tmp_path / "current") as follower:
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(tmp_path / "current")
        await follower.has(web="10.96.0.2")
        (tmp_path / "2" / "web.yaml").write_text(service("web", "10.96.0.3"))
        await follower.has(web="10.96.0.3")


async def test_without_watches_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the kernel has no watches left, one warning says so, and edits show all the same."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr(files, "awatch", refuse)
    monkeypatch.setattr(files, "POLL", 0.05)
    (tmp_path / "web.yaml").write_text(service("web"))
    async with following(tmp_path) as follower:
        for address in ("10.96.0.10", "10.96.0.11"):
            (tmp_path / "web.yaml").write_text(service("web", address))
            await follower.has(web=address)
    assert sum("OS file watch limit reached" in record.getMessage() for record in caplog.records) == 1


async def test_symlinks_in_circles(tmp_path: Path) -> None:
    """A symlink to a folder above is followed no further."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "up").symlink_to("..")
    (tmp_path / "deep" / "web.yaml").write_text(service("web"))
    async with following(tmp_path) as follower:
        assert follower.addresses() == {"web": "10.96.0.9"}


async def test_standard_input() -> None:
    """It is read once; the stream stays open, and ends at close."""
    async with following("-", stdin=io.BytesIO(service("web").encode())) as follower:
        assert follower.addresses() == {"web": "10.96.0.9"}
        await asyncio.sleep(0)
        assert not follower.ended
    assert follower.ended


async def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What a shell gives for ``<(kubectl get ...)`` is read to its end and not followed."""
    reader, writer = os.pipe()
    os.write(writer, service("web").encode())
    os.close(writer)
    try:
        async with following(f"/dev/fd/{reader}") as follower:
            assert follower.addresses() == {"web": "10.96.0.9"}
    finally:
        os.close(reader)


def test_what_is_wrong_at_the_start(tmp_path: Path) -> None:
    """A path that is not there, a single file that does not parse, or one nobody may read ends the start, in a line."""
    with pytest.raises(ConfigError, match="nowhere does not exist\n  give a file or folder"):
        FileSource(tmp_path / "nowhere")
    (tmp_path / "broken.yaml").write_text("kind: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml:2:1: expected YAML"):
        FileSource(tmp_path / "broken.yaml")
    with pytest.raises(ConfigError, match=r"stdin:1:1: expected a Kubernetes object"):
        FileSource("-", stdin=io.BytesIO(b"what?"))
    (tmp_path / "web.yaml").write_text(service("web"))
    with pytest.raises(ConfigError, match="label selector"):
        FileSource(tmp_path / "web.yaml").streams([Want("Service", label_selector="=")])


def test_nothing_wanted_is_no_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who wants no kind gets no stream; a folder without any object of ours is worth a warning."""
    assert list(FileSource(tmp_path).streams([])) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path} has no Service, EndpointSlice, Namespace, Pod or ServiceImport"
    ]


def refuse(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder or file unreadable, also for root, whom modes do not stop."""
    scandir, read_bytes = os.scandir, Path.read_bytes

    def scanned(name: Any) -> Any:
        if Path(name) == path:
            raise PermissionError(13, "Permission denied", str(name))
        return scandir(name)

    def read(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return read_bytes(self)

    monkeypatch.setattr(os, "scandir", scanned)
    monkeypatch.setattr(Path, "read_bytes", read)


@pytest.mark.parametrize("name", ["", "deep", "web.yaml"], ids=["the folder", "a subfolder", "a file in it"])
def test_what_may_not_be_read_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An unreadable folder is not an empty one: what is missing would be NXDOMAIN."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "web.yaml").write_text(service("web"))
    refuse(tmp_path / name, monkeypatch)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        FileSource(tmp_path)


async def test_a_subfolder_that_may_not_be_read_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What its files said stays in force, with one error; edits elsewhere show."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "db.yaml").write_text(service("db"))
    (tmp_path / "web.yaml").write_text(service("web"))
    async with following(tmp_path) as follower:
        refuse(tmp_path / "deep", monkeypatch)
        for address in ("10.96.0.10", "10.96.0.11"):
            (tmp_path / "web.yaml").write_text(service("web", address))
            await follower.has(web=address, db="10.96.0.9")
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert lines == [f"{tmp_path / 'deep'} cannot be read: Permission denied; its former content stays in force"]


def test_a_fifo_that_is_not_written_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Waiting for its writer is said once, after a second; then it is read to its end."""
    os.mkfifo(tmp_path / "fifo")
    said = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: said.set()  # type: ignore[method-assign]

    def write() -> None:
        said.wait(20)
        with (tmp_path / "fifo").open("w") as fifo:
            fifo.write(service("web"))
            fifo.flush()
            fifo.write("---\n" + service("db"))

    logging.getLogger("kdns.watch.manifests.folder").addHandler(handler)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        source = FileSource(tmp_path / "fifo")
    finally:
        writer.join()
        logging.getLogger("kdns.watch.manifests.folder").removeHandler(handler)
    assert sum(key.kind == "Service" for key in source._collection.objects) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'fifo'}: nothing has come yet; waiting for its end (Ctrl-C to stop)"
    ]


@pytest.mark.parametrize(
    ("name", "text", "warned"),
    [
        ("empty.yaml", "", True),
        ("other.yaml", "kind: ConfigMap\nmetadata: {name: x}\n", True),
        ("skipped.yaml", "kind: Service\nmetadata: {name: x}\n", False),
        ("workload.yaml", "kind: Endpoints\nmetadata: {name: x}\n", False),
    ],
)
def test_a_file_has_no_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, text: str, warned: bool
) -> None:
    """It is said only where it is so: an object that makes no sense is one, and was warned about."""
    (tmp_path / name).write_text(text)
    FileSource(tmp_path / name)
    said = [record.getMessage() for record in caplog.records if " has no Service" in record.getMessage()]
    assert len(said) == warned


def test_a_template_of_helm_alone(tmp_path: Path) -> None:
    """The error names the command that makes objects of it."""
    (tmp_path / "web.yaml").write_text("kind: Service\nmetadata: {name: {{ .Release.Name }}}\n")
    with pytest.raises(
        ConfigError, match=r"looks like a Helm template\n  .*helm template \. \| kdns records --source -"
    ):
        FileSource(tmp_path / "web.yaml")


async def test_a_bad_object_beside_good_edits(tmp_path: Path) -> None:
    """The good edits of a file show; the object that became unreadable stays as it was."""
    path = tmp_path / "a.yaml"
    path.write_text(service("web") + "---\n" + service("db"))
    async with following(tmp_path) as follower:
        path.write_text(service("web", "10.96.0.10") + "---\n" + service("db").replace("port: 80", "port: x"))
        await follower.has(web="10.96.0.10", db="10.96.0.9")
        path.write_text(service("web", "10.96.0.10") + "---\n" + service("db", "10.96.0.11"))
        await follower.has(web="10.96.0.10", db="10.96.0.11")


async def test_nothing_is_read_after_the_close(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The folder may be removed right after `close`, in the middle of a reading, without a word."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.yaml").write_text(service(f"n{number}"))
    async with following(folder) as follower:
        for path in folder.iterdir():
            path.write_text(path.read_text() + "# more\n")
        await asyncio.sleep(0.15)
        await follower.source.close()
        shutil.rmtree(folder)
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []
