"""The demo tells what an edit changed, old and new; also of mended and deleted files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.demo.edits import BROKEN_LOOKS, Records, changes, tell_edits
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.records.schema import build_schema
from kdns.watch.follower import Follower, wants
from kdns.watch.manifests.files import FileSource
from tests.running import PATIENCE, until

ONE = ("10.96.80.80",)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({("a.b", "A"): ONE}, {("a.b", "A"): ONE}, []),
        ({("a.b", "A"): ONE}, {("a.b", "A"): ("10.96.80.99",)}, ["a.b A 10.96.80.80 -> 10.96.80.99"]),
        ({("a.b", "A"): ONE}, {}, ["a.b A 10.96.80.80 -> (none)"]),
        ({}, {("a.b", "A"): ONE, ("a.b", "AAAA"): ("::1", "::2")},
         ["a.b A (none) -> 10.96.80.80", "a.b AAAA (none) -> ::1, ::2"]),
    ],
)  # fmt: skip
def test_changes(before: Records, after: Records, lines: list[str]) -> None:
    """A line for each name and type whose data differ."""
    assert list(changes(before, after)) == lines


def service(name: str, address: str) -> str:
    return f"kind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {address}}}\n"


class Edits(asyncio.Queue[str]):
    """What is printed about edits, a line each, and how often the folder was looked at."""

    looks = 0

    async def look_later(self, seconds: float) -> None:
        """In place of a sleep, which it is."""
        self.looks += 1
        await asyncio.sleep(seconds)

    async def line(self) -> str:
        """The next line."""
        async with asyncio.timeout(PATIENCE):
            return await self.get()

    async def looked(self, times: int) -> None:
        """Wait until it was looked so many times more."""
        wanted = self.looks + times
        await until(lambda: self.looks >= wanted)


@asynccontextmanager
async def telling(folder: Path) -> AsyncIterator[Edits]:
    """A folder that is served and followed; what is printed about its edits."""
    answers = Answers(build_schema(KubernetesOptions().zones))
    source, edits = FileSource(folder), Edits()
    async with asyncio.TaskGroup() as tasks:
        follower = Follower(source, wants(KubernetesOptions()), (answers,), Metrics("0", "python"))
        following = follower.start(tasks)
        async with asyncio.timeout(PATIENCE):
            await follower.synced.wait()
        telling = tasks.create_task(tell_edits(folder, answers.records, edits.put_nowait, sleep=edits.look_later))
        await edits.looked(1)
        try:
            yield edits
        finally:
            for task in (telling, *following):
                task.cancel()
            await source.close()


async def test_the_life_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Changed, broken, mended, without effect, beside another one, deleted: each is said with what it did."""
    file = tmp_path / "hostnames.yaml"
    file.write_text(service("hostnames", "10.96.80.80"))

    async with telling(tmp_path) as edits:
        file.write_text(service("hostnames", "10.96.80.99"))
        assert await edits.line() == "hostnames.yaml: hostnames.default A 10.96.80.80 -> 10.96.80.99"
        file.write_text("kind: [")
        await until(lambda: "expected YAML" in caplog.text)
        await edits.looked(5 + BROKEN_LOOKS)  # which print nothing beside the log
        file.write_text(service("hostnames", "10.96.80.98"))
        assert await edits.line() == "hostnames.yaml: can be read again"
        assert await edits.line() == "hostnames.yaml: hostnames.default A 10.96.80.99 -> 10.96.80.98"
        file.write_text(service("hostnames", "10.96.80.98") + "# a remark\n")
        assert await edits.line() == "hostnames.yaml: no record has changed"
        (tmp_path / "web.yaml").write_text(service("web", "10.96.0.9"))
        assert await edits.line() == "web.yaml: new"
        assert await edits.line() == "web.yaml: web.default A (none) -> 10.96.0.9"
        file.unlink()
        assert await edits.line() == "hostnames.yaml: deleted"
        assert await edits.line() == "hostnames.yaml: hostnames.default A 10.96.80.98 -> (none)"
