"""A folder or file of manifests is a source: listed once, then followed, and never lost to a broken edit."""

import asyncio
import io
import logging
import os
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kdns.errors import ConfigError
from kdns.objects import Object, ObjectKey, Service
from kdns.watch import files
from kdns.watch.files import FileSource
from kdns.watch.manifests import parse_manifests
from kdns.watch.source import Event, Gone, Listed, Listing, Lost, Put, Resumed, Want

PATIENCE = 20.0
"""Seconds within which an edit must show. It takes a tenth of one; the machine may have other things to do."""
QUIET = 0.6
"""Seconds without an event after which none is coming."""
SERVICES = (Want("Service"),)


def service(name: str, address: str = "10.96.0.9") -> str:
    """A manifest of Service shop/NAME."""
    return (
        f"kind: Service\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
    )


class Follower:
    """Reads a source's one stream, and keeps what it says."""

    def __init__(self, source: FileSource, wants: tuple[Want, ...]) -> None:
        self.source = source
        self.events: list[Event] = []
        self.objects: dict[ObjectKey, Object] = {}
        self.ended = False
        self._wants = wants
        self._news = asyncio.Event()

    async def read(self) -> None:
        (stream,) = self.source.streams(self._wants)
        async for event in stream:
            self.events.append(event)
            match event:
                case Put(kept):
                    self.objects[kept.key] = kept
                case Gone(key):
                    del self.objects[key]
            self._news.set()
        self.ended = True
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, event by event; AssertionError if it does not come to that."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def listed(self) -> None:
        await self.until(lambda: sum(isinstance(event, Listed) for event in self.events) == len(self._wants))

    async def has(self, **services: str) -> None:
        """Wait until exactly these Services of shop are there, with these addresses."""
        await self.until(lambda: self.addresses() == services)

    def addresses(self) -> dict[str, str]:
        return {
            kept.key.name: ".".join(str(octet) for octet in kept.cluster_ips[0])
            for kept in self.objects.values()
            if isinstance(kept, Service)
        }


@asynccontextmanager
async def following(path: Path | str, wants: tuple[Want, ...] = SERVICES, **more: Any) -> AsyncIterator[Follower]:
    """A source that is read while the body runs, and closed afterwards."""
    follower = Follower(FileSource(path, **more), wants)
    task = asyncio.create_task(follower.read())
    try:
        await follower.listed()
        yield follower
    finally:
        await follower.source.close()
        async with asyncio.timeout(PATIENCE):
            await task


async def test_the_first_list(tmp_path: Path) -> None:
    """Each kind is listed whole, in the order wanted, from all manifests below the folder, hidden ones left out."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "web.yaml").write_text(service("web"))
    (tmp_path / "deep" / "er" / "db.yml").write_text(service("db"))
    (tmp_path / "api.json").write_text('{"kind": "Service", "metadata": {"name": "api"}, "spec": {"ports": []}}')
    (tmp_path / ".hidden" / "no.yaml").write_text(service("no"))
    (tmp_path / ".no.yaml").write_text(service("no"))
    (tmp_path / "README.md").write_text(service("no"))
    async with following(tmp_path, (Want("Namespace"), Want("Service"), Want("Pod"))) as follower:
        said = [str(event.object.key) if isinstance(event, Put) else event for event in follower.events]
    assert said == [
        Listing("Namespace"), "Namespace default", "Namespace shop", Listed("Namespace"),
        Listing("Service"), "Service default/api", "Service shop/db", "Service shop/web", Listed("Service"),
        Listing("Pod"), Listed("Pod"),
    ]  # fmt: skip


def replace(path: Path, text: str) -> None:
    """As editors save: another file takes the name."""
    other = path.with_name(f".{path.name}.swp")
    other.write_text(text)
    other.rename(path)


def set_aside(path: Path, text: str) -> None:
    """As other editors save: the old file gets another name first."""
    if path.exists():
        path.rename(path.with_name(path.name + "~"))
    path.write_text(text)


def truncate(path: Path, text: str) -> None:
    """As shells write: the file is empty for a moment."""
    with path.open("w") as file:
        file.flush()
        os.fsync(file.fileno())
        file.write(text)


SAVES: tuple[Callable[[Path, str], object], ...] = (Path.write_text, replace, set_aside, truncate)


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("single", [False, True], ids=["folder", "single file"])
async def test_an_edit_shows(tmp_path: Path, save: Callable[[Path, str], object], single: bool) -> None:
    """However a file is saved, what changed is put, what did not is not said again, and nothing is gone meanwhile."""
    path = tmp_path / "shop.yaml"
    path.write_text(service("web") + "---\n" + service("db"))
    async with following(path if single else tmp_path) as follower:
        for address in ("10.96.0.10", "10.96.0.11", "10.96.0.12"):
            save(path, service("web", address) + "---\n" + service("db"))
            await follower.has(web=address, db="10.96.0.9")
    edits = follower.events[follower.events.index(Listed("Service")) + 1 :]
    assert [event.object.key.name for event in edits if isinstance(event, Put)] == ["web"] * 3
    assert len(edits) == 3


async def test_files_come_and_go(tmp_path: Path) -> None:
    """New files, also in new folders, add their objects; those of a deleted file, or one that was emptied, go."""
    (tmp_path / "web.yaml").write_text(service("web"))
    async with following(tmp_path) as follower:
        (tmp_path / "db.yaml").write_text(service("db"))
        await follower.has(web="10.96.0.9", db="10.96.0.9")
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "api.yaml").write_text(service("api"))
        await follower.has(web="10.96.0.9", db="10.96.0.9", api="10.96.0.9")
        (tmp_path / "web.yaml").unlink()
        await follower.has(db="10.96.0.9", api="10.96.0.9")
        (tmp_path / "db.yaml").write_text("")
        await follower.has(api="10.96.0.9")
        shutil.rmtree(tmp_path / "deep")
        await follower.has()


async def test_derived_objects_follow(tmp_path: Path) -> None:
    """A Pod in a file of its own changes the slice that is derived for a Service in another."""
    pod = (
        "kind: Pod\nmetadata: {name: web-0, namespace: shop, labels: {app: web}}\n"
        "status: {podIP: 10.244.0.5, conditions: [{type: Ready, status: 'True'}]}\n"
    )
    (tmp_path / "web.yaml").write_text(service("web").replace("{clusterIP", "{selector: {app: web}, clusterIP"))
    (tmp_path / "pod.yaml").write_text(pod)
    key = ObjectKey("EndpointSlice", "shop", "web-derived-ipv4-0")

    async with following(tmp_path, (Want("EndpointSlice"),)) as follower:
        assert getattr(follower.objects[key], "addresses", None) == b"\n\xf4\0\5"
        (tmp_path / "pod.yaml").write_text(pod.replace("10.244.0.5", "10.244.0.6"))
        await follower.until(lambda: getattr(follower.objects[key], "addresses", None) == b"\n\xf4\0\6")
        (tmp_path / "pod.yaml").unlink()
        await follower.until(lambda: not follower.objects)


async def test_only_changed_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit costs the reading of that file; what is no manifest costs nothing and says nothing."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text(service(name))
    read: list[str] = []

    def counted(data: bytes, source: str) -> Any:
        read.append(Path(source).name)
        return parse_manifests(data, source)

    monkeypatch.setattr(files, "parse_manifests", counted)
    async with following(tmp_path) as follower:
        assert read == ["a.yaml", "b.yaml", "c.yaml"]
        (tmp_path / "notes.txt").write_text("kind: Service")
        (tmp_path / "b.yaml").write_text(service("b", "10.96.0.10"))
        await follower.has(a="10.96.0.9", b="10.96.0.10", c="10.96.0.9")
    assert set(read[3:]) == {"b.yaml"}


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


async def test_a_broken_edit_keeps_what_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that does not parse any more says what it said before; one error names the place; the others load."""
    path = tmp_path / "web.yaml"
    path.write_text(service("web"))
    async with following(tmp_path) as follower:
        path.write_text("kind: Service\nmetadata: [\n")
        (tmp_path / "db.yaml").write_text(service("db"))
        await follower.has(web="10.96.0.9", db="10.96.0.9")
        (tmp_path / "db.yaml").write_text(service("db", "10.96.0.10"))
        await follower.has(web="10.96.0.9", db="10.96.0.10")
        path.write_text(service("web", "10.96.0.11"))
        await follower.has(web="10.96.0.11", db="10.96.0.10")
    assert errors(caplog) == [
        f"{path}:3:1: expected YAML: did not find expected node content; what it said before stays in force"
    ]
    assert not any(isinstance(event, Gone) for event in follower.events)


async def test_a_file_that_is_broken_from_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a folder it is logged, the other files are served, and it is read as soon as it is mended."""
    (tmp_path / "web.yaml").write_text(service("web"))
    (tmp_path / "db.yaml").write_text("{")
    async with following(tmp_path) as follower:
        assert follower.addresses() == {"web": "10.96.0.9"}
        assert len(errors(caplog)) == 1
        (tmp_path / "db.yaml").write_text(service("db"))
        await follower.has(web="10.96.0.9", db="10.96.0.9")


async def test_warnings_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An absurd object is warned of when it comes, not again with every edit elsewhere; many are cut short."""
    (tmp_path / "odd.yaml").write_text("kind: Service\nmetadata: {name: odd}\n")
    (tmp_path / "many.yaml").write_text("---\n".join(f"kind: Service\nmetadata: {{name: n{n}}}\n" for n in range(50)))
    (tmp_path / "web.yaml").write_text(service("web"))
    async with following(tmp_path) as follower:
        (tmp_path / "web.yaml").write_text(service("web", "10.96.0.10"))
        await follower.has(web="10.96.0.10")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == len(set(warnings)) == files.WARNINGS_SHOWN + 1
    assert warnings[-1] == f"... and {51 - files.WARNINGS_SHOWN} more warnings like these"


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
        assert not any(isinstance(event, Gone) for event in follower.events)


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
        assert not any(isinstance(event, Gone) for event in follower.events)


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
        f"{tmp_path} has no Service, EndpointSlice, Namespace or Pod"
    ]


async def test_an_edit_that_changes_nothing_says_nothing(tmp_path: Path) -> None:
    """Comments, order, and fields that nobody reads make no event."""
    (tmp_path / "web.yaml").write_text(service("web"))
    async with following(tmp_path) as follower:
        before = len(follower.events)
        (tmp_path / "web.yaml").write_text("# a comment\n" + service("web"))
        await asyncio.sleep(QUIET)
        assert len(follower.events) == before


def mend(folder: Path) -> None:
    """Make something of every file that is broken."""
    for path in folder.rglob("?.yaml"):
        if path.read_text() == "{":
            path.write_text(service("mended"))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_edits_end_in_what_the_folder_says(tmp_path: Path, seed: int) -> None:
    """Whatever was saved, broken, moved and deleted in between, what is told adds up to what a fresh reading finds."""
    choose = random.Random(seed)
    names = [f"{letter}.yaml" for letter in "abcd"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "keep.yaml").write_text(service("keep"))
    async with following(tmp_path) as follower:
        for _ in range(40):
            path = tmp_path / choose.choice(("", "deep")) / choose.choice(names)
            text = "---\n".join(service(choose.choice("xyz"), f"10.96.0.{choose.randrange(9)}") for _ in range(2))
            match choose.randrange(5):
                case 0:
                    path.unlink(missing_ok=True)
                case 1:
                    path.write_text("{")
                case 2 if path.exists():
                    path.rename(tmp_path / choose.choice(names))
                case _:
                    choose.choice(SAVES)(path, text)
            await asyncio.sleep(choose.choice((0, 0, 0.02, 0.1)))
        mend(tmp_path)
        fresh = Follower(FileSource(tmp_path), SERVICES)
        reading = asyncio.create_task(fresh.read())
        await fresh.listed()
        await follower.until(lambda: follower.objects == fresh.objects)
        await fresh.source.close()
        await reading
        assert "keep" in follower.addresses()
