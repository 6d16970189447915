"""The command line as CoreDNS has it, and what ``kdns check`` says."""

import io
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kdns import __version__
from kdns.cli.main import main, parse
from kdns.cli.serve import serve_settings
from kdns.config.flags import as_commands
from kdns.config.settings import ServeSettings
from tests.running import WEB, Kdns, folder, logging_as_it_was

COREFILE = ServeSettings(corefile="F")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-conf F", COREFILE),
        ("--conf F", COREFILE),
        ("-conf=F --dns.port=1053", replace(COREFILE, port=1053)),
        ("-dns.port 1053 -conf F", replace(COREFILE, port=1053)),
        ("-p 0 -conf F", replace(COREFILE, port=0)),
        ("-quiet -conf F", replace(COREFILE, quiet=True)),
        ("-quiet=false -conf F", COREFILE),
        ("-conf F --quiet=true", replace(COREFILE, quiet=True)),
        ("-conf stdin", replace(COREFILE, corefile="stdin")),
        ("-p 5", replace(COREFILE, corefile="Corefile", port=5)),
        ("--source cluster", replace(COREFILE, corefile="Corefile", source="cluster")),
        ("-conf F --plugins D --log-format json", replace(COREFILE, plugins="D", log_format="json")),
        ("serve --conf F", COREFILE),
        ("serve -conf F -dns.port 7", replace(COREFILE, port=7)),
        ("serve --conf=F --source - --watch-timeout 5", replace(COREFILE, source="-", watch_timeout=5.0)),
    ],
)
def test_flags(line: str, expected: ServeSettings) -> None:
    """CoreDNS's flags, with one dash or two, and ours beside them; without a command they mean serve."""
    assert serve_settings(parse(line.split()), {}) == expected


def test_in_a_cluster() -> None:
    """In a Pod the cluster is the source of kubernetes blocks that name no other."""
    found = serve_settings(parse(["-conf", "F"]), {"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert found == replace(COREFILE, source="cluster")


@pytest.mark.parametrize(
    "line", ["", "-h", "--help", "--version", "records -o zone", "demo --port 1", "plugins --plugins D"]
)
def test_other_commands_are_left_alone(line: str) -> None:
    """Flags of other commands are not CoreDNS's."""
    assert as_commands(line.split(), ("serve", "check", "demo", "records", "plugins")) == (line.split(), False)


MISTAKES = (
    ("-conf F foo", "kdns: kdns: unexpected argument 'foo'", ""),
    ("-conf F serve", "kdns: kdns: unexpected argument 'serve'", ""),
    ("foo -conf F", "kdns: unknown command 'foo'", ""),
    ("-cnof F", "kdns: kdns: unknown flag -cnof", "did you mean -conf?"),
    ("--dns.prt 5", "kdns: kdns: unknown flag --dns.prt", "did you mean -dns.port?"),
    ("-conf", "kdns: --conf: expected one argument", ""),
    ("-p x", "kdns: --port: invalid port 'x'", ""),
    ("-conf F --ttl 5", "kdns: --ttl does not go with a Corefile", "kubernetes { ttl }"),
    ("-conf F --ttl 7", "kdns: --ttl does not go with a Corefile", "set it there: "),
    ("serve --conf F --listen ::1", "kdns: --listen does not go with a Corefile", "set it there: "),
    ("-p 5", "kdns: cannot read Corefile: No such file or directory", "kdns check FILE"),
    ("check", "kdns: cannot read Corefile: No such file or directory", "kdns check FILE"),
    ("check --conf away", "kdns: cannot read away: No such file or directory", "kdns check FILE"),
    ("check more", "kdns: cannot read more: No such file or directory", "kdns check FILE"),
    ("check more less", "kdns: kdns check: unexpected argument 'less'", ""),
    ("check more --conf less", "kdns: kdns check: two Corefiles", "--conf FILE"),
    ("plugins --plugins away", "kdns: cannot read the folder of plugins", ""),
)


@pytest.mark.parametrize(("line", "problem", "hint"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_mistakes(
    line: str,
    problem: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A mistake on the command line is told on stderr, and the exit status is 1."""
    monkeypatch.chdir(tmp_path)
    with logging_as_it_was():
        assert main(line.split()) == (1 if "cannot read" in problem else 2)
    out, errors = capsys.readouterr()
    assert errors.startswith(problem)
    assert hint in errors
    assert out == ""


@pytest.mark.parametrize("line", ["-version", "-conf F -version", "-version=true"])
def test_version(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """-version wins over all else."""
    assert main(line.split()) == 0
    assert capsys.readouterr().out.startswith(f"kdns-{__version__}\n")


@pytest.mark.parametrize("line", ["plugins", "-plugins"])
def test_plugins(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """-plugins lists the directives, a line each."""
    assert main(line.split()) == 0
    assert {"kubernetes", "forward", "cache"} <= set(capsys.readouterr().out.splitlines())


def test_plugins_of_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Those of a folder are listed without being run."""
    (tmp_path / "mine.py").write_text("raise SystemExit(3)")
    assert main(["plugins", "--plugins", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "mine"


def check(capsys: pytest.CaptureFixture[str], path: Path, text: str, **flags: Any) -> tuple[int, str, str]:
    """Exit status, output and errors of ``kdns check`` for a Corefile, with its path as F."""
    (path / "Corefile").write_text(text)
    words = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    with logging_as_it_was():
        status = main(["check", "--conf", str(path / "Corefile"), *words])
    out, errors = capsys.readouterr()
    return status, out, errors.replace(str(path / "Corefile"), "F")


@pytest.mark.parametrize(("key", "warned"), [(".:5300", True), (".", False), (".:5300 a.test", False)])
def test_a_port_without_effect(capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str, warned: bool) -> None:
    """``--port`` is for keys that name none; where all do, that is said."""
    status, out, _ = check(capsys, tmp_path, f"{key} {{\n whoami\n}}\n", port=1053)
    assert status == 0
    assert ("warning: --port 1053 has no effect: every server block names its own port" in out) is warned


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A Corefile that is right is told as chains in the order in which plugins see questions; nothing is opened."""
    text = ". {\n kubernetes cluster.local\n whoami\n errors\n}\nexample.org:54 {\n}\n"
    status, out, errors = check(capsys, tmp_path, text, port=1053)
    assert (status, errors) == (0, "")
    assert out.splitlines()[:2] == ["dns://.:1053", "  chain      errors > kubernetes > whoami"]
    assert "  fast path  kubernetes: cluster.local." in out.splitlines()
    assert "dns://example.org.:54" in out.splitlines()
    assert out.splitlines()[-1] == f"{tmp_path}/Corefile: no mistakes, 2 server blocks"


@pytest.mark.parametrize("words", [["check", "-"], ["check", "--conf", "-"], ["check", "--conf", "stdin"]])
def test_check_of_standard_input(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Corefile may come through a pipe."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b". {\n whoami\n}\n")))
    with logging_as_it_was():
        assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stdin: no mistakes, 1 server block"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("apiVersion: v1\nkind: ConfigMap\ndata:\n  Corefile: |\n    . {\n    }\n", "looks like YAML"),
        ("---\nkind: ConfigMap\n", "looks like YAML"),
        ("\x7fELF\0\1\2", "not a text file"),
    ],
)
def test_check_of_what_is_not_a_corefile(
    text: str, problem: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line instead of a mistake for each of its lines."""
    status, out, errors = check(capsys, tmp_path, text)
    assert (status, out) == (1, "")
    assert problem in errors
    assert len(errors.splitlines()) <= 2


def test_check_finds_every_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Mistakes of the grammar come first; then those of all plugins in all blocks, in compiler form."""
    status, out, errors = check(capsys, tmp_path, ". {\n erors\n whoami x\n}\na {\n dnssec\n}\n")
    assert (status, out) == (1, "")
    assert [line for line in errors.splitlines() if line.startswith("F:")] == [
        "F:2:2: unknown plugin 'erors'",
        "F:3:9: 'whoami' takes no argument",
        "F:6:2: kdns does not have CoreDNS's plugin dnssec",
    ]


PLUGIN = """
from kdns.dns.api.plugin import Built
NAME, BEFORE = "mine", "whoami"
def parse(directives, place): return None
def build(options, parts): return Built()
"""


def test_check_says_where_plugins_are_from(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A plugin of a folder stands where it says, and is named with its file."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "mine.py").write_text(PLUGIN)
    status, out, _ = check(capsys, tmp_path, ". {\n whoami\n mine\n}\n", plugins=tmp_path / "more")
    assert status == 0
    assert "  chain      mine > whoami" in out.splitlines()
    assert f"  mine comes from {tmp_path}/more/mine.py" in out.splitlines()


def test_check_never_tells_a_secret(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A secret that is imported by mistake is an unknown plugin without a name."""
    (tmp_path / "token").write_text("s3cr3t-t0ken s3cr3t\n")
    status, out, errors = check(capsys, tmp_path, ". {\n import token\n}\n")
    assert status == 1
    assert "s3cr3t" not in out + errors
    assert f"{tmp_path}/token:1:1: unknown plugin (not shown)" in errors


@pytest.mark.e2e
async def test_serving_with_the_flags_of_coredns(tmp_path: Path) -> None:
    """What a CoreDNS Deployment says starts a server; the Corefile's key has no port, so -dns.port counts."""
    (tmp_path / "Corefile").write_text("cluster.local {\n bind 127.0.0.1\n import *.part\n}\n")
    (tmp_path / "k.part").write_text("kubernetes\nerrors\n")
    (tmp_path / "objects").mkdir()
    source = folder(tmp_path / "objects")
    async with Kdns("-conf", str(tmp_path / "Corefile"), "-dns.port", "0", "--source", source) as kdns:
        assert "10.96.0.9" in str(await kdns.ask(WEB))


@pytest.mark.e2e
async def test_serving_a_wrong_corefile(tmp_path: Path) -> None:
    """A wrong one is told in compiler form, and nothing is served."""
    (tmp_path / "Corefile").write_text(". {\n erors\n")
    async with Kdns("-conf", str(tmp_path / "Corefile")) as kdns:
        status, errors = await kdns.ended()
    assert status == 1
    assert errors.startswith(f"{tmp_path}/Corefile:1:3: this brace is never closed\n   1 | . {{\n")
