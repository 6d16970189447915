"""Help, completion, and output for programs."""

import subprocess
import sys

import pytest
import yaml

from kdns import __version__
from kdns.cli.commands import COMMANDS
from kdns.cli.main import command_parser, main


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A bare ``kdns`` prints the help, where errors go."""
    assert main([]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("usage: kdns COMMAND")
    assert "  serve       answer DNS for a cluster" in errors


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("line", ["help {}", "{} --help", "{} -h"])
def test_help(name: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help of each command is printed in three ways; it has examples and fits 80 columns, but for examples."""
    with pytest.raises(SystemExit) as ended:
        main(line.format(name).split())
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: kdns {name}")
    usage, _, examples = text.partition("examples:")
    assert f"  kdns {name}" in examples or "| kdns" in examples
    assert [row for row in usage.splitlines() if len(row) > 80] == []


def test_help_is_plain_where_colour_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour needs a terminal that has it, and no NO_COLOR."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in command_parser("check").format_help()
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in command_parser("check").format_help()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in command_parser("check").format_help()


def test_top_help_imports_little() -> None:
    """``kdns --help`` imports no part that a command needs: it is there at once (0.25 s on an idle machine)."""
    code = (
        "import sys, kdns.cli.main as m\ntry: m.main(['--help'])\nfinally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert not loaded & {
        "asyncio",
        "aiohttp",
        "msgspec",
        "yaml",
        "rich",
        "dnslib",
        "dns",
        "prometheus_client",
        "kubernetes",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script knows the commands and their flags."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "records" in script
    assert "namespace-labels" in script


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize("line", ["version", "plugins"])
def test_values_for_programs(line: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``-o json`` and ``-o yaml`` say the same."""
    assert main([line, "-o", form]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert "kubernetes" in found if line == "plugins" else found["version"] == __version__
