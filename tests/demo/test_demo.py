"""The demo as a user runs it, and its parts."""

import asyncio
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from kdns.base.errors import ConfigError
from kdns.demo.ask import Question, Reply, ask
from kdns.demo.folder import example, leave, prepare
from kdns.demo.run import QUESTIONS, how_to_ask
from kdns.demo.show import Row, table
from tests.build import key
from tests.running import PATIENCE, Kdns

HOSTNAMES = Question("hostnames.default.svc.cluster.local", "A")
ROWS = (
    Row(HOSTNAMES, Reply("NOERROR", ("10.96.80.80",)), (key("Service", "default/hostnames"),)),
    Row(
        Question("_a-very-long-port-name._tcp.a-long-service-name.a-long-namespace.svc.cluster.local", "SRV", "tcp"),
        Reply("NOERROR", tuple(f"0 33 80 pod-{number}.a-long-service-name.ns.svc.cluster.local." for number in (1, 2))),
        (key("Service", "a-long-namespace/a-long-service-name"),),
    ),
    Row(Question("nowhere.svc.cluster.local", "A"), Reply("NXDOMAIN", ()), ()),
    Row(Question("web.shop.svc.cluster.local", "AAAA"), Reply("NOERROR", ()), (key("Service", "shop/web"),)),
)


async def started(kdns: Kdns) -> tuple[int, Path]:
    """The port and the folder of a demo, once it has shown everything."""
    await kdns.line("Ctrl-C ends it")
    port = int((await kdns.line(r"127\.0\.0\.1 port (\d+)"))[1])
    return port, Path((await kdns.line(r"^  (/\S+)$"))[1])


@pytest.mark.e2e
async def test_the_demo_shows_itself() -> None:
    """It answers every question it asks itself from the object it names, and ends with 0 and nothing left behind."""
    async with Kdns("demo", "--port", "0") as kdns:
        port, folder = await started(kdns)
        text = "\n".join(kdns.out)
        for question in QUESTIONS:
            assert question.name in text
        for record in ("10.96.0.1", "10.96.80.80", "fd00:10:96::2003", "CNAME my.database.example.com.", "1.1.0"):
            assert record in text
        assert "Service default/kubernetes" in text
        assert "Pod default/hostnames-" in text
        assert text.count("NXDOMAIN") == 1
        assert max(map(len, kdns.out)) <= 80
        assert "\x1b" not in text
        assert folder.is_dir()
        assert await ask(HOSTNAMES, "127.0.0.1", port) == Reply("NOERROR", ("10.96.80.80",))
        kdns.send(signal.SIGINT)
        assert await kdns.ended() == (0, "")
    assert kdns.out[-1] == f"kdns demo has ended; removed {folder}"
    assert not folder.exists()


@pytest.mark.e2e
async def test_an_edit_changes_the_answers() -> None:
    """An edit in the folder is answered soon (0.5 s is the aim; a busy machine gets more), and the folder is kept."""
    async with Kdns("demo", "--port", "0") as kdns:
        port, folder = await started(kdns)
        try:
            file = folder / "hostnames.yaml"
            file.write_text(file.read_text().replace("10.96.80.80", "10.96.80.81"))
            edited = time.monotonic()
            while (reply := await ask(HOSTNAMES, "127.0.0.1", port)).data != ("10.96.80.81",):
                assert time.monotonic() - edited < PATIENCE, reply
                await asyncio.sleep(0.02)
            kdns.send(signal.SIGTERM)
            assert await kdns.ended() == (0, "")
            assert kdns.out[-1] == f"kdns demo has ended; kept {folder}, as it has changes"
            assert folder.is_dir()
        finally:
            shutil.rmtree(folder)


@pytest.mark.e2e
async def test_a_broken_edit_is_told_and_harms_nothing() -> None:
    """A file that does not parse is told with its place, and what it said before is still answered."""
    async with Kdns("demo", "--port", "0") as kdns:
        port, folder = await started(kdns)
        try:
            (folder / "hostnames.yaml").write_text("kind: [Service\nmetadata: {")
            await kdns.line(r"^\[ERROR\] plugin/kubernetes: .*hostnames\.yaml:\d+:\d+: ")
            assert await ask(HOSTNAMES, "127.0.0.1", port) == Reply("NOERROR", ("10.96.80.80",))
        finally:
            shutil.rmtree(folder)


@pytest.mark.e2e
async def test_a_taken_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the port is taken there is one line with the fix, and no folder is left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Kdns("demo", "--port", str(port)) as kdns:
            status, errors = await kdns.ended()
    assert status == 1
    assert errors.splitlines() == [
        f"kdns: cannot listen on 127.0.0.1 port {port} (TCP): the port is taken",
        "  kdns demo --port 0 takes any port that is free",
    ]
    assert os.listdir(tmp_path) == []


@pytest.mark.e2e
@pytest.mark.parametrize("index", range(len(how_to_ask(0))))
async def test_what_it_says_to_type_works(index: int) -> None:
    """Each command it prints succeeds as it stands."""
    tool = how_to_ask(0)[index].split()[0]
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    async with Kdns("demo", "--port", "0") as kdns:
        port, _ = await started(kdns)
        command = how_to_ask(port)[index]
        assert f"  {command}" in kdns.out
        asking = await asyncio.create_subprocess_exec(*command.split(), stdout=asyncio.subprocess.PIPE)
        out, _ = await asking.communicate()
        kdns.send(signal.SIGINT)
        await kdns.ended()
    assert asking.returncode == 0
    assert re.search(r"10\.96\.80\.80|10\.96\.0\.1\n|db-2\.db\.data|kube-dns\.kube-system", out.decode())


@pytest.mark.e2e
def test_a_reader_that_goes(tmp_path: Path) -> None:
    """``kdns demo | head`` ends: no traceback, no folder left behind."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "kdns", "demo", "--port", "0"], stdout=writing, stderr=subprocess.PIPE, timeout=120,
        check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_the_table_fits(width: int) -> None:
    """At any width nothing is lost, and from 80 columns on no name or address is torn apart."""
    console = Console(width=width, file=io.StringIO())
    console.print(table(ROWS, width))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    joined = "".join(line.strip() for line in lines)
    for row in ROWS:
        for part in (row.question.name, *row.reply.data, *map(str, row.sources)):
            assert part.replace(" ", "") in joined.replace(" ", "")
            if width >= 80 and len(part) < 78:
                assert any(part in line for line in lines)


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    """A named folder gets the example once, and stays; one with files in it is served as it is."""
    folder = prepare(str(tmp_path / "new"))
    assert {path.name for path in folder.path.iterdir()} == set(example())
    (folder.path / "shop.yaml").write_text("")
    assert prepare(str(folder.path)) == folder
    assert (folder.path / "shop.yaml").read_text() == ""
    assert leave(folder) == f"kept {folder.path}"
    assert folder.path.is_dir()


def test_a_temporary_folder() -> None:
    """A folder of ours is removed when nobody has touched it, and kept when somebody has."""
    untouched, touched = prepare(""), prepare("")
    try:
        (touched.path / "mine.yaml").write_text("")
        assert leave(untouched) == f"removed {untouched.path}"
        assert not untouched.path.exists()
        assert leave(touched) == f"kept {touched.path}, as it has changes"
    finally:
        shutil.rmtree(touched.path)
    assert leave(touched) == f"{touched.path} is gone already"


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file where the folder should be is the user's mistake, in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the example"):
        prepare(str(tmp_path / "file"))
