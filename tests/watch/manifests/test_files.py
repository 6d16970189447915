"""A folder or file of manifests is a source: listed once, then followed, and never lost to a broken edit."""

import asyncio
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdns.base.objects import ObjectKey
from kdns.watch.manifests import files
from kdns.watch.manifests.files import FileSource
from kdns.watch.manifests.reading import parse_manifests
from kdns.watch.source import Deleted, ListComplete, Listing, Upserted, Want
from tests.watch.manifests.folder_rig import SAVES, SERVICES, Follower, following, service

QUIET = 0.6
"""Seconds without an event after which none is coming."""


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
        said = [str(event.object.key) if isinstance(event, Upserted) else event for event in follower.events]
    assert said == [
        Listing("Namespace"), "Namespace default", "Namespace shop", ListComplete("Namespace"),
        Listing("Service"), "Service default/api", "Service shop/db", "Service shop/web", ListComplete("Service"),
        Listing("Pod"), ListComplete("Pod"),
    ]  # fmt: skip


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
    edits = follower.events[follower.events.index(ListComplete("Service")) + 1 :]
    assert [event.object.key.name for event in edits if isinstance(event, Upserted)] == ["web"] * 3
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

    def counted(data: bytes, source: str, **more: Any) -> Any:
        read.append(Path(source).name)
        return parse_manifests(data, source, **more)

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
    """A file that does not parse any more keeps its former content; one error names the place; the others load."""
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
        f"{path}:3:1: expected YAML: did not find expected node content; its former content stays in force"
    ]
    assert not any(isinstance(event, Deleted) for event in follower.events)


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
