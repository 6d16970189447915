"""The demo tells what an edit changed, old and new; also of mended and deleted files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kdns.config.settings import KubernetesOptions
from kdns.demo.edits import LOOK, Records, changes, tell_edits
from kdns.metrics.dns import Metrics
from kdns.records.answers import Answers
from kdns.records.schema import build_schema
from kdns.watch.follower import Follower, wants
from kdns.watch.manifests.files import FileSource
from tests.running import PATIENCE

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


@asynccontextmanager
async def telling(folder: Path) -> AsyncIterator["asyncio.Queue[str]"]:
    """A folder that is served and followed; what is said of edits."""
    answers = Answers(build_schema(KubernetesOptions().zones))
    source, said = FileSource(folder), asyncio.Queue[str]()
    async with asyncio.TaskGroup() as tasks:
        follower = Follower(source, wants(KubernetesOptions()), (answers,), Metrics("0", "python"))
        following = follower.start(tasks)
        async with asyncio.timeout(PATIENCE):
            await follower.synced.wait()
        telling = tasks.create_task(tell_edits(folder, answers.records, said.put_nowait))
        await asyncio.sleep(0)  # it has looked once
        try:
            yield said
        finally:
            for task in (telling, *following):
                task.cancel()
            await source.close()


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in iter(lambda: text in caplog.text, True):
            await asyncio.sleep(LOOK)


async def test_the_life_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Changed, broken, mended, without effect, beside another one, deleted: each is said with what it did."""
    file = tmp_path / "hostnames.yaml"
    file.write_text(service("hostnames", "10.96.80.80"))

    async def next_line(said: "asyncio.Queue[str]") -> str:
        async with asyncio.timeout(PATIENCE):
            return await said.get()

    async with telling(tmp_path) as said:
        file.write_text(service("hostnames", "10.96.80.99"))
        assert await next_line(said) == "hostnames.yaml: hostnames.default A 10.96.80.80 -> 10.96.80.99"
        file.write_text("kind: [")
        await until_logged(caplog, "expected YAML")
        await asyncio.sleep(10 * LOOK)  # nothing is said beside the log: a few looks have seen it by now
        file.write_text(service("hostnames", "10.96.80.98"))
        assert await next_line(said) == "hostnames.yaml: can be read again"
        assert await next_line(said) == "hostnames.yaml: hostnames.default A 10.96.80.99 -> 10.96.80.98"
        file.write_text(service("hostnames", "10.96.80.98") + "# a remark\n")
        assert await next_line(said) == "hostnames.yaml: no record has changed"
        (tmp_path / "web.yaml").write_text(service("web", "10.96.0.9"))
        assert await next_line(said) == "web.yaml: new"
        assert await next_line(said) == "web.yaml: web.default A (none) -> 10.96.0.9"
        file.unlink()
        assert await next_line(said) == "hostnames.yaml: deleted"
        assert await next_line(said) == "hostnames.yaml: hostnames.default A 10.96.80.98 -> (none)"
